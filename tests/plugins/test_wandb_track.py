"""`toolkit track` to W&B through failures: the training goes on, and all is told in the end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.commands import Bench
from tests.commands import status
from tests.plugins import wandb_reader
from tests.plugins import wandb_server
from tests.plugins.wandb_server import Answer
from tests.plugins.wandb_server import Server
from tests.waiting import LIMIT
from tests.waiting import wait_until

KEY = "0123456789" * 4
ONLINE = ("--backend", "wandb", "-o", "wandb.mode=online")
OFFLINE = ("--backend", "wandb", "-o", "wandb.mode=offline")

# Says its steps one by one; the second half after it was told to go on.
SCRIPT = """
import pathlib, sys, time, toolkit
first, last = map(int, sys.argv[1:])
with toolkit.start_run() as run:
    for step in range(first, last):
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        print("step", step, flush=True)
        while step == 4 and not pathlib.Path("go").exists():
            time.sleep(0.02)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that knows of nothing yet."""
    with wandb_server.serving() as running:
        yield running


@pytest.fixture
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user with a key and no other settings, who doesn't wait long for the server."""
    nothing = tmp_path_factory.mktemp("nothing")
    return {
        "WANDB_API_KEY": KEY,
        "WANDB_CONFIG_DIR": str(nothing),
        "NETRC": str(nothing / "netrc"),
        "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
        "TOOLKIT_WANDB_INIT_TIMEOUT": "1",
        "TOOLKIT_WANDB_FINISH_TIMEOUT": "5",
    }


def assert_whole(server: Server, steps: int) -> None:
    """The server has every step once, in rows and on the console, and the run has ended well."""
    bucket = server.only()
    assert [row["toolkit/step"] for row in bucket.history()] == list(range(steps))
    assert bucket.printed() == [f"step {n}" for n in range(steps)]
    assert (bucket.exit_code, bucket.repeated) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("401", "user is not logged in. Run `wandb login` or set WANDB_API_KEY"),
        ("404", "project not found. Make the project on W&B's page, or name another with -o"),
        ("hang", "can't be reached, trying again"),
    ],
)
def test_whatever_the_server_says_the_training_goes_on(
    bench: Bench, server: Server, env: Mapping[str, str], answer: Answer, message: str
) -> None:
    """One line says what is wrong, another how to tell it later; that then works."""
    server.refuse(answer)
    where = ("-o", f"wandb.base_url={server.address}")
    command = (sys.executable, "-m", "toolkit", "track", *ONLINE, *where, "--", sys.executable)
    patience = {**env, "TOOLKIT_FINISH_TIMEOUT": "2"}
    with bench.started(*command, bench.script(SCRIPT), "0", "8", env=patience) as tracked:
        assert tracked.stderr is not None
        line = tracked.stderr.readline()
        (bench.folder / "go").touch()
        out, rest = tracked.communicate(timeout=LIMIT)
    assert line.startswith("toolkit: wandb: ")
    assert message in line
    assert "toolkit sync" in rest.splitlines()[-1]
    assert (out, tracked.returncode) == ("".join(f"step {n}\n" for n in range(8)), 0)
    assert status(bench.only_run()) == "FINISHED"

    server.accept()
    synced = bench.toolkit("sync", env=env)
    assert (synced.returncode, synced.stderr) == (0, "")
    assert_whole(server, 8)


def test_without_wandb_the_training_goes_on(bench: Bench, env: Mapping[str, str]) -> None:
    """And the line says what to install."""
    (bench.folder / "go").touch()
    missing = bench.folder / "site" / "wandb"
    missing.mkdir(parents=True)
    error = "raise ModuleNotFoundError(\"No module named 'wandb'\", name='wandb')\n"
    (missing / "__init__.py").write_text(error)
    path = {"PYTHONPATH": str(missing.parent)}
    script = bench.script(SCRIPT)
    done = bench.toolkit(
        "track", *ONLINE, "--", sys.executable, script, "0", "3", env={**env, **path}
    )
    assert done.returncode == 0
    assert "wandb is not installed: pip install 'toolkit-tracker[wandb]'" in done.stderr


