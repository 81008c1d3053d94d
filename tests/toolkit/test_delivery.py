"""From a run to a backend: plugins of other distributions, told in the background, by couriers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from tests.toolkit.conftest import Installer
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import delivery
from toolkit.events import Artifact
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import encode
from toolkit.redact import Redactor

THREE_STEPS = """
import toolkit
with toolkit.start_run(project="p", name="n", tags=["a"]) as run:
    run.log_params({"lr": 0.1, "gnn": {"layers": 2}})
    for step in range(3):
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
    run.log_summary({"final": 0.5})
    run.set_tag("k", "v")
    run.log_text("hello", "notes/hello.txt")
    print("printed")
"""

AFTER_A_REFUSAL = """
import pathlib, time
import toolkit
deliveries = pathlib.Path("runs").glob
with toolkit.start_run() as run:
    for step in range(3):
        run.log_metrics({"loss": 1.0}, step=step)
    while not any("refused" in f.read_text() for f in deliveries("*/delivery/*.json")):
        time.sleep(0.02)
"""

ENDLESS = """
import toolkit, itertools, os, time
with toolkit.start_run() as run:
    for step in itertools.count():
        run.log_metrics({"loss": 1.0}, step=step)
        open("acknowledged", "w").write(str(step))
        time.sleep(0.002)
"""


def told(bench: Bench, folder: str = "tracked") -> dict[str, Any]:
    """What the tracker that writes files has written about the only run."""
    path = bench.folder / folder / f"{bench.only_run().path.name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def steps(record: dict[str, Any], key: str = "loss") -> list[int]:
    """The steps at which the metric was told, with repetitions."""
    return sorted(int(place.partition("@")[0]) for place in record["metrics"][key])


def test_plugin_of_another_distribution(bench: Bench, third_party: dict[str, str]) -> None:
    """An installed distribution's tracker is found by name and told everything, in order."""
    done = bench.track(THREE_STEPS, "--backend", "file", env=third_party)

    assert done.returncode == 0, done.stderr
    record = told(bench)
    assert record["params"] == {"lr": 0.1, "gnn.layers": 2}
    assert steps(record) == [0, 1, 2]
    assert (record["project"], record["name"], record["status"]) == ("p", "n", "FINISHED")
    assert record["summary"] == {"final": 0.5}
    assert record["tags"] == {"k": "v"}
    assert Path(record["artifacts"]["notes/hello.txt"]).read_text() == "hello"
    assert "".join(record["console"].values()) == "printed\n"


def test_link_is_printed_once(bench: Bench, third_party: dict[str, str]) -> None:
    """The owner prints the link, on stderr, and the script's own output is left alone."""
    done = bench.track(THREE_STEPS, "--backend", "file", env=third_party)

    assert done.stdout == "printed\n"
    assert done.stderr.count("toolkit: file: file://") == 1


@pytest.mark.parametrize("is_tracked", [True, False])
def test_a_run_and_its_children_say_the_same_once(
    bench: Bench, third_party: dict[str, str], is_tracked: bool
) -> None:
    """A search over a hundred settings doesn't print where to look a hundred times."""
    code = (
        "import toolkit\n"
        "with toolkit.start_run(backend='viewed'):\n"
        "    for _ in range(3): toolkit.start_run(nested=True, backend='viewed').end()\n"
    )
    start = bench.track if is_tracked else bench.run_script
    done = start(code, env=third_party)
    # Under `track`, the run is another process's, which has its own line to say.
    assert done.stderr.count("toolkit: viewed: look into tracked") == 1 + is_tracked


def test_owner_script_delivers(bench: Bench, third_party: dict[str, str]) -> None:
    """Without `track`, the script that starts the run is its owner and starts the couriers."""
    code = THREE_STEPS.replace("start_run(", "start_run(backend='file', ")
    done = bench.run_script(code, env=third_party)

    assert done.returncode == 0, done.stderr
    assert steps(told(bench)) == [0, 1, 2]
    assert told(bench)["status"] == "FINISHED"


def test_script_under_track_chooses_where_nobody_else_did(
    bench: Bench, third_party: dict[str, str]
) -> None:
    """A backend that the script asks for is told, with its options, if none was chosen before."""
    code = THREE_STEPS.replace("start_run(", "start_run(backend={'file': {'folder': 'own'}}, ")
    bench.track(code, env=third_party)

    assert told(bench, "own")["status"] == "FINISHED"


