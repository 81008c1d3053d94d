"""The ``parameters`` section of a sweep file: each parameter's distribution, by W&B's rules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from toolkit.errors import did_you_mean
from toolkit.sweep.located import Item
from toolkit.sweep.space import REACH
from toolkit.sweep.space import Choice
from toolkit.sweep.space import Constant
from toolkit.sweep.space import Continuous
from toolkit.sweep.space import Domain
from toolkit.sweep.space import Integers
from toolkit.sweep.space import Normal
from toolkit.sweep.space import Step
from toolkit.sweep.space import WeightedChoice

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_LARGEST_EXPONENT = 709.0
"""exp() of more is no float any more."""


@frozen
class _Written:
    """One parameter as it is written."""

    name: str
    item: Item
    fields: Mapping[str, Item]

    def number(self, key: str, default: float = 0.0) -> float:
        """The number under a key."""
        if key not in self.fields:
            return default
        return self.fields[key].number(f"{key!r} of parameter {self.name!r}")

    def bounds(self) -> tuple[float, float]:
        """``min`` and ``max``, the second greater than the first."""
        low, high = self.number("min"), self.number("max")
        if low >= high:
            raise self.fields["min"].error(
                f"parameter {self.name!r}: min {low} must be less than max {high}"
            )
        return low, high

    def exponents(self) -> tuple[float, float]:
        """``min`` and ``max`` as exponents of e, which are in reach of a float."""
        low, high = self.bounds()
        if max(abs(low), abs(high)) > _LARGEST_EXPONENT:
            raise self.item.error(
                f"parameter {self.name!r}: min and max are exponents of e here; give the values "
                "themselves to log_uniform_values"
            )
        return math.exp(low), math.exp(high)

    def positive_bounds(self) -> tuple[float, float]:
        """``min`` and ``max`` themselves, which have a logarithm."""
        low, high = self.bounds()
        if low <= 0:
            raise self.fields["min"].error(
                f"parameter {self.name!r}: min must be greater than 0 for a logarithm, not {low}"
            )
        return low, high

    def step(self, low: float = -math.inf, high: float = math.inf) -> Step:
        """The step ``q``, with at least one multiple between the bounds."""
        q = self.number("q", 1)
        if q <= 0:
            raise self.fields["q"].error(
                f"parameter {self.name!r}: q must be greater than 0, not {q}"
            )
        step = Step(q, low, high)
        lowest, highest = step.bounds()
        if lowest > highest:
            raise self.item.error(
                f"parameter {self.name!r}: no multiple of q {q} lies between {low} and {high}"
            )
        return step

    def mu_and_sigma(self, *, is_log: bool) -> tuple[float, float]:
        """Mean and standard deviation."""
        mu, sigma = self.number("mu", 0.0), self.number("sigma", 1.0)
        if sigma < 0:
            raise self.fields["sigma"].error(
                f"parameter {self.name!r}: sigma can't be negative, and is {sigma}"
            )
        if is_log and abs(mu) + REACH * sigma > _LARGEST_EXPONENT:
            raise self.item.error(
                f"parameter {self.name!r}: mu and sigma are those of the logarithm, and exp of "
                "them is no number any more; give smaller ones"
            )
        return mu, sigma


def _choice(written: _Written) -> Domain:
    return Choice(tuple(item.value for item in written.fields["values"].sequence("values")))


def _weighted(written: _Written) -> Domain:
    values, given = written.fields["values"], written.fields["probabilities"]
    weights = [
        item.number(f"a probability of parameter {written.name!r}")
        for item in given.sequence("probabilities")
    ]
    if len(weights) != len(values.sequence("values")):
        raise given.error(
            f"parameter {written.name!r} has {len(values.sequence('values'))} values and "
            f"{len(weights)} probabilities; give one for each"
        )
    if min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-6):
        raise given.error(
            f"probabilities of parameter {written.name!r} must be positive and add up to 1, "
            f"not to {sum(weights):g}"
        )
    return WeightedChoice(tuple(item.value for item in values.sequence("values")), tuple(weights))


def _integers(written: _Written) -> Domain:
    low, high = written.bounds()
    for key, number in (("min", low), ("max", high)):
        if number != int(number):
            raise written.fields[key].error(
                f"parameter {written.name!r}: {key} must be a whole number for int_uniform, "
                f"not {number}"
            )
    return Integers(int(low), int(high))


def _uniform(written: _Written) -> Domain:
    return Continuous(*written.bounds())


def _q_uniform(written: _Written) -> Domain:
    low, high = written.bounds()
    return Continuous(low, high, step=written.step(low, high))


def _log_uniform(written: _Written) -> Domain:
    return Continuous(*written.exponents(), is_log=True)


def _q_log_uniform(written: _Written) -> Domain:
    low, high = written.exponents()
    return Continuous(low, high, is_log=True, step=written.step(low, high))


def _inv_log_uniform(written: _Written) -> Domain:
    low, high = written.exponents()
    return Continuous(1 / high, 1 / low, is_log=True)


def _log_uniform_values(written: _Written) -> Domain:
    return Continuous(*written.positive_bounds(), is_log=True)


def _q_log_uniform_values(written: _Written) -> Domain:
    low, high = written.positive_bounds()
    return Continuous(low, high, is_log=True, step=written.step(low, high))


def _normal(written: _Written) -> Domain:
    return Normal(*written.mu_and_sigma(is_log=False))


def _q_normal(written: _Written) -> Domain:
    return Normal(*written.mu_and_sigma(is_log=False), step=written.step())


def _log_normal(written: _Written) -> Domain:
    return Normal(*written.mu_and_sigma(is_log=True), is_log=True)


def _q_log_normal(written: _Written) -> Domain:
    return Normal(*written.mu_and_sigma(is_log=True), is_log=True, step=written.step())


@frozen
class _Kind:
    """A distribution: the keys that it must and may have, and how it is read."""

    read: Callable[[_Written], Domain]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_RANGE = ("min", "max")
_MOMENTS = ("mu", "sigma")
_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "constant": _Kind(lambda written: Constant(written.fields["value"].value), ("value",)),
        "categorical": _Kind(_choice, ("values",)),
        "categorical_w_probabilities": _Kind(_weighted, ("values", "probabilities")),
        "int_uniform": _Kind(_integers, _RANGE),
        "uniform": _Kind(_uniform, _RANGE),
        "q_uniform": _Kind(_q_uniform, _RANGE, ("q",)),
        "log_uniform": _Kind(_log_uniform, _RANGE),
        "log_uniform_values": _Kind(_log_uniform_values, _RANGE),
        "q_log_uniform": _Kind(_q_log_uniform, _RANGE, ("q",)),
        "q_log_uniform_values": _Kind(_q_log_uniform_values, _RANGE, ("q",)),
        "inv_log_uniform": _Kind(_inv_log_uniform, _RANGE),
        # log(1/X) is as uniform as log(X) is.
        "inv_log_uniform_values": _Kind(_log_uniform_values, _RANGE),
        "normal": _Kind(_normal, (), _MOMENTS),
        "q_normal": _Kind(_q_normal, (), (*_MOMENTS, "q")),
        "log_normal": _Kind(_log_normal, (), _MOMENTS),
        "q_log_normal": _Kind(_q_log_normal, (), (*_MOMENTS, "q")),
    }
)


def read(section: Item) -> dict[str, Domain]:
    """Every parameter by its name, in the order of the file; those of a nested one with dots.

    Raises:
        UsageError: a parameter isn't described as it should be; the message says where.
    """
    found: dict[str, Domain] = {}
    _collect(section, "", found)
    return found


def _collect(section: Item, prefix: str, found: dict[str, Domain]) -> None:
    fields = section.mapping("parameters")
    if not fields:
        raise section.error("parameters must name at least one parameter")
    for key, item in fields.items():
        name = prefix + key
        if not _NAME.match(key):
            raise item.error(
                f"{key!r} can't be a parameter's name: letters, digits, '_', '.' and '-', "
                "beginning with a letter or '_'"
            )
        described = item.mapping(f"parameter {name!r}")
        if "parameters" in described:
            _refuse_others(name, described)
            _collect(described["parameters"], f"{name}.", found)
        elif name in found:
            raise item.error(f"parameter {name!r} is there twice; rename one")
        else:
            found[name] = _domain(_Written(name, item, described))


def _refuse_others(name: str, described: Mapping[str, Item]) -> None:
    for key in described.keys() - {"parameters"}:
        raise described[key].error(
            f"parameter {name!r} has nested parameters, and nothing beside them; remove {key!r}"
        )


def _domain(written: _Written) -> Domain:
    name = _distribution(written)
    kind = _KINDS[name]
    known = ("distribution", *kind.required, *kind.optional)
    for key, item in written.fields.items():
        if key not in known:
            raise item.error(
                f"parameter {written.name!r} with distribution {name} has no key {key!r}"
                f"{did_you_mean(key, known)}; it has {', '.join(known)}"
            )
    for key in kind.required:
        if key not in written.fields:
            raise written.item.error(
                f"parameter {written.name!r} with distribution {name} needs {key!r}"
            )
    return kind.read(written)


def _distribution(written: _Written) -> str:
    """The distribution that is named, else the one that the keys mean."""
    fields = written.fields
    if "distribution" in fields:
        label = f"distribution of parameter {written.name!r}"
        name = fields["distribution"].one_of(label, _KINDS)
        is_weighted = name == "categorical" and "probabilities" in fields
        return "categorical_w_probabilities" if is_weighted else name
    if "value" in fields:
        return "constant"
    if "values" in fields:
        return "categorical_w_probabilities" if "probabilities" in fields else "categorical"
    if "min" in fields and "max" in fields:
        are_whole = all(isinstance(fields[key].value, int) for key in _RANGE)
        return "int_uniform" if are_whole else "uniform"
    raise written.item.error(
        f"parameter {written.name!r} needs value, values, min and max, a distribution, or nested "
        "parameters"
    )
