"""What is known of installed plugins without importing any: from metadata and from sources.

Metadata name the distribution, its version and what it requires. The protocol's version is read in
the source of the plugin's module, where its class assigns it a number. Whether importing the plugin
works, only importing it tells.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING
from typing import cast

from attrs import frozen

from toolkit import discovery

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution
    from importlib.metadata import EntryPoint

    from packaging.requirements import Requirement


@frozen
class PluginFacts:
    """One entry point that claims a plugin's name."""

    name: str
    target: str
    """Module and class, as in ``toolkit_none:NoneTracker``."""
    distribution: str
    version: str
    protocol: int | None
    """None where the source doesn't say it as a number."""
    requires: tuple[str, ...]
    """What its distribution requires, with the extra of the plugin's name where it has one."""
    missing: tuple[str, ...]
    """What of that isn't installed in the wanted version, and the plugin's module, if it's gone."""
    is_claimed_twice: bool


def installed() -> list[PluginFacts]:
    """Every installed plugin, by name; imports none."""
    return [
        facts_of(entry, is_claimed_twice=len(entries) > 1)
        for entries in discovery.available().values()
        for entry in entries
    ]


def facts_of(entry: EntryPoint, *, is_claimed_twice: bool = False) -> PluginFacts:
    """What is known of the plugin behind one entry point; doesn't import it."""
    distribution = cast("Distribution", entry.dist)
    module, _, name = entry.value.partition(":")
    spec = _spec(module.strip())
    gone = () if spec else (f"module {module.strip()}",)
    return PluginFacts(
        name=entry.name,
        target=entry.value,
        distribution=distribution.metadata["Name"],
        version=str(distribution.version),
        protocol=_protocol(spec, name.partition("[")[0].strip()) if spec else None,
        requires=tuple(map(_shown, _required(distribution, {entry.name}))),
        missing=(*gone, *_missing(distribution, {entry.name}, set())),
        is_claimed_twice=is_claimed_twice,
    )


def _required(distribution: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """The requirements that hold here, with these extras where the distribution has them."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement

    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # of a distribution that pip would have refused
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _missing(distribution: Distribution, extras: set[str], seen: set[str]) -> Iterator[str]:
    """What is required and not installed; an extra of a requirement counts as required."""
    from importlib import metadata

    for requirement in _required(distribution, extras):
        try:
            found = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            yield _shown(requirement)
            continue
        if not _fits(requirement, str(found.version)):
            yield f"{_shown(requirement)} ({found.version} is installed)"
        elif requirement.extras and _shown(requirement) not in seen:
            seen.add(_shown(requirement))
            yield from _missing(found, requirement.extras, seen)


def _fits(requirement: Requirement, version: str) -> bool:
    """Whether the installed version will do; one that is no version does only if any does."""
    from packaging.version import InvalidVersion

    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return not requirement.specifier


def _shown(requirement: Requirement) -> str:
    """The requirement without the condition under which it holds."""
    return str(requirement).partition(";")[0].strip()


def _spec(module: str) -> ModuleSpec | None:
    """Where a module lies; neither it nor the packages around it are imported."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for name in inner:
            if spec is None or spec.submodule_search_locations is None:
                return None
            places = list(spec.submodule_search_locations)
            spec = PathFinder.find_spec(f"{spec.name}.{name}", places)
    except (ImportError, ValueError):  # a module of this name that was loaded in an unusual way
        return None
    return spec


def _protocol(spec: ModuleSpec, name: str) -> int | None:
    """The number that the class, or a base in the same module, assigns to protocol_version."""
    try:
        tree = ast.parse(Path(spec.origin or "").read_bytes())
    except (OSError, SyntaxError, ValueError):  # compiled, or no Python
        return None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    waiting = [name]
    while waiting:
        found = classes.pop(waiting.pop(0), None)
        if found is None:
            continue
        for statement in found.body:
            if (value := _assigned_protocol(statement)) is not None:
                return value
        waiting += [base.id for base in found.bases if isinstance(base, ast.Name)]
    return None


def _assigned_protocol(statement: ast.stmt) -> int | None:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id="protocol_version")], value=ast.Constant(value=value))
            | ast.AnnAssign(target=ast.Name(id="protocol_version"), value=ast.Constant(value=value))
        ) if isinstance(value, int):
            return value
    return None
