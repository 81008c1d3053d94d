"""`toolkit track` told by programs in any language: through pipes, files and commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import recorded
from toolkit import rundir
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.hearing import REJECTED
from toolkit.rundir import RunDir

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
METRICS = '{"kind":"metrics","step":%d,"values":{"loss":1}}\n'


def track(bench: Bench, said: str | bytes, *options: str, **environ: str) -> tuple[int, str]:
    """Say this through a pipe; the exit code, and what was told."""
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "track", *options],
        cwd=bench.folder,
        env=bench.environ(environ),
        input=said if isinstance(said, bytes) else said.encode(),
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def steps(run: RunDir) -> list[int]:
    """The steps of all metrics, in order."""
    return [event.step for event in of_kind(run, Metrics)]


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        (METRICS % 0 + METRICS % 1, 0, "FINISHED"),
        (METRICS % 0 + '{"kind":"left","status":"failed"}\n', 0, "FAILED"),
        ('{"kind":"left","status":"failed"}\n{"kind":"left"}', 0, "FINISHED"),
        (METRICS % 0 + "hello\n", 1, "FINISHED"),
        (METRICS % 0 + '{"kind":"met', 1, "KILLED"),
        ("hello\nworld\n", 2, "FAILED"),
        ("", 2, "FAILED"),
    ],
)
def test_how_it_ends(bench: Bench, said: str, code: int, expected: str) -> None:
    """0 when all was recorded, 1 when not all, 2 when nothing; `left` and torn lines decide."""
    done, told = track(bench, said)

    assert (done, status(bench.only_run())) == (code, expected), told
    assert ("Traceback" in told, bool(told)) == (False, code != 0)


def test_what_the_command_line_says(bench: Bench) -> None:
    """It wins over what comes through the pipe, which may ask for backends where it didn't."""
    described = {"kind": "described", "project": "theirs", "name": "n", "tags": ["a"]}
    said = json.dumps({**described, "backends": {"none": {}}}) + "\n" + METRICS % 3
    track(bench, said, "--project", "mine", "--tag", "b")

    found = recorded.everything(bench.only_run())
    assert (found.info.project, found.info.name, found.info.tags) == ("mine", "n", ("b", "a"))
    assert found.info.command == ("toolkit", "track", "--project", "mine", "--tag", "b")
    assert found.metrics["loss"].step == 3
    assert [told.backend for told in found.deliveries] == ["none"]
    assert found.deliveries[0].closed is not None


@pytest.mark.parametrize("options", [(), ("--until-exit", "1"), ("--until-exit", "1", "--", "ls")])
def test_usage_errors(bench: Bench, options: tuple[str, ...]) -> None:
    """Nothing to read from, or options that don't go together: 2, and no run is made."""
    done = bench.toolkit("track", *options)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not bench.runs.exists()


def test_what_cannot_be_read(bench: Bench) -> None:
    """A file that turns out to be none: 2, and the run that was made is over."""
    words = ("toolkit", "track", "--events", "events.jsonl")
    with bench.started(sys.executable, "-m", *words) as process:
        wait_until(lambda: bench.runs.exists() and rundir.all_runs(bench.runs))
        (bench.folder / "events.jsonl").mkdir()
        told = process.communicate(timeout=LIMIT)[1]

    assert process.returncode == 2
    assert "can't read events.jsonl: Is a directory" in told
    assert status(bench.only_run()) == "FAILED"


def test_disabled(bench: Bench) -> None:
    """TOOLKIT_DISABLED=1: what comes is read and not recorded; a command's events go nowhere."""
    assert track(bench, METRICS % 0 * 10_000, TOOLKIT_DISABLED="1") == (0, "")
    done = bench.toolkit(
        "track", "--", "sh", "-c", 'echo x >>"$TOOLKIT_EVENTS"', env={"TOOLKIT_DISABLED": "1"}
    )

    assert done.returncode == 0
    assert not bench.runs.exists()


def test_resumed(bench: Bench) -> None:
    """A resumed run goes on where it was; points that it has are passed over."""
    track(bench, METRICS % 0 + METRICS % 1)
    done = track(bench, METRICS % 1 + METRICS % 2, "--resume", bench.only_run().path.name)

    assert done == (0, "")
    assert steps(bench.only_run()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "number", "last"),
    [("", signal.SIGINT, 8), ("", signal.SIGTERM, 7), ("--events events.jsonl", signal.SIGINT, 7)],
)
def test_interrupted(bench: Bench, options: str, number: signal.Signals, last: int) -> None:
    """What was said is recorded, and after a Ctrl-C what still comes through a pipe; KILLED."""
    path = bench.folder / "events.jsonl"
    os.mkfifo(path)
    track = f"exec {sys.executable} -m toolkit track {options} < events.jsonl"
    with bench.started("sh", "-c", track) as process:
        with path.open("w") as writer:
            writer.write(METRICS % 7)
            writer.flush()
            wait_until(lambda: bench.runs.exists() and rundir.all_runs(bench.runs))
            wait_until(lambda: steps(bench.only_run()) == [7])
            process.send_signal(number)
            if last == 8:
                writer.write(METRICS % 8)
            else:
                process.wait(LIMIT)
        assert process.wait(LIMIT) == 128 + number

    assert status(bench.only_run()) == "KILLED"
    assert steps(bench.only_run()) == list(range(7, last + 1))


