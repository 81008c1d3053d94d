"""Finds the image that an annotation file, or an entry of one, is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath

_PREFIX = re.compile(r"^(?:poly_)?(?:gt|res|label)_", re.IGNORECASE)


class ImageIndex:
    """Images by the names that annotations may call them by.

    ``gts/gt_img_1.txt``, ``img_1.txt`` and ``img_1.jpg.txt`` are about ``img_1.jpg``, and
    ``0001001.txt`` about ``1001.jpg``.
    """

    def __init__(self, images: Sequence[Path]) -> None:
        self._named: defaultdict[str, list[Path]] = defaultdict(list)
        for image in images:
            for name in {image.name, image.stem, _without_zeros(image.stem)}:
                self._named[name].append(image)

    def find(self, wanted: str, annotation: Path) -> Path | None:
        """Return the image of a name that is nearest to the annotation file; None: none or many."""
        for name in _names(PurePosixPath(wanted).name):
            if images := self._named.get(name):
                return _nearest(images, wanted, annotation)
        return None


def _names(wanted: str) -> Iterator[str]:
    bare = _PREFIX.sub("", wanted)
    yield wanted
    yield bare
    yield _without_zeros(bare)


def _without_zeros(stem: str) -> str:
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem


def _nearest(images: Sequence[Path], wanted: str, annotation: Path) -> Path | None:
    if len(images) == 1:
        return images[0]
    for near in (
        [image for image in images if image.as_posix().endswith("/" + wanted)],
        [image for image in images if image.parent == annotation.parent],
        [image for image in images if image.parent.name == annotation.parent.name],
    ):
        if len(near) == 1:
            return near[0]
    return None
