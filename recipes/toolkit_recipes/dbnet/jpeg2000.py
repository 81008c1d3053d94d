"""JPEG 2000 with more than 8 bits a colour, in which Pillow turns white into black.

Pillow rounds such colours up to 256, of which 8 bits keep 0. OpenCV reads them as they are.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from PIL import Image

_SIZE_MARKER = b"\xff\x4f\xff\x51"
"""Start of the codestream and of the segment that describes its components (ISO 15444-1, A.5.1)."""
_COUNT_AT = 40
_COMPONENT = struct.Struct("3B")
"""Bits of a component less one, with 128 for signed numbers, and the steps of its pixels."""
_BITS_OF_PILLOW = 8
_BITS_OF_OPENCV = 16
_PLAIN = [0, 1, 1]
"""Numbers without sign, one for every pixel."""
_MODES = frozenset({"RGB", "RGBA"})
_REFUSAL = "more than 8 bits a colour in JPEG 2000; save it as PNG or TIFF"


def in_8_bits(image: Image.Image, content: bytes) -> Image.Image:
    """Return an image in 8 bits a colour, read anew where Pillow reads other colours.

    Args:
        image: as Pillow opened it.
        content: of its file.

    Raises:
        ValueError: colours of more than 8 bits are of a kind that OpenCV doesn't read either.
    """
    components = _components(content)
    if image.mode.startswith("I") or max(components)[0] <= _BITS_OF_PILLOW:
        return image
    (bits, *form), *others = set(components)
    if image.mode not in _MODES or others or bits > _BITS_OF_OPENCV or form != _PLAIN:
        raise ValueError(_REFUSAL)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(_REFUSAL)
    order = cv2.COLOR_BGR2RGB if image.mode == "RGB" else cv2.COLOR_BGRA2RGBA
    scaled = np.rint(cv2.cvtColor(pixels, order) * (255 / ((1 << bits) - 1)))
    return Image.fromarray(scaled.astype(np.uint8))


def _components(content: bytes) -> list[tuple[int, int, int, int]]:
    """Bits of each component, 1 where it is signed, and the steps of its pixels."""
    start = content.index(_SIZE_MARKER) + _COUNT_AT
    (count,) = struct.unpack_from(">H", content, start)
    first = start + struct.calcsize(">H")
    found = content[first : first + count * _COMPONENT.size]
    parts = _COMPONENT.iter_unpack(found)
    return [(bits % 128 + 1, bits // 128, across, down) for bits, across, down in parts]
