"""Lightning's logger: ``Trainer(logger=ToolkitLogger(...))``.

For ``lightning``, and for ``pytorch_lightning`` where only that is installed or imported.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import Unpack

from toolkit.bridges import values as bridged
from toolkit.bridges.attachment import Attachment
from toolkit.bridges.attachment import MoreOptions
from toolkit.bridges.attachment import RunOptions
from toolkit.bridges.attachment import silent_run
from toolkit.errors import UsageError
from toolkit.run import Run
from toolkit.run import status_of


def _has_new_name() -> bool:
    """Whether to use ``lightning``: it is there, and not only the other one in use already."""
    names = ("lightning", "pytorch_lightning")
    used = [name for name in names if name in sys.modules]
    found = used or [name for name in names if find_spec(name)]
    if not found:
        raise ImportError('toolkit.bridges.lightning needs Lightning: pip install "lightning>=2.4"')
    return found[0] == "lightning"


if TYPE_CHECKING or _has_new_name():
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.utilities import rank_zero_only
else:
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.utilities import rank_zero_only

Checkpoints = Literal["none", "end", "all"]

DEFAULT_NAME = "lightning_logs"
"""What Lightning's own loggers call their folder."""


class ToolkitLogger(Logger):
    """Records what Lightning logs in a run of toolkit, on the process of rank 0.

    The run stays open after ``fit``, for ``test`` and another ``fit``; an exception that leaves
    Lightning's Trainer ends it as FAILED, Ctrl-C as KILLED. Logging after that resumes it.

    Args:
        name: what to call the run.
        project: what the run belongs to.
        version: id of a run to go on with.
        save_dir: where Lightning is to save checkpoints; the run's folder, if not given.
        prefix: goes in front of the names of metrics, as in ``prefix/loss``.
        checkpoints: which of those that `ModelCheckpoint` saves are kept with the run as artifacts:
            every one as it is saved, those that are there at the end, or none.
        run: record in this run, and leave its end to whoever started it.
        options: what else `toolkit.start_run` takes.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        project: str | None = None,
        version: str | None = None,
        save_dir: str | os.PathLike[str] | None = None,
        prefix: str = "",
        checkpoints: Checkpoints = "none",
        run: Run | None = None,
        **options: Unpack[MoreOptions],
    ) -> None:
        super().__init__()
        if checkpoints not in ("none", "end", "all"):
            raise UsageError(f"checkpoints={checkpoints!r}: expected none, end or all")
        given: RunOptions = {"run_id": version, "project": project, "name": name, **options}
        self._attachment = Attachment(run, given, after_end="resume")
        self._project = project
        self._version = run.id if run else version
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        self._prefix = f"{prefix}/" if prefix else ""
        self._checkpoints = checkpoints
        self._savers: dict[int, ModelCheckpoint] = {}
        self._kept: dict[str, float] = {}
        self._silent = silent_run()

    @property
    def experiment(self) -> Run:
        """The run, for everything else that can be recorded; started or joined when first used."""
        if _is_other_rank():
            return self._silent
        return self._attachment.begin()

    @property
    def name(self) -> str:
        """The project, which names the folder of checkpoints."""
        return self._project or os.environ.get("TOOLKIT_PROJECT") or DEFAULT_NAME

    @property
    def version(self) -> str | None:
        """The run's id; before it has started, the one that was asked for."""
        return self._attachment.run.id if self._attachment.run else self._version

    @property
    def save_dir(self) -> str | None:
        """The folder that was given, else the run's; None before that has started."""
        run = self._attachment.run
        return self._save_dir or (str(run.dir) if run and run.dir else None)

    def log_hyperparams(
        self, params: Mapping[str, Any] | Namespace | None, *args: Any, **rest: Any
    ) -> None:
        """Record hyper-parameters as params, nested as given."""
        self.experiment.log_params(bridged.as_params(params))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record values by what they are; see `toolkit.bridges.values.log_values`."""
        named = {f"{self._prefix}{key}": value for key, value in metrics.items()}
        bridged.log_values(self.experiment, named, step)

    def log_image(
        self,
        key: str,
        images: Sequence[Any],
        step: int | None = None,
        caption: Sequence[str | None] | None = None,
    ) -> None:
        """Record pictures, each an array, a tensor, a PIL image or a path, with their captions."""
        bridged.log_images(self.experiment, key, images, step, caption)

    def log_table(
        self,
        key: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record a table: ``columns`` and rows of ``data``, or a ``dataframe``."""
        bridged.log_table(self.experiment, key, columns, data, dataframe, step)

    def log_text(
        self,
        key: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record texts as a table, as Lightning's other loggers do."""
        self.log_table(key, columns, data, dataframe, step)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Keep the checkpoint with the run now or at the end, as was asked for."""
        if _is_other_rank() or self._checkpoints == "none":
            return
        self._savers[id(checkpoint_callback)] = checkpoint_callback
        if self._checkpoints == "all":
            self._keep_checkpoints()

    def finalize(self, status: str) -> None:
        """Note how a part of the work ended; one that failed ends the run."""
        if _is_other_rank() or self._attachment.run is None:
            return
        if not self._attachment.run.is_over:
            self._keep_checkpoints()
        self._savers.clear()
        if status == "success":
            self._attachment.rest()
        else:
            error = sys.exception()
            self._attachment.end("FAILED" if error is None else status_of(error))

    def _keep_checkpoints(self) -> None:
        """Record the checkpoints that are there and not yet recorded, oldest first."""
        for saver in self._savers.values():
            there = {path: Path(path).stat().st_mtime for path in _saved_by(saver)}
            new = [path for path in there if there[path] != self._kept.get(path)]
            for path in sorted(new, key=there.__getitem__):
                is_best = path == saver.best_model_path
                self._keep(Path(path), ("latest", "best") if is_best else ("latest",))
                self._kept[path] = there[path]

    def _keep(self, path: Path, aliases: tuple[str, ...]) -> None:
        # Sharded strategies save folders.
        self.experiment.log_artifact(path, path.stem, name="model", type="model", aliases=aliases)


def _is_other_rank() -> bool:
    """Whether Lightning counts this process as one that doesn't log."""
    return bool(getattr(rank_zero_only, "rank", 0))


def _saved_by(saver: ModelCheckpoint) -> set[str]:
    """Paths of the checkpoints that a callback has saved, as far as they are still there."""
    said = (saver.last_model_path, saver.best_model_path, *saver.best_k_models)
    return {path for path in said if path and Path(path).exists()}
