"""From maps to texts: the inverse of making the targets, whatever the map."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from typing import Literal

import cv2
import numpy as np
import pytest
import shapely
from attrs import evolve
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tests.recipes.dbnet.evaluation_data import Polygon
from tests.recipes.dbnet.evaluation_data import bent_strip
from tests.recipes.dbnet.evaluation_data import box
from tests.recipes.dbnet.evaluation_data import needs_sroie
from tests.recipes.dbnet.evaluation_data import sroie_pages
from tests.recipes.dbnet.evaluation_data import turned_box
from tests.recipes.dbnet.kernels import kernels
from toolkit_recipes.dbnet.annotations import Detection
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.augmentation import fit
from toolkit_recipes.dbnet.metrics.iou import IouCounts
from toolkit_recipes.dbnet.metrics.iou import count
from toolkit_recipes.dbnet.polygons import area
from toolkit_recipes.dbnet.polygons import inverse_distance
from toolkit_recipes.dbnet.polygons import perimeter
from toolkit_recipes.dbnet.polygons import shrink_distance
from toolkit_recipes.dbnet.polygons import sides
from toolkit_recipes.dbnet.polygons import signed_area
from toolkit_recipes.dbnet.postprocess import find_texts
from toolkit_recipes.dbnet.presets import PostprocessConfig
from toolkit_recipes.dbnet.presets import TargetConfig
from toolkit_recipes.dbnet.targets import make_targets

Map = NDArray[np.float32]
Shape = Literal["quad", "polygon"]
SHAPES: tuple[Shape, ...] = ("quad", "polygon")
RATIOS = (0.4, 0.6)
SIZE = (200, 300)


def perfect_map(texts: list[Polygon], ratio: float, size: tuple[int, int] = SIZE) -> Map:
    """What a network that has learned its targets answers."""
    config = TargetConfig(shrink_ratio=ratio, min_text_size=0)
    return make_targets(map(TextRegion, texts), size, config).prob.astype(np.float32)


def found(prob: Map, ratio: float = 0.4, **options: Any) -> list[Detection]:
    """What is found on a page as large as the map."""
    config = evolve(PostprocessConfig(), **options)
    return find_texts(prob, config, ratio, (prob.shape[0], prob.shape[1]))


def iou(first: Polygon, second: Polygon) -> float:
    """Intersection over union."""
    one, other = shapely.Polygon(first), shapely.Polygon(second)
    shared: float = one.intersection(other).area / one.union(other).area
    return shared


@given(
    st.floats(8, 2000), st.floats(8, 2000), st.floats(-180, 180), st.sampled_from([0.3, 0.4, 0.6])
)
def test_inverse_of_shrinking(width: float, height: float, turn: float, ratio: float) -> None:
    """The area and the length of a rectangle's kernel tell how far it was shrunk."""
    text = turned_box((3000, 3000), width, height, turn)
    (kernel,) = kernels(text, ratio)
    distance = inverse_distance(area(kernel), perimeter(kernel), ratio)
    assert distance == pytest.approx(shrink_distance(text, ratio), abs=0.02)


@given(
    st.floats(80, 220), st.floats(80, 120), st.floats(24, 90), st.floats(16, 60),
    st.floats(-45, 45), st.sampled_from(RATIOS), st.sampled_from(SHAPES),
)  # fmt: skip
def test_rectangle(
    x: float, y: float, width: float, height: float, turn: float, ratio: float, shape: Shape
) -> None:
    """A rectangle is found where it is, whatever its size and turn, as both shapes."""
    text = turned_box((x, y), width, height, turn)
    (detection,) = found(perfect_map([text], ratio), ratio, shape=shape)
    least = 0.6 if ratio == 0.4 else 0.75
    assert iou(detection.polygon, text) > least
    assert detection.score > 0.7


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("turn", [0.0, 0.5, 3.0, 20.0, 44.0, -70.0])
def test_tilted_lines_are_as_high_as_upright_ones(ratio: float, turn: float) -> None:
    """On average over places, a small text is found as large as it is, however it is tilted."""
    rng = np.random.default_rng(8)
    sizes = []
    for x, y in rng.uniform(90, 110, (40, 2)):
        text = turned_box((x, y), 90, 14, turn)
        (detection,) = found(perfect_map([text], ratio), ratio)
        sizes.append(sides(detection.polygon))
    np.testing.assert_allclose(np.mean(sizes, axis=0), (14, 90), atol=0.75)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", SHAPES)
