"""A training loop that keeps a tracker behind a small class, as launchers of training do."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import mlflow


class Tracking:
    """What the loop tells; experiment and run are made when training begins."""

    def __init__(self, experiment_name: str, run_name: str, tags: dict[str, str]) -> None:
        found = mlflow.search_experiments(filter_string=f"name = '{experiment_name}'")
        if found:
            experiment_id = found[0].experiment_id
        else:
            experiment_id = mlflow.create_experiment(name=experiment_name, tags=tags)
        self.run = mlflow.start_run(
            run_id=None,
            experiment_id=experiment_id,
            run_name=run_name,
            nested=False,
            tags=tags,
            description="a linear model",
        )

    def store_configuration(self, values: dict[str, Any]) -> None:
        """Tell the configuration, not more than a hundred values at once."""
        pairs = list(values.items())
        for start in range(0, len(pairs), 100):
            mlflow.log_params(dict(pairs[start : start + 100]))

    def log(self, values: dict[str, Any], step: int) -> None:
        """Tell the numbers among the values."""
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        mlflow.log_metrics(numbers, step=step, timestamp=1_764_000_000_001 + step)

    def finish(self) -> None:
        """End the run."""
        mlflow.end_run()


def main() -> None:
    """Fit y = 2x by gradient descent."""
    config: dict[str, Any] = {"lr": 0.05, "epochs": 3, "betas": (0.9, 0.999), "seed": None}
    config.update({f"layer.{number}.width": 2**number for number in range(110)})
    tracking = Tracking("linear", "by-hand", {"stage": "test", "owner": "ann"})
    tracking.store_configuration(config)
    weight, step = 0.0, 0
    for epoch in range(config["epochs"]):
        for x in (0.5, 1.0, 2.0):
            error = weight * x - 2 * x
            weight -= config["lr"] * 2 * error * x
            tracking.log({"train_loss": error**2, "epoch": epoch, "phase": "train"}, step)
            step += 1
        tracking.log({"val_loss": (weight - 2) ** 2, "nan": math.nan}, step)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder, f"epoch_{epoch}")
            checkpoint.mkdir()
            (checkpoint / "weights.json").write_text(json.dumps({"weight": round(weight, 6)}))
            (checkpoint / "state.txt").write_text(f"step {step}\n")
            mlflow.log_artifacts(str(checkpoint), artifact_path=f"checkpoints/epoch_{epoch}")
    mlflow.set_tag("finished", True)
    tracking.finish()


main()
