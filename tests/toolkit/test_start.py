"""Starting runs from scripts: owning, joining, resuming, children, silence."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import recorded
from toolkit import rundir
from toolkit.events import ConfusionMatrix
from toolkit.events import Described
from toolkit.events import Metrics
from toolkit.events import Table
from toolkit.events import Text

ENDLESS = """
import toolkit, itertools, time
with toolkit.start_run() as run:
    for step in itertools.count():
        run.log_metrics({"loss": 1.0}, step=step)
        if step == 5:
            open("ready", "w").write(run.id)
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("with toolkit.start_run(): pass", "FINISHED"),
        ("with toolkit.start_run(): raise ValueError", "FAILED"),
        ("with toolkit.start_run(): raise KeyboardInterrupt", "KILLED"),
        ("with toolkit.start_run(): sys.exit(1)", "FAILED"),
        ("with toolkit.start_run(): sys.exit(0)", "FINISHED"),
        ("toolkit.start_run(); toolkit.end_run()", "FINISHED"),
        ("toolkit.start_run(); toolkit.end_run('KILLED')", "KILLED"),
        ("toolkit.start_run()", "FINISHED"),
        ("toolkit.start_run(); raise ValueError", "FAILED"),
        ("with toolkit.start_run(): pass\nraise ValueError", "FINISHED"),
        ("toolkit.start_run(); os.kill(os.getpid(), 9)", "UNSETTLED"),
        ("toolkit.start_run(); os._exit(0)", "UNSETTLED"),
    ],
)
def test_status_of_a_script_that_owns_its_run(bench: Bench, code: str, expected: str) -> None:
    """Without `track`, the script that started the run says how it ended; vanished says nothing."""
    bench.run_script(f"import os, sys, toolkit\n{code}")

    assert status(bench.only_run()) == expected


@pytest.mark.parametrize("command", [("runs", "list"), ("sync",)])
def test_next_command_settles(bench: Bench, command: tuple[str, ...]) -> None:
    """The next `toolkit` command settles a run whose owner vanished: KILLED."""
    bench.run_script("import os, toolkit\ntoolkit.start_run(); os.kill(os.getpid(), 9)")
    bench.toolkit(*command)

    assert status(bench.only_run()) == "KILLED"


def test_precedence(bench: Bench) -> None:
    """Command line before environment before script before default; labels add up."""
    script = "toolkit.start_run(project='s', name='s', group='s', tags=['s'])"
    code = f"import toolkit\nwith {script}: pass"
    bench.track(code, "--name", "c", "--tag", "c", env={"TOOLKIT_PROJECT": "e"})

    shown = bench.shown(bench.only_run())
    assert (shown["project"], shown["name"], shown["group"]) == ("e", "c", "s")
    assert shown["tags"] == ["c", "s"]


def test_default_project(bench: Bench) -> None:
    """Where nobody chose, the project is "default" and the name is the id."""
    bench.track("pass")

    shown = bench.shown(bench.only_run())
    assert (shown["project"], shown["name"]) == ("default", shown["id"])


def test_active_run_is_not_started_over(bench: Bench) -> None:
    """A second start while a run is active is refused, with what to do."""
    done = bench.run_script("import toolkit\ntoolkit.start_run(); toolkit.start_run()")

    assert "is active already" in done.stderr
    assert "nested=True" in done.stderr


@pytest.mark.parametrize("is_tracked", [True, False])
def test_children(bench: Bench, is_tracked: bool) -> None:
    """`nested=True` makes a run of its own, with the active one as its parent."""
    code = (
        "import toolkit\nwith toolkit.start_run() as outer:\n"
        " with toolkit.start_run(nested=True, name='inner') as inner:\n"
        "  inner.log_metric('a', 1)\n"
        " assert toolkit.active_run() is outer\n"
        " outer.log_metric('b', 2)\n"
    )
    done = bench.track(code) if is_tracked else bench.run_script(code)
    assert done.returncode == 0, done.stderr

    outer, inner = rundir.all_runs(bench.runs)
    if inner.info().parent is None:
        outer, inner = inner, outer
    assert inner.info().parent == outer.path.name
    assert [list(event.values) for event in of_kind(inner, Metrics)] == [["a"]]
    assert [list(event.values) for event in of_kind(outer, Metrics)] == [["b"]]
    assert (status(outer), status(inner)) == ("FINISHED", "FINISHED")


