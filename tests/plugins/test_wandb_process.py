"""Real processes that tell W&B offline, are killed, or leave without an end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.plugins import wandb_reader
from tests.plugins import wandb_teller
from tests.plugins.wandb_environment import without_settings
from tests.waiting import LIMIT


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with without_settings(tmp_path_factory.mktemp("nothing")):
        yield


def teller(folder: Path, count: int, how: str) -> subprocess.Popen[str]:
    """Start a process that tells a run of so many steps, and wait until it says so."""
    process = subprocess.Popen(
        [sys.executable, wandb_teller.__file__, str(folder), str(count), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "told\n"
    return process


def end(process: subprocess.Popen[str]) -> int:
    """Wait for the process, and close its streams."""
    process.communicate(timeout=LIMIT)
    return process.returncode


def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition."""
    limit = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def the_one(folder: Path) -> wandb_reader.Told:
    """What the only folder of a run says."""
    (only,) = wandb_reader.folders(folder / "wandb")
    return wandb_reader.read(only)


def test_importing_the_plugin_does_not_import_wandb() -> None:
    """Listing plugins and reading options stay quick."""
    code = "import sys, toolkit_wandb; sys.exit('wandb' in sys.modules or 'psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_killed_and_told_again_the_run_is_complete_once(tmp_path: Path) -> None:
    """SIGKILL takes wandb's own process along; the next telling leaves one whole folder."""
    killed = teller(tmp_path, 500, "wait")
    (service,) = psutil.Process(killed.pid).children()
    assert service.name() == "wandb-core"
    killed.kill()
    end(killed)
    until(lambda: not service.is_running() or service.status() == psutil.STATUS_ZOMBIE)
    assert the_one(tmp_path).exit_codes == []

    assert end(teller(tmp_path, 800, "close")) == 0
    told = the_one(tmp_path)
    assert told.points("loss") == [(n, 1 / (n + 1)) for n in range(800)]
    assert told.exit_codes == [137]


def test_leaving_without_an_end_does_not_finish_the_run(tmp_path: Path) -> None:
    """What was told is there, the run's end is not, and no process stays."""
    process = teller(tmp_path, 100, "drop")
    assert end(process) == 0
    told = the_one(tmp_path)
    assert (len(told.points("loss")), told.exit_codes) == (100, [])


def test_when_wandbs_process_dies_the_backend_is_unreachable(tmp_path: Path) -> None:
    """No event is taken for a bad one, and the run is not taken for told."""
    code = (
        "import sys, psutil\n"
        "from tests.plugins import wandb_teller\n"
        "from toolkit.events import Ended\n"
        "from toolkit.tracker import Unreachable\n"
        "from toolkit_wandb.tracker import NotTaken\n"
        "tracker = wandb_teller.opened(sys.argv[1])\n"
        "(service,) = psutil.Process().children()\n"
        "service.kill(); service.wait()\n"
        "try:\n"
        "    tracker.write(wandb_teller.events(3))\n"
        "except Unreachable as error:\n"
        "    print(error)\n"
        "try:\n"
        "    tracker.close(Ended(1.7e9, 'FINISHED'))\n"
        "except NotTaken as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert "wandb's own process on this machine has ended" in done.stdout
    assert "`toolkit sync` tells it all again" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_service_of_another_process_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that uses wandb itself passes on its service's address, and may end first."""
    monkeypatch.setenv("WANDB_SERVICE", f"3-1-unix-{tmp_path}/gone")
    assert end(teller(tmp_path, 3, "close")) == 0
    assert the_one(tmp_path).exit_codes == [137]
