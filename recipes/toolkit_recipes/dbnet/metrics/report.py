"""Everything that is measured of a set of pages, by name."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from attrs import field
from attrs import frozen

from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.metrics.cleval import ClevalCounts
from toolkit_recipes.dbnet.metrics.cleval import count_characters
from toolkit_recipes.dbnet.metrics.heights import HeightCounts
from toolkit_recipes.dbnet.metrics.heights import count_heights
from toolkit_recipes.dbnet.metrics.heights import no_heights
from toolkit_recipes.dbnet.metrics.iou import IouCounts
from toolkit_recipes.dbnet.metrics.iou import match
from toolkit_recipes.dbnet.metrics.overlap import overlap
from toolkit_recipes.dbnet.metrics.scores import Score


@frozen(eq=False)
class Tally:
    """What was counted on pages so far; tallies of different pages (processes) can be added.

    ``page_recall``, ``page_precision`` and ``page_hmean`` are sums over pages of CLEval's figures
    of each.
    """

    pages: int = 0
    iou: IouCounts = field(factory=IouCounts)
    cleval: ClevalCounts = field(factory=ClevalCounts)
    heights: HeightCounts = field(factory=no_heights)
    page_recall: float = 0.0
    page_precision: float = 0.0
    page_hmean: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.pages + other.pages,
            self.iou + other.iou,
            self.cleval + other.cleval,
            self.heights + other.heights,
            self.page_recall + other.page_recall,
            self.page_precision + other.page_precision,
            self.page_hmean + other.page_hmean,
        )


def evaluate(
    pages: Iterable[tuple[Sequence[TextRegion], Sequence[Detection]]], iou: float = 0.5
) -> dict[str, float]:
    """Measure what was found on pages.

    Args:
        pages: the texts of each page, and what was found on it, in the same coordinates.
        iou: overlap above which a text counts as found.

    Returns:
        The figures of :func:`figures`.
    """
    return figures(sum((tally(*page, iou=iou) for page in pages), Tally()))


def tally(
    regions: Sequence[TextRegion], detections: Sequence[Detection], iou: float = 0.5
) -> Tally:
    """Count what was found on one page."""
    page = overlap(regions, detections)
    matching = match(page, iou)
    characters = count_characters(regions, detections, page)
    return Tally(
        pages=1,
        iou=matching.counts,
        cleval=characters,
        heights=count_heights(regions, matching),
        page_recall=characters.score.recall,
        page_precision=characters.score.precision,
        page_hmean=characters.score.hmean,
    )


def figures(total: Tally) -> dict[str, float]:
    """All figures of a tally by name, as they are logged.

    ``recall``, ``precision`` and ``hmean`` are ICDAR's by IoU over the whole set;
    ``cleval_recall`` ... are CLEval's over all characters of the set, ``cleval_page_recall`` ...
    the means of each page's; ``recall_8_to_16px`` ... the recall by IoU of texts of that height.
    Without pages there is nothing but the first two kinds.
    """
    result = {**_named("", total.iou.score), **_named("cleval_", total.cleval.score)}
    if total.pages:
        result |= {
            "cleval_page_recall": total.page_recall / total.pages,
            "cleval_page_precision": total.page_precision / total.pages,
            "cleval_page_hmean": total.page_hmean / total.pages,
        }
    return result | {f"recall_{name}": share for name, share in total.heights.recall.items()}


def _named(prefix: str, score: Score) -> Mapping[str, float]:
    return {
        f"{prefix}recall": score.recall,
        f"{prefix}precision": score.precision,
        f"{prefix}hmean": score.hmean,
    }