@pytest.mark.parametrize(
    ("options", "projects"),
    [([], ["receipts", "receipts", "others"]), (["--project", "mine"], ["mine", "mine", "others"])],
)
def test_children_belong_where_their_parent_does(
    bench: Bench, options: list[str], projects: list[str]
) -> None:
    """Unless they say otherwise; also where the command line chose the parent's project."""
    code = (
        "import toolkit\nwith toolkit.start_run(project='receipts', name='0'):\n"
        " with toolkit.start_run(nested=True, name='1'): pass\n"
        " with toolkit.start_run(nested=True, name='2', project='others'): pass\n"
    )
    done = bench.track(code, *options)
    assert done.returncode == 0, done.stderr
    infos = [recorded.overview(run).info for run in rundir.all_runs(bench.runs)]
    assert [info.project for info in sorted(infos, key=lambda i: i.display_name)] == projects


def test_track_inside_a_run_is_a_child(bench: Bench) -> None:
    """A `track` inside a tracked command makes a child of that command's run."""
    inner = f"'{sys.executable}', '-m', 'toolkit', 'track', '--', 'true'"
    bench.track(f"import subprocess\nsubprocess.run([{inner}], check=True)")

    infos = {run.info().parent: run.info() for run in rundir.all_runs(bench.runs)}
    assert infos.keys() == {None, infos[None].id}


@pytest.mark.parametrize("env", [{"TOOLKIT_DISABLED": "1"}, {"RANK": "1"}])
def test_silence(bench: Bench, env: dict[str, str]) -> None:
    """Switched off, or on a rank other than 0, every call is accepted and nothing is recorded."""
    code = (
        "import toolkit\nwith toolkit.start_run(backend='none') as run:\n"
        " run.log_param('a', 1); run.log_metric('b', 2); run.set_tag('c', 'd')\n"
        " run.log_text('e', 'f.txt'); run.log_summary({'g': 1}); run.log_dict({}, 'h.json')\n"
        " assert run.dir is None\n"
    )
    done = bench.run_script(code, env=env)

    assert done.returncode == 0, done.stderr
    assert not bench.runs.exists()


def test_disabled_track_is_the_command_alone(bench: Bench) -> None:
    """TOOLKIT_DISABLED=1 makes `track` run the command, and nothing else."""
    done = bench.track("import sys; print('x'); sys.exit(7)", env={"TOOLKIT_DISABLED": "1"})

    assert (done.returncode, done.stdout) == (7, "x\n")
    assert not bench.runs.exists()


def test_forked_children_never_write(bench: Bench) -> None:
    """A forked worker's calls are accepted and not recorded, and its exit doesn't end the run."""
    code = (
        "import os, sys, toolkit\nrun = toolkit.start_run()\nrun.log_metric('parent', 1, step=0)\n"
        "if os.fork() == 0:\n run.log_metric('child', 1, step=0)\n run.end()\n sys.exit(0)\n"
        "os.wait()\nrun.log_metric('parent', 2, step=1)\n"
    )
    done = bench.run_script(code)
    assert done.returncode == 0, done.stderr

    assert [list(event.values) for event in of_kind(bench.only_run(), Metrics)] == [["parent"]] * 2
    assert status(bench.only_run()) == "FINISHED"