def test_a_killed_courier_leaves_no_gap_and_no_repetition(
    bench: Bench, server: Server, env: Mapping[str, str]
) -> None:
    """SIGKILL in the middle; `toolkit sync` tells the rest to the same run."""
    where = ("-o", f"wandb.base_url={server.address}")
    command = (sys.executable, "-m", "toolkit", "track", *ONLINE, *where, "--", sys.executable)
    with bench.started(*command, bench.script(SCRIPT), "0", "9", env=env) as tracked:
        wait_until(lambda: server.buckets and len(server.only().rows) == 5)
        wait_until(lambda: len(server.only().console) == 5)
        (courier,) = [
            child
            for child in psutil.Process(tracked.pid).children()
            if "toolkit.courier" in child.cmdline()
        ]
        courier.kill()
        (bench.folder / "go").touch()
        assert tracked.wait(LIMIT) == 0
    assert len(server.only().rows) == 5
    synced = bench.toolkit("sync", env=env)
    assert (synced.returncode, synced.stderr) == (0, "")
    assert_whole(server, 9)


def test_a_resumed_run_is_one_offline(bench: Bench, env: Mapping[str, str]) -> None:
    """One folder, steps in order, none twice, the console of both attempts; `must` is content."""
    (bench.folder / "go").touch()
    script = bench.script(SCRIPT)
    words = ("--", sys.executable, script)
    refused = bench.toolkit("track", *OFFLINE, "-o", "wandb.resume=must", *words, "0", "1", env=env)
    assert refused.returncode == 0
    assert "wandb.resume=must asks for one that it has" in refused.stderr
    run = bench.only_run().path.name
    for rule, steps in (("allow", ("0", "6")), ("must", ("3", "9"))):
        options = ("-o", f"wandb.resume={rule}")
        done = bench.toolkit("track", *OFFLINE, *options, "--resume", run, *words, *steps, env=env)
        assert done.returncode == 0, done.stderr
        assert "passed over" not in done.stderr
    (folder,) = wandb_reader.folders(bench.folder / "wandb")
    told = wandb_reader.read(folder)
    assert told.points("loss") == [(n, 1 / (n + 1)) for n in range(9)]
    assert told.console == [f"step {n}" for n in (0, *range(6), *range(3, 9))]
    assert (told.run.run_id, told.exit_codes) == (run, [0])


def test_the_offline_folder_can_be_synced_from_elsewhere(
    bench: Bench, server: Server, env: Mapping[str, str], tmp_path: Path
) -> None:
    """Its artifacts' places corrected, `wandb sync` uploads rows, console, config and artifacts."""
    (bench.folder / "go").touch()
    code = (
        "import pathlib, toolkit\n"
        "with toolkit.start_run() as run:\n"
        " run.log_params({'lr': 0.5})\n"
        " run.log_metrics({'loss': 1.0}, step=0)\n"
        " print('hello')\n"
        " pathlib.Path('model.bin').write_bytes(b'weights')\n"
        " run.log_artifact('model.bin', type='model', aliases=['best'], move=True)\n"
    )
    assert bench.track(code, *OFFLINE, env=env).returncode == 0
    (folder,) = wandb_reader.folders(bench.folder / "wandb")
    (tmp_path / "elsewhere").mkdir()
    copy = folder.rename(tmp_path / "elsewhere" / folder.name)
    moved = (sys.executable, "-m", "toolkit_wandb.moved", str(copy))
    subprocess.run(moved, check=True)
    online = {**env, "WANDB_BASE_URL": server.address}
    with bench.started(sys.executable, "-m", "wandb", "sync", str(copy), env=online) as syncing:
        assert syncing.wait(LIMIT) == 0
    bucket = server.only()
    assert [row["loss"] for row in bucket.history()] == [1.0]
    assert bucket.printed() == ["hello"]
    assert (bucket.config["lr"], bucket.exit_code) == (0.5, 0)
    assert [entry["artifactTypeName"] for entry in server.artifacts] == ["model"]
    assert server.uploads["/upload/artifact-0/model.bin"] == b"weights"
