"""The exact kernels of texts, against which maps and outlines are held."""

from __future__ import annotations

from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.polygons import Polygon


def kernels(text: Polygon, ratio: float) -> list[Polygon]:
    """Shrink a text as section 3.4 says: all parts, none if nothing is left."""
    return polygons.expand(text, -polygons.shrink_distance(text, ratio))
