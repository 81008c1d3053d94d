"""What one training step pays for being logged, beside MLflow, W&B and Accelerate, in one run.

    python benchmarks/logging.py [--steps 10000] [--mlflow-steps 10000]

Every contender logs the same steps of 5 metrics in a tight loop, in a process of its own. Times are
wall-clock on the training thread. Two more tables follow: delivery of a recorded run to MLflow on
SQLite beside ``mlflow.log_metrics``, and start-up times beside a bare interpreter.
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
from pathlib import Path

import click

KEYS = [f"train/metric_{i}" for i in range(5)]
Log = Callable[[dict[str, float], int], object]


def loop(log: Log, steps: int) -> dict[str, float]:
    """Time each step; microseconds, and the whole loop in seconds."""
    took = []
    began = time.perf_counter()
    for step in range(steps):
        values = dict.fromkeys(KEYS, 1.0 / (step + 1))
        start = time.perf_counter_ns()
        log(values, step)
        took.append((time.perf_counter_ns() - start) / 1000)
    total = time.perf_counter() - began
    took.sort()
    return {
        "p50": statistics.median(took),
        "p99": took[int(0.99 * len(took))],
        "loop": total,
    }


def json_line(steps: int) -> dict[str, float]:
    """The floor: one write() of one JSON line."""
    descriptor = os.open("lines.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log(values: dict[str, float], step: int) -> None:
        line = json.dumps({"time": time.time(), "step": step, "values": values})
        os.write(descriptor, line.encode() + b"\n")

    return loop(log, steps)


def toolkit_run(steps: int) -> dict[str, float]:
    """The toolkit with MLflow on SQLite and W&B offline attached and listening."""
    import toolkit
    from toolkit import delivery
    from toolkit.rundir import RunDir

    run = toolkit.start_run(backend={"mlflow": {}, "wandb": {"mode": "offline"}})
    assert run.dir
    folder = RunDir(run.dir)
    while not all(delivery.load(folder, name).link for name in ("mlflow", "wandb")):
        time.sleep(0.1)
    found = loop(run.log_metrics, steps)
    began = time.perf_counter()
    run.end()
    return {**found, "finish": time.perf_counter() - began}


def mlflow_sqlite(steps: int) -> dict[str, float]:
    """mlflow.log_metrics on SQLite, synchronous, as by default."""
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.start_run()
    found = loop(lambda values, step: mlflow.log_metrics(values, step=step), steps)
    mlflow.end_run()
    return found


def wandb_offline(steps: int) -> dict[str, float]:
    """wandb.log, offline."""
    import wandb

    run = wandb.init(mode="offline", settings=wandb.Settings(silent=True))
    found = loop(lambda values, step: run.log(values, step=step), steps)
    began = time.perf_counter()
    run.finish()
    return {**found, "finish": time.perf_counter() - began}


def accelerate_wandb(steps: int) -> dict[str, float]:
    """Accelerate's own tracker over W&B offline."""
    from accelerate import Accelerator

    accelerator = Accelerator(log_with="wandb", cpu=True)
    accelerator.init_trackers("benchmark", init_kwargs={"wandb": {"mode": "offline"}})
    found = loop(lambda values, step: accelerator.log(values, step=step), steps)
    began = time.perf_counter()
    accelerator.end_training()
    return {**found, "finish": time.perf_counter() - began}


CONTENDERS = {
    "bare JSON line": json_line,
    "toolkit, mlflow + wandb attached": toolkit_run,
    "wandb offline": wandb_offline,
    "accelerate tracker (wandb offline)": accelerate_wandb,
    "mlflow.log_metrics (sqlite)": mlflow_sqlite,
}


def measured(name: str, steps: int, folder: Path) -> dict[str, float]:
    """Run one contender in a process and a folder of its own."""
    folder.mkdir()
    out = folder / "result.json"
    command = [sys.executable, "-P", str(Path(__file__).resolve())]
    environ = {**os.environ, "WANDB_SILENT": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(
        [*command, "--steps", str(steps), "--one", name, "--out", str(out)],
        cwd=folder,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found: dict[str, float] = json.loads(out.read_text())
    return found


def delivered(steps: int, folder: Path) -> dict[str, float]:
    """Seconds to tell MLflow on SQLite a recorded run: all in all, and without start-up."""
    folder.mkdir()
    script = (
        "import toolkit\nwith toolkit.start_run() as run:\n"
        f" for step in range({steps}):\n"
        f"  run.log_metrics(dict.fromkeys({KEYS}, 1.0 / (step + 1)), step=step)\n"
    )
    environ = {**os.environ, "TOOLKIT_SYSTEM_INTERVAL": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
    python = [sys.executable, "-c"]
    subprocess.run([*python, script], cwd=folder, env=environ, check=True)
    empty = folder / "empty"
    empty.mkdir()
    subprocess.run(
        [*python, "import toolkit\nwith toolkit.start_run(): pass"],
        cwd=empty,
        env=environ,
        check=True,
    )
    sync = [sys.executable, "-m", "toolkit", "sync", "--backend", "mlflow"]
    took = []
    for place in (empty, folder):
        began = time.perf_counter()
        subprocess.run(sync, cwd=place, env=environ, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return {"all": took[1], "telling": took[1] - took[0]}


def start_up(arguments: list[str], runs: int = 11) -> float:
    """Median milliseconds of a whole process."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


@click.command()
@click.option("--steps", default=10_000, show_default=True)
@click.option("--mlflow-steps", default=10_000, show_default=True, help="For the slow one.")
@click.option("--one", hidden=True)
@click.option("--out", hidden=True, type=Path)
def main(steps: int, mlflow_steps: int, one: str | None, out: Path | None) -> None:
    """Compare, and print the figures."""
    if one and out:
        out.write_text(json.dumps(CONTENDERS[one](steps)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"\n{steps} steps of 5 metrics{'p50 µs':>23}{'p99 µs':>9}{'loop s':>9}{'finish s':>10}")
    mlflow_rate = 1.0
    with tempfile.TemporaryDirectory() as top:
        for number, name in enumerate(CONTENDERS):
            count = mlflow_steps if name.startswith("mlflow") else steps
            found = measured(name, count, Path(top) / str(number))
            finish = f"{found['finish']:10.2f}" if "finish" in found else ""
            note = f"  ({count} steps)" if count != steps else ""
            figures = f"{found['p50']:9.1f}{found['p99']:9.1f}{found['loop']:9.2f}{finish}{note}"
            print(f"{name:<38}{figures}", flush=True)
            mlflow_rate = count / found["loop"]
        told = delivered(steps, Path(top) / "delivery")
    rate = steps / told["telling"]
    print(f"\nDelivery to MLflow: {rate:.0f} steps/s ({told['all']:.1f} s with start-up)")
    print(
        f"mlflow.log_metrics in a loop: {mlflow_rate:.0f} steps/s; ratio {rate / mlflow_rate:.1f}"
    )
    bare = start_up(["-c", "pass"])
    version = start_up(["-m", "toolkit", "--version"]) - bare
    imported = start_up(["-c", "import toolkit"]) - bare
    print(f"\nOver bare Python ({bare:.0f} ms): toolkit --version {version:.0f} ms, ", end="")
    print(f"import toolkit {imported:.0f} ms")


if __name__ == "__main__":
    main()
