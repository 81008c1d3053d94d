"""Pages as the network sees them: changed at random for learning, only fitted for measuring.

Whatever is done to an image is done to the outlines of its texts as well. A page is never resized
as a whole for a crop: the part that the crop shows is cut out first, reduced by averaging, and then
scaled and turned in one go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import cv2
import numpy as np
from attrs import evolve
from attrs import frozen
from numpy.typing import NDArray

from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.presets import AugmentationConfig

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
"""[n, 2] of (x, y)."""

PADDING = (124, 116, 104)
"""Colour around a page: the mean of ImageNet, which the network is given as zeros."""
MULTIPLE = 32
"""What height and width of a fitted page are multiples of, as the network's strides ask for."""
LEGIBLE_HEIGHT = 0.75
"""Share of its height that a cut text must keep to be learned."""

_TOLERANCE = 1.0
"""Pixels that an excerpt, of whole pixels, may be off; a text cut by less isn't cut."""
_CONTRAST, _BRIGHTNESS, _TINT = 0.5, 0.25, 0.1
"""Most that contrast, brightness and one colour change by at full strength."""
_SHARPEST, _SOFTEST = 0.4, 1.2
"""Standard deviations of the blur in pixels."""


@frozen
class _Change:
    """What is done to a page, as drawn at random."""

    scale: float
    angle: float
    """Radians, clockwise on the screen."""
    flipped: bool
    blur: float
    """Standard deviation in pixels; 0 for none."""
    contrast: float
    brightness: float
    tint: tuple[float, float, float]


@frozen(eq=False)
class _Excerpt:
    """A part of a page at the scale of the crop, and where it was."""

    image: Image
    origin: Points
    end: Points
    """Top left and bottom right corner of the excerpt, on the page."""
    factor: Points
    """Pixels of the excerpt per pixel of the page, in x and y."""


@frozen(eq=False)
class _View:
    """Where the points of a page lie on a crop."""

    excerpt: _Excerpt
    matrix: Points
    """[2, 2]; turns a column (x, y) of the excerpt and scales it by what is left to scale."""
    shift: Points

    def place(self, points: Points) -> Points:
        """Put points of the page on the crop."""
        scaled = (points - self.excerpt.origin) * self.excerpt.factor
        moved: Points = scaled @ self.matrix.T + self.shift
        return moved


@frozen(eq=False)
class FittedPage:
    """A page scaled for the network and padded on the right and below."""

    name: str
    image: Image
    regions: tuple[TextRegion, ...]
    """The texts, on the fitted page."""
    page_regions: tuple[TextRegion, ...]
    """The texts, on the page as it was."""
    page_size: tuple[int, int]
    """Height and width of the page as it was."""
    size: tuple[int, int]
    """Height and width of the page within ``image``; the rest is padding."""
    scale: tuple[float, float]
    """What coordinates x and y of the page were multiplied by."""


def augment(
    page: LoadedPage, long_side: int, config: AugmentationConfig, rng: np.random.Generator
) -> LoadedPage:
    """Make a square crop of a page that was scaled, turned, mirrored, coloured and blurred.

    The crop is placed at random where it cuts no text, if there is such a place; a text that is
    longer than the crop is cut anyway, but not through its letters. A text outside the
    crop is dropped, one that reaches over its edge is cut off there (either by more than a pixel).
    What is left of a text, in one or several parts, is learned where it keeps
    :data:`LEGIBLE_HEIGHT` of the text's height and is at least as long as the text was high; any
    other rest becomes don't-care.

    Args:
        page: the page, its image [H, W, 3].
        long_side: longest side of the page in pixels at scale 1.
        config: how much is changed.
        rng: all random numbers come from here; always the same number of draws.

    Returns:
        The page, its image [``config.crop``, ``config.crop``, 3], padded where it is smaller.
    """
    change = _draw(config, rng)
    scale = long_side * change.scale / max(page.image.shape[:2])
    view = _view(page, scale, change, config.crop, rng)
    image = _coloured(_cut_out(view, config.crop), change)
    regions = _visible(page.regions, view, config.crop)
    if change.flipped:
        image = np.asarray(cv2.flip(image, 1), np.uint8)
        regions = [_mirrored(region, config.crop) for region in regions]
    return LoadedPage(page.name, image, tuple(regions))


