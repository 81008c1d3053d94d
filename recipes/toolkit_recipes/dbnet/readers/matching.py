"""Finds the image that an annotation file, or an entry of one, is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath

from toolkit_recipes.dbnet.names import printable

_PREFIX = re.compile(r"^(?:poly_)?(?:gt|res|label)_", re.IGNORECASE)


class ImageIndex:
    """Images by the names that annotations may call them by.

    ``gts/gt_img_1.txt``, ``img_1.txt`` and ``img_1.jpg.txt`` are about ``img_1.jpg``, and
    ``0001001.txt`` about ``1001.jpg``. A name as it stands goes before one without its prefix, and
    that before one without its zeros. Names that aren't UTF-8 are known as ``printable`` too.
    """

    def __init__(self, images: Sequence[Path]) -> None:
        self._by_name = _grouped(images, lambda image: image.name)
        self._by_stem = _grouped(images, lambda image: image.stem)
        self._by_number = _grouped(images, lambda image: _without_zeros(image.stem))

    def find(self, wanted: str, annotation: Path) -> tuple[Path, ...]:
        """Return the images of a name: where there are several, those nearest to the annotation."""
        wanted = printable(wanted)
        name = PurePosixPath(wanted).name
        bare = _PREFIX.sub("", name)
        for known, form in (
            (self._by_name, name),
            (self._by_stem, name),
            (self._by_name, bare),
            (self._by_stem, bare),
            (self._by_number, _without_zeros(bare)),
        ):
            if images := known.get(form):
                return _nearest(images, wanted, annotation)
        return ()


def _grouped(
    images: Sequence[Path], name_of: Callable[[Path], str]
) -> Mapping[str, tuple[Path, ...]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for image in images:
        found[printable(name_of(image))].append(image)
    return {name: tuple(group) for name, group in found.items()}


def _without_zeros(stem: str) -> str:
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem


def _nearest(images: tuple[Path, ...], wanted: str, annotation: Path) -> tuple[Path, ...]:
    """Narrow the images down by what tells them apart, as far as it does."""
    for is_near in (
        lambda image: printable(image.as_posix()).endswith("/" + wanted),
        lambda image: image.parent == annotation.parent,
        lambda image: image.parent.name == annotation.parent.name,
    ):
        if len(images) == 1:
            break
        images = tuple(filter(is_near, images)) or images
    return images