def test_file_is_followed(bench: Bench) -> None:
    """`--events FILE` waits for the file, follows it while it is written, and ends with `left`."""
    path = bench.folder / "events.jsonl"
    command = (sys.executable, "-m", "toolkit", "track", "--events", path.name)
    with bench.started(*command) as process:
        wait_until(lambda: bench.runs.exists() and rundir.all_runs(bench.runs))
        with path.open("w") as writer:
            writer.write(METRICS % 0)
            writer.flush()
            wait_until(lambda: steps(bench.only_run()) == [0])
            assert process.poll() is None
            writer.write('{"kind":"left","status":"failed"}\n' + METRICS % 1)
            writer.write('{"kind":"left","status":"killed"}\n')
        assert process.wait(LIMIT) == 0

    assert (steps(bench.only_run()), status(bench.only_run())) == ([0, 1], "KILLED")


def test_writer_is_gone(bench: Bench) -> None:
    """`--until-exit PID`: all that the process has written by its end is recorded."""
    path = bench.folder / "events.jsonl"
    path.write_text(METRICS % 0, encoding="utf-8")
    code = f"input(); open({str(path)!r}, 'a').write({METRICS % 1!r} * 3)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as writer:
        command = ("toolkit", "track", "--events", path.name, "--until-exit", str(writer.pid))
        with bench.started(sys.executable, "-m", *command) as process:
            wait_until(lambda: bench.runs.exists() and rundir.all_runs(bench.runs))
            wait_until(lambda: steps(bench.only_run()) == [0])
            writer.communicate(b"\n")
            assert process.wait(LIMIT) == 0

    assert (steps(bench.only_run()), status(bench.only_run())) == ([0, 1, 1, 1], "FINISHED")


def test_writer_was_gone_before(bench: Bench) -> None:
    """A process that was quicker than `track`: what it has written is recorded."""
    (bench.folder / "events.jsonl").write_text(METRICS % 0 + METRICS.strip() % 1, encoding="utf-8")
    with subprocess.Popen(["true"]) as writer:
        writer.wait()
    words = ("--events", "events.jsonl", "--until-exit", str(writer.pid))
    done = bench.toolkit("track", *words)

    assert (done.returncode, done.stderr) == (0, "")
    assert (steps(bench.only_run()), status(bench.only_run())) == ([0, 1], "FINISHED")


def test_beside_a_command(bench: Bench) -> None:
    """A command may log from a shell and from Python: one run, with console and exit code."""
    script = bench.script("import toolkit\nwith toolkit.start_run() as r: r.log_metric('f1', 1, 5)")
    code = (
        'echo hello; echo \'{"kind":"metrics","step":1,"values":{"loss":2}}\' >>"$TOOLKIT_EVENTS"\n'
        f'{sys.executable} {script}\necho \'{{"kind":"console","text":"said"}}\' '
        '>>"$TOOLKIT_EVENTS"; exit 3'
    )
    done = bench.toolkit("track", "--", "sh", "-c", code)

    run = bench.only_run()
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello\n", "")
    assert status(run) == "FAILED"
    assert {tuple(event.values) for event in of_kind(run, Metrics)} == {("loss",), ("f1",)}
    consoles = of_kind(run, Console)
    assert {event.text for event in consoles} == {"hello\n", "said\n"}
    assert sorted(event.position for event in consoles) == [0, len(consoles[0].text)]
    assert not (run.path / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ('{"kind":"left","status":"failed"}', 0, "FAILED"),
        ('{"kind":"left","status":"finished"}', 1, "FAILED"),
        ('{"kind":"left"}', 137, "KILLED"),
    ],
)
def test_how_a_command_ends(bench: Bench, said: str, code: int, expected: str) -> None:
    """The exit code decides; where it is 0, what the events say."""
    shell = f"echo '{said}' >\"$TOOLKIT_EVENTS\"; exit {code}"
    done = bench.toolkit("track", "--", "sh", "-c", shell)

    assert (done.returncode, status(bench.only_run())) == (code, expected)


def test_events_hide_no_failure(bench: Bench) -> None:
    """Events that don't say how the command left take nothing from a script that said it."""
    code = (
        "import os, toolkit\ntry:\n with toolkit.start_run(): raise ValueError\n"
        "except ValueError: pass\n"
        "open(os.environ['TOOLKIT_EVENTS'], 'a').write('{\"kind\":\"tags\",\"values\":{}}')"
    )
    bench.track(code)

    assert len(of_kind(bench.only_run(), Left)) == 2
    assert status(bench.only_run()) == "FAILED"