def test_whole_pixels(ratio: float, shape: Shape) -> None:
    """A text whose kernel ends on pixel centres is found to a small part of a pixel."""
    k = 1 - ratio**2
    width, height = 240.0, 60.0
    distance = k * width * height / (2 * (width + height))
    left, top = 20.5 - distance % 1, 40.5 - distance % 1
    right = np.floor(left + width - distance) + 0.5 + distance
    text = box(left, top, right - left, height)
    (detection,) = found(perfect_map([text], ratio), ratio, shape=shape)
    assert iou(detection.polygon, text) > 0.96


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("bend", [-40, 25, 60])
def test_bent_text(ratio: float, bend: float) -> None:
    """A bent text is found as the polygon that it is."""
    text = bent_strip((30, 100), 240, 28, bend)
    (detection,) = found(perfect_map([text], ratio), ratio, shape="polygon")
    assert iou(detection.polygon, text) > 0.9


@needs_sroie
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", SHAPES)
def test_receipts(ratio: float, shape: Shape) -> None:
    """Perfect maps of SROIE's test pages at 640 px have a hmean of .99 and more."""
    config, total = PostprocessConfig(shape=shape), IouCounts()
    for texts, (height, width) in sroie_pages():
        scale = 640 / max(height, width)
        size = (round(height * scale), round(width * scale))
        fitted = [text.polygon * (size[1] / width, size[0] / height) for text in texts]
        detections = find_texts(perfect_map(fitted, ratio, size), config, ratio, (height, width))
        total += count(texts, detections)
    assert total.score.hmean >= 0.99


def check(detections: list[Detection], size: tuple[int, int], config: PostprocessConfig) -> None:
    """Hold detections to what is promised of them."""
    assert len(detections) <= config.max_candidates
    assert all(first.score >= second.score for first, second in pairwise(detections))
    height, width = size
    for detection in detections:
        assert detection.score >= config.box_thresh
        assert len(detection.polygon) == 4 or (config.shape == "polygon")
        assert detection.polygon.dtype == np.float64
        assert (detection.polygon >= 0).all()
        assert (detection.polygon <= (width, height)).all()
        assert signed_area(detection.polygon) > 0
        assert detection.polygon.sum(axis=1).argmin() == 0


maps = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 24), st.integers(0, 24)),
    elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, np.nan, np.inf, -np.inf]),
)


@given(
    maps,
    st.sampled_from(SHAPES),
    st.sampled_from(RATIOS),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 5),
    st.floats(0, 3),
    st.integers(1, 5),
)
@settings(max_examples=300)
def test_any_map(
    prob: Map,
    shape: Shape,
    ratio: float,
    thresh: float,
    box_thresh: float,
    min_size: float,
    unclip: float,
    most: int,
) -> None:
    """Whatever is in a map, outlines lie on the page, in order of their scores."""
    config = PostprocessConfig(thresh, box_thresh, unclip, min_size, most, shape)
    size = (max(2 * prob.shape[0], 1), max(3 * prob.shape[1], 1))
    check(find_texts(prob, config, ratio, size), size, config)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 0.95), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_patches_are_texts_and_holes_are_not(
    height: int, width: int, share: float, seed: int
) -> None:
    """Each patch of pixels that touch, by their corners too, is one text, whatever its holes."""
    likely = np.random.default_rng(seed).random((height, width)) < share
    patches, _ = cv2.connectedComponents(likely.view(np.uint8), connectivity=8)
    texts = found(likely.astype(np.float32), shape="quad", box_thresh=0, min_size=0)
    assert len(texts) == patches - 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_noise(shape: Shape, seed: int) -> None:
    """Noise, dense or sparse, is no error."""
    prob = np.random.default_rng(seed).random((256, 256), dtype=np.float32)
    for thresh in (0.05, 0.5, 0.95):
        config = PostprocessConfig(thresh=thresh, box_thresh=0, min_size=0, shape=shape)
        check(find_texts(prob, config, 0.4, (256, 256)), (256, 256), config)


