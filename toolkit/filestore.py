"""The files of a run: ``files/<digest>/<name>``, each content kept once.

A file is cloned where the file system can (copy on write), else copied; never hard-linked, since a
checkpoint that is saved again to the same path would change the recorded one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_FICLONE = 0x40049409  # Linux ioctl: share the other file's blocks, copy on write
_NAME_BYTES = 255


def keep(source: Path, files: Path, name: str) -> Path:
    """Copy a file into the store under its content's digest; the path that it has there.

    Raises:
        OSError: the file can't be read, or the store can't be written.
    """
    partial = _partial(files)
    try:
        if not _clone(source, partial):
            shutil.copyfile(source, partial)
        return _place(partial, files, name)
    finally:
        partial.unlink(missing_ok=True)


def take(source: Path, files: Path, name: str) -> Path:
    """Like `keep`, but moves the file: the caller hands it over."""
    # What has another name elsewhere could be changed there later.
    if source.is_symlink() or source.stat().st_nlink > 1:
        return _copy_and_remove(source, files, name)
    partial = _partial(files)
    try:
        os.replace(source, partial)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno != errno.EXDEV:
            raise
        return _copy_and_remove(source, files, name)
    return _place(partial, files, name)


def _copy_and_remove(source: Path, files: Path, name: str) -> Path:
    kept = keep(source, files, name)
    source.unlink()
    return kept


def keep_bytes(content: bytes, files: Path, name: str) -> Path:
    """Put a content into the store as a file."""
    partial = _partial(files)
    try:
        partial.write_bytes(content)
        return _place(partial, files, name)
    finally:
        partial.unlink(missing_ok=True)


def _partial(files: Path) -> Path:
    descriptor, path = tempfile.mkstemp(prefix=".partial-", dir=files)
    os.close(descriptor)
    return Path(path)


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:  # another file system, or one without copy on write
            return False
    return True


def _place(partial: Path, files: Path, name: str) -> Path:
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = files / digest[:32] / safe_name(name)
    target.parent.mkdir(exist_ok=True)
    partial.chmod(0o644)
    os.replace(partial, target)
    return target


def safe_name(name: str) -> str:
    """The last part of a path as a plain file name of a length that disks take."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(char if char.isprintable() else "_" for char in last)
    stem, suffix = os.path.splitext(plain)
    while len((stem + suffix).encode()) > _NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    return stem + suffix if (stem + suffix) not in {"", ".", ".."} else "file"
