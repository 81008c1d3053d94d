"""Pictures of what MLflow has no view of its own for, and previews of pictures."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from toolkit.events import ConfusionMatrix
from toolkit.events import Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREVIEW_PIXELS = 640

_DOTS_PER_INCH = 100
_MOST_CLASSES_WITH_NUMBERS = 20
_MOST_TICKS = 60
_LONGEST_LABEL = 28


def preview(picture: bytes) -> bytes:
    """The picture in WebP, neither wider nor higher than `PREVIEW_PIXELS`."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        has_alpha = image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info
        small = image.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS))
    content = io.BytesIO()
    small.save(content, format="WEBP")
    return content.getvalue()


def confusion_matrix(event: ConfusionMatrix) -> bytes:
    """A heat map in PNG: each row's shares as colours, and counts where there is room for them."""
    import numpy as np

    counts = np.array(event.counts, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(event.labels)
    has_numbers = size <= _MOST_CLASSES_WITH_NUMBERS
    side = min(max(5.0, size * (0.5 if has_numbers else 0.24)), 16.0)
    figure, axes = _canvas(side + 1, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the actual class")
    if has_numbers:
        for row, column in np.ndindex(size, size):
            colour = "white" if shares[row, column] > 0.5 else "black"
            number = str(event.counts[row][column])
            axes.text(column, row, number, ha="center", va="center", color=colour, size=8)
    _name_classes(axes, event.labels)
    axes.set_title(_titled(event.name, event.step), parse_math=False)
    return _png(figure)


def _name_classes(axes: Axes, labels: tuple[str, ...]) -> None:
    stride = -(-len(labels) // _MOST_TICKS)
    places = range(0, len(labels), stride)
    names = [_shortened(labels[place]) for place in places]
    slant = {"rotation": 90} if len(labels) > 12 else {"rotation": 40, "ha": "right"}
    axes.set_xticks(places, names, parse_math=False, size=8, rotation_mode="default", **slant)
    axes.set_yticks(places, names, parse_math=False, size=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")


def histogram(event: Histogram) -> bytes:
    """Bars in PNG; the title says how many values were not finite."""
    figure, axes = _canvas(5.0, 5.0)
    axes.stairs(event.counts, event.edges, fill=True)
    axes.set_ylabel("values")
    axes.margins(x=0.02)
    title = _titled(event.key, event.step)
    if event.not_finite:
        title += f" ({event.not_finite} values not finite)"
    axes.set_title(title, parse_math=False)
    return _png(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # not pyplot: it would look for a screen

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font doesn't have is drawn as a box
        figure.savefig(content, format="png", dpi=_DOTS_PER_INCH, bbox_inches="tight")
    return content.getvalue()


def _titled(name: str, step: int | None) -> str:
    return name if step is None else f"{name}, step {step}"


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