@pytest.mark.parametrize("shape", SHAPES)
def test_empty_map(shape: Shape) -> None:
    """Nothing is found where there is nothing."""
    assert found(np.zeros(SIZE, np.float32), shape=shape) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_full_map(shape: Shape) -> None:
    """A map that is text all over is one text as large as the page, not larger."""
    (detection,) = found(np.ones(SIZE, np.float32), shape=shape)
    np.testing.assert_allclose(detection.polygon, box(0, 0, 300, 200))


def ring(hole: float = 0.0) -> Map:
    """A frame of 10 px around a page, with something in its hole."""
    prob = np.ones(SIZE, np.float32)
    prob[10:-10, 10:-10] = 0
    prob[80:120, 100:200] = hole
    return prob


@pytest.mark.parametrize("shape", SHAPES)
def test_ring(shape: Shape) -> None:
    """A frame is one text, not two, and too empty to be sure of."""
    assert len(found(ring(), shape=shape, box_thresh=0)) == 1
    assert found(ring(), shape=shape, box_thresh=0.6) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_text_in_ring(shape: Shape) -> None:
    """A text within a frame is found."""
    (detection,) = found(ring(hole=1.0), shape=shape)
    np.testing.assert_allclose(detection.polygon.mean(axis=0), (150, 100), atol=1)


def test_comb() -> None:
    """A comb fills too little of its rectangle for a quadrilateral, but is a polygon."""
    prob = np.zeros(SIZE, np.float32)
    prob[20:30, 20:280] = 1
    for x in range(20, 280, 20):
        prob[30:150, x : x + 4] = 1
    assert found(prob, shape="quad") == []
    assert len(found(prob, shape="polygon")) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_that_are_no_numbers(shape: Shape) -> None:
    """NaN and infinity within a text count as 0 there, and don't lose the text."""
    prob = perfect_map([box(50, 50, 200, 60)], 0.6)
    clean = found(prob, 0.6, shape=shape)
    prob[78, 90:110] = np.nan
    prob[80, 90:110] = np.inf
    spoiled = found(prob, 0.6, shape=shape)
    assert len(spoiled) == len(clean) == 1
    assert 0.6 < spoiled[0].score < clean[0].score
    np.testing.assert_allclose(spoiled[0].polygon, clean[0].polygon)


@pytest.mark.parametrize("shape", SHAPES)
def test_surest_are_kept(shape: Shape) -> None:
    """The surest texts are kept, wherever on the page they are."""
    kernels = np.zeros(SIZE, np.float32)
    for row, prob in enumerate([0.7, 0.99, 0.8, 0.95]):
        kernels[20 + 40 * row : 30 + 40 * row, 50:150] = prob
    kept = found(kernels, shape=shape, max_candidates=2)
    np.testing.assert_allclose([text.score for text in kept], [0.99, 0.95], rtol=1e-6)
    assert [text.polygon[:, 1].mean() // 40 for text in kept] == [1, 3]


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=30)
def test_score_threshold(seed: int, shape: Shape, one: float, other: float) -> None:
    """A lower threshold of scores finds the same texts and more."""
    noise = np.random.default_rng(seed).random(SIZE, dtype=np.float32)
    prob = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32) * 8 - 3.5
    low, high = (
        {(text.score, text.polygon.tobytes()) for text in found(prob, shape=shape, box_thresh=t)}
        for t in sorted((one, other))
    )
    assert high <= low


def test_score() -> None:
    """The score is the mean probability within the kernel, in its rectangle or its outline."""
    prob = np.zeros(SIZE, np.float32)
    prob[50:60, 50:150] = 0.8
    prob[50:55, 50:100] = 0.6
    prob[55:60, 130:150] = 0
    (quad,) = found(prob)
    (polygon,) = found(prob, shape="polygon")
    assert quad.score == pytest.approx((650 * 0.8 + 250 * 0.6) / 1000)
    assert polygon.score == pytest.approx((650 * 0.8 + 250 * 0.6) / 900, abs=0.01)


