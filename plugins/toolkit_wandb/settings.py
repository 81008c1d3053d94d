"""What wandb is told about a run when it opens it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from toolkit.runinfo import RunInfo

MODES = ("online", "offline", "disabled")
RESUMES = ("allow", "must", "never")

_OLDER_MODES = {"dryrun": "offline", "run": "online"}  # still taken in WANDB_MODE
_LONGEST_TAG = 64
_QUIET: dict[str, Any] = {
    "console": "off",
    "silent": True,
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "label_disable": True,
    "x_disable_stats": True,
    "finish_timeout_raises": True,
    "x_transaction_log_flush_interval": 1.0,  # who looks at an offline run sees it live
    # By default the stop button on the run's page interrupts this process, which isn't the one that
    # trains: delivery would end, and training go on.
    "stop_fn": lambda: None,
}
"""What wandb would record, the toolkit records; and nothing is printed."""


def its_id(run: RunInfo, known: str | None, around: Any) -> str:
    """The id in W&B: the one it is ``known`` by, else that which an agent has for its trial.

    W&B's agents make the run of a trial before they start its command.
    """
    is_trial = around.sweep_id and around.run_id
    return known or (str(around.run_id) if is_trial else run.id)


def as_shown(run: RunInfo, options: Mapping[str, Any], around: Any) -> RunInfo:
    """The run as options, else the settings around it (WANDB_*), else it itself describe it."""
    tags = (*run.tags, *(options["tags"] or around.run_tags or ()))
    return evolve(
        run,
        project=options["project"] or around.project or run.project,
        name=options["name"] or around.run_name or run.name,
        group=options["group"] or around.run_group or run.group,
        notes=options["notes"] or around.run_notes or run.notes,
        tags=tuple(dict.fromkeys(tags)),
    )


def for_run(run: RunInfo, options: Mapping[str, Any], around: Any) -> Any:
    """Settings for ``wandb.init``; options that are None leave the choice to those around it."""
    import wandb

    given = {key: value for key, value in options.items() if value is not None}
    mode = given.get("mode") or around.mode
    mode = _OLDER_MODES.get(mode, mode)
    fallbacks = {"root_dir": run.directory, "init_timeout": 20.0, "finish_timeout": 300.0}
    chosen: dict[str, Any] = {
        **{key: value for key, value in fallbacks.items() if key not in around.model_fields_set},
        **given,
        "mode": mode,
        # Offline there is no server to ask: the run is told again as a whole.
        "resume": given.get("resume") if mode == "online" else None,
    }
    return wandb.Settings(**chosen, **_description(run), **_QUIET)


def resume_rule(option: str | None, around: Any) -> str:
    """What `RESUMES` says is wanted; wandb's own "auto" looks for a run that we know by its id."""
    wanted = option or around.resume or "allow"
    return wanted if wanted in RESUMES else "allow"


def extras(run: RunInfo) -> dict[str, Any]:
    """What W&B has no place of its own for: the parent, the state of the code, versions."""
    source = run.source
    git = {"branch": source.branch, "dirty": source.is_dirty} if source.commit else None
    known = {"parent": run.parent, "git": git, "versions": dict(run.versions)}
    return {key: value for key, value in known.items() if value}


def _description(run: RunInfo) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "project": run.project_name,
        "run_name": run.display_name,
        "run_group": run.group,
        "run_notes": run.notes,
        "run_tags": short_tags(run.tags),
        "host": run.host.name,
        "program": shlex.join(run.command),
        "program_relpath": "",  # else the path of the process that tells
        "git_commit": run.source.commit,
        "git_remote_url": run.source.remote,
    }


def short_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags as W&B takes them: none empty, none longer than 64 characters."""
    return tuple(dict.fromkeys(tag[:_LONGEST_TAG] for tag in tags if tag))
