"""The tracker that tells Weights & Biases."""

from __future__ import annotations

import atexit
import re
import shlex
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from pathlib import PurePosixPath
from typing import Any
from typing import ClassVar
from typing import Literal

from attrs import Attribute
from attrs import define
from attrs import field

from toolkit.errors import UsageError
from toolkit.events import MEDIA
from toolkit.events import Artifact
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Figure
from toolkit.events import File
from toolkit.events import Media
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Status
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit_wandb import folders
from toolkit_wandb import media
from toolkit_wandb import service
from toolkit_wandb import settings

STEP_KEY = "toolkit/step"
"""The metric that holds each event's step and is the x axis of all charts."""

EXIT_CODES: Mapping[Status, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 137}

_WANDBS_OWN_KEYS = {key: f"{key}_" for key in ("_step", "_runtime", "_timestamp", "_wandb")}
_LONGEST_ARTIFACT_NAME = 128
_TELL_AGAIN = "W&B has not taken everything; `toolkit sync` tells it all again"


def _check_mode(tracker: WandbTracker, option: Attribute[str | None], value: str | None) -> None:
    del tracker
    if value is not None and value not in settings.MODES:
        raise UsageError(
            f"wandb.{option.name}={value!r}: choose one of {', '.join(settings.MODES)}"
        )


class NotTaken(Exception):  # noqa: N818 - named as the toolkit's own `Unreachable`
    """W&B doesn't have all of the run, and can't get it without opening the run again."""


