"""How the texts of a page and the texts found on it overlap.

Outlines are taken as they come: one that crosses itself is taken apart into the areas that it
encloses, and one that encloses nothing (fewer than three corners, all in a line, a corner that is
no number) is empty: it overlaps nothing, so that such a text is missed and such a detection wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Shapes = NDArray[Any]


@frozen(eq=False)
class Overlap:
    """Shapes and areas of G texts and D detections; ``shared`` [G, D]: areas that two have."""

    ignored: Flags
    gt_shapes: Shapes
    det_shapes: Shapes
    gt_area: Floats
    det_area: Floats
    shared: Floats


def overlap(regions: Sequence[TextRegion], detections: Sequence[Detection]) -> Overlap:
    """Measure how the texts of a page and the detections on it overlap."""
    gt = shapes([region.polygon for region in regions])
    det = shapes([detection.polygon for detection in detections])
    return Overlap(
        ignored=np.array([region.ignore for region in regions], dtype=np.bool_),
        gt_shapes=gt,
        det_shapes=det,
        gt_area=shapely.area(gt),
        det_area=shapely.area(det),
        shared=shared_area(gt, det),
    )


def shapes(polygons: Sequence[Floats]) -> Shapes:
    """Polygons [n, 2] as valid shapes, in the same order."""
    result = np.full(len(polygons), shapely.Polygon(), dtype=object)
    sound = [i for i, polygon in enumerate(polygons) if usable(polygon)]
    if sound:
        owners = np.repeat(sound, [len(polygons[i]) for i in sound])
        rings = np.searchsorted(sound, owners)
        corners = np.concatenate([polygons[i] for i in sound])
        result[sound] = shapely.polygons(shapely.linearrings(corners, indices=rings))
        broken = np.flatnonzero(~shapely.is_valid(result))
        result[broken] = shapely.make_valid(result[broken])
    return result


def usable(polygon: Floats) -> bool:
    """Whether a polygon has enough corners for an inside, all of them numbers."""
    return len(polygon) >= 3 and bool(np.isfinite(polygon).all())


def shared_area(first: Shapes, second: Shapes) -> Floats:
    """Areas [A, B] that each of A shapes has in common with each of B."""
    areas = np.zeros((len(first), len(second)))
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    areas[i, j] = shapely.area(shapely.intersection(first[i], second[j]))
    return areas