@pytest.mark.parametrize("how", ["command line", "environment"])
def test_choice_before_the_script_wins(bench: Bench, third_party: dict[str, str], how: str) -> None:
    """Command line and environment come before what the script asks for."""
    code = THREE_STEPS.replace("start_run(", "start_run(backend='broken', ")
    if how == "command line":
        bench.track(code, "--backend", "file", "--project", "mine", env=third_party)
        assert told(bench)["project"] == "mine"
    else:
        bench.track(code, env={**third_party, "TOOLKIT_BACKEND": "file"})

    assert delivery.backends(bench.only_run()) == ["file"]


def test_options(bench: Bench, third_party: dict[str, str]) -> None:
    """Options come by -o, else from TOOLKIT_<BACKEND>_<FIELD>."""
    bench.track(THREE_STEPS, "--backend", "file", "-o", "file.folder=there", env=third_party)
    assert told(bench, "there")["status"] == "FINISHED"

    other = Bench(bench.folder / "other")
    other.folder.mkdir()
    other.track(THREE_STEPS, "--backend", "file", env={**third_party, "TOOLKIT_FILE_FOLDER": "e"})
    assert told(other, "e")["status"] == "FINISHED"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--backend", "fiel"), "file"),
        (("--backend", "file", "-o", "file.foldr=x"), "folder"),
        (("--backend", "file", "-o", "file"), "NAME.FIELD=VALUE"),
        (("-o", "file.folder=x"), "--backend file"),
    ],
)
def test_wrong_choice_starts_nothing(
    bench: Bench, third_party: dict[str, str], options: tuple[str, ...], expected: str
) -> None:
    """An unknown backend or option ends with 2 and what would be right, before anything starts."""
    done = bench.track("open('started', 'w')", *options, env=third_party)

    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bench.folder / "started").exists()
    assert not bench.runs.exists()


def test_rivals_are_refused(bench: Bench, install: Installer) -> None:
    """Two distributions that claim one name are refused, both named, neither imported."""
    env = {"PYTHONPATH": install("file_plugin", "rival_plugin")}
    done = bench.track(THREE_STEPS, "--backend", "file", env=env)

    assert done.returncode == 2
    assert "toolkit-file-tracker" in done.stderr
    assert "toolkit-rival-tracker" in done.stderr
    assert not bench.runs.exists()


def test_broken_plugin_breaks_only_itself(bench: Bench, third_party: dict[str, str]) -> None:
    """A plugin that fails to import costs one warning; the run and other backends go on."""
    done = bench.track(THREE_STEPS, "--backend", "broken", "--backend", "file", env=third_party)

    assert done.returncode == 0
    (warning,) = [line for line in done.stderr.splitlines() if "a_package_that_nobody_has" in line]
    for part in ("broken", "toolkit-broken-tracker", "0.3.0"):
        assert part in warning
    assert told(bench)["status"] == "FINISHED"


def test_refused_event_is_passed_over(bench: Bench, third_party: dict[str, str]) -> None:
    """An event that a backend refuses is noted and passed over; all others are told."""
    code = THREE_STEPS.replace(
        "range(3):", "range(200):\n        if step == 77: run.log_metric('bad', 1)"
    )
    done = bench.track(code, "--backend", "refusing", env=third_party)

    record = told(bench)
    assert steps(record) == list(range(200))
    assert "bad" not in record["metrics"]
    (note,) = delivery.load(bench.only_run(), "refusing").passed_over
    assert "a metric named 'bad'" in note
    assert "1 events were passed over" in done.stderr


def test_unreachable_backend_is_told_later(bench: Bench, third_party: dict[str, str]) -> None:
    """A backend that is down costs the training nothing, and `toolkit sync` tells it later."""
    (bench.folder / "tracked").mkdir()
    down = bench.folder / "tracked" / "down"
    down.touch()
    env = {**third_party, "TOOLKIT_FINISH_TIMEOUT": "1"}
    done = bench.track(AFTER_A_REFUSAL, "--backend", "silent", env=env)
    assert done.returncode == 0
    assert "connection refused" in done.stderr
    assert "toolkit sync" in done.stderr
    assert "connection refused" in (delivery.load(bench.only_run(), "silent").problem or "")

    again = bench.toolkit("sync", env=env)
    assert again.returncode == 1
    down.unlink()
    assert bench.toolkit("sync", env=env).returncode == 0
    assert (steps(told(bench)), told(bench)["status"]) == ([0, 1, 2], "FINISHED")


