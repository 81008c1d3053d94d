"""What the figures of a run give reason to look into, in sentences.

The rules are those of the tracking guide that this recipe keeps: a mean similarity that is too low,
a spread that is too small, a share of core classes far from the usual one, a validation loss that
rises while the training loss falls, and self-training that doesn't become surer of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from toolkit.events import Metrics
from toolkit.journal import events_of
from toolkit.rundir import RunDir

TRAIN_LOSS, VAL_LOSS = "stage3/epoch_train_loss", "stage3/epoch_val_loss"
CONFIDENCE_RATIO, TARGET_ENTROPY = "stage4/confidence_ratio", "stage4/avg_target_entropy"
LOW_SIMILARITY_MEAN = 0.03
"""With MiniLM, documents and class names of one subject had a mean cosine of .05 to .08 on three
corpora, those of different subjects down to .005."""
SMALL_SIMILARITY_SPREAD = 0.04
"""With MiniLM, the standard deviation was .08 to .10 on three corpora, and .06 for texts of random
letters; below this, classes can hardly be told apart."""
EVEN_PROBABILITY = 0.5
"""Of entailment, from which on a model says yes rather than no. Probabilities of unrelated pairs
are next to 0, so the limits of cosines say nothing about them."""
USUAL_CORE_SHARE = (0.2, 0.3)
"""Share of the classes that the guide expects to be core for some document."""
CORE_SHARE_FACTOR = 2.0
"""How often beyond its usual range a share counts as far from it."""
NOTABLE_CHANGE = 0.01
"""Part of its size by which a figure must change to count as risen or fallen."""


@frozen
class EpochLosses:
    """Mean losses of an epoch of stage 3."""

    train: float
    val: float


@frozen
class History:
    """What a run has recorded of its training so far, before it was resumed as well."""

    epochs: tuple[EpochLosses, ...] = ()
    """Of stage 3, those with a validation loss."""
    self_training: tuple[Mapping[str, float], ...] = ()
    """Metrics of stage 4 by their logged names, a mapping per iteration."""


def read_history(run_dir: Path) -> History:
    """Read the journal of a run, also of one that is still going on."""
    logged = [event for _, event in events_of(RunDir(run_dir).journal, Metrics)]
    values = [event.values for event in logged if isinstance(event, Metrics)]
    losses = [(v.get(TRAIN_LOSS), v.get(VAL_LOSS)) for v in values]
    return History(
        tuple(EpochLosses(a, b) for a, b in losses if a is not None and b is not None),
        tuple(v for v in values if CONFIDENCE_RATIO in v and TARGET_ENTROPY in v),
    )


def advice(
    stage1: Mapping[str, float],
    stage2: Mapping[str, float],
    num_classes: int,
    history: History | None = None,
    backend: Literal["embedding", "entailment"] = "embedding",
) -> list[str]:
    """Return a sentence for each figure that should be looked into; none where all is well.

    Args:
        stage1: metrics of stage 1 by their logged names.
        stage2: metrics of stage 2 by their logged names.
        num_classes: classes of the taxonomy.
        history: of stages 3 and 4, where there is any.
        backend: what the similarities of stage 1 are, cosines or probabilities of entailment.
    """
    past = history or History()
    return [
        *(_about_cosines(stage1) if backend == "embedding" else _about_entailment(stage1)),
        *_about_core_classes(stage2, num_classes),
        *_about_losses(past.epochs),
        *_about_self_training(past.self_training),
    ]


def _about_cosines(stage1: Mapping[str, float]) -> list[str]:
    mean, spread = stage1["stage1/similarity_mean"], stage1["stage1/similarity_std"]
    found = []
    if mean < LOW_SIMILARITY_MEAN:
        found.append(
            f"Stage 1: the mean similarity is {mean:.3f}, below {LOW_SIMILARITY_MEAN}: encoder and "
            "data may not fit; try another encoder, a template in the words of the documents, or "
            "check that the classes are about these documents."
        )
    if spread < SMALL_SIMILARITY_SPREAD:
        found.append(
            f"Stage 1: similarities spread by only {spread:.3f}, less than "
            f"{SMALL_SIMILARITY_SPREAD}: all classes look alike to this encoder; try another one, "
            "or give key terms of the classes."
        )
    return found


def _about_entailment(stage1: Mapping[str, float]) -> list[str]:
    highest, lowest = stage1["stage1/similarity_max"], stage1["stage1/similarity_min"]
    found = []
    if highest < EVEN_PROBABILITY:
        found.append(
            f"Stage 1: the highest probability of entailment is {highest:.3f}: the model takes no "
            "document to be about any class; try another model with similarity.model, or a "
            "similarity.template in the words that it was trained on."
        )
    if lowest >= EVEN_PROBABILITY:
        found.append(
            f"Stage 1: the lowest probability of entailment is {lowest:.3f}: the model takes every "
            "document to be about every class it was asked for; try another model with "
            "similarity.model, or a similarity.template that says more."
        )
    return found


def _about_core_classes(stage2: Mapping[str, float], num_classes: int) -> list[str]:
    count = int(stage2["stage2/num_core_classes"])
    share = count / num_classes
    low, high = USUAL_CORE_SHARE
    if low / CORE_SHARE_FACTOR <= share <= high * CORE_SHARE_FACTOR:
        return []
    few = share < low
    return [
        f"Stage 2: {count} of {num_classes} classes ({share:.0%}) are core for some document, far "
        f"from the usual {low:.0%} to {high:.0%}: the rule that picks them "
        + (
            "is strict, and the classifier sees no positive example of the other classes."
            if few
            else "is lenient, or the documents spread over the whole taxonomy; if there are gold "
            "labels, look at the precision of the core classes."
        )
    ]


def _about_losses(epochs: Sequence[EpochLosses]) -> list[str]:
    if not epochs:
        return []
    best = min(range(len(epochs)), key=lambda i: epochs[i].val)
    then, last = epochs[best], epochs[-1]
    if not (_has_risen(then.val, last.val) and _has_risen(last.train, then.train)):
        return []
    return [
        f"Stage 3: after epoch {best + 1} the validation loss rose from {then.val:.4f} to "
        f"{last.val:.4f} while the training loss fell from {then.train:.4f} to {last.train:.4f}: "
        "the classifier learns its training documents by heart; train for fewer epochs, with a "
        "lower learning rate or more dropout."
    ]


def _about_self_training(iterations: Sequence[Mapping[str, float]]) -> list[str]:
    if not iterations:
        return []
    first, last = iterations[0], iterations[-1]
    ratio, entropy = CONFIDENCE_RATIO, TARGET_ENTROPY
    found = []
    if _has_risen(last[ratio], first[ratio]):
        found.append(
            f"Stage 4: the confidence ratio fell from {first[ratio]:.4f} to {last[ratio]:.4f}; it "
            "should rise: the targets may be wrong, so stop earlier or lower the learning rates."
        )
    if _has_risen(first[entropy], last[entropy]):
        found.append(
            f"Stage 4: the entropy of the targets rose from {first[entropy]:.4f} to "
            f"{last[entropy]:.4f}; it should fall: predictions become less sharp, so stop earlier "
            "or lower the learning rates."
        )
    return found


def _has_risen(before: float, after: float) -> bool:
    return after - before > NOTABLE_CHANGE * abs(before)
