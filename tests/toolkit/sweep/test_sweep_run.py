"""Whole sweeps through the command line: every trial a tracked run, whatever becomes of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.toolkit.sweep.sweeping import LOSS
from tests.toolkit.sweep.sweeping import SCRIPT
from tests.toolkit.sweep.sweeping import swept
from tests.toolkit.sweep.sweeping import write
from tests.waiting import LIMIT
from toolkit import rundir
from toolkit.events import Params

X = "parameters: {x: {min: 0.0, max: 1.0}}\n"


def _column(found: dict[str, Any], key: str) -> list[Any]:
    return [trial[key] for trial in found["trials"]]


def test_grid(bench: Bench) -> None:
    """A grid ends with its last point; the best trial is first, and every one is a run."""
    text = f"name: n\nmethod: grid\nproject: p\n{LOSS}parameters: {{x: {{values: [0, 0.5, 1]}}}}"
    found, done = swept(bench, text)

    assert done.returncode == 0, done.stderr
    assert [trial["params"]["x"] for trial in found["trials"]] == [0.5, 0, 1]
    assert _column(found, "value") == pytest.approx([0.04, 0.09, 0.49])
    assert found["best"] == found["trials"][0]["number"]
    for trial in found["trials"]:
        run = rundir.find(bench.runs, trial["run_id"])
        info = run.info()
        assert (info.group, info.project) == ("n", "p")
        assert info.name == f"n-{trial['number']:03d}"
        assert info.tags == (f"sweep-{found['id']}", f"trial-{trial['number']:03d}")
        assert of_kind(run, Params)[0].values == trial["params"]
        assert status(run) == "FINISHED"


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_until_run_cap(bench: Bench, method: str) -> None:
    """Random and Bayesian search end with run_cap; started again, nothing more is done."""
    text = f"method: {method}\nrun_cap: 2\n{LOSS}{X}"
    found, done = swept(bench, text)
    again, _ = swept(bench, text)

    assert done.returncode == 0, done.stderr
    assert (found["ended"], found["cap"], len(rundir.all_runs(bench.runs))) == (2, 2, 2)
    assert again == found


def test_count(bench: Bench) -> None:
    """``--count`` wins over run_cap, and a higher one goes on with the same sweep."""
    text = f"method: random\nrun_cap: 5\n{LOSS}{X}"
    one, _ = swept(bench, text, "--count", "1")
    two, _ = swept(bench, text, "--count", "2")

    assert (one["ended"], two["ended"]) == (1, 2)
    assert one["id"] == two["id"]
    assert one["trials"][0] in two["trials"]


def test_failed_trials_are_kept(bench: Bench) -> None:
    """A crash, a missing metric and a NaN fail their trials, with the reason; the sweep goes on."""
    script = (
        "import sys, toolkit\nx = sys.argv[1]\nwith toolkit.start_run() as run:\n"
        "    run.log_metric('other' if x == '--x=1' else 'loss', 1.0)\n"
        "    if x == '--x=2': sys.exit(7)\n"
        "    if x == '--x=3': run.log_metric('loss', float('nan'))\n"
    )
    text = f"method: grid\n{LOSS}parameters: {{x: {{values: [0, 1, 2, 3]}}}}\n"
    found, done = swept(bench, text, "--seed", "1", script=script)  # with which 0 is not the last

    trials = sorted(found["trials"], key=lambda trial: trial["params"]["x"])
    reasons = [trial["reason"] for trial in trials]
    assert [trial["state"] for trial in trials] == ["COMPLETE", "FAILED", "FAILED", "FAILED"]
    assert reasons[0] is None
    assert "no 'loss', but: other" in reasons[1]
    assert "FAILED, exit code 7" in reasons[2]
    assert "'loss' is nan" in reasons[3]
    assert all(trial["run_id"] for trial in trials)
    assert done.returncode == 0
    assert "3 of 4 trials failed" in done.stderr


def test_hopeless(bench: Bench) -> None:
    """When nothing but failures comes of it, the sweep stops early and says where to look."""
    text = f"method: random\nrun_cap: 9\n{LOSS}{X}"
    found, done = swept(bench, text, script="raise SystemExit('no data')")

    assert done.returncode == 1
    assert _column(found, "state") == ["FAILED"] * 3
    assert f"toolkit runs show {found['trials'][-1]['run_id']}" in done.stderr
    assert "toolkit sweep sweep.yaml --json` goes on" in done.stderr


def test_summary_comes_first(bench: Bench) -> None:
    """The value is the summary's where there is one, else the metric's last."""
    script = (
        "import sys, toolkit\nwith toolkit.start_run() as run:\n"
        "    for step in (1, 2): run.log_metric('loss', step, step=step)\n"
        "    if sys.argv[1] == '--x=1': run.log_summary({'loss': 9})\n"
    )
    text = f"method: grid\n{LOSS}parameters: {{x: {{values: [0, 1]}}}}\n"
    found, _ = swept(bench, text, script=script)

    assert _column(found, "value") == [2.0, 9.0]


def test_target(bench: Bench) -> None:
    """No trial begins after one that has reached the target."""
    text = "method: random\nrun_cap: 9\nmetric: {name: loss, target: 2}\nprogram: script.py\n" + X
    found, done = swept(bench, text)

    assert done.returncode == 0, done.stderr
    assert (found["ended"], found["cap"]) == (1, 9)


def test_without_metric(bench: Bench) -> None:
    """Without a metric, trials are complete and have no value; any command will do."""
    text = (
        "method: grid\ncommand: [sh, -c, 'true', '${args_no_hyphens}']\nparameters: {x: {value: 1}}"
    )
    found, done = swept(bench, text)

    assert done.returncode == 0, done.stderr
    assert _column(found, "state") == ["COMPLETE"]
    assert _column(found, "value") == [None]
    assert found["best"] is None


def test_no_shell(bench: Bench) -> None:
    """A value that a shell would run stays text, on the way to the script and in the record."""
    script = "import json, sys; open('words.json', 'w').write(json.dumps(sys.argv[1:]))"
    value = "$(touch x); `touch y` && touch z 'a' \"b\""
    text = f"method: grid\nprogram: script.py\nparameters:\n  p: {{value: {json.dumps(value)}}}\n"
    found, done = swept(bench, text, script=script)

    assert done.returncode == 0, done.stderr
    assert json.loads((bench.folder / "words.json").read_text()) == [f"--p={value}"]
    assert found["trials"][0]["params"] == {"p": value}
    assert not any((bench.folder / name).exists() for name in "xyz")


def test_json_file_and_variables(bench: Bench) -> None:
    """A command gets its values in a file, nested, and variables of the environment."""
    text = (
        "method: grid\n"
        "command: ['${interpreter}', script.py, '${args_json_file}', '${envvar:WORD}']\n"
        "parameters: {net: {parameters: {layers: {value: 3}}}}\n"
    )
    script = "import sys; open('seen', 'w').write(open(sys.argv[1]).read() + sys.argv[2])"
    _, done = swept(bench, text, script=script, env={"WORD": "a b"})

    assert done.returncode == 0, done.stderr
    assert (bench.folder / "seen").read_text() == '{"net": {"layers": 3}}\na b'


def test_options_are_passed_on(bench: Bench) -> None:
    """Backend, project and program of the command line are those of the trials."""
    (bench.folder / "mine.py").write_text(SCRIPT, encoding="utf-8")
    text = f"method: grid\nproject: p\n{LOSS}parameters: {{x: {{value: 0.3}}}}\n"
    options = ("--program", "mine.py", "--backend", "none", "--project", "q")
    _, done = swept(bench, text, *options, script="raise SystemExit(1)")

    assert done.returncode == 0, done.stderr
    run = bench.only_run()
    assert run.info().project == "q"
    assert [row["backend"] for row in bench.shown(run)["deliveries"]] == ["none"]


def test_table(bench: Bench) -> None:
    """The table has every trial with its value and run, and marks the best."""
    write(bench.folder, f"method: grid\n{LOSS}parameters: {{x: {{values: [0.3, 1]}}}}\n")
    bench.script(SCRIPT)
    done = bench.toolkit("sweep", "sweep.yaml")

    rows = [line.split() for line in done.stdout.splitlines() if "COMPLETE" in line]
    assert [row[0] == "best" for row in rows] == [True, False]
    assert {row[-2] for row in rows} == {run.path.name for run in rundir.all_runs(bench.runs)}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (f"method: random\n{LOSS}{X}", (), "sweep.yaml:1: method random has no end"),
        (f"method: grid\nprogram: no.py\n{X.replace('0.0', '0').replace('1.0', '1')}", (), ":2: "),
        ("method: grid\nparameters: {x: {value: 1}}\n", (), "runs ${program}"),
        ("method: grid\nparameters: {x: {value: 1}}\ncommand: [no-such-command]\n", (), ":3: "),
        ("method: grid\nparameters: {x: {value: 1}}\ncommand: ['${envvar:NO}']\n", (), "no NO"),
        (f"method: grid\n{LOSS}parameters: {{x: {{value: 1}}}}\n", ("--backend", "x"), "'x'"),
    ],
)
def test_what_cannot_run(bench: Bench, text: str, options: tuple[str, ...], words: str) -> None:
    """What can't run is refused with exit code 2 and no run, and says what to do."""
    _, done = swept(bench, text, *options)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not rundir.all_runs(bench.runs)


