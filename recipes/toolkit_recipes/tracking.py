"""How a recipe's run is recorded: whom to tell, and what the run is called."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from attrs import AttrsInstance
from attrs import frozen

import toolkit
from toolkit.errors import UsageError
from toolkit.run import Run
from toolkit_recipes.config import meant_keys
from toolkit_recipes.config import option
from toolkit_recipes.config import options


@frozen
class TrackingConfig:
    """What the command line of ``toolkit track`` and its variables don't say, they win."""

    tracker: tuple[str, ...] = option(
        (), "whom to tell: wandb, mlflow, none, any other that is installed, or several"
    )
    project: str | None = option(
        None, "what the run belongs to; none: the recipe's own", aliases=("project_name",)
    )
    entity: str | None = option(None, "wandb: team or user that the project belongs to")
    name: str | None = option(
        None,
        "what to call the run; keys in braces stand for their values, as in gnn{gnn_num_layers}",
        aliases=("exp_name", "run_name"),
    )
    group: str | None = option(None, "runs to compare with")
    tags: tuple[str, ...] = option((), "labels; none: the recipe's own")
    offline: bool = option(False, "wandb: write a folder for `wandb sync` instead of sending")


def start_recipe_run(
    config: AttrsInstance, tracking: TrackingConfig, project: str, tags: tuple[str, ...]
) -> Run:
    """Start the run of a recipe, or take part in that of ``toolkit track``.

    Args:
        config: the recipe's whole configuration, from which the name is made.
        tracking: a part of it.
        project: the recipe's own.
        tags: likewise.

    Raises:
        UsageError: an unknown tracker, or a key in the name that isn't one.
    """
    return toolkit.start_run(
        project=tracking.project or project,
        name=None if tracking.name is None else filled(tracking.name, config),
        group=tracking.group,
        tags=tracking.tags or tags,
        backend=_backends(tracking),
    )


def filled(template: str, config: AttrsInstance) -> str:
    """Put the values of keys into a name.

    Of a folder or a Hugging Face name only the last part is taken, as names are short.

    Args:
        template: as of :meth:`str.format`, with keys of the configuration; the last part of a key
            will do where no other key ends so.
        config: has the values.

    Raises:
        UsageError: there is no such key, or several, or no such format of its value.
    """
    known = options(config)
    values = {o.key: o.default for o in known}
    text = ""
    try:
        for literal, key, form, _ in string.Formatter().parse(template):
            text += literal
            if key is not None:
                text += format(_short(values[_only(key, meant_keys(key, known))]), form or "")
    except ValueError as error:
        raise UsageError(f"name={template!r}: {error}") from None
    return text


def _only(key: str, meant: list[str]) -> str:
    if not meant:
        raise ValueError(f"there is no key {key!r} (`help` lists the keys)")
    if len(meant) > 1:
        raise ValueError(f"{key!r} may be any of {', '.join(meant)}")
    return meant[0]


def _short(value: Any) -> Any:
    return value.rstrip("/").rpartition("/")[2] if isinstance(value, str) else value


def _backends(tracking: TrackingConfig) -> Mapping[str, Mapping[str, Any]] | None:
    if not tracking.tracker:
        return None
    wandb = {"entity": tracking.entity, "mode": "offline" if tracking.offline else None}
    return {name: wandb if name == "wandb" else {} for name in tracking.tracker}
