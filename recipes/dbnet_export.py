"""Write a trained DBNet network as an ONNX file.

python recipes/dbnet_export.py model=FOLDER|RUN [output=FILE]

The file's metadata hold how to prepare a page and the network's own post-processing.
"""

from __future__ import annotations

from attrs import frozen
from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.config import option
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.model_files import ARTIFACTS
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.onnx_export import export_metadata
from toolkit_recipes.dbnet.onnx_export import export_onnx
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.paths import given_path


@frozen
class ExportConfig:
    """Everything that ``recipes/dbnet_export.py`` can be told."""

    model: str | None = option(
        None, "folder of a saved network, or folder or id of the run that trained it; must be given"
    )
    output: str = option("dbnet.onnx", "file to write")


def main(config: ExportConfig) -> None:
    """Load the network and write it."""
    if config.model is None:
        raise UsageError("model is missing; give model=FOLDER of a saved network, or model=RUN")
    with model_folder(config.model, ARTIFACTS) as folder:
        saved = load_network(folder)
    file = given_path(config.output)
    export_onnx(saved.network, file, export_metadata(saved.config))
    Reporter(Console(stderr=True)).say(f"written to {file}")


if __name__ == "__main__":
    run_recipe(main, ExportConfig, {})
