"""Pages, the texts on them and the texts found on them.

Coordinates are continuous: (0, 0) is the top left corner of the top left pixel and (W, H) the
bottom right corner of the page, so that the pixel in row r and column c covers [c, c + 1) x
[r, r + 1). A polygon is [n, 2] of (x, y), n >= 3, clockwise on the screen, starting at the corner
nearest to the top left. An image is [H, W, 3] in RGB.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


@frozen(eq=False)
class TextRegion:
    """A text on a page; ``ignore``: neither to be found nor to be missed ("don't care")."""

    polygon: NDArray[np.float64]
    text: str | None = None
    ignore: bool = False


@frozen(eq=False)
class LoadedPage:
    """A page in memory: its image, uint8 [H, W, 3] in RGB, and the texts within it."""

    name: str
    image: NDArray[np.uint8]
    regions: tuple[TextRegion, ...]


@frozen(eq=False)
class Detection:
    """A text found on a page, and how sure the network is of it: a score from 0 to 1."""

    polygon: NDArray[np.float64]
    score: float


class PageSource(Protocol):
    """A page that can be had whenever it is needed, as often as it is needed."""

    @property
    def name(self) -> str:
        """What the page is called; no two pages of a set have the same name."""

    def load(self) -> LoadedPage:
        """The page; raises ``images.ImageError`` where its image can't be used."""
