"""What a recipe keeps on disk to go on from: results of stages by content, and checkpoints.

Weights and results are safetensors, progress is JSON, and optimizer states are read with
``weights_only``: nothing that is read here can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import uuid
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save_file
from torch import Tensor

from toolkit.errors import UsageError

Tensors = dict[str, Tensor]
T = TypeVar("T")

_DAMAGED = (OSError, ValueError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError)
"""What the readers raise for files that aren't what was written."""


def content_key(*parts: Any) -> str:
    """Return the SHA-256 of JSON values: equal parts, equal key."""
    total = hashlib.sha256()
    # A piece at a time: the texts of a large corpus would be held twice more.
    for piece in json.JSONEncoder(sort_keys=True, ensure_ascii=False).iterencode(parts):
        # Half a surrogate pair, as in names that aren't UTF-8, becomes JSON's escape of it.
        total.update(piece.encode("utf-8", "backslashreplace"))
    return total.hexdigest()


def files_fingerprint(folder: Path, patterns: Iterable[str]) -> str:
    """Return the SHA-256 over names and contents of the files in and below a folder that match."""
    found = sorted({file for pattern in patterns for file in folder.rglob(pattern)})
    total = hashlib.sha256()
    for file in found:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        name = os.fsencode(file.relative_to(folder).as_posix())
        total.update(name + f" {digest}\n".encode())
    return total.hexdigest()


_HALF_MADE = "new-"
"""Begins the name of a checkpoint that isn't all there yet."""


def from_main_process(accelerator: Accelerator, value: Any) -> Any:
    """Return on every process what the main one has."""
    values = [value]
    if accelerator.num_processes > 1:
        broadcast_object_list(values)
    return values[0]


@frozen
class StageCache:
    """Results of stages in a folder, found again by what they were made from.

    Every process asks; only the main one writes.

    Args:
        folder: shared by the processes; None keeps nothing.
        accelerator: knows the processes.
        start_from: stages before this one must be there already.
    """

    folder: Path | None
    accelerator: Accelerator
    start_from: int = 1

    def result(self, stage: int, key: str, make: Callable[[], Tensors]) -> Tensors:
        """Return the stored result of a stage, or make it and store it.

        Args:
            stage: number of the stage, from 1.
            key: :func:`content_key` of all that the result depends on.
            make: computes it; called on every process or on none.

        Raises:
            UsageError: the stage comes before ``start_from`` and isn't stored.
        """
        file = None if self.folder is None else self.folder / f"stage{stage}-{key[:24]}.safetensors"
        stored = from_main_process(self.accelerator, file is not None and file.is_file())
        if stored and file:
            return _read(file, load_file, file)
        if stage < self.start_from:
            raise UsageError(
                f"start_from={self.start_from}: {self.folder or 'the cache'} has no result of "
                f"stage {stage} for this configuration, these texts and this encoder; run with "
                f"start_from={stage} first, or give the folder that has it with cache=FOLDER"
            )
        made = make()
        if file and self.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_tensors(made, file)
        self.accelerator.wait_for_everyone()
        return made


@frozen
class Checkpoint:
    """The state of training after a step."""

    weights: Tensors
    best: Tensors
    """Weights to return to; empty where there are none yet."""
    optimizer: dict[str, Any]
    progress: dict[str, Any]
    """JSON values: the step and whatever else training has to remember."""


@frozen
class Checkpoints:
    """The last checkpoint of one phase of training, in a folder of its own.

    Args:
        folder: shared by the processes; None keeps nothing.
        key: :func:`content_key` of all that training depends on; others' checkpoints are passed by.
        accelerator: knows the processes.
    """

    folder: Path | None
    key: str
    accelerator: Accelerator

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the last checkpoint; killed meanwhile, the last one stays."""
        if self.folder and self.accelerator.is_main_process:
            new = self.folder / f"{_HALF_MADE}{self.key[:24]}"
            shutil.rmtree(new, ignore_errors=True)
            write_checkpoint(checkpoint, new)
            old = self._folders()
            number = int(old[-1].name.rpartition("-")[2]) + 1 if old else 1
            new.rename(self.folder / f"{self.key[:24]}-{number:08}")
            for folder in old:
                shutil.rmtree(folder, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint, or None where there is none for this key."""
        found = self._folders()
        last = from_main_process(self.accelerator, str(found[-1]) if found else None)
        if last is None:
            return None
        return read_checkpoint(Path(last))

    def refuse_others(self) -> None:
        """Refuse to begin anew where there is a checkpoint of another key.

        Raises:
            UsageError: there is one.
        """
        found = self.folder.glob("*-*/progress.json") if self.folder else ()
        # What a kill left half made is nobody's; the next checkpoint takes its place.
        others = any(not file.parent.name.startswith(_HALF_MADE) for file in found)
        if from_main_process(self.accelerator, others):
            raise UsageError(
                f"{self.folder}: the run's checkpoint was made with another configuration, other "
                "data or another number of processes; resume it with what it was started with "
                "(the run's params and its config.json), or start a new run"
            )

    def _folders(self) -> list[Path]:
        """Complete checkpoints, the latest last."""
        return sorted(self.folder.glob(f"{self.key[:24]}-*")) if self.folder else []


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint into a new folder; it is on the disk when this returns."""
    folder.mkdir(parents=True)
    _write_tensors(checkpoint.weights, folder / "weights.safetensors")
    _write_tensors(checkpoint.best, folder / "best.safetensors")
    torch.save(checkpoint.optimizer, folder / "optimizer.pt")
    (folder / "progress.json").write_text(json.dumps(checkpoint.progress), encoding="utf-8")
    for file in folder.iterdir():
        with file.open("rb") as content:
            os.fsync(content.fileno())


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read what :func:`write_checkpoint` wrote.

    Raises:
        UsageError: a file is missing or damaged.
    """
    return Checkpoint(
        weights=_read(folder / "weights.safetensors", load_file, folder),
        best=_read(folder / "best.safetensors", load_file, folder),
        optimizer=_read(folder / "optimizer.pt", _optimizer_state, folder),
        progress=_read(folder / "progress.json", _json, folder),
    )


def _write_tensors(tensors: Tensors, file: Path) -> None:
    """Write a file that is either whole or not there."""
    new = file.with_name(f"{file.name}.{uuid.uuid4().hex}.new")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, new)
    new.replace(file)


def _optimizer_state(file: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _read(file: Path, read: Callable[[Path], T], whole: Path) -> T:
    """Read a file; ``whole`` is what has to go where it can't be read."""
    try:
        return read(file)
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{file}: can't be read ({reason}); remove {whole} to make it anew"
        ) from None