def fit(page: LoadedPage, long_side: int, multiple: int = MULTIPLE) -> FittedPage:
    """Scale a page to its longest side and pad it to multiples of ``multiple`` pixels."""
    height, width = page.image.shape[:2]
    scale = long_side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    padded = tuple(-(-side // multiple) * multiple for side in size)
    scaled, factor = _resized(page.image, size)
    image = _padded(scaled, (0, padded[0] - size[0], 0, padded[1] - size[1]))
    regions = tuple(evolve(region, polygon=region.polygon * factor) for region in page.regions)
    return FittedPage(
        page.name, image, regions, page.regions, (height, width), size, (factor[0], factor[1])
    )


def _draw(config: AugmentationConfig, rng: np.random.Generator) -> _Change:
    size, angle, blur, contrast, brightness, *tint = rng.uniform(-1, 1, 8)
    mirrors, blurs = rng.random(2)
    softness = _SHARPEST + (_SOFTEST - _SHARPEST) * abs(blur)
    return _Change(
        scale=config.scale * (1 + config.scale_jitter) ** size,
        angle=math.radians(config.rotation * angle),
        flipped=bool(mirrors < config.flip),
        blur=softness if blurs < config.blur else 0.0,
        contrast=1 + _CONTRAST * config.colour * contrast,
        brightness=255 * _BRIGHTNESS * config.colour * brightness,
        tint=(
            1 + _TINT * config.colour * tint[0],
            1 + _TINT * config.colour * tint[1],
            1 + _TINT * config.colour * tint[2],
        ),
    )


def _view(
    page: LoadedPage, scale: float, change: _Change, crop: int, rng: np.random.Generator
) -> _View:
    """Choose where the crop lies and take the part of the page that it shows."""
    height, width = page.image.shape[:2]
    cosine, sine = math.cos(change.angle), math.sin(change.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    forth, back = scale * turn.T, turn / scale
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ forth
    low, high = frame.min(axis=0), frame.max(axis=0)
    texts = [region.polygon for region in page.regions if not region.ignore]
    window = low + _placed(
        _bounds(_mapped(texts, lambda p: p @ forth - low)), high - low, crop, rng
    )
    square = np.array([[0, 0], [crop, 0], [crop, crop], [0, crop]])
    # What is turned is brought to its final size by turning it, not twice.
    reduction = 1 / max(1, math.floor(1 / scale)) if change.angle else scale
    excerpt = _excerpt(page.image, (window + square) @ back, reduction)
    matrix = turn * (scale / reduction)
    anchor = np.clip((window + crop / 2) @ back, excerpt.origin, excerpt.end)
    shift = anchor @ forth - window - (anchor - excerpt.origin) * excerpt.factor @ matrix.T
    # Whole pixels where nothing is turned, so that no letter is blurred.
    return _View(excerpt, matrix, shift if change.angle else np.rint(shift))


def _mapped(outlines: Sequence[Polygon], move: Callable[[Points], Points]) -> list[Polygon]:
    """Move the points of all polygons at once, which is quicker than one by one."""
    if not outlines:
        return []
    ends = np.cumsum([len(outline) for outline in outlines])
    return np.split(move(np.concatenate(outlines)), ends[:-1])


def _bounds(outlines: Sequence[Polygon]) -> Points:
    """Left, top, right and bottom of each polygon: [n, 4]."""
    if not outlines:
        return np.zeros((0, 4))
    points = np.concatenate(outlines)
    starts = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    return np.concatenate((low, high), axis=1)


def _placed(boxes: Points, extent: Points, crop: int, rng: np.random.Generator) -> Points:
    """Draw the top left corner of a crop: first the rows, then the columns of the texts in them.

    Args:
        boxes: [n, 4], around the texts.
        extent: width and height of what the crop is taken from, from (0, 0) on.
        crop: the crop's side.
        rng: gives a number for the rows and one for the columns.

    Returns:
        (x, y), whole numbers; negative where the extent is smaller than the crop.
    """
    share_x, share_y = rng.random(2)
    top = _start(boxes[:, 1::2], extent[1], crop, share_y)
    boxes = boxes[(boxes[:, 3] > top) & (boxes[:, 1] < top + crop)]
    left = _start(boxes[:, ::2], extent[0], crop, share_x)
    return np.array([left, top])


def _start(spans: Points, extent: float, crop: int, share: float) -> float:
    """Choose where a crop begins, in one direction.

    Args:
        spans: [n, 2], where texts begin and end.
        extent: all begin and end from 0 to here, or are cut anyway.
        crop: length of the crop.
        share: from 0 to below 1, how far down the list of places the chosen one is.

    Returns:
        A place that shows a text and cuts none that is shorter than the crop. If there is no such
        place any that shows a text, so that dense parts of pages aren't avoided; if there is no
        text any.
    """
    first, last = math.ceil(min(0, extent - crop)), math.floor(max(0, extent - crop))
    starts = np.arange(first, last + 1, dtype=np.float64)
    low, high = spans[:, :1], spans[:, 1:]
    shows = ((high > starts) & (low < starts + crop)).any(axis=0)
    fits = (high - low <= crop) & (high > low)
    cuts = (low < starts) & (starts < high) | (low < starts + crop) & (starts + crop < high)
    for allowed in (shows & ~(cuts & fits).any(axis=0), shows):
        if allowed.any():
            starts = starts[allowed]
            break
    return float(starts[int(share * len(starts))])


def _excerpt(image: Image, corners: Points, scale: float) -> _Excerpt:
    """Take what lies between the corners, and a pixel around it to interpolate, at a scale."""
    size, margin = np.array(image.shape[1::-1]), 1 / scale
    low = np.clip(np.floor(corners.min(axis=0) - margin).astype(np.int64), 0, size - 1)
    high = np.clip(np.ceil(corners.max(axis=0) + margin).astype(np.int64), low + 1, size)
    width, height = (max(1, int(side * scale)) for side in (high - low).tolist())
    part, factor = _resized(image[low[1] : high[1], low[0] : high[0]], (height, width))
    return _Excerpt(part, low.astype(np.float64), high.astype(np.float64), factor)


def _resized(image: Image, size: tuple[int, int]) -> tuple[Image, Points]:
    """Resize to height and width: average whole blocks of pixels, then interpolate the rest.

    That is several times as quick as averaging over fractions of pixels. The last rows and columns
    are left out if they don't fill a block; so the second value says how much larger the others
    became, in x and y.
    """
    block = max(1, min(image.shape[0] // size[0], image.shape[1] // size[1]))
    height, width = (side // block for side in image.shape[:2])
    image = _scaled(image[: height * block, : width * block], (height, width), cv2.INTER_AREA)
    image = _scaled(image, size, cv2.INTER_LINEAR)
    return image, np.array([size[1] / width, size[0] / height]) / block


def _scaled(image: Image, size: tuple[int, int], method: int) -> Image:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)


def _coloured(image: Image, change: _Change) -> Image:
    """Blur and colour an image."""
    if change.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), change.blur), np.uint8)
    if change.contrast == 1 and change.brightness == 0:
        return image
    values = (np.arange(256) - 127.5) * change.contrast + 127.5 + change.brightness
    table = np.rint(np.clip(values[:, None] * change.tint, 0, 255)).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _cut_out(view: _View, crop: int) -> Image:
    """Turn the excerpt and put it on the square of the crop."""
    image = view.excerpt.image
    if not (view.matrix == np.eye(2)).all():
        # OpenCV has the centre of the first pixel at 0, not at 0.5.
        offset = view.matrix @ (0.5, 0.5) + view.shift - 0.5
        matrix = np.column_stack((view.matrix, offset))
        return np.asarray(
            cv2.warpAffine(image, matrix, (crop, crop), borderValue=PADDING), np.uint8
        )
    left, top = view.shift.astype(np.int64).tolist()
    visible = image[max(0, -top) : crop - top, max(0, -left) : crop - left]
    top, left = max(0, top), max(0, left)
    height, width = visible.shape[:2]
    return _padded(visible, (top, crop - top - height, left, crop - left - width))


def _padded(image: Image, margins: tuple[int, int, int, int]) -> Image:
    """Add rows above and below, and columns to the left and right."""
    filled = cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=PADDING)
    return np.asarray(filled, np.uint8)


def _visible(regions: Sequence[TextRegion], view: _View, crop: int) -> list[TextRegion]:
    """What the crop shows of the texts, with the rests of those that are cut."""
    placed = _mapped([region.polygon for region in regions], view.place)
    shown: list[TextRegion] = []
    for region, polygon, box in zip(regions, placed, _bounds(placed).tolist(), strict=True):
        if min(box) >= -_TOLERANCE and max(box) <= crop + _TOLERANCE:
            shown.append(evolve(region, polygon=polygon.clip(0, crop)))
        elif max(box[:2]) < crop - _TOLERANCE and min(box[2:]) > _TOLERANCE:
            shown += _rests(polygon, region.ignore, crop)
    return shown


def _rests(polygon: Polygon, ignored: bool, crop: int) -> Iterator[TextRegion]:
    """What the crop shows of a text that is cut, learned where it is legible."""
    height, _ = _strip(polygon)
    for part in polygons.clip(polygon, crop, crop):
        legible = not ignored and _is_legible(part, height)
        yield TextRegion(polygons.ordered(part), ignore=not legible)


def _is_legible(part: Polygon, height: float) -> bool:
    remaining, length = _strip(part)
    return remaining >= LEGIBLE_HEIGHT * height and length >= height


def _strip(polygon: Polygon) -> tuple[float, float]:
    """Height and length of a line of text, straight or bent.

    They are the sides of the rectangle of the polygon's area and perimeter, or of a square where
    the polygon is rounder than one.
    """
    area, half = polygons.area(polygon), polygons.perimeter(polygon) / 2
    root = math.sqrt(max(0.0, half * half - 4 * area))
    if root == 0:
        return math.sqrt(area), math.sqrt(area)
    return (half - root) / 2, (half + root) / 2


def _mirrored(region: TextRegion, width: int) -> TextRegion:
    """Mirror left to right, with the corners again clockwise from the top left."""
    mirrored = region.polygon[::-1] * (-1, 1) + (width, 0)
    half = len(mirrored) // 2
    return evolve(region, polygon=np.concatenate((mirrored[half:], mirrored[:half])))
