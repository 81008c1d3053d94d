"""Watching a model train: histograms of its gradients and parameters, counted on their device.

PyTorch calls a hook before each step of any optimizer. By then gradients are accumulated over
micro-batches and processes, unscaled and clipped: what the optimizer is about to use. PyTorch is
imported where it is needed: the core works without it.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args
from weakref import WeakKeyDictionary

from attrs import frozen

from toolkit import media
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Histogram
from toolkit.notice import warn
from toolkit.recorder import Recorder
from toolkit.tensor_counts import counts
from toolkit.tensor_counts import ranges
from toolkit.values import shown

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.nn import Parameter
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

What = Literal["all", "gradients", "parameters"]

_KINDS = ("gradients", "parameters")
_WRAPPED = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))


@frozen
class Choice:
    """What is recorded of a model, how often, and under which names; see `toolkit.run.Run.watch`.

    Raises:
        InvalidValueError: one of them can't be; the message says which.
        UsageError: PyTorch or NumPy is not installed.
    """

    model: Module
    every: int
    what: What
    first_step: int
    bins: int
    name: str

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.model, _torch().nn.Module):
            raise InvalidValueError(f"watch: expected a torch.nn.Module, got {shown(self.model)}")
        if not named_parameters(self.model):
            raise InvalidValueError(f"watch: {type(self.model).__name__} has no parameters")
        if type(self.every) is not int or self.every < 1:
            raise InvalidValueError(f"watch: every must be 1 or more steps, got {self.every!r}")
        if type(self.first_step) is not int or self.first_step < 0:
            raise InvalidValueError(f"watch: first_step must be 0 or more, got {self.first_step!r}")
        if self.what not in get_args(What):
            choices = ", ".join(get_args(What))
            raise InvalidValueError(f"watch: what must be one of {choices}, got {self.what!r}")
        media.histogram("watch", (), self.bins)

    def keys(self) -> dict[str, str]:
        """For each name of a parameter, what its histograms' names end with."""
        prefix = f"{self.name}/" if self.name else ""
        return {name: prefix + name for name in named_parameters(self.model)}


