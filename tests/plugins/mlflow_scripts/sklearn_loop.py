"""Scikit-learn models over a few settings, each a run of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

mlflow.set_experiment("iris")

features, labels = load_iris(return_X_y=True)
split = train_test_split(features, labels, test_size=0.3, random_state=7)
train_x, test_x, train_y, test_y = split

for strength in (0.01, 1.0):
    with mlflow.start_run(run_name=f"C={strength}") as run:
        model = LogisticRegression(C=strength, max_iter=500)
        mlflow.log_params(model.get_params())
        model.fit(train_x, train_y)
        predicted = model.predict(test_x)
        mlflow.log_metric("accuracy", accuracy_score(test_y, predicted))
        mlflow.log_metric("accuracy", model.score(train_x, train_y))
        for size in (20, 40, 80):
            small = LogisticRegression(C=strength, max_iter=500).fit(train_x[:size], train_y[:size])
            mlflow.log_metric("learning_curve", small.score(test_x, test_y), step=size)
        mlflow.log_dict(
            {"classes": ["setosa", "é"], "C": strength, "folder": Path("models")}, "model/meta.json"
        )
        mlflow.log_dict({"b": [1, 2], "a": {"c": "é"}}, "model/meta.yaml")
        mlflow.log_table(
            {"actual": test_y[:5], "predicted": predicted[:5]}, artifact_file="predictions.json"
        )
        mlflow.log_table({"actual": [0], "predicted": [0]}, artifact_file="predictions.json")
        mlflow.log_text(str(confusion_matrix(test_y, predicted)), "confusion.txt")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "coefficients.csv")
            path.write_text("\n".join(",".join(f"{v:.3f}" for v in row) for row in model.coef_))
            mlflow.log_artifact(str(path))
        mlflow.set_tags({"model": type(model).__name__, "n_features": features.shape[1]})
        assert mlflow.active_run() is run

assert mlflow.active_run() is None
