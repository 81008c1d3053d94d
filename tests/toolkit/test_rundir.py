from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import run_info
from toolkit import rundir
from toolkit.errors import UsageError
from toolkit.rundir import RunDir

NewRun = Callable[..., RunDir]


def test_run_is_made_and_read(runs_dir: Path) -> None:
    """What a run is stays readable in its folder, in files whose names are documented."""
    info = run_info(parent="20250101-000000-000000", tags=("a", "b"), versions={"python": "3.11"})
    run = rundir.create(runs_dir, info)

    assert run.info() == info
    names = sorted(path.name for path in run.path.iterdir())
    assert names == ["delivery", "files", "journal", "run.json"]
    assert run.path == runs_dir / info.id


def test_ids_sort_by_time_and_differ() -> None:
    """An id begins with the moment in UTC, and is never given twice."""
    ids = {rundir.new_id(1764000000.9) for _ in range(200)}

    assert len(ids) == 200
    assert all(re.fullmatch(r"20251124-160000-[0-9a-f]{6}", run_id) for run_id in ids)
    assert rundir.new_id(1764000001.0) > max(ids)


def test_folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is the one chosen, else TOOLKIT_RUNS_DIR, else ./runs; always absolute."""
    monkeypatch.chdir(tmp_path)

    assert rundir.runs_dir("here", {"TOOLKIT_RUNS_DIR": "/there"}) == tmp_path / "here"
    assert rundir.runs_dir(None, {"TOOLKIT_RUNS_DIR": "/there"}) == Path("/there")
    assert rundir.runs_dir(None, {"TOOLKIT_RUNS_DIR": ""}) == tmp_path / "runs"
    assert rundir.runs_dir(None, {}) == tmp_path / "runs"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no folder can be made, the message says where, and how to choose another."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="--runs-dir") as caught:
        rundir.create(tmp_path / "file" / "runs", run_info())
    assert str(tmp_path / "file" / "runs") in str(caught.value)


@pytest.mark.parametrize("part", ["20260102-000000-bbbbbb", "20260102", "bbb", "2-000000-bbbbbb"])
def test_found_by_its_beginning_or_end(new_run: NewRun, runs_dir: Path, part: str) -> None:
    """A run is found by its id, or by a beginning or an end of it that no other has."""
    new_run(id="20260101-000000-aaaaaa")
    wanted = new_run(id="20260102-000000-bbbbbb")

    assert rundir.find(runs_dir, part) == wanted


def test_whole_id_comes_first(new_run: NewRun, runs_dir: Path) -> None:
    """An id that another one begins with is still found."""
    wanted = new_run(id="sweep")
    new_run(id="sweep-2")

    assert rundir.find(runs_dir, "sweep") == wanted


def test_ambiguous(new_run: NewRun, runs_dir: Path) -> None:
    """Where several runs fit, all are named."""
    for run_id in ("20260101-000000-aaaaaa", "20260101-000000-bbbbbb", "20260102-000000-cccccc"):
        new_run(id=run_id)

    with pytest.raises(UsageError, match="aaaaaa, 20260101-000000-bbbbbb;"):
        rundir.find(runs_dir, "20260101")


@pytest.mark.parametrize("run_id", ["x", "", "..", "../runs", "*", "20260101-000000-aaaaaa/files"])
def test_absent(new_run: NewRun, runs_dir: Path, run_id: str) -> None:
    """What is no run's id finds nothing, and the message says where it was looked for."""
    new_run(id="20260101-000000-aaaaaa")

    with pytest.raises(UsageError, match=re.escape(f"no run {run_id!r} in {runs_dir}")):
        rundir.find(runs_dir, run_id)


def test_absent_folder(runs_dir: Path) -> None:
    """A folder that doesn't exist holds no runs."""
    assert rundir.all_runs(runs_dir) == []
    with pytest.raises(UsageError, match="no run 'x'"):
        rundir.find(runs_dir, "x")


def test_runs_come_oldest_first(new_run: NewRun, runs_dir: Path) -> None:
    """Every folder with a run.json is a run; anything else is passed over."""
    ids = ["20260103-000000-aaaaaa", "20260101-000000-cccccc", "20260102-000000-bbbbbb"]
    for run_id in ids:
        new_run(id=run_id)
    (runs_dir / "notes").mkdir()
    (runs_dir / "list.txt").touch()

    assert [run.path.name for run in rundir.all_runs(runs_dir)] == sorted(ids)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"id": "x"}', b'{"id": 1, "created": "noon"}', b"\xff\x00"]
)
def test_unreadable_info(run_dir: RunDir, content: bytes) -> None:
    """A damaged run.json is an error that a user can act on, with its path."""
    run_dir.info_path.write_bytes(content)

    with pytest.raises(UsageError, match=re.escape(str(run_dir.info_path))):
        run_dir.info()


def test_missing_info(run_dir: RunDir) -> None:
    """A folder without run.json is no run's folder, and the message says so."""
    run_dir.info_path.unlink()

    with pytest.raises(UsageError, match="really a run's folder"):
        run_dir.info()


def test_info_of_a_later_version(run_dir: RunDir) -> None:
    """Fields that a later version adds to run.json don't keep this one from reading it."""
    text = run_dir.info_path.read_text(encoding="utf-8")
    run_dir.info_path.write_text(text.replace("{", '{"mood": "good",', 1), encoding="utf-8")

    assert run_dir.info() == run_info()


def test_one_lock(run_dir: RunDir) -> None:
    """The run's lock is exclusive."""
    with run_dir.lock() as lock:
        assert lock.try_acquire(run_dir.path / "run.lock") is None