def test_live_run_is_not_resumed(bench: Bench) -> None:
    """Resuming a run that still lives is refused, naming its process and host; exit 2."""
    script = bench.script(ENDLESS)
    with bench.started(sys.executable, script) as process:
        wait_until(lambda: (bench.folder / "ready").exists())
        run = bench.only_run()
        done = bench.toolkit("track", "--resume", run.path.name, "--", "true")
        assert done.returncode == 2
        assert f"process {process.pid}" in done.stderr
        assert run.info().host.name in done.stderr


REPLAY = """
import toolkit, sys
with toolkit.start_run() as run:
    for step in range(int(sys.argv[1]), int(sys.argv[2])):
        run.log_metrics({"loss": float(step)}, step=step)
    print(run.passed_over)
"""


def test_resume_leaves_one_curve(bench: Bench) -> None:
    """A resumed run goes on in the same folder; replayed points are passed over and counted."""
    script = bench.script(REPLAY)
    bench.toolkit("track", "--", sys.executable, script, "0", "10")
    run = bench.only_run()
    done = bench.toolkit(
        "track", "--resume", run.path.name, "--", sys.executable, script, "6", "15"
    )

    assert done.stdout == "4\n"
    assert [event.step for event in of_kind(bench.only_run(), Metrics)] == list(range(15))
    assert status(run) == "FINISHED"


REPLAY_TABLES = """
import sys, toolkit
with toolkit.start_run() as run:
    for step in range(int(sys.argv[1]), int(sys.argv[2])):
        run.log_table({"n": [step]}, "val/examples", step=step)
        run.log_confusion_matrix("val/matrix", ["a"], [[step]], step)
        run.log_metric("val/matrix", 1.0, 100)
    run.log_text("done", "done.txt")
    print(run.passed_over)
"""


def test_resume_leaves_one_table_for_a_step(bench: Bench) -> None:
    """Tables and pictures are replayed like points; a metric of the same name is another thing."""
    script = bench.script(REPLAY_TABLES)
    bench.toolkit("track", "--", sys.executable, script, "0", "3")
    run = bench.only_run()
    done = bench.toolkit("track", "--resume", run.path.name, "--", sys.executable, script, "1", "5")

    assert done.stdout == "8\n"  # of each kind 2, and 4 points of the metric
    assert [event.step for event in of_kind(run, Table)] == list(range(5))
    assert [event.step for event in of_kind(run, ConfusionMatrix)] == list(range(5))
    assert len(of_kind(run, Text)) == 2


def test_runs_show_lists_media(bench: Bench) -> None:
    """By name, with the latest step, how many there are, and where the file lies."""
    bench.run_script(
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " for step in (10, 20): run.log_table({'n': [step]}, 'val/examples', step=step)\n"
        " run.log_text('x', 'notes/a.txt')\n"
    )
    run = bench.only_run()
    table, text = bench.shown(run)["media"]
    done = bench.toolkit("runs", "show", run.path.name)

    assert (table["kind"], table["name"], table["step"], table["count"]) == (
        "table",
        "val/examples",
        20,
        2,
    )
    assert (run.path / text["file"]).read_text() == "x"
    assert "val/examples" in done.stdout
    assert "notes/a.txt" in done.stdout


def test_resume_from_the_script(bench: Bench) -> None:
    """`start_run(run_id=...)` resumes too, and the latest attempt says how the run ended."""
    bench.run_script("import toolkit\nwith toolkit.start_run() as run: raise ValueError")
    run = bench.only_run()
    assert status(run) == "FAILED"
    bench.run_script(f"import toolkit\nwith toolkit.start_run('{run.path.name}') as run: pass")

    assert status(bench.only_run()) == "FINISHED"