def test_hanging_backend_is_left(bench: Bench, third_party: dict[str, str]) -> None:
    """A plugin that hangs doesn't hold the owner, nor does its courier outlive the run."""
    env = {**third_party, "TOOLKIT_FINISH_TIMEOUT": "1"}
    done = bench.track(THREE_STEPS, "--backend", "hanging", env=env)

    assert done.returncode == 0
    assert "not everything is told yet" in done.stderr
    assert _couriers(bench) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS doesn't count a process's bytes")
def test_a_large_upload_is_progress(bench: Bench, third_party: dict[str, str]) -> None:
    """A backend that takes longer than patience lasts is waited for while bytes move."""
    env = {**third_party, "TOOLKIT_FINISH_TIMEOUT": "1"}
    done = bench.track(THREE_STEPS, "--backend", "uploading", env=env)
    assert done.returncode == 0
    assert "not everything is told yet" not in done.stderr
    assert told(bench)["status"] == "FINISHED"


def _couriers(bench: Bench) -> list[int]:
    folder = str(bench.only_run().path)
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "toolkit.courier" in words and folder in words:
            found.append(process.pid)
    return found


def test_killed_owner_is_drained_and_settled(bench: Bench, third_party: dict[str, str]) -> None:
    """When the owner is killed, its couriers tell the rest, settle the run as KILLED, and leave."""
    code = ENDLESS.replace("start_run(", "start_run(backend='file'")
    with bench.started(sys.executable, bench.script(code), env=third_party) as process:
        wait_until(
            lambda: (
                (bench.folder / "tracked").exists()
                and any((bench.folder / "tracked").glob("*.json"))
            )
        )
        process.kill()
    wait_until(lambda: not _couriers(bench))

    assert status(bench.only_run()) == "KILLED"
    recorded = [event.step for event in of_kind(bench.only_run(), Metrics)]
    assert int((bench.folder / "acknowledged").read_text() or 0) <= recorded[-1]
    assert steps(told(bench)) == recorded
    assert told(bench)["status"] == "KILLED"


@pytest.mark.parametrize("backend", ["file", "forgetful"])
def test_killed_courier_goes_on_where_it_was(
    bench: Bench, third_party: dict[str, str], backend: str
) -> None:
    """A killed courier loses and doubles nothing: the next one goes on, or starts afresh."""
    code = ENDLESS.replace("itertools.count()", "range(1500)")
    command = [sys.executable, "-m", "toolkit", "track", "--backend", backend, "--"]
    with bench.started(*command, sys.executable, bench.script(code), env=third_party) as process:
        wait_until(lambda: bool(list((bench.folder / "tracked").glob("*.json"))))
        for pid in _couriers(bench):
            os.kill(pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=LIMIT)
    assert "not everything is told yet" in errors

    assert bench.toolkit("sync", env=third_party).returncode == 0
    assert steps(told(bench)) == list(range(1500))


def test_sync_tells_another_backend(bench: Bench, third_party: dict[str, str]) -> None:
    """A run can be told to a backend it was not recorded for; telling again only says so."""
    bench.track(THREE_STEPS)
    first = bench.toolkit("sync", "--backend", "file", env=third_party)
    second = bench.toolkit("sync", "--backend", "file", env=third_party)

    assert (first.returncode, second.returncode) == (0, 0)
    assert "told" in first.stdout
    assert second.stdout == f"{bench.only_run().path.name}: file: everything was told already\n"
    assert steps(told(bench)) == [0, 1, 2]


def test_delivery_while_the_run_goes_on(bench: Bench, third_party: dict[str, str]) -> None:
    """A run can be watched while it goes on: values arrive long before its end."""
    code = ENDLESS.replace("itertools.count()", "range(100000)")
    command = [sys.executable, "-m", "toolkit", "track", "--backend", "file", "--"]
    with bench.started(*command, sys.executable, bench.script(code), env=third_party) as process:
        wait_until(lambda: bool(list((bench.folder / "tracked").glob("*.json"))))
        wait_until(lambda: len(told(bench)["metrics"].get("loss", {})) > 10)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)


