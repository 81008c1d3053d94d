"""Pictures, figures and counts: what callers hand over, made into what a journal can hold.

NumPy and Pillow are imported where they are needed: the core works without them.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from typing import Any

from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.values import shown

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from PIL.Image import Image

MAX_BINS = 512
"""More than any tracker draws; W&B takes no more."""

_LARGEST = 1e300  # beyond it, the widths of bins are no numbers any more
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = (1, 3, 4)
_MODES_OF_PNG = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"))
_TORCHS_OWN = ("torch.bfloat16", "torch.float8")  # types that NumPy doesn't have
_INSTALL = 'pip install "toolkit-tracker[media]"'


def image_file(name: str, image: Any, suffix: str = ".png") -> bytes:
    """The image as the content of a file with this suffix.

    Args:
        name: what to call it in an error.
        image: a PIL image; the path of an image file; or an array or tensor, H x W, H x W x C or
            C x H x W with 1, 3 or 4 channels. Integers are 0 to 255; floats are 0 to 1, others are
            stretched to that range, and NaN is black.
        suffix: with its dot; the format.

    Raises:
        InvalidValueError: it is none of these, or no format has this suffix.
        UsageError: there is no such file, or Pillow is needed and not installed.
    """
    if isinstance(image, str | os.PathLike):
        return _image_from_file(name, Path(image), suffix)
    picture = image if hasattr(image, "save") and hasattr(image, "mode") else _drawn(name, image)
    return _saved(name, picture, suffix)


def _image_from_file(name: str, path: Path, suffix: str) -> bytes:
    if not path.is_file():
        raise UsageError(f"image {name!r}: there is no file {path}")
    content = path.read_bytes()
    same_format = content.startswith(_PNG) if suffix == ".png" else path.suffix.lower() == suffix
    if same_format:
        return content
    try:
        picture = _pillow().open(io.BytesIO(content))
        picture.load()
    except OSError as error:
        raise InvalidValueError(f"image {name!r}: {path} is not an image: {error}") from error
    return _saved(name, picture, suffix)


def _saved(name: str, picture: Image, suffix: str) -> bytes:
    kind = _pillow().registered_extensions().get(suffix)
    if kind is None:
        raise InvalidValueError(f"image {name!r}: no image format has the suffix {suffix!r}")
    if kind == "PNG" and picture.mode not in _MODES_OF_PNG:
        picture = picture.convert("RGB")
    if kind == "JPEG" and picture.mode != "L":
        picture = picture.convert("RGB")
    content = io.BytesIO()
    try:
        picture.save(content, format=kind)
    except (OSError, KeyError, ValueError) as error:
        raise InvalidValueError(f"image {name!r}: can't be written as {suffix}: {error}") from error
    return content.getvalue()


def _drawn(name: str, pixels: Any) -> Image:
    array = _channels_last(name, as_array(f"image {name!r}", pixels))
    picture: Image = _pillow().fromarray(_as_bytes(name, array))
    return picture


def _channels_last(name: str, array: np.ndarray) -> np.ndarray:
    if array.size and array.ndim == 2:
        return array
    if array.size and array.ndim == 3:
        if array.shape[-1] not in _CHANNELS and array.shape[0] in _CHANNELS:
            array = array.transpose(1, 2, 0)
        if array.shape[-1] in _CHANNELS:
            return array[..., 0] if array.shape[-1] == 1 else array
    raise InvalidValueError(
        f"image {name!r}: expected H x W, H x W x C or C x H x W with 1, 3 or 4 channels, got "
        f"shape {array.shape}"
    )


def _as_bytes(name: str, array: np.ndarray) -> np.ndarray:
    import numpy as np

    if array.dtype.kind == "b":
        return np.ascontiguousarray(array * np.uint8(255))
    if array.dtype.kind in "iu":
        if array.min() < 0 or array.max() > 255:
            raise InvalidValueError(
                f"image {name!r}: whole numbers must be 0 to 255, got {array.min()} to "
                f"{array.max()}"
            )
        return np.ascontiguousarray(array.astype(np.uint8))
    if array.dtype.kind != "f":
        raise InvalidValueError(f"image {name!r}: expected numbers, got {array.dtype}")
    array = array.astype(np.float64)
    finite = array[np.isfinite(array)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if low < 0 or high > 1:
        array = (array - low) / (high - low if high > low else 1.0)
    unit = np.clip(np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    return np.ascontiguousarray((unit * 255).round().astype(np.uint8))


def figure_file(figure: Any, name: str, options: Mapping[str, Any]) -> bytes:
    """The figure as the content of a file; the suffix of ``name`` says the format.

    Args:
        figure: one of Matplotlib (png, svg, pdf, ...) or Plotly (html; images with kaleido).
        name: the file's path.
        options: what else to tell ``savefig``, ``to_html`` or ``to_image``.

    Raises:
        InvalidValueError: it is no such figure, or it can't be written in this format.
    """
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if hasattr(figure, "savefig"):
            content = io.BytesIO()
            figure.savefig(content, **{"format": suffix[1:], **options})
            return content.getvalue()
        if hasattr(figure, "write_html") and suffix == ".html":
            page = figure.to_html(**{"include_plotlyjs": "cdn", **options})
            return str(page).encode("utf-8")
        if hasattr(figure, "to_image"):
            return bytes(figure.to_image(**{"format": suffix[1:], **options}))
    except ValueError as error:
        raise InvalidValueError(f"figure {name!r}: can't be written: {error}") from error
    raise InvalidValueError(
        f"figure {name!r}: expected a Matplotlib or Plotly figure and a suffix such as .png, .svg "
        f"or .html, got {shown(figure)}"
    )


def histogram(key: str, values: Any, bins: int) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Edges and counts of equal bins over the finite values, and how many are not finite.

    Raises:
        InvalidValueError: the values are not real numbers, or finite and beyond 1e300, or the bins
            are not 1 to `MAX_BINS`.
    """
    if not 1 <= bins <= MAX_BINS:
        raise InvalidValueError(f"histogram {key!r}: bins must be 1 to {MAX_BINS}, got {bins!r}")
    array = as_array(f"histogram {key!r}", values).ravel()
    import numpy as np

    if array.size and array.dtype.kind not in "biuf":
        raise InvalidValueError(f"histogram {key!r}: expected real numbers, got {shown(values)}")
    array = array.astype(np.float64)
    finite = array[np.isfinite(array)]
    counts, edges = np.histogram(finite, bins, _range(key, finite, bins))
    return tuple(edges.tolist()), tuple(map(float, counts)), int(array.size - finite.size)


