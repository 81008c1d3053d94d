"""Make an offline run right again that was copied to another place, or another machine.

wandb writes down where the files of artifacts lie, and ``wandb sync`` on a copy of the run's folder
would leave them out without an error. ``python -m toolkit_wandb.moved FOLDER...`` corrects the
places in each folder's ``.wandb`` file; then ``wandb sync FOLDER`` finds them.
"""

from __future__ import annotations

import itertools
import os
import struct
import sys
import zlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError

# The file is a log of records as LevelDB writes them: blocks, in these chunks, of which none
# crosses a block's end.
_FILE_HEADER = 7
_BLOCK = 32768
_CHUNK = struct.Struct("<IHB")  # checksum, length, kind
_PADDING, _FULL, _FIRST, _MIDDLE, _LAST = range(5)


def correct(folder: Path) -> int:
    """Let the run's file name places inside this folder; returns how many were wrong.

    Raises:
        UsageError: this is no folder of an offline run.
    """
    folder = folder.resolve()
    found = list(folder.glob("*.wandb"))
    if len(found) != 1:
        raise UsageError(f"{folder} is no folder of a W&B run: there is no .wandb file in it")
    (path,) = found
    content = path.read_bytes()
    whole = list(records(content))
    corrected = [_corrected(record, folder) for record in whole]
    changes = sum(old is not new for old, new in zip(whole, corrected, strict=True))
    if changes:
        draft = path.with_suffix(".new")
        draft.write_bytes(content[:_FILE_HEADER] + b"".join(_chunks(corrected)))
        draft.replace(path)
    return changes


def _corrected(record: bytes, folder: Path) -> bytes:
    """The record, with the places of an artifact's files as they are now."""
    from wandb.proto import wandb_internal_pb2

    parsed: Any = wandb_internal_pb2.Record.FromString(record)  # type: ignore[attr-defined]
    is_changed = False
    for entry in parsed.artifact.manifest.contents if parsed.HasField("artifact") else ():
        _, inside, rest = entry.local_path.rpartition(f"/{folder.name}/")
        place = str(folder / rest)
        if inside and place != entry.local_path and os.path.exists(place):
            entry.local_path, is_changed = place, True
    return parsed.SerializeToString() if is_changed else record


def records(content: bytes) -> Iterator[bytes]:
    """Every record that is whole."""
    place, record = _FILE_HEADER, b""
    while place + _CHUNK.size <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _CHUNK.size:
            place += left
            continue
        checksum, length, kind = _CHUNK.unpack_from(content, place)
        part = content[place + _CHUNK.size : place + _CHUNK.size + length]
        if kind == _PADDING:
            place += left
            continue
        if zlib.crc32(bytes([kind]) + part) != checksum:
            return  # torn, as a crash leaves it
        place += _CHUNK.size + length
        record += part
        if kind in (_FULL, _LAST):
            yield record
            record = b""


def _chunks(records: Iterable[bytes]) -> Iterator[bytes]:
    """The records, cut where blocks end."""
    place = _FILE_HEADER
    for record in records:
        parts: list[bytes] = []
        rest: bytes | None = record
        for kinds in itertools.chain([(_FULL, _FIRST)], itertools.repeat((_LAST, _MIDDLE))):
            if rest is None:
                break
            left = _BLOCK - place % _BLOCK
            padding = bytes(left) if left < _CHUNK.size else b""
            room = (_BLOCK if padding else left) - _CHUNK.size
            part, rest = rest[:room], rest[room:] or None
            kind = kinds[rest is not None]
            header = _CHUNK.pack(zlib.crc32(bytes([kind]) + part), len(part), kind)
            parts.append(padding + header + part)
            place += len(parts[-1])
        yield b"".join(parts)


def main(argv: Sequence[str]) -> int:
    """Correct every folder that is named; 2 when one of them is none of a run."""
    if not argv:
        print(__doc__, file=sys.stderr)  # noqa: T201 - a command
        return 2
    for name in argv:
        try:
            changes = correct(Path(name))
        except UsageError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 2
        print(f"{name}: {changes} artifacts found at their new places")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
