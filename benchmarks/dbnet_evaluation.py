"""DBNet's evaluation beside the usual way.

    taskset -c 1 python -m benchmarks.dbnet_evaluation [--rounds 11]

Time is CPU time of the one thread that works; the ways take turns, and medians are shown. The usual
way is written out below: shapely polygons made and compared for every pair of a text and a
detection. Both must count the same. CLEval has no usual way here; ours is timed by itself, together
with everything else that is measured of a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click
import numpy as np
from attrs import frozen
from shapely import Polygon

from benchmarks.dbnet_postprocess import receipt
from benchmarks.dbnet_targets import medians
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.iou import IouCounts
from toolkit_recipes.dbnet.metrics.iou import count
from toolkit_recipes.dbnet.metrics.report import tally


@frozen
class EvaluationTimes:
    """Milliseconds per page: IoU in both ways, and all that we measure, CLEval among it."""

    boxes: int
    usual_ms: float
    ours_ms: float
    everything_ms: float


def measure_evaluation(boxes: int, rounds: int) -> EvaluationTimes:
    """Compare both ways on a receipt of ``boxes`` texts that were mostly found."""
    regions = page(boxes)
    detections = found(regions)
    usual = partial(usual_count, regions, detections)
    ours = partial(count, regions, detections)
    everything = partial(tally, regions, detections)
    if usual() != ours():
        raise AssertionError(f"the usual way counts {usual()}, ours {ours()}")
    took = medians({"usual": usual, "ours": ours, "everything": everything}, rounds)
    return EvaluationTimes(boxes, took["usual"], took["ours"], took["everything"])


def page(boxes: int) -> list[TextRegion]:
    """A receipt on which every tenth text is to be ignored."""
    return [
        TextRegion(region.polygon, text="0123456789", ignore=i % 10 == 9)
        for i, region in enumerate(receipt(boxes))
    ]


def found(regions: Sequence[TextRegion]) -> list[Detection]:
    """The texts, moved by up to 3 pixels."""
    rng = np.random.default_rng(8)
    return [Detection(region.polygon + rng.uniform(-3, 3, (4, 2)), 0.9) for region in regions]


def usual_count(
    regions: Sequence[TextRegion], detections: Sequence[Detection], threshold: float = 0.5
) -> IouCounts:
    """Count as evaluation code usually does, pair by pair."""
    det_care = [not _usual_ignored(detection, regions) for detection in detections]
    ious = [[_usual_iou(region, detection) for detection in detections] for region in regions]
    taken: set[int] = set()
    for gt, region in enumerate(regions):
        for det in range(len(detections)):
            free = not region.ignore and det_care[det] and det not in taken
            if free and ious[gt][det] > threshold:
                taken.add(det)
                break
    return IouCounts(sum(not region.ignore for region in regions), sum(det_care), len(taken))


def _usual_ignored(detection: Detection, regions: Sequence[TextRegion]) -> bool:
    for region in regions:
        if region.ignore:
            area = Polygon(detection.polygon).area
            shared = Polygon(region.polygon).intersection(Polygon(detection.polygon)).area
            if area and shared / area > 0.5:
                return True
    return False


def _usual_iou(region: TextRegion, detection: Detection) -> float:
    text, other = Polygon(region.polygon), Polygon(detection.polygon)
    if not text.is_valid or not other.is_valid:
        return 0.0
    shared: float = text.intersection(other).area
    union: float = Polygon(region.polygon).union(Polygon(detection.polygon)).area
    return shared / union


@click.command()
@click.option("--rounds", default=11, help="Rounds that are measured.")
def main(rounds: int) -> None:
    """Compare, and print."""
    for boxes in (50, 100, 153):
        took = measure_evaluation(boxes, rounds)
        print(
            f"{boxes} boxes: usual {took.usual_ms:.1f} ms, ours {took.ours_ms:.2f} ms, "
            f"{took.usual_ms / took.ours_ms:.0f} times as fast; with CLEval and recall by height "
            f"{took.everything_ms:.2f} ms"
        )


if __name__ == "__main__":
    main()