def test_option_that_track_refuses(bench: Bench) -> None:
    """Where `toolkit track` makes no run, the sweep stops at once and points at its message."""
    text = f"method: grid\n{LOSS}parameters: {{x: {{values: [1, 2]}}}}\n"
    _, done = swept(bench, text, "--backend", "none", "-o", "none.color=red")

    assert done.returncode == 2
    assert "color" in done.stderr
    assert "trial 0 made no run" in done.stderr
    assert "trial 1" not in done.stderr


def test_without_optuna(bench: Bench) -> None:
    """Where Optuna isn't installed, the message says how to install it."""
    write(bench.folder, f"method: grid\n{LOSS}parameters: {{x: {{value: 1}}}}\n")
    bench.script(SCRIPT)
    code = "import sys; sys.modules['optuna'] = None; from toolkit.cli import main; main()"
    with bench.started(sys.executable, "-c", code, "sweep", "sweep.yaml") as process:
        _, errors = process.communicate(timeout=LIMIT)

    assert process.returncode == 2
    assert 'pip install "toolkit-tracker[sweep]"' in errors


def test_secrets_are_masked(bench: Bench) -> None:
    """A secret among the values reaches the command, and nothing that is kept or shown."""
    script = "import hashlib, sys; print(hashlib.sha256(sys.argv[1].encode()).hexdigest())"
    secret = "sk-this-is-a-secret-0123456789"
    text = f"method: grid\nprogram: script.py\nparameters: {{api_key: {{value: {secret}}}}}\n"
    _, done = swept(bench, text, script=script)

    assert hashlib.sha256(f"--api_key={secret}".encode()).hexdigest() in done.stderr
    assert secret not in done.stdout + done.stderr
    files = [path for path in bench.runs.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_light_imports() -> None:
    """The command explains itself without importing Optuna or YAML."""
    code = "import toolkit.cli.sweep, sys; print({'optuna', 'yaml', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "set()\n"


def test_nothing_is_written_outside(bench: Bench) -> None:
    """A sweep's own files are in the folder of runs, and none of them is a pickle."""
    swept(bench, f"method: grid\n{LOSS}parameters: {{x: {{value: 0.3}}}}\n")

    names = {path.name for path in bench.folder.iterdir()}
    assert names == {"script.py", "sweep.yaml", "runs"}
    files = [path for path in Path(bench.runs, "sweeps").rglob("*") if path.is_file()]
    assert all(path.read_text(encoding="utf-8") is not None for path in files)
