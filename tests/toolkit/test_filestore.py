from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import filestore

Store = Callable[[Path, Path, str], Path]
BOTH = pytest.mark.parametrize("store", [filestore.keep, filestore.take])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of a run's files."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A user's file."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


def contents(files: Path) -> dict[str, bytes]:
    """Every file in the store: its path there, and what it holds."""
    found = [path for path in files.rglob("*") if path.is_file()]
    return {path.relative_to(files).as_posix(): path.read_bytes() for path in found}


@BOTH
def test_kept_by_content(store: Store, source: Path, files: Path) -> None:
    """A file is kept under its content's digest and its name, and nothing else is left there."""
    kept = store(source, files, "model.bin")
    digest = hashlib.sha256(b"weights").hexdigest()

    assert kept == files / digest[:32] / "model.bin"
    assert contents(files) == {f"{digest[:32]}/model.bin": b"weights"}


@pytest.mark.parametrize("change", ["written in place", "saved again", "appended to", "removed"])
def test_copy_is_independent(source: Path, files: Path, change: str) -> None:
    """Whatever becomes of the source, the recorded file stays as it was."""
    kept = filestore.keep(source, files, "model.bin")
    match change:
        case "written in place":
            with source.open("r+b") as file:
                file.write(b"WEIGHTS")
        case "saved again":
            source.write_bytes(b"other")
        case "appended to":
            with source.open("ab") as file:
                file.write(b", and more")
        case "removed":
            source.unlink()

    assert kept.read_bytes() == b"weights"


def test_same_path_saved_again(source: Path, files: Path) -> None:
    """A checkpoint that is saved again to the same path is kept in both versions."""
    first = filestore.keep(source, files, "model.bin")
    source.write_bytes(b"better weights")
    second = filestore.keep(source, files, "model.bin")

    assert (first.read_bytes(), second.read_bytes()) == (b"weights", b"better weights")


@BOTH
def test_same_content_once(store: Store, source: Path, files: Path, tmp_path: Path) -> None:
    """The same content under the same name is kept once."""
    other = tmp_path / "other.bin"
    other.write_bytes(b"weights")
    first = store(source, files, "model.bin")
    second = store(other, files, "model.bin")

    assert first == second
    assert len(contents(files)) == 1


def test_same_content_under_other_names(source: Path, files: Path) -> None:
    """A second name of the same content is kept too: readers see files by their names."""
    filestore.keep(source, files, "a.bin")
    filestore.keep(source, files, "b.bin")

    assert sorted(Path(name).name for name in contents(files)) == ["a.bin", "b.bin"]


def test_keeping_leaves_the_source(source: Path, files: Path) -> None:
    """A file that is copied stays where it was."""
    filestore.keep(source, files, "model.bin")

    assert source.read_bytes() == b"weights"


def test_moving(source: Path, files: Path) -> None:
    """A file that is handed over is moved: the very same file, without a copy."""
    inode = source.stat().st_ino
    kept = filestore.take(source, files, "model.bin")

    assert not source.exists()
    assert kept.stat().st_ino == inode


def test_moving_a_link(source: Path, files: Path, tmp_path: Path) -> None:
    """Of a symbolic link that is handed over, the content is kept; what it pointed to stays."""
    link = tmp_path / "link.bin"
    link.symlink_to(source.name)
    mode = source.stat().st_mode
    kept = filestore.take(link, files, "model.bin")

    assert not link.is_symlink()
    assert not kept.is_symlink()
    assert kept.read_bytes() == source.read_bytes() == b"weights"
    assert source.stat().st_mode == mode


def test_moving_one_name_of_two(source: Path, files: Path, tmp_path: Path) -> None:
    """A file that has another name elsewhere can't be changed through that one later."""
    other = tmp_path / "other.bin"
    other.hardlink_to(source)
    kept = filestore.take(source, files, "model.bin")
    with other.open("r+b") as file:
        file.write(b"changed")

    assert not source.exists()
    assert kept.read_bytes() == b"weights"


@BOTH
def test_kept_files_are_readable(store: Store, source: Path, files: Path) -> None:
    """A kept file can be read by whoever may enter the folder, whatever the source's mode was."""
    source.chmod(0o600)
    kept = store(source, files, "model.bin")

    assert stat.S_IMODE(kept.stat().st_mode) == 0o644


@BOTH
def test_missing_file(store: Store, tmp_path: Path, files: Path) -> None:
    """A file that isn't there is an OSError, and leaves nothing behind."""
    with pytest.raises(FileNotFoundError):
        store(tmp_path / "absent", files, "absent")

    assert list(files.iterdir()) == []


def test_empty_file(tmp_path: Path, files: Path) -> None:
    """An empty file is a file."""
    (tmp_path / "empty").touch()

    assert filestore.keep(tmp_path / "empty", files, "empty").read_bytes() == b""


def test_bytes(files: Path) -> None:
    """A content is kept as it is, newlines included."""
    kept = filestore.keep_bytes("é\r\nö\n".encode(), files, "a.txt")

    assert kept.read_bytes() == "é\r\nö\n".encode()
    assert list(contents(files)) == [f"{kept.parent.name}/a.txt"]


NAMES = st.text(st.characters(exclude_categories=()), max_size=300)
HOSTILE = st.sampled_from(
    ["", ".", "..", "/", "../..", "a/..", "/etc/passwd", "..\\..\\x", "a/", "\0", "\n", "x" * 999,
     "é" * 200 + ".safetensors", "." + "x" * 300, "a." + "é" * 300, "~", "con", "a\udc80b"]
)  # fmt: skip


@given(NAMES | HOSTILE | st.lists(st.sampled_from(["..", ".", "a", "/", "\\"])).map("".join))
def test_hostile_names_never_leave_the_folder(name: str) -> None:
    """Whatever a file is called, it is kept as a plain file in the folder of its content."""
    with tempfile.TemporaryDirectory() as top:
        files = Path(top, "files")
        files.mkdir()
        kept = filestore.keep_bytes(b"x", files, name)
        found = [Path(folder, file) for folder, _, names in os.walk(top) for file in names]

        assert found == [kept]
        assert kept.parent.parent == files
        assert len(kept.name.encode()) <= 255
        assert kept.name.isprintable()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.safetensors", "model.safetensors"),
        ("a/b/c.txt", "c.txt"),
        ("C:\\data\\c.txt", "c.txt"),
        ("folder/", "folder"),
        ("Ünï çödé.png", "Ünï çödé.png"),
        ("a\tb", "a_b"),
        ("..", "file"),
        ("", "file"),
        (".hidden", ".hidden"),
    ],
)
def test_plain_names(name: str, expected: str) -> None:
    """The last part of a path is its plain name."""
    assert filestore.safe_name(name) == expected


def test_long_names_keep_their_suffix() -> None:
    """A name that is too long for a disk loses its middle, not its suffix."""
    name = filestore.safe_name("é" * 300 + ".safetensors")

    assert name.endswith("é.safetensors")
    assert 250 <= len(name.encode()) <= 255
