"""Add classes to a trained TaxoClass model by their names, without training it again.

    python recipes/taxoclass_extend.py model=FOLDER|RUN add=NAME:PARENT[,...] output=FOLDER

``help`` lists the keys. The model stays as it is; the extended one is written to a folder of its
own, which ``recipes/taxoclass_predict.py`` takes like any other.
"""

from __future__ import annotations

from attrs import frozen
from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.config import option
from toolkit_recipes.console import Reporter
from toolkit_recipes.loop import refuse_several_processes
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.paths import given_path
from toolkit_recipes.taxoclass.added_classes import add_classes
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save


@frozen
class ExtendConfig:
    """Everything that this script can be told."""

    model: str | None = option(
        None, "folder of a saved model, or folder or id of the run that trained it; must be given"
    )
    add: tuple[str, ...] = option(
        (), "classes to add, each NAME:PARENT; the parent by name or id, none for the top level"
    )
    add_from: str | None = option(
        None, "file with classes to add, lines `name TAB parent`, maybe with TAB and an id"
    )
    output: str | None = option(None, "new or empty folder for the model; must be given")
    encoder: str | None = option(
        None, "folder or Hugging Face name of the untrained encoder, where the model is without it"
    )


def main(config: ExtendConfig) -> None:
    """Load the model, add the classes, and write it."""
    if config.model is None or config.output is None:
        missing = "output" if config.model else "model"
        raise UsageError(f"{missing} is missing; give model=FOLDER|RUN and output=FOLDER")
    accelerator = start_accelerator("no", seed=0)
    refuse_several_processes(accelerator)
    reporter = Reporter(Console())
    with model_folder(config.model, ARTIFACT) as folder:
        extended = add_classes(load(folder), folder, config, accelerator)
        save(given_path(config.output), extended.model)
    for note in extended.notes:
        reporter.say(note)
    reporter.say(f"Saved in {config.output}, with {len(extended.model.taxonomy)} classes")


if __name__ == "__main__":
    run_recipe(main, ExtendConfig, {})
