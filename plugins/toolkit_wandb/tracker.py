"""The tracker that tells Weights & Biases."""

from __future__ import annotations

import atexit
import hashlib
import re
import shlex
from collections import deque
from collections.abc import Callable
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
from attrs import evolve
from attrs import field

from toolkit.errors import UsageError
from toolkit.events import MEDIA
from toolkit.events import Artifact
from toolkit.events import Console
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
from toolkit_wandb import problems
from toolkit_wandb import server
from toolkit_wandb import service
from toolkit_wandb import settings

STEP_KEY = "toolkit/step"
"""The metric that holds each event's step and is the x axis of all charts."""

EXIT_CODES: Mapping[Status, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 137}

_WANDBS_OWN_KEYS = {key: f"{key}_" for key in ("_step", "_runtime", "_timestamp", "_wandb")}
_LONGEST_ARTIFACT_NAME = 128
_DIGITS = 10
_TELL_AGAIN = "W&B has not taken everything; `toolkit sync` tells it all again"


def _one_of(
    choices: Sequence[str],
) -> Callable[[WandbTracker, Attribute[str | None], str | None], None]:
    def check(tracker: WandbTracker, option: Attribute[str | None], value: str | None) -> None:
        del tracker
        if value is not None and value not in choices:
            raise UsageError(f"wandb.{option.name}={value!r}: choose one of {', '.join(choices)}")

    return check


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
    end. What the command printed is the run's log; standard output and errors look alike there.

    The run is told from its start at every `open`: W&B only appends, and what `write` gave to wandb
    may be lost with this process, so no place in the journal is ever a safe one to go on from.
    Offline, the folder of an earlier telling is removed first. Online, rows and lines of the log
    carry running numbers, and those that the server already has are passed over.
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
        validator=_one_of(settings.MODES),
        metadata={"doc": "online, offline or disabled; else WANDB_MODE, else online"},
    )
    name: str | None = field(
        default=None, metadata={"doc": "what to call the run; else WANDB_NAME, else its own name"}
    )
    group: str | None = field(
        default=None, metadata={"doc": "group; else WANDB_RUN_GROUP, else the run's group"}
    )
    job_type: str | None = field(
        default=None, metadata={"doc": "what the run does, as in train; else WANDB_JOB_TYPE"}
    )
    notes: str | None = field(
        default=None, metadata={"doc": "description; else WANDB_NOTES, else the run's notes"}
    )
    tags: tuple[str, ...] | None = field(
        default=None, metadata={"doc": "more tags, with commas; else those of WANDB_TAGS"}
    )
    resume: str | None = field(
        default=None,
        validator=_one_of(settings.RESUMES),
        metadata={
            "doc": "must: W&B has to have the run; never: it must not, before we first tell it; "
            "else WANDB_RESUME, else allow"
        },
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
    _rows_there: int = field(default=0, init=False)
    """Rows that the server had when the run was opened."""
    _without_step: set[str] = field(factory=set, init=False)
    _lines: int = field(default=0, init=False)
    """Lines of the console that have been told, or passed over."""
    _lines_there: int = field(default=0, init=False)
    """Lines that the server had when the run was opened."""
    _told: deque[Event] = field(factory=deque, init=False)
    """What was told of a batch that then failed: it comes again, and W&B only appends."""

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Create W&B's run, or go on with the one of this id.

        Raises:
            UsageError: no valid key, a name that W&B refuses, a folder that can't be written, or
                not what `resume` asks for.
            Unreachable: the server doesn't answer.
        """
        with problems.while_opening():
            try:
                self._open(run, memory)
            except BaseException:
                service.stop()  # it would call the run's id taken when this is tried again
                raise
        atexit.register(service.give_up, self._run)
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
            Unreachable: the server or wandb's own process is gone. The run has to be opened again.
        """
        given: list[Event] = []
        try:
            with problems.while_writing():
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
            # A server that refuses uploads ends wandb's uploading, and not a word of it gets here.
            is_taken = run.disabled or run.offline or server.knows_the_end(run)
        except Exception as error:
            service.stop()
            raise NotTaken(f"{_TELL_AGAIN} ({type(error).__name__}: {error})") from error
        service.release()
        if not is_taken:
            raise NotTaken(f"{_TELL_AGAIN} (the server refused what was sent)")

    def _open(self, run: RunInfo, memory: Link | None) -> None:
        around = service.take_over(run)
        shown = {
            name: getattr(self, name) for name in ("project", "name", "group", "notes", "tags")
        }
        run = evolve(run, id=settings.its_id(run, memory.id if memory else None, around))
        self._info = settings.as_shown(run, shown, around)
        rule = settings.resume_rule(self.resume, around)
        # A run that we have told before is there by right.
        rule = "allow" if rule == "never" and memory else rule
        chosen = settings.for_run(self._info, {**self._options(), "resume": rule}, around)
        with service.without_arguments():
            self._run = _start(chosen, rule)
        self._prepare()

    def _options(self) -> dict[str, Any]:
        """The options under the names of wandb's settings, but for those that describe the run."""
        return {
            "entity": self.entity,
            "mode": self.mode,
            "run_job_type": self.job_type,
            "root_dir": self.dir,
            "base_url": self.base_url,
            "init_timeout": self.init_timeout,
            "finish_timeout": self.finish_timeout,
        }

    def _prepare(self) -> None:
        self._config, self._rows, self._told = {}, 0, deque()
        self._without_step = set()
        self._rows_there, self._lines, self._lines_there = 0, 0, 0
        if self._run.resumed and not self._run.offline:
            self._rows_there = self._run.starting_step
            self._lines_there = server.printed_lines(self._run)
        self._run.define_metric(STEP_KEY, hidden=True)
        # step_sync would give rows without a step the step of an earlier row.
        self._run.define_metric("*", step_metric=STEP_KEY, step_sync=False)
        if self._info is not None and (known := settings.extras(self._info)):
            self._configure({"toolkit": known})

    def _tell(self, event: Event) -> None:
        match event:
            case Metrics():
                self._log(event)
            case Params(values=values):
                self._configure(values)
            case Tags(values=values):
                self._configure({"toolkit": {"tags": values}})
            case Summary(values=values):
                self._run.summary.update(dict(values))
            case Artifact():
                self._keep(event)
            case Console():
                self._print(event)
            case _ if isinstance(event, MEDIA):
                self._show(event)
            case Described():
                self._describe(event)

    def _print(self, said: Console) -> None:
        """Add to the run's log what it doesn't have yet."""
        lines = said.text.removesuffix("\n").split("\n")
        new = lines[max(0, self._lines_there - self._lines) :]
        self._lines += len(lines)
        if new:
            self._run.write_logs("\n".join(new) + "\n")

    def _log(self, said: Metrics) -> None:
        row = self._row(said.values, said.step, said.time)
        if self._rows < self._rows_there:
            self._rows += 1
        else:
            self._add(row)

    def _row(self, values: Mapping[str, Any], step: int | None, time: float) -> dict[str, Any]:
        """One row of the history; what has no step in it is said to have none."""
        row: dict[str, Any] = {_WANDBS_OWN_KEYS.get(k, k): v for k, v in values.items()}
        if step is None:
            for key in row.keys() - self._without_step:
                self._run.define_metric(key)  # its own definition comes before that of "*"
            self._without_step.update(row)
        else:
            row[STEP_KEY] = step
        row["_timestamp"] = time
        return row

    def _add(self, row: Mapping[str, Any]) -> None:
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
                # Those that the server has, too: the files may be missing there.
                self._add(self._row(row, getattr(said, "step", None), said.time))

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
    """The path as W&B takes it: up to 128 letters, digits, ``_``, ``-`` and ``.``.

    In other paths the rest becomes ``-``, and ten digits of the SHA-256 of the path are added, so
    that two paths never become one.
    """
    stem = re.sub(r"[^\w.-]+", "-", path, flags=re.ASCII)
    if stem == path and len(path) <= _LONGEST_ARTIFACT_NAME:
        return path
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{stem[: _LONGEST_ARTIFACT_NAME - _DIGITS - 1]}-{digest}"


def _start(chosen: Any, resume: str) -> Any:
    """Start wandb's run, and leave no other folder of the same run behind."""
    import wandb

    if chosen.mode == "disabled":
        return wandb.init(settings=chosen)
    kept = Path(chosen.wandb_dir)
    folders.ensure_writable(kept)
    older = folders.of_run(kept, chosen.run_id)
    if chosen.mode == "offline":
        _check_resume(chosen.run_id, resume, bool(older))
        folders.remove(older)  # first: a whole telling and a half one must never lie side by side
        return wandb.init(settings=chosen)
    try:
        run = wandb.init(settings=chosen)
    except Exception as error:
        folders.remove(folders.of_run(kept, chosen.run_id) - older)
        if "`resume`" in str(error):
            _check_resume(chosen.run_id, resume, resume == "never")
        raise
    folders.remove(older)
    return run


def _check_resume(run_id: str, resume: str, is_known: bool) -> None:
    """Refuse a run that isn't there though it must be, or the other way round.

    Raises:
        UsageError: the rule and the state of things don't fit.
    """
    if resume == "must" and not is_known:
        raise UsageError(
            f"W&B doesn't have the run {run_id}, and wandb.resume=must asks for one that it has: "
            "use -o wandb.resume=allow"
        )
    if resume == "never" and is_known:
        raise UsageError(
            f"W&B has the run {run_id} already, and wandb.resume=never asks for a new one: "
            "use -o wandb.resume=allow"
        )


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