def test_courier_holds_no_stream(bench: Bench, third_party: dict[str, str]) -> None:
    """Killed owners' couriers must not keep a pipe open that somebody reads to its end."""
    (bench.folder / "tracked").mkdir()
    (bench.folder / "tracked" / "down").touch()
    code = ENDLESS.replace("start_run(", "start_run(backend='silent'")
    env = {**third_party, "TOOLKIT_FINISH_TIMEOUT": "100"}
    with bench.started(sys.executable, bench.script(code), env=env) as process:
        wait_until(lambda: (bench.folder / "acknowledged").exists())
        process.kill()
        began = time.monotonic()
        process.communicate(timeout=90)

    assert time.monotonic() - began < 90
    for pid in _couriers(bench):
        os.kill(pid, signal.SIGTERM)


PLACE = "http://me:s3cr3t-word@server"
GIVEN_AGAIN = "--backend file -o file.note=VALUE, or TOOLKIT_FILE_NOTE"
NESTED = """
import toolkit
with toolkit.start_run(backend={"file": {"note": "%s"}}, name="outer"):
    with toolkit.start_run(nested=True, name="inner"):
        pass
"""


def test_place_with_a_secret_is_asked_for_again(bench: Bench, third_party: dict[str, str]) -> None:
    """Without an option that held a secret, a run is neither synced nor resumed, to anywhere."""
    bench.toolkit("track", "--", "true")
    run = bench.only_run()
    delivery.owe(run, "file", {"note": PLACE}, Redactor())
    commands = (("sync",), ("track", "--resume", run.path.name, "--", "true"))
    refused = [bench.toolkit(*command, env=third_party) for command in commands]

    assert [done.returncode for done in refused] == [2, 2]
    assert all(GIVEN_AGAIN in done.stderr for done in refused)
    assert not (bench.folder / "tracked").exists()
    given = bench.toolkit("sync", run.path.name, "-o", f"file.note={PLACE}", env=third_party)
    assert given.returncode == 0, given.stderr
    assert told(bench)["note"] == PLACE


def test_children_are_told_to_the_same_place(bench: Bench, third_party: dict[str, str]) -> None:
    """A run's children have its options, also those that held a secret and are kept nowhere."""
    done = bench.run_script(NESTED % PLACE, env=third_party)

    assert done.returncode == 0, done.stderr
    tracked = [json.loads(path.read_text()) for path in (bench.folder / "tracked").glob("*.json")]
    assert sorted(record["name"] for record in tracked) == ["inner", "outer"]
    assert [record["note"] for record in tracked] == [PLACE, PLACE]


def test_children_are_told_to_no_other_place(bench: Bench, third_party: dict[str, str]) -> None:
    """Where only `track` knows such an option, children go on untold, and that is said."""
    options = ("--backend", "file", "-o", f"file.note={PLACE}")
    done = bench.track(NESTED % "x", *options, env=third_party)

    assert done.returncode == 0
    assert GIVEN_AGAIN in done.stderr
    (record,) = [json.loads(path.read_text()) for path in (bench.folder / "tracked").glob("*.json")]
    assert (record["name"], record["note"]) == ("outer", PLACE)


def test_sync_refuses_an_option_that_nothing_takes(bench: Bench) -> None:
    """An option of a backend that isn't told is refused, as by `track`; exit 2."""
    bench.toolkit("track", "--", "true")
    done = bench.toolkit("sync", "-o", "nosuch.tracking_uri=x")

    assert done.returncode == 2
    assert "-o nosuch.*: add --backend nosuch" in done.stderr


@pytest.mark.parametrize("path", ["/etc/hostname", "../../../etc/hostname", "files/../../x"])
def test_forged_path_is_not_delivered(bench: Bench, third_party: dict[str, str], path: str) -> None:
    """A journal that points to files outside of its run's folder doesn't get them delivered."""
    bench.track(THREE_STEPS)
    (segment,) = bench.only_run().journal.glob("*-joined.jsonl")
    forged = Artifact(0.0, "forged", (File("forged", path),))
    segment.write_bytes(encode(forged) + segment.read_bytes())
    done = bench.toolkit("sync", "--backend", "file", env=third_party)

    assert done.returncode == 0, done.stderr
    assert list(told(bench)["artifacts"]) == ["notes/hello.txt"]
    (note,) = delivery.load(bench.only_run(), "file").passed_over
    assert path in note
