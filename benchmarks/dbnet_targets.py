"""Targets of DBNet beside the usual way of making them, and a training page from end to end.

    taskset -c 1 python benchmarks/dbnet_targets.py [--rounds 11]

Time is CPU time of the one thread that works; the ways take turns, and medians are shown. The usual
way is written out below: every edge measured over the whole padded window around its text in
float64, with the law of cosines, and the texts shrunk and grown by pyclipper.
"""

from __future__ import annotations

import sys

# A script's folder comes first on the path, where its neighbour `logging` would hide the standard
# library's.
sys.path.append(sys.path.pop(0))

import math
import statistics
import time
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import click
import cv2
import numpy as np
import pyclipper
import shapely
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.augmentation import augment
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.polygons import short_side
from toolkit_recipes.dbnet.presets import AugmentationConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import Targets
from toolkit_recipes.dbnet.targets import make_targets

SIDE = 640
UNITS = 1024
"""Whole numbers of pyclipper per pixel: with fewer, kernels of small texts are rounded away."""
Work = Callable[[], object]


def usual_targets(
    regions: list[TextRegion], size: tuple[int, int], config: TargetConfig
) -> Targets:
    """Both maps as training code for DBNet usually makes them, one text after the other."""
    prob, prob_mask = np.zeros(size, np.uint8), np.ones(size, np.uint8)
    thresh, thresh_mask = np.zeros(size, np.float32), np.zeros(size, np.uint8)
    for region in regions:
        polygon = region.polygon - 0.5
        if short_side(polygon) < config.min_text_size or region.ignore:
            _usual_fill(prob_mask, polygon, 0)
            continue
        shape = shapely.Polygon(polygon)
        distance = shape.area * (1 - config.shrink_ratio**2) / shape.length
        for kernel in _usual_offset(polygon, -distance):
            _usual_fill(prob, kernel, 1)
        _usual_border(polygon, distance, thresh, thresh_mask)
    thresh = thresh * (config.thresh_max - config.thresh_min) + config.thresh_min
    return Targets(prob, prob_mask, thresh, thresh_mask)


def _usual_offset(polygon: Polygon, distance: float) -> list[Polygon]:
    offset = pyclipper.PyclipperOffset(2.0, 0.05 * UNITS)
    corners = np.rint(polygon * UNITS).astype(np.int64)
    offset.AddPath(corners.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(part) / UNITS for part in offset.Execute(distance * UNITS)]


def _usual_fill(canvas: NDArray[np.uint8], polygon: Polygon, value: int) -> None:
    corners = np.rint(polygon * 256).astype(np.int32)
    cv2.fillPoly(canvas, [corners], (value,), shift=8)


def _usual_border(
    polygon: Polygon, distance: float, thresh: NDArray[np.float32], mask: NDArray[np.uint8]
) -> None:
    """Merge one text into the threshold map: 1 on its outline, 0 from ``distance`` on."""
    grown = _usual_offset(polygon, distance)[0]
    _usual_fill(mask, grown, 1)
    left, top = np.floor(grown.min(axis=0)).astype(int)
    right, bottom = np.ceil(grown.max(axis=0)).astype(int)
    columns = np.arange(left, right + 1)[None].repeat(bottom + 1 - top, axis=0)
    rows = np.arange(top, bottom + 1)[:, None].repeat(right + 1 - left, axis=1)
    corners = [*polygon, polygon[0]]
    edges = [_law_of_cosines(columns, rows, a, b) for a, b in pairwise(corners)]
    nearness = 1 - np.clip(np.stack(edges) / distance, 0, 1).min(axis=0)
    height, width = thresh.shape
    x = slice(max(0, left), min(width, right + 1))
    y = slice(max(0, top), min(height, bottom + 1))
    inner = nearness[y.start - top : y.stop - top, x.start - left : x.stop - left]
    thresh[y, x] = np.fmax(thresh[y, x], inner)


def _law_of_cosines(
    columns: NDArray[np.int64], rows: NDArray[np.int64], a: Polygon, b: Polygon
) -> NDArray[np.float64]:
    """Distance of pixels from an edge; off its ends that of the nearer end, seen acutely."""
    to_a = np.square(columns - a[0]) + np.square(rows - a[1])
    to_b = np.square(columns - b[0]) + np.square(rows - b[1])
    edge = np.square(a[0] - b[0]) + np.square(a[1] - b[1])
    cosine = (to_a + to_b - edge) / (2 * np.sqrt(to_a * to_b) + 1e-12)
    sine_squared = np.clip(1 - np.square(cosine), 0, 1)
    across = np.sqrt(to_a * to_b * sine_squared / (edge + 1e-12))
    nearest: NDArray[np.float64] = np.where(cosine > 0, np.sqrt(np.minimum(to_a, to_b)), across)
    return nearest


def receipt(tilt: float) -> list[TextRegion]:
    """50 texts in lines of 3 on a page of 640 px, turned by ``tilt`` degrees."""
    rng = np.random.default_rng(7)
    regions = []
    for i in range(50):
        row, part = divmod(i, 3)
        x, y = 100 + 150 * part + rng.uniform(0, 10), 20 + 36 * row + rng.uniform(-2, 2)
        width, height = rng.uniform(40, 135), rng.uniform(9, 18)
        corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
        regions.append(TextRegion(_turned(corners, tilt)))
    return regions