@define(eq=False)
class WandbTracker:
    """Tells W&B about one run. An option that isn't given leaves the choice to WANDB_* variables.

    What W&B shows: params are the config, nested as given; tags with a key are its config entries
    ``toolkit.tags.<key>``, and the parent's id is ``toolkit.parent``. Every metrics event is one
    row of the history, in the order of the journal, with the event's own time, and its step as
    `STEP_KEY`; metrics without a step have W&B's row number as their axis. Pictures, tables and
    texts are rows of the same kind (`toolkit_wandb.media`). Metrics named like one of W&B's own
    columns (``_step``, ``_runtime``, ``_timestamp``, ``_wandb``) get a ``_`` at the
    end.

    The run is told from its start at every `open`: W&B only appends, and what `write` gave to wandb
    may be lost with this process, so no place in the journal is ever a safe one to go on from.
    Offline, the folder of an earlier telling is removed first. Online, rows carry running numbers,
    and wandb passes over those that the server already has.
    """

    protocol_version: ClassVar[int] = 1
    repeatable: ClassVar[bool] = False

    project: str | None = field(
        default=None, metadata={"doc": "project; else WANDB_PROJECT, else the run's project"}
    )
    entity: str | None = field(
        default=None, metadata={"doc": "user or team; else WANDB_ENTITY, else your default one"}
    )
    mode: str | None = field(
        default=None,
        validator=_check_mode,
        metadata={"doc": "online, offline or disabled; else WANDB_MODE, else online"},
    )
    dir: str | None = field(
        default=None,
        metadata={"doc": "folder whose wandb/ keeps the runs; else WANDB_DIR, else the run's own"},
    )
    base_url: str | None = field(
        default=None, metadata={"doc": "address of the server; else WANDB_BASE_URL, else W&B's"}
    )
    init_timeout: float | None = field(
        default=None,
        metadata={"doc": "seconds to wait for the server to start; else WANDB_INIT_TIMEOUT, or 20"},
    )
    finish_timeout: float | None = field(
        default=None,
        metadata={"doc": "seconds to wait for the last uploads; else WANDB_FINISH_TIMEOUT, or 300"},
    )

    _info: RunInfo | None = field(default=None, init=False)
    _run: Any = field(default=None, init=False)
    _config: dict[str, Any] = field(factory=dict, init=False)
    _rows: int = field(default=0, init=False)
    _without_step: set[str] = field(factory=set, init=False)
    _told: deque[Event] = field(factory=deque, init=False)
    """What was told of a batch that then failed: it comes again, and W&B only appends."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Create W&B's run, or go on with the one of this id.

        Raises:
            UsageError: no valid key, a name that W&B refuses, or a folder that can't be written.
            Unreachable: the server doesn't answer.
        """
        try:
            with service.plain_errors():
                around = service.take_over()
                self._info = settings.as_shown(run, self.project, around)
                self._run = _start(settings.for_run(self._info, self._options(), around))
        except BaseException:
            service.stop()  # it would call the run's id taken when this is tried again
            raise
        atexit.register(service.give_up, self._run)
        self._prepare()
        if self._run.disabled:
            return Link(id=self._run.id)
        folder = self._run.settings.sync_dir
        if self._run.offline:
            view = f"wandb sync {shlex.quote(folder)}"
            return Link(id=self._run.id, view=view, state={"folder": folder})
        return Link(id=self._run.id, url=self._run.url, state={"folder": folder})

    def write(self, events: Sequence[Event]) -> None:
        """Hand the events to wandb; those it was given before an error are not given again.

        Raises:
            Unreachable: wandb's service is gone. The run has to be opened again.
        """
        given: list[Event] = []
        try:
            with service.plain_errors():
                for event in events:
                    if self._told and (event is self._told[0] or event == self._told[0]):
                        self._told.popleft()
                    else:
                        self._tell(event)
                    given.append(event)
        except Exception:
            self._told.extendleft(reversed(given))
            raise

    def close(self, ended: Ended) -> None:
        """Upload what is left and mark the run as finished or failed.

        Raises:
            NotTaken: not everything was taken in time. The run has to be opened again.
        """
        run, self._run = self._run, None
        try:
            run.finish(exit_code=EXIT_CODES[ended.status])
        except Exception as error:
            service.stop()
            raise NotTaken(f"{_TELL_AGAIN} ({type(error).__name__}: {error})") from error
        service.release()

    def _options(self) -> dict[str, Any]:
        """The options under the names of wandb's settings; the project is already in the run."""
        return {
            "entity": self.entity,
            "mode": self.mode,
            "root_dir": self.dir,
            "base_url": self.base_url,
            "init_timeout": self.init_timeout,
            "finish_timeout": self.finish_timeout,
        }

    def _prepare(self) -> None:
        self._config, self._rows, self._told = {}, 0, deque()
        self._without_step = set()
        self._run.define_metric(STEP_KEY, hidden=True)
        # step_sync would give rows without a step the step of an earlier row.
        self._run.define_metric("*", step_metric=STEP_KEY, step_sync=False)
        if self._info is not None and self._info.parent:
            self._configure({"toolkit": {"parent": self._info.parent}})

    def _tell(self, event: Event) -> None:
        match event:
            case Metrics():
                self._log(event.values, event.time, event.step)
            case Params(values=values):
                self._configure(values)
            case Tags(values=values):
                self._configure({"toolkit": {"tags": values}})
            case Summary(values=values):
                self._run.summary.update(dict(values))
            case Artifact():
                self._keep(event)
            case _ if isinstance(event, MEDIA):
                self._show(event)
            case Described():
                self._describe(event)

    def _log(self, values: Mapping[str, Any], time: float, step: int | None) -> None:
        row: dict[str, Any] = {_WANDBS_OWN_KEYS.get(k, k): v for k, v in values.items()}
        if step is None:
            for key in row.keys() - self._without_step:
                self._run.define_metric(key)  # its own definition comes before that of "*"
            self._without_step.update(row)
        else:
            row[STEP_KEY] = step
        row["_timestamp"] = time
        self._run.log(row, step=self._rows, commit=True)
        self._rows += 1

    def _show(self, said: Media) -> None:
        """Log it as a row; keep as an artifact what W&B can't show, or can't give back as it is."""
        row = media.row(said)
        if isinstance(said, Text) or (isinstance(said, Figure) and not row):
            folder, _, name = said.name.rpartition("/")
            kind = type(said).__name__.lower()
            self._keep(Artifact(said.time, name, (File(name, said.path),), folder, kind))
        if row:
            with self._staging():  # wandb keeps tables as artifacts
                self._log(row, said.time, getattr(said, "step", None))

    def _staging(self) -> AbstractContextManager[None]:
        return service.staging_in(Path(self._run.settings.sync_dir, "data"))

    def _configure(self, values: Mapping[str, Any]) -> None:
        """Merge the values into the config: wandb itself would replace a nested mapping whole."""
        self._config = _merged(self._config, values)
        self._run.config.update({key: self._config[key] for key in values}, allow_val_change=True)

    def _describe(self, said: Described) -> None:
        """Show what a script said late; W&B fixes project and group when its run is made."""
        assert self._info is not None  # noqa: S101 - set by open
        before, self._info = self._info, self._info.described(said)
        if self._info.name and self._info.name != before.name:
            self._run.name = self._info.name
        if self._info.notes and self._info.notes != before.notes:
            self._run.notes = self._info.notes
        if self._info.tags != before.tags:
            self._run.tags = settings.short_tags(self._info.tags)

    def _keep(self, said: Artifact) -> None:
        import wandb

        path = artifact_path(said.folder, said.name)
        artifact = wandb.Artifact(artifact_name(path), said.type, metadata={"path": path})
        # Offline, the run's folder gets its own copy, to have all of the run in one place; online,
        # the toolkit's copy lasts until it is uploaded.
        policy: Literal["mutable", "immutable"] = "mutable" if self._run.offline else "immutable"
        with self._staging():
            for file in said.files:
                artifact.add_file(file.path, name=file.name, policy=policy, skip_cache=True)
            self._run.log_artifact(artifact, aliases=list(said.aliases))


def artifact_path(folder: str, name: str) -> str:
    """The folder and the name, which isn't said twice where the folder has it already."""
    if not folder or PurePosixPath(folder).name == name:
        return folder or name
    return f"{folder}/{name}"


def artifact_name(path: str) -> str:
    """The path as W&B takes it: letters, digits, ``_``, ``-`` and ``.``, the rest as ``-``."""
    return re.sub(r"[^\w.-]+", "-", path, flags=re.ASCII)[:_LONGEST_ARTIFACT_NAME]


def _start(chosen: Any) -> Any:
    """Start wandb's run, and leave no other folder of the same run behind."""
    import wandb

    if chosen.mode == "disabled":
        return wandb.init(settings=chosen)
    kept = Path(chosen.wandb_dir)
    folders.ensure_writable(kept)
    older = folders.of_run(kept, chosen.run_id)
    if chosen.mode == "offline":
        folders.remove(older)  # first: a whole telling and a half one must never lie side by side
        return wandb.init(settings=chosen)
    try:
        run = wandb.init(settings=chosen)
    except Exception:
        folders.remove(folders.of_run(kept, chosen.run_id) - older)
        raise
    folders.remove(older)
    return run


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings as one, at every depth; the new one's leaves win."""
    both = dict(old)
    for key, value in new.items():
        known = both.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            both[key] = _merged(known, value)
        else:
            both[key] = value
    return both
