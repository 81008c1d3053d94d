"""A search over settings: a parent run, and a child for each trial, one of which fails."""

from __future__ import annotations

import mlflow
import numpy as np
from PIL import Image

mlflow.set_experiment("sweep")


def trial(lr: float, width: int) -> float:
    """The error of one setting, step by step."""
    error = 1.0
    for step in range(4):
        error *= 1 - lr / width
        mlflow.log_metric("error", error, step=step)
        if error < 0:
            raise RuntimeError("diverged")
    return error


with mlflow.start_run(run_name="sweep", tags={"search": "grid"}, description="lr, width") as parent:
    mlflow.log_param("trials", 2)
    results: dict[tuple[float, int], float] = {}
    for lr, width in ((0.1, 2), (3.0, 1)):
        try:
            with mlflow.start_run(nested=True, run_name=f"{lr}-{width}"):
                mlflow.log_param("lr", lr)
                mlflow.log_param("width", width)
                results[lr, width] = trial(lr, width)
                mlflow.set_tag("state", "done")
        except RuntimeError as error:
            results[lr, width] = 1e9
            mlflow.log_text(f"{lr} {width}: {error}\n", "failures.txt")
    best = min(results, key=lambda setting: results[setting])
    mlflow.log_metrics({"best_error": results[best], "n_trials": len(results)})
    mlflow.log_params({"best.lr": best[0], "best.width": best[1]})
    shades = np.linspace(0, 1, 12).reshape(3, 4)
    mlflow.log_image(shades, "plots/errors.png")
    mlflow.log_image(Image.new("RGB", (5, 4), (9, 8, 7)), key="errors/map", step=2)
    mlflow.flush_artifact_async_logging()
    assert mlflow.active_run() == parent

with mlflow.start_run(run_id=parent.info.run_id):
    mlflow.log_metric("best_error", 0.5)
    mlflow.set_tag("search", "grid, again")
    try:
        mlflow.log_param("trials", 3)
    except mlflow.MlflowException:
        mlflow.set_tag("refused", "trials")