def curved() -> list[TextRegion]:
    """30 bent texts of 14 points each on a page of 640 px."""
    rng = np.random.default_rng(8)
    regions = []
    for i in range(30):
        row, part = divmod(i, 2)
        x, y = 20 + 310 * part, 28 + 40 * row
        width, height, bend = rng.uniform(180, 280), rng.uniform(16, 24), rng.uniform(-12, 12)
        along = np.linspace(0, 1, 7)
        top = np.stack((x + width * along, y + bend * np.sin(math.pi * along)), axis=1)
        regions.append(TextRegion(np.concatenate((top, top[::-1] + np.array([0, height])))))
    return regions


def _turned(corners: Polygon, degrees: float) -> Polygon:
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned: Polygon = (corners - SIDE / 2) @ turn + SIDE / 2
    return turned


def photograph(regions: list[TextRegion], scale: float) -> LoadedPage:
    """A page with those texts, larger than the network sees it, as photographs are."""
    side = round(SIDE * scale)
    image = np.random.default_rng(9).integers(150, 255, (side, side, 3)).astype(np.uint8)
    larger = tuple(TextRegion(region.polygon * scale) for region in regions)
    for region in larger:
        cv2.fillPoly(image, [np.rint(region.polygon).astype(np.int32)], (60, 60, 60))
    return LoadedPage("photograph", image, larger)


def medians(ways: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Milliseconds of the thread's CPU time, the ways taking turns after a round to warm up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for name in list(ways) * (rounds + 1):
        start = time.thread_time_ns()
        ways[name]()
        took[name].append((time.thread_time_ns() - start) / 1e6)
    return {name: statistics.median(times[1:]) for name, times in took.items()}


def scenes() -> dict[str, list[TextRegion]]:
    """The pages that are compared."""
    return {
        "receipt, 50 boxes": receipt(0),
        "receipt, 50 boxes, turned by 4 degrees": receipt(4),
        "30 bent texts of 14 points": curved(),
    }


def agreement(regions: list[TextRegion], config: TargetConfig) -> dict[str, float]:
    """Share of equal pixels: kernels, masks, and thresholds (to .02) where they are learned."""
    ours = make_targets(regions, (SIDE, SIDE), config)
    usual = usual_targets(regions, (SIDE, SIDE), config)
    learned = (ours.thresh_mask | usual.thresh_mask) > 0
    return {
        "prob": float((ours.prob == usual.prob).mean()),
        "thresh_mask": float((ours.thresh_mask == usual.thresh_mask).mean()),
        "thresh": float((np.abs(ours.thresh - usual.thresh) < 0.02)[learned].mean()),
    }


def targets_table(rounds: int, config: TargetConfig) -> None:
    """Print both ways of making targets side by side."""
    size = (SIDE, SIDE)
    for name, regions in scenes().items():
        ways = {
            "usual": partial(usual_targets, regions, size, config),
            "ours": partial(make_targets, regions, size, config),
        }
        took = medians(ways, rounds)
        shares = agreement(regions, config)
        equal = ", ".join(f"{key} {share:.4%}" for key, share in shares.items())
        print(
            f"{name}: usual {took['usual']:.2f} ms, ours {took['ours']:.2f} ms, "
            f"{took['usual'] / took['ours']:.1f} times as fast; equal: {equal}"
        )


def pages_table(rounds: int, config: TargetConfig) -> None:
    """Print what a worker spends on a page in memory, up to its maps."""
    page = photograph(receipt(0), 2.5)
    for crop, rotation in ((320, 0.0), (320, 10.0), (640, 0.0), (640, 10.0)):
        drawn = AugmentationConfig(
            crop=crop, scale_jitter=0.2, rotation=rotation, flip=0.5, colour=0.5, blur=0.2
        )
        augmented = partial(augmented_pages, page, drawn)
        cuts = augmented()
        mapped = partial(maps_of_pages, cuts, config)
        took = medians({"augment": augmented, "targets": mapped}, rounds)
        texts = sum(len(cut.regions) for cut in cuts) / len(cuts)
        print(
            f"page of {page.image.shape[0]} px, crop of {crop} px, up to {rotation:g} degrees: "
            f"augment {took['augment'] / len(cuts):.2f} ms, targets "
            f"{took['targets'] / len(cuts):.2f} ms for {texts:.1f} texts"
        )


def augmented_pages(page: LoadedPage, config: AugmentationConfig) -> list[LoadedPage]:
    """Ten crops of a page."""
    return [augment(page, SIDE, config, np.random.default_rng(seed)) for seed in range(10)]


def maps_of_pages(pages: list[LoadedPage], config: TargetConfig) -> None:
    """Draw the maps of crops."""
    for page in pages:
        make_targets(page.regions, (page.image.shape[0], page.image.shape[1]), config)


@click.command()
@click.option("--rounds", default=11, help="Rounds that are measured.")
def main(rounds: int) -> None:
    """Compare, and print."""
    cv2.setNumThreads(1)
    config = TargetConfig()
    targets_table(rounds, config)
    pages_table(rounds, config)


if __name__ == "__main__":
    main()