def test_resumed_run_is_described(bench: Bench) -> None:
    """`track --resume` adds tags, and a name and group where there are none; it changes nothing."""
    bench.toolkit("track", "--name", "n", "--tag", "a", "--", "true")
    again = ("track", "--resume", bench.only_run().path.name)
    done = bench.toolkit(*again, "--name", "n", "--group", "g", "--tag", "b", "--", "true")
    assert done.returncode == 0, done.stderr
    refused = [bench.toolkit(*again, f"--{w}", "x", "--", "true") for w in ("project", "name")]

    shown = bench.shown(bench.only_run())
    assert (shown["name"], shown["group"], shown["tags"]) == ("n", "g", ["a", "b"])
    assert [done.returncode for done in refused] == [2, 2]
    assert "has the project 'default' already" in refused[0].stderr
    assert "leave --name out" in refused[1].stderr


def test_shown_json_has_no_nan(bench: Bench) -> None:
    """JSON has neither NaN nor infinities: they are spelled out, as in journals."""
    bench.run_script(
        "import toolkit\nwith toolkit.start_run() as run:\n"
        " run.log_metrics({'a': float('nan')}); run.log_summary({'b': [float('-inf')]})\n"
    )
    shown = bench.shown(bench.only_run())

    assert shown["metrics"]["a"]["value"] == "NaN"
    assert shown["summary"] == {"b": ["-Infinity"]}


def test_unknown_run_is_not_resumed(bench: Bench) -> None:
    """Resuming a run that isn't there is refused with the folder that was searched; exit 2."""
    done = bench.toolkit("track", "--resume", "nothing", "--", "true")

    assert done.returncode == 2
    assert str(bench.runs) in done.stderr


def test_system_metrics_go_on_after_a_resume(bench: Bench) -> None:
    """Samples of the machine are numbered through all attempts."""
    env = {"TOOLKIT_SYSTEM_INTERVAL": "0.1"}
    code = "import time; time.sleep(1.5)"
    bench.track(code, env=env)
    run = bench.only_run()
    bench.track(code, "--resume", run.path.name, env=env)

    steps = [event.step for event in of_kind(run, Metrics)]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 2
    assert all(key.startswith("system/") for event in of_kind(run, Metrics) for key in event.values)


def test_what_the_run_is(bench: Bench) -> None:
    """run.json holds command, folder, host, versions; secrets of the command line are masked."""
    bench.toolkit("track", "--", "echo", "--api-key", "s3cr3t-s3cr3t")

    info = bench.only_run().info()
    assert info.command[:2] == ("echo", "--api-key")
    assert "s3cr3t" not in bench.only_run().info_path.read_text()
    assert info.directory == str(bench.folder)
    assert {"python", "toolkit-tracker"} <= info.versions.keys()


def test_describes_itself_once(bench: Bench) -> None:
    """Each start is one Described event."""
    bench.track("import toolkit\nwith toolkit.start_run(notes='why'): pass")

    (described,) = of_kind(bench.only_run(), Described)
    assert described.notes == "why"


def test_second_start_joins_again(bench: Bench) -> None:
    """Under `track`, scripts that start one after the other are all part of the one run."""
    code = (
        "import toolkit\n"
        "for step in range(2):\n"
        " with toolkit.start_run() as run: run.log_metric('a', 1, step=step)\n"
    )
    bench.track(code)

    assert [event.step for event in of_kind(bench.only_run(), Metrics)] == [0, 1]


def test_runs_list_as_json(bench: Bench) -> None:
    """`runs list --json` is one object per run."""
    bench.track("import sys; sys.exit(1)")
    done = bench.toolkit("runs", "list", "--json")

    (row,) = json.loads(done.stdout)
    assert (row["status"], row["id"]) == ("FAILED", bench.only_run().path.name)


def test_signal_without_track(bench: Bench) -> None:
    """SIGTERM of a script that owns its run leaves it to be settled: KILLED."""
    with bench.started(sys.executable, bench.script(ENDLESS)) as process:
        wait_until(lambda: (bench.folder / "ready").exists())
        os.kill(process.pid, signal.SIGTERM)
        process.wait(LIMIT)
    bench.toolkit("runs", "list")

    assert status(bench.only_run()) == "KILLED"
