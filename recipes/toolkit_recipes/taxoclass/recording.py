"""What a run records of its results: metrics, tables and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from toolkit.run import Run
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.advice import advice
from toolkit_recipes.taxoclass.advice import read_history
from toolkit_recipes.taxoclass.corpus import Dataset
from toolkit_recipes.taxoclass.decode import Decoded
from toolkit_recipes.taxoclass.decode import predictions_as_jsonl
from toolkit_recipes.taxoclass.metrics import evaluate
from toolkit_recipes.taxoclass.report import class_performance
from toolkit_recipes.taxoclass.report import confusion_matrix
from toolkit_recipes.taxoclass.report import prediction_examples


def log_quality(
    run: Run, data: Dataset, decoded: Decoded, stage: str, step: int
) -> dict[str, float]:
    """Measure what a stage says about the test documents; log and return it as ``stage/...``."""
    found = evaluate(data.test_gold, decoded.matrix(), decoded.ranking, data.taxonomy)
    quality = {name.replace("test/", f"{stage}/", 1): value for name, value in found.items()}
    run.log_metrics(quality, step=step)
    return quality


def log_final(
    run: Run, data: Dataset, decoded: Decoded, quality: Mapping[str, float], hours: float
) -> None:
    """Log the predictions for the test documents, in tables and whole, and the summary."""
    taxonomy, predicted = data.taxonomy, decoded.matrix()
    run.log_text(predictions_as_jsonl(decoded, data.test, taxonomy), "test/predictions.jsonl")
    confusion = confusion_matrix(data.test_gold, decoded, taxonomy)
    run.log_confusion_matrix("test/confusion_matrix", confusion.labels, confusion.counts)
    classes = class_performance(data.test_gold, predicted, taxonomy)
    run.log_table(classes, "test/class_performance")
    examples = prediction_examples(data.test_gold, decoded, data.test.texts, taxonomy)
    run.log_table(examples, "test/prediction_examples")
    run.log_summary(
        {
            "final_accuracy": quality["test/accuracy"],
            "final_f1": quality["test/f1_score"],
            "training_time_hours": hours,
        }
    )


def say_advice(
    run: Run,
    reporter: Reporter,
    stage1: Mapping[str, float],
    stage2: Mapping[str, float],
    num_classes: int,
    backend: Literal["embedding", "entailment"] = "embedding",
) -> None:
    """Print what the figures of a run give reason to look into, and keep it with the run."""
    # From the journal, so that the attempts before a resumed one count as well.
    history = read_history(run.dir) if run.dir else None
    sentences = advice(stage1, stage2, num_classes, history, backend)
    for sentence in sentences:
        reporter.say(sentence)
    if sentences:
        run.log_text("\n".join(sentences) + "\n", "advice.txt")