class Watch:
    """Records a model's histograms until it is closed; the run closes it when it ends.

    Trouble while recording is reported on standard error, and never stops the training.

    Args:
        recorder: where to record.
        choice: what to record; with none nothing is, and the watch is closed from the start.
    """

    def __init__(self, recorder: Recorder | None = None, choice: Choice | None = None) -> None:
        self.keys = frozenset(choice.keys().values()) if choice else frozenset()
        self._clock_of: WeakKeyDictionary[Optimizer, itertools.count[int]] = WeakKeyDictionary()
        self._clocks: dict[str, itertools.count[int]] = {}
        self._saw_steps = False
        self._failures = 0
        self._hook: RemovableHandle | None = None
        if recorder and choice:
            from torch.optim.optimizer import register_optimizer_step_pre_hook

            self._recorder, self._choice = recorder, choice
            self._hook = register_optimizer_step_pre_hook(self._before)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is recorded any more."""
        return self._hook is None

    def close(self) -> None:
        """Record no more; more than once does nothing."""
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = None
        if self._failures > 1:
            warn(f"watch: {self._failures} problems in all while recording histograms")
        if self._saw_steps and not self._clocks:
            warn(
                "watch: no histogram was recorded, as no optimizer that made a step holds a "
                "parameter of the model; watch the model whose parameters the optimizer was given"
            )

    def _before(self, optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        """Record what an optimizer holds of the model, if its step is one of those to record."""
        if not self._recorder.is_here():
            return
        self._saw_steps = True
        try:
            if optimizer not in self._clock_of:
                self._clock_of[optimizer] = self._new_clock(optimizer)
            step = next(self._clock_of[optimizer])
            if step % self._choice.every == 0:
                with _torch().no_grad():
                    self._record(optimizer, step)
        except Exception as error:
            self._report(error)

    def _new_clock(self, optimizer: Optimizer) -> itertools.count[int]:
        """What counts the optimizer's steps: one clock for all that hold the same parameter."""
        names = [name for name, _ in _held(optimizer, self._choice.model)]
        known = (self._clocks[name] for name in names if name in self._clocks)
        clock = next(known, None) or itertools.count(self._choice.first_step)
        self._clocks.update(dict.fromkeys(names, clock))
        return clock

    def _record(self, optimizer: Optimizer, step: int) -> None:
        tensors = {
            key: tensor
            for key, tensor in self._tensors(optimizer)
            if not self._recorder.was_recorded(Histogram, key, step)
        }
        now = time.time()
        for of_device in _by_device(tensors):
            edges = self._edges(of_device)
            counted = counts({key: of_device[key] for key in edges}, edges)
            for key in edges:
                rest = of_device[key].numel() - sum(counted[key])
                inside = tuple(map(float, counted[key]))
                self._recorder.write(Histogram(now, key, edges[key], inside, step, rest))

    def _tensors(self, optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
        """Name and values, one-dimensional, of each histogram of what the optimizer holds."""
        keys, what = self._choice.keys(), self._choice.what
        for name, parameter in _held(optimizer, self._choice.model):
            found = {"gradients": _gradient(optimizer, parameter), "parameters": parameter}
            for kind, tensor in found.items():
                if what in ("all", kind) and tensor is not None and tensor.is_floating_point():
                    values = _flat(tensor)
                    if values.numel():
                        yield f"{kind}/{keys[name]}", values

    def _edges(self, tensors: Mapping[str, Tensor]) -> dict[str, tuple[float, ...]]:
        """The edges of the bins of each, but of those with values that no histogram can have."""
        found, edges = ranges(tensors), {}
        for key in tensors:
            low, high = found[key]
            try:
                ends = (low, high) if low <= high else ()
                edges[key], _, _ = media.histogram(key, ends, self._choice.bins)
            except InvalidValueError as error:
                self._report(error)
        return edges

    def _report(self, error: Exception) -> None:
        self._failures += 1
        if self._failures > 1:
            return
        known = isinstance(error, UsageError | _torch().cuda.OutOfMemoryError)
        details = "" if known else "\n" + "".join(traceback.format_exception(error)).rstrip()
        warn(f"watch: can't record a histogram: {error}; training goes on{details}")

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def refuse_twice(choice: Choice, watches: Iterable[Watch]) -> None:
    """Make sure that no open watch records under the same names.

    Raises:
        UsageError: one does.
    """
    keys = frozenset(choice.keys().values())
    for watch in watches:
        if not watch.is_closed and (both := sorted(keys & watch.keys)):
            raise UsageError(
                f"watch: {both[0]} is watched already: close the other watch first, or tell the "
                'models apart with run.watch(model, name="...")'
            )


def named_parameters(model: Module) -> dict[str, Parameter]:
    """The model's parameters by name, each once, as if nothing in it were wrapped or compiled."""
    parallel = (_torch().nn.DataParallel, _torch().nn.parallel.DistributedDataParallel)
    wrappers = {name for name, module in model.named_modules() if isinstance(module, parallel)}

    def unwrapped(name: str) -> str:
        parts = name.split(".")
        return ".".join(
            part
            for place, part in enumerate(parts)
            if part not in _WRAPPED
            and not (part == "module" and ".".join(parts[:place]) in wrappers)
        )

    return {unwrapped(name): parameter for name, parameter in model.named_parameters()}


def _held(optimizer: Optimizer, model: Module) -> list[tuple[str, Parameter]]:
    """The parameters of the model that the optimizer was given, with their names."""
    names = {id(parameter): name for name, parameter in named_parameters(model).items()}
    given = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return [(names[id(parameter)], parameter) for parameter in given if id(parameter) in names]


def _gradient(optimizer: Optimizer, parameter: Parameter) -> Tensor | None:
    """The parameter's gradient, at its true scale."""
    gradient = parameter.grad
    # Fused optimizers get gradients as fp16 training has scaled them, and the scale beside them.
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    if gradient is None or scale is None:
        return gradient
    return gradient / scale.to(gradient.device)


def _flat(tensor: Tensor) -> Tensor:
    """The values that this process holds of a tensor, on a device that can count them."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):  # one that is spread over processes
        tensor = tensor.to_local()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if tensor.device.type == "mps":  # which has no double precision
        tensor = tensor.cpu()
    # In the order of memory, whatever the strides: what lies dense is not copied.
    return tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True)).reshape(-1)


def _by_device(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    groups: dict[object, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        groups.setdefault(tensor.device, {})[key] = tensor
    return list(groups.values())


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UsageError("run.watch needs PyTorch: pip install torch") from error
    return torch
