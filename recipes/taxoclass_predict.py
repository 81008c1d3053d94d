"""Classify documents with a trained TaxoClass model, to a line of JSON each.

    python recipes/taxoclass_predict.py model=FOLDER|RUN [input=FILE] [output=FILE] [key=value ...]

``help`` lists the keys. Documents come from text, CSV, JSON lines or standard input, and their
classes go to standard output, in the same order, unless a file is named.
"""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import refuse_several_processes
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.documents import format_of
from toolkit_recipes.taxoclass.documents import read_documents
from toolkit_recipes.taxoclass.explain import Explainer
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import SavedModel
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.predict import WINDOW_BATCHES
from toolkit_recipes.taxoclass.predict import Answers
from toolkit_recipes.taxoclass.predict import PredictConfig
from toolkit_recipes.taxoclass.predict import open_source
from toolkit_recipes.taxoclass.predict import open_target
from toolkit_recipes.taxoclass.predict import predict
from toolkit_recipes.taxoclass.predict import quiet_when_nobody_reads
from toolkit_recipes.taxoclass.predict import write


def main(config: PredictConfig) -> None:
    """Load the model, then read, classify and write documents a window at a time."""
    if config.model is None:
        raise UsageError("model is missing; give model=FOLDER of a saved model, or model=RUN")
    accelerator = start_accelerator(config.mixed_precision, seed=0)
    refuse_several_processes(accelerator)
    reporter = Reporter(Console(stderr=True))
    with quiet_when_nobody_reads(), open_source(config) as source:
        with model_folder(config.model, ARTIFACT) as folder:
            model = _load(folder, config, accelerator, reporter)
            classifier = Classifier(model, accelerator, batch_size=config.batch_size)
        kind = format_of(config.input) if config.format == "auto" else config.format
        rows = predict(
            read_documents(source, kind),
            _answers(classifier, config, reporter),
            window=config.batch_size * WINDOW_BATCHES,
        )
        with open_target(config.output) as target:
            summary = write(rows, target)
    reporter.say(str(summary))


def _load(
    folder: Path, config: PredictConfig, accelerator: Accelerator, reporter: Reporter
) -> SavedModel:
    """Load the model, with the classes that are to be added to it."""
    model = load(folder)
    if not config.add and config.add_from is None:
        return model
    # sentence-transformers takes seconds to import, and only this always needs it.
    from toolkit_recipes.taxoclass.added_classes import add_classes

    extended = add_classes(model, folder, config, accelerator)
    for note in extended.notes:
        reporter.say(note)
    return extended.model


def _answers(classifier: Classifier, config: PredictConfig, reporter: Reporter) -> Answers:
    if not config.explain:
        return Answers(classifier, config.top_k)
    if classifier.model.documents is None:
        reporter.say(
            "the model keeps no train documents (keep.documents=0, or an older version), so "
            "explanations are without nearest ones"
        )
    explainer = Explainer(classifier, config.rivals, config.nearest)
    return Answers(classifier, config.top_k, explainer)


if __name__ == "__main__":
    run_recipe(main, PredictConfig, {})
