"""A process that tells W&B offline about a run: FOLDER, how many steps, and how it ends.

Says "told" when everything was written. Then ``close`` ends the run, ``drop`` leaves without an
end, and ``wait`` stays until it is killed.
"""

from __future__ import annotations

import sys

from toolkit.events import Ended
from toolkit.events import Metrics
from toolkit.runinfo import Host
from toolkit.runinfo import RunInfo
from toolkit_wandb.tracker import WandbTracker


def events(count: int) -> list[Metrics]:
    """A falling loss at every step."""
    return [Metrics(time=1.7e9 + n, values={"loss": 1 / (n + 1)}, step=n) for n in range(count)]


def opened(folder: str) -> WandbTracker:
    """A tracker that has opened the run in the folder."""
    run = RunInfo(
        id="run-1",
        created=1.7e9,
        host=Host("node-1", "boot-1"),
        command=("python", "train.py"),
        directory=folder,
    )
    tracker = WandbTracker(mode="offline")
    tracker.open(run, None)
    return tracker


def main(folder: str, count: str, how: str) -> None:
    """Tell the run."""
    tracker = opened(folder)
    tracker.write(events(int(count)))
    print("told", flush=True)
    if how == "close":
        tracker.close(Ended(time=1.7e9 + 100, status="KILLED"))
    elif how == "wait":
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
