from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import python
from tests.toolkit.recording import Script
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import File
from toolkit.events import Text
from toolkit.rundir import RunDir


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run."""
    made = Script(run_dir)
    yield made
    made.writer.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A user's file."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with two files in it, one of them deeper."""
    path = tmp_path / "checkpoint"
    (path / "deep").mkdir(parents=True)
    (path / "b.bin").write_bytes(b"b")
    (path / "deep" / "a.bin").write_bytes(b"a")
    return path


def test_artifact(script: Script, model: Path) -> None:
    """A file is kept in the run's folder, under the path and with the words given."""
    script.run.log_artifact(
        str(model), "models", name="best model", type="model", aliases=["best", "latest"]
    )
    artifact = script.only()

    assert isinstance(artifact, Artifact)
    assert (artifact.name, artifact.folder, artifact.type) == ("best model", "models", "model")
    assert artifact.aliases == ("best", "latest")
    assert artifact.files[0].name == "model.bin"
    assert not Path(artifact.files[0].path).is_absolute()
    assert script.file(artifact).read_bytes() == model.read_bytes() == b"weights"


def test_artifact_is_named_after_its_file(script: Script, model: Path) -> None:
    """Without a name or a folder, a file is called what it is called, at the top."""
    script.run.log_artifact(model)

    assert (script.only().name, script.only().folder) == ("model.bin", "")


def test_artifact_saved_again(script: Script, model: Path) -> None:
    """A checkpoint saved again to the same path leaves the recorded one as it was."""
    script.run.log_artifact(model)
    model.write_bytes(b"better")
    script.run.log_artifact(model)

    first, second = (e for e in script.events() if isinstance(e, Artifact))
    assert script.file(first).read_bytes() == b"weights"
    assert script.file(second).read_bytes() == b"better"


@pytest.mark.parametrize("method", ["log_artifact", "log_artifacts"])
def test_folder(script: Script, folder: Path, method: str) -> None:
    """Every file below a folder is kept, with its place in it."""
    getattr(script.run, method)(folder, "checkpoints")
    artifact = script.only()

    assert (artifact.name, artifact.folder) == ("checkpoint", "checkpoints")
    assert [file.name for file in artifact.files] == ["b.bin", "deep/a.bin"]
    kept = [(script.run_dir.path / file.path).read_bytes() for file in artifact.files]
    assert kept == [b"b", b"a"]


def test_moving(script: Script, model: Path, folder: Path) -> None:
    """A file or folder that is handed over is gone from where it was."""
    script.run.log_artifact(model, move=True)
    script.run.log_artifacts(folder, move=True)

    assert not model.exists()
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert sum(len(e.files) for e in script.events() if isinstance(e, Artifact)) == 3


def test_missing_file(script: Script, tmp_path: Path) -> None:
    """A file or folder that isn't there, or is empty, is an error that names it."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(UsageError, match=path.name):
            script.run.log_artifact(path)
        with pytest.raises(UsageError, match=path.name):
            script.run.log_artifacts(path)


LEAVING = ["..", "../x", "a/../../x", "/etc/x", "\\x", "a\\..\\..\\x", "plots/", "", "."]


@pytest.mark.parametrize("path", LEAVING)
def test_file_paths_that_leave_the_artifacts(script: Script, path: str) -> None:
    """A path that would lead out of the artifacts, or names no file, is refused."""
    with pytest.raises(InvalidValueError, match="artifact path"):
        script.run.log_text("x", path)
    with pytest.raises(InvalidValueError, match="artifact path"):
        script.run.log_dict({}, path)

    assert script.events() == []


@pytest.mark.parametrize("path", [path for path in LEAVING if path])
def test_folders_that_leave_the_artifacts(script: Script, model: Path, path: str) -> None:
    """A folder outside the artifacts is refused, before the file has been moved."""
    with pytest.raises(InvalidValueError, match="artifact path"):
        script.run.log_artifact(model, path, move=True)
    with pytest.raises(InvalidValueError, match="artifact path"):
        script.run.log_artifacts(model.parent, path, move=True)

    assert model.exists()
    assert script.events() == []


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.txt", "a.txt"), ("a/b/c.txt", "a/b/c.txt"), ("./a//b.txt", "a/b.txt")],
)
def test_text(script: Script, path: str, name: str) -> None:
    """A text is kept as a file at its path among the artifacts."""
    script.run.log_text("é\n", path)
    event = script.only()

    assert event == Text(event.time, name, event.path)
    assert script.file(event).read_bytes() == "é\n".encode()


def test_text_with_lone_surrogates(script: Script) -> None:
    """A text that UTF-8 can't hold, as file names of other encodings give it, is kept readable."""
    script.run.log_text("caf\udce9", "a.txt")

    assert script.file(script.only()).read_text(encoding="utf-8") == "caf\\udce9"


@pytest.mark.parametrize(
    ("name", "read"),
    [("c.json", json.loads), ("c.yaml", yaml.safe_load), ("c.yml", yaml.safe_load)],
)
def test_dict(script: Script, name: str, read: Callable[[str], Any]) -> None:
    """A mapping or list is kept as JSON or YAML, by its name."""
    for value in ({"a": {"b": [1, None, "é"]}, "path": "/x"}, [1, {"a": 2}]):
        script.run.log_dict(value, name)
        event = script.events()[-1]
        assert isinstance(event, Text)
        assert read(script.file(event).read_text(encoding="utf-8")) == value


def test_mapping_is_masked_once(script: Script) -> None:
    """Secrets go by the mapping's names, and the file that is written is still JSON."""
    value = {"token": [101, 102], "secrets": [], "passwords": ["ab", 3], "text": "secret: abc"}
    script.run.log_dict({**value, "access_token": {"id": 5}}, "a.json")

    assert json.loads(script.file(script.only()).read_text(encoding="utf-8")) == {
        **value,
        "passwords": ["***", "***"],
        "text": "secret: ***",
        "access_token": {"id": 5},
    }


def test_full_disk_for_files(run_dir: RunDir, tmp_path: Path) -> None:
    """A file that the disk doesn't take never stops the training either."""
    code = """
import resource, signal, sys
from pathlib import Path
from toolkit.journal import SegmentWriter
from toolkit.recorder import LastSteps, Recorder
from toolkit.run import Run
from toolkit.rundir import RunDir
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run_dir = RunDir(Path(sys.argv[1]))
recorder = Recorder(run_dir, SegmentWriter.create(run_dir.journal, "owner"), LastSteps())
run = Run("id", recorder, lambda status: recorder.close())
model = Path(sys.argv[2])
model.write_bytes(b"x" * 100_000)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
with run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    run.log_artifact(model)
    run.log_text("x" * 100_000, "a.txt")
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.log_metric("loss", 0.25, 9)
print("trained")
"""
    with python(code, run_dir.path, tmp_path / "model", stderr=subprocess.PIPE) as process:
        output, errors = process.communicate()

    assert output == "trained\n"
    assert "toolkit: 2 events could not be recorded" in errors
    assert list(run_dir.files.iterdir()) == []


def test_file_events_are_relative(script: Script, model: Path) -> None:
    """What the journal says of a file holds when the runs are moved elsewhere."""
    script.run.log_artifact(model)
    (file,) = script.only().files

    assert file == File("model.bin", file.path)
    assert file.path.startswith("files/")