def test_score_of_turned_texts() -> None:
    """Thin kernels that lie askew are scored without the pixels beside them."""
    texts = [turned_box((150, 100), 160, 12, turn) for turn in range(-40, 41, 4)]
    scores = [found(perfect_map([text], 0.4))[0].score for text in texts]
    assert min(scores) > 0.85
    assert np.mean(scores) > 0.98


@pytest.mark.parametrize("shape", SHAPES)
def test_smallest_text(shape: Shape) -> None:
    """A text whose shorter side, in pixels of the map, is below the limit is dropped."""
    prob = perfect_map([box(50, 50, 100, 10), box(50, 100, 100, 20)], 0.6)
    assert len(found(prob, 0.6, shape=shape, min_size=8)) == 2
    assert len(found(prob, 0.6, shape=shape, min_size=14)) == 1
    larger = evolve(PostprocessConfig(), shape=shape, min_size=14)
    assert len(find_texts(prob, larger, 0.6, (2000, 3000))) == 1


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", SHAPES)
def test_thin_kernel(ratio: float, shape: Shape) -> None:
    """A kernel of a single row of pixels is a text, higher than that row."""
    prob = np.zeros(SIZE, np.float32)
    prob[60, 100:200] = 1
    (detection,) = found(prob, ratio, shape=shape, min_size=0)
    left, top = detection.polygon.min(axis=0)
    right, bottom = detection.polygon.max(axis=0)
    assert 1 < bottom - top < 5
    assert (left + right) / 2 == pytest.approx(150)
    assert (top + bottom) / 2 == pytest.approx(60.5)


def test_given_factor() -> None:
    """With a factor, sides move outwards by it times the kernel's area over its length."""
    prob = np.zeros(SIZE, np.float32)
    prob[60:81, 100:201] = 1
    (detection,) = found(prob, unclip=1.5)
    distance = 1.5 * 100 * 20 / 240
    expected = box(100.5 - distance, 60.5 - distance, 100 + 2 * distance, 20 + 2 * distance)
    np.testing.assert_allclose(detection.polygon, expected, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_mapping(shape: Shape) -> None:
    """Outlines are those of the page, of any size, even beyond 32,767 pixels."""
    prob = perfect_map([turned_box((150, 100), 120, 40, 20)], 0.6)
    (small,) = found(prob, 0.6, shape=shape)
    config = evolve(PostprocessConfig(), shape=shape)
    (large,) = find_texts(prob, config, 0.6, (200 * 300, 300 * 500))
    np.testing.assert_allclose(large.polygon, small.polygon * (500, 300), rtol=1e-3)


@pytest.mark.parametrize("size", [(2000, 1500), (4000, 3000), (2559, 1900)])
def test_photographs_are_mapped_back_by_their_own_scale(size: tuple[int, int]) -> None:
    """Rows that fill no block when a photograph is made smaller don't move what is below."""
    height, width = size
    text = TextRegion(box(width / 2, height * 0.9, width / 3, height / 50))
    fitted = fit(LoadedPage("page", np.zeros((height, width, 3), np.uint8), (text,)), 640)
    prob = perfect_map([region.polygon for region in fitted.regions], 0.6, fitted.size)
    (on_map,) = found(prob, 0.6)
    (on_page,) = find_texts(prob, PostprocessConfig(), 0.6, size, fitted.scale)
    np.testing.assert_allclose(on_page.polygon, on_map.polygon / fitted.scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_to_the_page(shape: Shape) -> None:
    """A text at the edge of the page doesn't reach beyond it."""
    (detection,) = found(perfect_map([turned_box((20, 100), 90, 30, 25)], 0.6), 0.6, shape=shape)
    check([detection], SIZE, evolve(PostprocessConfig(), shape=shape))
    assert detection.polygon[:, 0].min() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_part_of_an_array(shape: Shape) -> None:
    """A map that is cut out of a larger one is as good as any."""
    padded = np.ones((256, 320), np.float32)
    padded[: SIZE[0], : SIZE[1]] = perfect_map([box(50, 50, 100, 20)], 0.6)
    part = padded[: SIZE[0], : SIZE[1]]
    (detection,) = found(part, 0.6, shape=shape)
    (copied,) = found(part.copy(), 0.6, shape=shape)
    np.testing.assert_array_equal(detection.polygon, copied.polygon)