def test_commands_own_file(bench: Bench) -> None:
    """`--events FILE` beside a command is kept; one with something in it is refused."""
    shell = f"echo '{METRICS.strip() % 4}' >>\"$TOOLKIT_EVENTS\"; test -e mine.jsonl"
    words = ("track", "--events", "mine.jsonl", "--", "sh", "-c", shell)
    assert bench.toolkit(*words).returncode == 0
    refused = bench.toolkit(*words)

    assert steps(bench.only_run()) == [4]
    assert (refused.returncode, "mine.jsonl" in refused.stderr) == (2, True)


def test_bad_events_of_a_command(bench: Bench) -> None:
    """They are told and kept apart; the exit code is the command's own."""
    done = bench.toolkit("track", "--", "sh", "-c", 'echo no >>"$TOOLKIT_EVENTS"')

    assert done.returncode == 0
    assert "$TOOLKIT_EVENTS, line 1: this is not JSON" in done.stderr
    assert (bench.only_run().path / REJECTED).read_bytes() == b"no\n"


def test_nothing_is_lost_when_track_is_killed(bench: Bench) -> None:
    """What a command wrote and nobody had read yet is recorded when the run is resumed."""
    line = METRICS.strip().replace("%d", "%s")
    shell = f"i=0; while :; do printf '{line}\\n' $i >>\"$TOOLKIT_EVENTS\"; i=$((i + 1)); done"
    words = ("toolkit", "track", "--", "sh", "-c", shell)
    with bench.started(sys.executable, "-m", *words) as process:
        wait_until(lambda: bench.runs.exists() and rundir.all_runs(bench.runs))
        path = bench.only_run().path / "events.jsonl"
        wait_until(lambda: path.exists() and path.stat().st_size > 1000)
        process.kill()
    wait_until(lambda: not _is_written(bench.folder))
    written = path.read_bytes().count(b"\n")
    done = bench.toolkit("track", "--resume", bench.only_run().path.name, "--", "true")

    assert done.returncode == 0, done.stderr
    assert steps(bench.only_run())[:written] == list(range(written))
    assert not path.exists()


def _is_written(folder: Path) -> bool:
    """Whether the command that runs in this folder is still alive."""
    for process in psutil.process_iter():
        try:
            if process.name() == "sh" and process.cwd() == str(folder):
                return True
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    return False


def example(bench: Bench, way: str, *program: str) -> dict[str, Any]:
    """Run one of the documented programs, piped or as a command; what it recorded."""
    words = " ".join([*program[:-1], str(EXAMPLES / program[-1])])
    command = {
        "pipe": f"{words} | {sys.executable} -m toolkit track",
        "command": f"{sys.executable} -m toolkit track -- {words}",
    }[way]
    with bench.started("sh", "-c", command) as process:
        said, told = process.communicate(timeout=LIMIT)
    assert (process.returncode, said, told) == (0, "", "")
    found = bench.shown(bench.only_run())
    (artifact,) = of_kind(bench.only_run(), Artifact)
    content = (bench.only_run().path / artifact.files[0].path).read_text()
    assert (artifact.name, artifact.files[0].name, content) == ("model", "model.txt", "weights\n")
    return found


WAYS = pytest.mark.parametrize("way", ["pipe", "command"])


def assert_recorded(found: dict[str, Any], name: str) -> None:
    """What every one of the documented programs records."""
    assert (found["project"], found["name"], found["status"]) == ("any-language", name, "FINISHED")
    assert found["params"] == {"lr": 0.5, "optimizer": {"name": "sgd"}}
    assert found["metrics"]["train/loss"] == {"value": 4.0, "step": 3, "count": 4}
    assert found["summary"] == {"final loss": 4}


@WAYS
def test_shell(bench: Bench, way: str) -> None:
    """The documented shell script records what it says."""
    assert_recorded(example(bench, way, "sh", "train.sh"), "shell")


@WAYS
def test_javascript(bench: Bench, way: str) -> None:
    """The documented JavaScript records what it says; its NaN arrives as one."""
    if not shutil.which("node"):
        pytest.skip("there is no node on this machine")
    found = example(bench, way, "node", "train.mjs")

    assert_recorded(found, "javascript")
    assert found["metrics"]["train/undefined"]["value"] == "NaN"
    assert len(of_kind(bench.only_run(), ConfusionMatrix)) == 1


@WAYS
def test_r(bench: Bench, way: str) -> None:
    """The documented R script records what it says; its NaN arrives as one."""
    if not shutil.which("Rscript"):
        pytest.skip("there is no Rscript on this machine")
    if subprocess.run(["Rscript", "-e", "library(jsonlite)"], check=False).returncode:
        pytest.skip("R has no jsonlite here")
    found = example(bench, way, "Rscript", "train.R")

    assert_recorded(found, "R")
    assert found["metrics"]["train/undefined"]["value"] == "NaN"
    (matrix,) = of_kind(bench.only_run(), ConfusionMatrix)
    assert matrix.counts == ((5, 1), (2, 4))
