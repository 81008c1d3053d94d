"""Finding texts on images with a trained network."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal
from typing import TypeVar

import torch
from accelerate import Accelerator
from attrs import define
from attrs import evolve
from attrs import frozen
from attrs import validators
from PIL import Image

from toolkit import signals
from toolkit.errors import UsageError
from toolkit_recipes.config import option
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.augmentation import fit
from toolkit_recipes.dbnet.dataset import image_batch
from toolkit_recipes.dbnet.dataset import normalised
from toolkit_recipes.dbnet.found_files import FoundPage
from toolkit_recipes.dbnet.found_files import icdar_names
from toolkit_recipes.dbnet.found_files import write_icdar_zip
from toolkit_recipes.dbnet.found_files import write_json
from toolkit_recipes.dbnet.images import SUFFIXES
from toolkit_recipes.dbnet.images import ImageError
from toolkit_recipes.dbnet.images import load_image
from toolkit_recipes.dbnet.model_files import SavedNetwork
from toolkit_recipes.dbnet.pictures import draw_page
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.readers.layout import files_below
from toolkit_recipes.paths import given_path

T = TypeVar("T")

_PART = validators.optional(validators.and_(validators.ge(0), validators.le(1)))
_NOT_NEGATIVE = validators.optional(validators.ge(0))
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@frozen
class PredictConfig:
    """Everything that ``recipes/dbnet_predict.py`` can be told."""

    model: str | None = option(
        None, "folder of a saved network, or folder or id of the run that trained it; must be given"
    )
    input: str | None = option(None, "image, or folder of images; must be given")
    output: str = option("texts.json", "UFO json file to write")
    icdar: str | None = option(None, "zip file to write for ICDAR's evaluation; none: not written")
    drawn: str | None = option(
        None, "folder outside of input for the pages with outlines; none: not drawn"
    )
    long_side: int | None = option(
        None,
        "longest side of a page in the network; none: as it was measured in training",
        check=validators.optional(validators.ge(32)),
    )
    exif: bool | None = option(
        None, "turn photographs as their EXIF says; none: as data.exif in training"
    )
    thresh: float | None = option(None, "as postprocess.thresh in training", check=_PART)
    box_thresh: float | None = option(None, "as postprocess.box_thresh in training", check=_PART)
    unclip: float | None = option(None, "as postprocess.unclip in training", check=_NOT_NEGATIVE)
    min_size: float | None = option(
        None, "as postprocess.min_size in training", check=_NOT_NEGATIVE
    )
    shape: Literal["quad", "polygon"] | None = option(None, "as postprocess.shape in training")
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = option(
        "auto", "number format of the network; auto: bf16 where the hardware computes in it"
    )

    def postprocess(self, trained: PostprocessConfig) -> PostprocessConfig:
        """Return the network's own settings with those that were given here in their place.

        Raises:
            UsageError: texts would be polygons, which the zip that is asked for can't hold.
        """
        names = ("thresh", "box_thresh", "unclip", "min_size", "shape")
        given = {name: getattr(self, name) for name in names}
        chosen = evolve(trained, **{n: value for n, value in given.items() if value is not None})
        if self.icdar is not None and chosen.shape != "quad":
            raise UsageError(
                f"icdar={self.icdar}: ICDAR's evaluation takes texts of four corners only, but "
                f"shape is {chosen.shape}; give shape=quad, or leave icdar out"
            )
        return chosen


@frozen(eq=False)
class Finder:
    """Finds texts on images.

    Args:
        saved: the network; it must be where the accelerator computes.
        accelerator: knows device and number format.
        postprocess: from maps to texts.
        long_side: of a page in the network.
    """

    saved: SavedNetwork
    accelerator: Accelerator
    postprocess: PostprocessConfig
    long_side: int

    @torch.no_grad()
    def find(self, page: LoadedPage) -> FoundPage:
        """Return what is found on a page, in its own coordinates."""
        fitted = fit(page, self.long_side)
        images = normalised(image_batch(fitted.image).to(self.accelerator.device))
        with self.accelerator.autocast():
            prob = self.saved.network.probability(images)[0].float().cpu().numpy()
        height, width = fitted.size
        ratio = self.saved.config.targets.shrink_ratio
        found = find_texts(
            prob[:height, :width], self.postprocess, ratio, fitted.page_size, fitted.scale
        )
        return FoundPage(page.name, fitted.page_size, tuple(found))


@define
class Interruption:
    """Whether somebody asked to stop."""

    signal: int | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal; what is being done is done to its end."""
        self.signal = number

    def until_noted(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items for as long as nobody asks to stop."""
        for item in items:
            if self.signal is not None:
                return
            yield item


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take signals that would end the program as notes."""
    interruption = Interruption()
    with signals.handled(_ENDING, interruption.note):
        yield interruption


def images_of(path: Path) -> list[tuple[str, Path]]:
    """Return names and files of the images in a folder and those below it, or of one file.

    Hidden files and folders are left out, as they are where training reads pages.

    Raises:
        UsageError: there is none.
    """
    if os.path.isfile(path):
        return [(path.name, path)]
    if not os.path.isdir(path):
        raise UsageError(f"input={path}: {_why_not(path)}")
    found = sorted(file for file in files_below(path) if _is_image(file))
    if not found:
        raise UsageError(
            f"input={path}: no images; looked for {', '.join(sorted(SUFFIXES))}, without hidden "
            "files and folders"
        )
    return [(file.relative_to(path).as_posix(), file) for file in found]


def check_outputs(config: PredictConfig, files: Sequence[tuple[str, Path]]) -> None:
    """See that what is asked for can be written, and without losing an image.

    Args:
        config: says what is written where.
        files: names and files of the images.

    Raises:
        UsageError: a folder is missing or in the way of a file, an output would replace an image,
            ``drawn`` lies in the folder of the images, or two images have one name in the zip.
    """
    images = {file.resolve() for _, file in files}
    _check_file("output", config.output, images)
    if config.icdar is not None:
        zipped = _check_file("icdar", config.icdar, images)
        if zipped.resolve() == given_path(config.output).resolve():
            raise UsageError(f"icdar={zipped}: the same file as output; give another one")
        icdar_names((name for name, _ in files), zipped)
    if config.drawn is not None and config.input is not None:
        _check_drawn(given_path(config.drawn), given_path(config.input))


def find_in(name: str, file: Path, finder: Finder, *, exif: bool, drawn: Path | None) -> FoundPage:
    """Return what is found on the image of a file, or why it can't be read.

    Args:
        name: of the image.
        file: where it is.
        finder: finds texts.
        exif: whether to turn the image as its EXIF says.
        drawn: folder for the page with outlines; None: it isn't drawn.

    Raises:
        UsageError: the drawing can't be written.
    """
    try:
        page = LoadedPage(name, load_image(file, exif=exif), ())
    except ImageError as error:
        return FoundPage(name, problem=str(error))
    found = finder.find(page)
    if drawn is not None:
        draw(page, found, drawn)
    return found


def write_found(pages: Sequence[FoundPage], config: PredictConfig) -> None:
    """Write the files that the configuration asks for.

    Raises:
        UsageError: one can't be written.
    """
    write_json(pages, given_path(config.output))
    if config.icdar is not None:
        write_icdar_zip(pages, given_path(config.icdar))


def draw(page: LoadedPage, found: FoundPage, folder: Path) -> None:
    """Write a page with outlines into a folder, as PNG: ``a.jpg`` becomes ``a.jpg.png``.

    Raises:
        UsageError: it can't be written.
    """
    file = folder / f"{page.name}.png"
    picture = Image.fromarray(draw_page(page.image, (), found.detections))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"drawn={folder}: {file} can't be written ({reason})") from None


def _is_image(file: Path) -> bool:
    """Whether it is named like an image and isn't a pipe or the like; broken links count."""
    return file.suffix.lower() in SUFFIXES and (file.is_file() or not file.exists())


def _why_not(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return "no such file or folder"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return "neither a file nor a folder"


def _check_file(key: str, given: str, images: set[Path]) -> Path:
    file = given_path(given)
    if os.path.isdir(file):
        raise UsageError(f"{key}={file}: a folder; give the file to write")
    if not os.path.isdir(file.parent):
        raise UsageError(f"{key}={file}: no such folder to write into; make it first")
    if file.resolve() in images:
        raise UsageError(f"{key}={file}: would replace an image of input; give another file")
    try:
        os.lstat(f"{file}.partial")
    except FileNotFoundError:
        return file
    except OSError as error:  # a name too long, which else shows when all is found
        raise UsageError(f"{key}={file}: can't be written ({error.strerror})") from None
    return file


def _check_drawn(folder: Path, source: Path) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(f"drawn={folder}: a file; give a folder")
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"drawn={folder}: lies in input={source}, whose images could be replaced; give a "
            "folder outside of it"
        )
