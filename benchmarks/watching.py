"""What a training step pays for histograms of gradients and parameters, beside ``wandb.watch``.

    python benchmarks/watching.py [--rounds 40] [--width 16]

A small residual network learns from random pictures on one core; each step logs its loss. Every
contender has a process of its own, in which five steps without a watch and five with one take
turns; of the latter, one is recorded. Times are CPU time of the training thread, so that trackers'
own threads and processes do not count, and other programs count little. With every=100 a step takes
the hundredth part of what recording takes, more: what the hooks take at the other 99 is less than
can be measured here, as the row of the contender that does nothing shows.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys

# This folder comes first on the path of a script, and would hide the standard library's `logging`.
sys.path = [entry for entry in sys.path if not entry.endswith("benchmarks")]

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from contextlib import nullcontext
from pathlib import Path

import click
import torch
from torch import Tensor
from torch import nn

TURN = 5
"""Steps after which it is another one's turn; with a watch, one of them is recorded."""

Log = Callable[[dict[str, float], int], object]
Watch = Callable[[nn.Module], AbstractContextManager[object]]


class Residual(nn.Module):
    """Two convolutions beside a shortcut; halves the picture where it doubles the channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, pictures: Tensor) -> Tensor:
        """N x before x H x W to N x after x H' x W'."""
        return torch.relu(self.layers(pictures) + self.shortcut(pictures))


def network(width: int) -> nn.Module:
    """A residual network of three stages, as those for pictures of 32 x 32 are."""
    stages = [(width, width), (width, 2 * width), (2 * width, 4 * width)]
    blocks = [
        Residual(channels, after) for before, after in stages for channels in (before, after, after)
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)]
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1), *blocks, *head)


def compared(log: Log, watch: Watch, recorded: int, rounds: int, width: int) -> dict[str, float]:
    """Train with a watch and without in turns.

    Gives the milliseconds of a step without a watch, how many times as long is one that is
    recorded, and the milliseconds that recording takes; medians of all rounds.

    Args:
        log: logs a step.
        watch: makes a context in which the model is watched.
        recorded: which of the `TURN` steps in such a context is recorded.
        rounds: how many turns are measured.
        width: channels of the network's first stage.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = network(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pictures, classes = torch.randn(8, 3, 32, 32), torch.randint(10, (8,))

    def turn(context: AbstractContextManager[object], first: int) -> list[float]:
        """Milliseconds of each of the next steps."""
        took = []
        with context:
            for step in range(first, first + TURN):
                began = time.thread_time()
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(pictures), classes)
                torch.autograd.backward(loss)
                optimizer.step()
                log({"loss": loss.item()}, step)
                took.append((time.thread_time() - began) * 1000)
        return took

    found = []
    for number in range(rounds + 1):
        plain = statistics.median(turn(nullcontext(), 2 * TURN * number))
        watched = turn(watch(model), 2 * TURN * number + TURN)
        one = watched.pop(recorded)
        found.append((plain, one / plain, one - statistics.median(watched)))
    kinds = ("plain", "ratio", "recording")
    return dict(zip(kinds, map(statistics.median, zip(*found[1:], strict=True)), strict=True))


def with_toolkit(rounds: int, width: int) -> dict[str, float]:
    """run.watch, into the journal; couriers that tell trackers are other processes."""
    import toolkit

    with toolkit.start_run() as run:
        return compared(
            run.log_metrics, lambda model: run.watch(model, every=TURN), 0, rounds, width
        )


def with_wandb(rounds: int, width: int) -> dict[str, float]:
    """wandb.watch, offline."""
    import wandb

    run = wandb.init(mode="offline", settings=wandb.Settings(silent=True))

    @contextmanager
    def watch(model: nn.Module) -> Iterator[None]:
        run.watch(model, log="all", log_freq=TURN)
        yield
        run.unwatch(model)

    found = compared(
        lambda values, step: run.log(values, step=step), watch, TURN - 1, rounds, width
    )
    run.finish()
    return found


def with_nothing(rounds: int, width: int) -> dict[str, float]:
    """No tracker at all: how far equal steps differ by themselves."""
    return compared(lambda *_: None, lambda _: nullcontext(), 0, rounds, width)


CONTENDERS = {"nothing": with_nothing, "run.watch": with_toolkit, "wandb.watch": with_wandb}


def measured(name: str, rounds: int, width: int) -> dict[str, float]:
    """Run one contender in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "result.json")
        options = {"rounds": rounds, "width": width, "one": name, "out": out}
        given = [f"--{option}={value}" for option, value in options.items()]
        subprocess.run(
            [sys.executable, "-P", str(Path(__file__).resolve()), *given],
            cwd=folder,
            env={**os.environ, "WANDB_SILENT": "true", "TOOLKIT_SYSTEM_INTERVAL": "0"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found: dict[str, float] = json.loads(out.read_text())
        return found


@click.command()
@click.option("--rounds", default=40, show_default=True)
@click.option("--width", default=16, show_default=True, help="Channels of the first stage.")
@click.option("--one", hidden=True)
@click.option("--out", hidden=True, type=Path)
def main(rounds: int, width: int, one: str | None, out: Path | None) -> None:
    """Compare, and print the figures."""
    if one and out:
        out.write_text(json.dumps(CONTENDERS[one](rounds, width)))
        return
    parameters = list(network(width).parameters())
    print(f"{platform.machine()}, Python {platform.python_version()}, PyTorch {torch.__version__}")
    print(f"{len(parameters)} parameters of {sum(p.numel() for p in parameters):,} values")
    print(f"\n{'':<14}{'plain ms':>9}{'recording ms':>14}  times a plain step: ", end="")
    print(f"{'every=1':>8}{'every=100':>11}")
    for name in CONTENDERS:
        found = measured(name, rounds, width)
        hundred = 1 + found["recording"] / 100 / found["plain"]
        print(f"{name:<14}{found['plain']:>9.1f}{found['recording']:>14.1f}{'':>22}", end="")
        print(f"{found['ratio']:>8.2f}{hundred:>11.3f}", flush=True)


if __name__ == "__main__":
    main()