def _range(key: str, finite: np.ndarray, bins: int) -> tuple[float, float]:
    """The values' range, widened where floats lie too far apart for so many bins."""
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if max(-low, high) > _LARGEST:
        raise InvalidValueError(
            f"histogram {key!r}: values must be -1e300 to 1e300, got {low} to {high}"
        )
    least = 4 * bins * math.ulp(max(abs(low), abs(high)))
    if low == high:
        least = max(least, 1.0)
    pad = max(0.0, (least - (high - low)) / 2)
    return low - pad, high + pad


def confusion(
    name: str, labels: Any, counts: Any
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Labels and counts of a confusion matrix, checked.

    Raises:
        InvalidValueError: two labels are the same, the counts are not a square of their size, or
            not whole numbers from 0.
    """
    texts = tuple(map(str, _listed(labels)))
    if len(set(texts)) < len(texts):
        doubled = sorted({text for text in texts if texts.count(text) > 1})
        raise InvalidValueError(f"confusion matrix {name!r}: labels come twice: {doubled}")
    rows = [_listed(row) for row in _listed(counts)]
    if not rows or [len(row) for row in rows] != [len(texts)] * len(texts):
        shape = f"{len(rows)} x {len(rows[0]) if rows else 0}"
        raise InvalidValueError(
            f"confusion matrix {name!r}: {len(texts)} labels need as many rows and columns of "
            f"counts, got {shape}"
        )
    return texts, tuple(tuple(_count(name, cell) for cell in row) for row in rows)


def _listed(values: Any) -> list[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _count(name: str, cell: Any) -> int:
    value = cell.item() if hasattr(cell, "item") else cell
    if not isinstance(value, int | float) or value < 0 or value != value // 1:
        raise InvalidValueError(
            f"confusion matrix {name!r}: counts are whole numbers from 0, got {shown(cell)}"
        )
    return int(value)


def as_array(what: str, values: Any) -> np.ndarray:
    """An array, tensor or (nested) sequence as a NumPy array, wherever it lies.

    Raises:
        InvalidValueError: it is none of these; the message begins with ``what``.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise UsageError(f"{what}: reading arrays and tensors needs NumPy: {_INSTALL}") from error
    try:
        for step in ("detach", "cpu"):
            values = getattr(values, step)() if hasattr(values, step) else values
        if str(getattr(values, "dtype", "")).startswith(_TORCHS_OWN):
            values = values.float()
        return np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidValueError(f"{what}: can't read {shown(values)}: {error}") from error


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ImportError as error:
        raise UsageError(
            f"log_image needs Pillow for all but files in their own format: {_INSTALL}"
        ) from error
    return PIL.Image
