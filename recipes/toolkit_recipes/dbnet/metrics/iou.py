"""Recall and precision by intersection over union: the ICDAR 2015 protocol for detection.

A text and a detection match where the area that they share is more than a threshold of the area
that they cover together; each text in its order takes the first detection that is still free. Texts
to be ignored can neither be found nor missed, and a detection of which more than half lies in one
of them is neither right nor wrong. Counts are added over the pages of a set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.overlap import Flags
from toolkit_recipes.dbnet.metrics.overlap import Floats
from toolkit_recipes.dbnet.metrics.overlap import Overlap
from toolkit_recipes.dbnet.metrics.overlap import overlap
from toolkit_recipes.dbnet.metrics.scores import Score
from toolkit_recipes.dbnet.metrics.scores import score

IGNORED_SHARE = 0.5


@frozen
class IouCounts:
    """Texts and detections that count, and pairs of them that match."""

    care_gt: int = 0
    care_det: int = 0
    matched: int = 0

    def __add__(self, other: IouCounts) -> IouCounts:
        return IouCounts(
            self.care_gt + other.care_gt,
            self.care_det + other.care_det,
            self.matched + other.matched,
        )

    @property
    def score(self) -> Score:
        """Recall and precision over everything that was counted."""
        return score(self.matched, self.care_gt, self.matched, self.care_det)


@frozen(eq=False)
class Matching:
    """Which texts and detections of a page count; ``partner`` [G]: its detection, -1 for none."""

    gt_care: Flags
    det_care: Flags
    partner: NDArray[np.intp]

    @property
    def counts(self) -> IouCounts:
        """The page in numbers."""
        return IouCounts(
            int(self.gt_care.sum()), int(self.det_care.sum()), int((self.partner >= 0).sum())
        )


def count(
    regions: Sequence[TextRegion], detections: Sequence[Detection], threshold: float = 0.5
) -> IouCounts:
    """Count the texts of a page, the detections on it and the pairs that match."""
    return match(overlap(regions, detections), threshold).counts


def match(page: Overlap, threshold: float = 0.5) -> Matching:
    """Match the texts of a page with detections that overlap them by more than ``threshold``."""
    gt_care = ~page.ignored
    in_ignored = page.shared[page.ignored] > IGNORED_SHARE * page.det_area
    det_care = np.logical_not(in_ignored.any(axis=0))
    allowed = gt_care[:, None] & det_care & (iou(page) > threshold)
    return Matching(gt_care, det_care, _greedy(allowed))


def iou(page: Overlap) -> Floats:
    """Intersection over union [G, D]; 0 where both are empty."""
    union = page.gt_area[:, None] + page.det_area - page.shared
    return np.divide(page.shared, union, out=np.zeros_like(union), where=union > 0)


def _greedy(allowed: Flags) -> NDArray[np.intp]:
    partner = np.full(len(allowed), -1)
    taken = set()
    for gt, det in np.argwhere(allowed).tolist():
        if partner[gt] < 0 and det not in taken:
            partner[gt] = det
            taken.add(det)
    return partner
