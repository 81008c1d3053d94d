"""Reads what wandb wrote offline from the ``.wandb`` file itself, without wandb's own readers."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit_wandb.reading import Told
from toolkit_wandb.reading import collected

__all__ = ["Told", "folders", "read", "records"]

_FILE_HEADER = 7
_BLOCK = 32768
_CHUNK_HEADER = struct.Struct("<IHB")
_PADDING, _FULL, _LAST = 0, 1, 4


def records(path: Path) -> Iterator[Any]:
    """Every record that is whole; the file is a LevelDB log of protocol buffers."""
    record: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    data, place, payload = path.read_bytes(), _FILE_HEADER, b""
    while place + _CHUNK_HEADER.size <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _CHUNK_HEADER.size:
            place += left
            continue
        _, length, kind = _CHUNK_HEADER.unpack_from(data, place)
        if kind == _PADDING:
            place += left
            continue
        place += _CHUNK_HEADER.size
        payload += data[place : place + length]
        place += length
        if kind in (_FULL, _LAST):
            yield record.FromString(payload)
            payload = b""


def folders(directory: Path) -> list[Path]:
    """The folders of runs in a wandb folder."""
    return sorted(directory.glob("*run-*_*"))


def read(folder: Path) -> Told:
    """What the one ``.wandb`` file in the folder says."""
    (path,) = folder.glob("*.wandb")
    return collected(folder, records(path))
