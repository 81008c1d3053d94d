"""DBNet's post-processing beside the usual way.

    taskset -c 1 python -m benchmarks.dbnet_postprocess [--rounds 21]

Time is CPU time of the one thread that works; the ways take turns, and medians are shown. The usual
way is written out below: for each contour the smallest rectangle, its mean probability, its outline
moved outwards by pyclipper over a shapely polygon, and the smallest rectangle again. It moves them
by the same distance as ours, so that the boxes can be compared.
"""

from __future__ import annotations

from functools import partial

import click
import cv2
import numpy as np
import pyclipper
import shapely
from attrs import frozen
from numpy.typing import NDArray

from benchmarks.dbnet_targets import medians
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.iou import count
from toolkit_recipes.dbnet.polygons import inverse_distance
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import make_targets

SIDE = 1024
Map = NDArray[np.float32]


@frozen
class PostprocessTimes:
    """Milliseconds of both ways for one map, and the share of texts that each finds (hmean)."""

    boxes: int
    usual_ms: float
    ours_ms: float
    polygons_ms: float
    usual_hmean: float
    ours_hmean: float


def measure_postprocessing(boxes: int, rounds: int) -> PostprocessTimes:
    """Compare both ways on the map of a perfect network for a receipt of ``boxes`` texts."""
    cv2.setNumThreads(1)
    ratio, config = TargetConfig().shrink_ratio, PostprocessConfig()
    regions = receipt(boxes)
    prob, size = probability_map(regions, ratio), (SIDE, SIDE)
    usual = partial(usual_texts, prob, config, ratio, size)
    ours = partial(find_texts, prob, config, ratio, size)
    polygons = partial(find_texts, prob, PostprocessConfig(shape="polygon"), ratio, size)
    took = medians({"usual": usual, "ours": ours, "polygons": polygons}, rounds)
    return PostprocessTimes(
        boxes,
        took["usual"],
        took["ours"],
        took["polygons"],
        count(regions, usual()).score.hmean,
        count(regions, ours()).score.hmean,
    )


def receipt(boxes: int) -> list[TextRegion]:
    """Texts in lines of 3, each turned by up to 2 degrees, on a page of 1024 px."""
    rng = np.random.default_rng(7)
    lines = -(-boxes // 3)
    pitch = (SIDE - 40) / lines
    regions = []
    for i in range(boxes):
        line, part = divmod(i, 3)
        width, height = rng.uniform(60, 280), rng.uniform(0.4, 0.6) * min(pitch, 36)
        middle = (180 + 320 * part + rng.uniform(-15, 15), 20 + pitch * (line + 0.5))
        quad = cv2.boxPoints((middle, (width, height), rng.uniform(-2, 2)))
        regions.append(TextRegion(quad.astype(np.float64)))
    return regions


def probability_map(regions: list[TextRegion], shrink_ratio: float) -> Map:
    """What a network that has learned its targets answers, edges a little soft."""
    config = TargetConfig(shrink_ratio=shrink_ratio, min_text_size=0)
    kernels = make_targets(regions, (SIDE, SIDE), config).prob.astype(np.float32)
    return cv2.GaussianBlur(kernels * 0.96 + 0.01, (3, 3), 0.5).astype(np.float32)


def usual_texts(
    prob: Map, config: PostprocessConfig, shrink_ratio: float, size: tuple[int, int]
) -> list[Detection]:
    """Quadrilaterals as code for DBNet usually makes them, one contour after the other."""
    bitmap = (prob > config.thresh).astype(np.uint8) * 255
    contours, _ = cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    height, width = size
    found = []
    for contour in contours[: config.max_candidates]:
        kernel, _ = _usual_box(contour)
        score = _usual_score(prob, kernel)
        if score < config.box_thresh:
            continue
        box, short_side = _usual_box(_usual_unclip(kernel, shrink_ratio))
        if short_side < config.min_size:
            continue
        box[:, 0] = np.clip((box[:, 0] + 0.5) / prob.shape[1] * width, 0, width)
        box[:, 1] = np.clip((box[:, 1] + 0.5) / prob.shape[0] * height, 0, height)
        found.append(Detection(box, score))
    return found


def _usual_box(contour: cv2.typing.MatLike) -> tuple[NDArray[np.float64], float]:
    rectangle = cv2.minAreaRect(contour)
    points = sorted(cv2.boxPoints(rectangle).tolist(), key=lambda point: point[0])
    left, right = sorted(points[:2], key=_y), sorted(points[2:], key=_y)
    return np.array([left[0], right[0], right[1], left[1]]), min(rectangle[1])


def _y(point: list[float]) -> float:
    return point[1]


def _usual_score(prob: Map, box: NDArray[np.float64]) -> float:
    height, width = prob.shape
    left = int(np.clip(np.floor(box[:, 0].min()), 0, width - 1))
    right = int(np.clip(np.ceil(box[:, 0].max()), 0, width - 1))
    top = int(np.clip(np.floor(box[:, 1].min()), 0, height - 1))
    bottom = int(np.clip(np.ceil(box[:, 1].max()), 0, height - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    moved = box - np.array([left, top])
    cv2.fillPoly(mask, [np.round(moved).astype(np.int32)], (1,))
    return cv2.mean(prob[top : bottom + 1, left : right + 1], mask)[0]


def _usual_unclip(box: NDArray[np.float64], shrink_ratio: float) -> NDArray[np.float32]:
    polygon = shapely.Polygon(box)
    distance = inverse_distance(polygon.area, polygon.length, shrink_ratio)
    units = 64
    offset = pyclipper.PyclipperOffset(2.0, 0.25 * units)
    offset.AddPath(
        np.round(box * units).astype(int).tolist(),
        pyclipper.JT_ROUND,
        pyclipper.ET_CLOSEDPOLYGON,
    )
    return np.array(offset.Execute(distance * units)[0], dtype=np.float32) / np.float32(units)


@click.command()
@click.option("--rounds", default=21, help="Rounds that are measured.")
def main(rounds: int) -> None:
    """Compare, and print."""
    for boxes in (50, 150):
        took = measure_postprocessing(boxes, rounds)
        print(
            f"{boxes} boxes, {SIDE} px: usual {took.usual_ms:.2f} ms (hmean "
            f"{took.usual_hmean:.3f}), ours {took.ours_ms:.2f} ms (hmean {took.ours_hmean:.3f}), "
            f"{took.usual_ms / took.ours_ms:.1f} times as fast; polygons {took.polygons_ms:.2f} ms"
        )


if __name__ == "__main__":
    main()
