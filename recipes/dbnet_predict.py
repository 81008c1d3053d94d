"""Find the texts on images with a trained DBNet network.

    python recipes/dbnet_predict.py model=FOLDER|RUN input=IMAGES [output=FILE] [key=value ...]

``help`` lists the keys. Writes UFO json, on request also the zip that ICDAR's evaluation takes and
the pages with outlines drawn on them. Stopped by Ctrl-C, it writes what was found until then.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.model_files import ARTIFACTS
from toolkit_recipes.dbnet.model_files import SavedNetwork
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.predict import Finder
from toolkit_recipes.dbnet.predict import PredictConfig
from toolkit_recipes.dbnet.predict import check_outputs
from toolkit_recipes.dbnet.predict import find_in
from toolkit_recipes.dbnet.predict import images_of
from toolkit_recipes.dbnet.predict import interruptible
from toolkit_recipes.dbnet.predict import write_found
from toolkit_recipes.loop import run_recipe
from toolkit_recipes.loop import start_accelerator
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.paths import given_path

SIGNALLED_EXIT_CODE = 128
"""What a shell adds to the number of the signal that ended a program."""


def main(config: PredictConfig) -> None:
    """Load the network, then read the images one after the other and write what is found."""
    if config.model is None or config.input is None:
        raise UsageError("give model=FOLDER of a saved network, or model=RUN, and input=IMAGES")
    files = images_of(given_path(config.input))
    check_outputs(config, files)
    finder = _finder(config, _load(config.model))
    reporter = Reporter(Console(stderr=True))
    pages: list[FoundPage] = []
    with interruptible() as interruption:
        wanted = interruption.until_noted(reporter.track(files, "images"))
        try:
            for page in _found(wanted, finder, config):
                pages.append(page)
                if page.problem is not None and len(files) > 1:
                    reporter.say(f"nothing found on an image that can't be read: {page.problem}")
        finally:  # it may have taken hours, so that whatever ends it is no reason to lose it
            write_found(pages, config)
    _conclude(pages, len(files), config, reporter, interruption.signal)


def _load(model: str) -> SavedNetwork:
    try:
        with model_folder(model, ARTIFACTS) as folder:
            return load_network(folder)
    except OSError as error:
        raise UsageError(f"model={model}: can't be read ({error.strerror or error})") from None


def _finder(config: PredictConfig, saved: SavedNetwork) -> Finder:
    postprocess = config.postprocess(saved.config.postprocess)
    accelerator = start_accelerator(config.mixed_precision, seed=0)
    saved.network.to(accelerator.device)
    long_side = config.long_side or saved.config.evaluation.long_side
    return Finder(saved, accelerator, postprocess, long_side)


def _found(
    files: Iterable[tuple[str, Path]], finder: Finder, config: PredictConfig
) -> Iterator[FoundPage]:
    drawn = None if config.drawn is None else given_path(config.drawn)
    exif = finder.saved.config.data.exif if config.exif is None else config.exif
    for name, file in files:
        yield find_in(name, file, finder, exif=exif, drawn=drawn)


def _conclude(
    pages: Sequence[FoundPage],
    total: int,
    config: PredictConfig,
    reporter: Reporter,
    stopped_by: int | None,
) -> None:
    """Say what was found; ends the program where it was stopped, or no image could be read."""
    count = sum(len(page.detections) for page in pages)
    if stopped_by is not None and len(pages) < total:
        reporter.say(
            f"stopped by {signal.Signals(stopped_by).name} after {len(pages)} of {total} images; "
            f"{count} texts on them, in {config.output}"
        )
        sys.exit(SIGNALLED_EXIT_CODE + stopped_by)
    problems = [page.problem for page in pages if page.problem is not None]
    if len(problems) == total:
        more = f"{config.input}: none of the {total} images can be read, first "
        raise UsageError(f"input={more if total > 1 else ''}{problems[0]}")
    reporter.say(f"{count} texts on {len(pages)} images, in {config.output}")


if __name__ == "__main__":
    run_recipe(main, PredictConfig, {})
