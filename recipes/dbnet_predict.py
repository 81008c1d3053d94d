"""Find the texts on images with a trained DBNet network.

    python recipes/dbnet_predict.py model=FOLDER|RUN input=IMAGES [output=FILE] [key=value ...]

``help`` lists the keys. Writes UFO json, on request also the zip that ICDAR's evaluation takes and
the pages with outlines drawn on them.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.found_files import write_icdar_zip
from toolkit_recipes.dbnet.found_files import write_json
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.model_files import ARTIFACTS
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.predict import Finder
from toolkit_recipes.dbnet.predict import PredictConfig
from toolkit_recipes.dbnet.predict import check_outputs
from toolkit_recipes.dbnet.predict import draw
from toolkit_recipes.dbnet.predict import images_of
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.model_source import model_folder


def main(config: PredictConfig) -> None:
    """Load the network, then read the images one after the other and write what is found."""
    if config.model is None or config.input is None:
        raise UsageError("give model=FOLDER of a saved network, or model=RUN, and input=IMAGES")
    files = images_of(Path(config.input).expanduser())
    check_outputs(config, files)
    with model_folder(config.model, ARTIFACTS) as folder:
        saved = load_network(folder)
    postprocess = config.postprocess(saved.config.postprocess)
    exif = saved.config.data.exif if config.exif is None else config.exif
    long_side = config.long_side or saved.config.evaluation.long_side
    accelerator = start_accelerator(config.mixed_precision, seed=0)
    saved.network.to(accelerator.device)
    finder = Finder(saved, accelerator, postprocess, long_side)
    reporter = Reporter(Console(stderr=True))

    pages: list[FoundPage] = []
    for name, file in reporter.track(files, "images"):
        try:
            page = LoadedPage(name, load_image(file, exif=exif), ())
        except ImageError as error:
            reporter.say(f"nothing found on an image that can't be read: {error}")
            pages.append(FoundPage(name, problem=str(error)))
            continue
        pages.append(finder.find(page))
        if config.drawn is not None:
            draw(page, pages[-1], Path(config.drawn).expanduser())

    write_json(pages, Path(config.output).expanduser())
    if config.icdar is not None:
        write_icdar_zip(pages, Path(config.icdar).expanduser())
    count = sum(len(page.detections) for page in pages)
    reporter.say(f"{count} texts on {len(pages)} images, in {config.output}")


if __name__ == "__main__":
    run_recipe(main, PredictConfig, {})
