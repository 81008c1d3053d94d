"""Images of pages, read from files of any kind into RGB, or refused with a reason.

What is done with a file that isn't an ordinary RGB image:

- gray, palette, 1 bit, CMYK, YCbCr: converted;
- transparent: laid on white paper, so that black text on transparency stays;
- 16 bits a channel: scaled to 8 bits, 65535 being white; in JPEG 2000 also 10 or 12 bits;
- turned by its EXIF: turned as viewers show it, unless ``exif`` is off; EXIF that can't be read
  counts as none, as it does for viewers. A TIFF is always turned as it says;
- several frames or pages: the first one;
- empty, not an image, cut off, numbers of 32 bits, more than 8 bits a channel in JPEG 2000 that
  isn't gray, RGB or RGBA at full size, more than ``MAX_PIXELS`` pixels, EXIF behind the pixels that
  turns the image: refused with an :class:`ImageError`.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from PIL import ExifTags
from PIL import Image
from PIL import UnidentifiedImageError

from toolkit.errors import UsageError
from toolkit_recipes.dbnet.jpeg2000 import in_8_bits
from toolkit_recipes.dbnet.names import printable

MAX_PIXELS = 120_000_000
"""The largest image that is read; in memory it takes 360 MB."""

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of the files that are taken for images, in lower case."""

_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_LARGEST_16_BIT = 65535

_TO_UPRIGHT = types.MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_UPRIGHT = 1
_FIRST_ON_ITS_SIDE = 5


class ImageError(UsageError):
    """An image that can't be used; the message names the file and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(printable(f"{path}: {reason}"))
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[Path, str]]:
        """Let the error travel from a data loader's worker."""
        return type(self), (self.path, self.reason)


@frozen
class Header:
    """What the beginning of an image file says: its size as it will be loaded, in pixels."""

    width: int
    height: int
    turned: bool
    """Loading turns or mirrors what the file holds, as its EXIF says."""


def read_header(path: Path, *, exif: bool = True) -> Header:
    """Read the size of an image without reading its pixels.

    Raises:
        ImageError: the file is missing, empty, too large or not an image.
    """
    with _opened(path) as image:
        orientation = _orientation(image) if exif else _UPRIGHT
        width, height = image.size
    if orientation >= _FIRST_ON_ITS_SIDE:
        width, height = height, width
    return Header(width, height, turned=orientation != _UPRIGHT)


def load_image(path: Path, *, exif: bool = True) -> NDArray[np.uint8]:
    """Read an image as RGB, uint8 [H, W, 3].

    Raises:
        ImageError: the file is missing, damaged, too large or not an image.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        image.load()
        if exif and _orientation(image) != orientation:
            raise ImageError(path, "its EXIF stands behind its pixels; save it anew")
        loaded = in_8_bits(image, path.read_bytes()) if image.format == "JPEG2000" else image
        if exif and orientation != _UPRIGHT:
            return _rgb(path, loaded.transpose(_TO_UPRIGHT[orientation]))
        return _rgb(path, loaded)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image and put whatever goes wrong with it into words."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images and of odd metadata; the limit here is MAX_PIXELS.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(path, _too_large(f"{image.width} x {image.height} pixels"))
                yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(path, _not_an_image(path)) from None
    except Image.DecompressionBombError:
        raise ImageError(path, _too_large("far too many pixels")) from None
    # Pillow's decoders raise nearly anything when they meet damaged files.
    except Exception as error:
        raise ImageError(path, f"can't be read ({_words(error)})") from error


def _too_large(size: str) -> str:
    return f"{size}, more than the {MAX_PIXELS:,} that are read; save it smaller"


def _not_an_image(path: Path) -> str:
    if path.stat().st_size == 0:
        return "empty, 0 bytes"
    return f"not an image, or not one of {', '.join(_FORMATS)}"


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """How the file holds the image, as EXIF numbers it from 1 to 8; 1 is upright."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, _UPRIGHT)
    # Whatever is wrong with its EXIF, viewers show the image as it is stored.
    except Exception:
        return _UPRIGHT
    # Pillow turns a TIFF by itself.
    known = image.format != "TIFF" and orientation in _TO_UPRIGHT
    return int(orientation) if known else _UPRIGHT


def _rgb(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _SIXTEEN_BITS:
        return _from_16_bits(path, np.asarray(image))
    if image.mode == "F":
        raise ImageError(path, "its pixels are 32-bit fractions; save it with 8 or 16 bits")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _from_16_bits(path: Path, values: NDArray[np.generic]) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > _LARGEST_16_BIT:
        raise ImageError(path, "its pixels are 32-bit numbers; save it with 8 or 16 bits")
    gray = ((wide * 255 + _LARGEST_16_BIT // 2) // _LARGEST_16_BIT).astype(np.uint8)
    return np.repeat(gray[..., np.newaxis], 3, axis=2)
