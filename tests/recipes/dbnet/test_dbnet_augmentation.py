"""Tests of what is done to pages before the network sees them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolkit_recipes.dbnet import polygons
from toolkit_recipes.dbnet.annotations import LoadedPage
from toolkit_recipes.dbnet.annotations import TextRegion
from toolkit_recipes.dbnet.augmentation import PADDING
from toolkit_recipes.dbnet.augmentation import augment
from toolkit_recipes.dbnet.augmentation import fit
from toolkit_recipes.dbnet.polygons import Polygon
from toolkit_recipes.dbnet.presets import AugmentationConfig

PLAIN = AugmentationConfig(crop=128, scale=1.0, scale_jitter=0.0, colour=0.0)
LINE = np.array([[0.0, 0], [60, 0], [60, 12], [0, 12]])
WIDE = np.array([[0.0, 0], [400, 0], [400, 16], [0, 16]])


def page(height: int, width: int, outlines: list[Polygon]) -> LoadedPage:
    """A black page on which the texts are white, and gray where they cover part of a pixel."""
    canvas = np.zeros((4 * height, 4 * width), np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [np.rint(16 * (4 * outline - 0.5)).astype(np.int32)], 255, shift=4)
    gray = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image = np.repeat(gray[..., None], 3, axis=2)
    regions = tuple(TextRegion(outline, text=str(i)) for i, outline in enumerate(outlines))
    return LoadedPage("page", image.astype(np.uint8), regions)


def mask(outline: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie in a polygon, or up to half a pixel from it."""
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [np.rint(16 * (outline - 0.5)).astype(np.int32)], 1, shift=4)
    return canvas > 0


def agrees(found: LoadedPage) -> bool:
    """Whether the white pixels are those in the texts' polygons, to within about a pixel.

    A frame of two pixels is left out, where a text counts as outside that shows by one.
    """
    height, width = found.image.shape[:2]
    drawn = np.zeros((height, width), np.uint8)
    for region in found.regions:
        drawn |= mask(region.polygon, height, width).astype(np.uint8)
    seen = found.image[..., 0] > max(127, *PADDING)
    tile = np.ones((3, 3), np.uint8)
    most, least = cv2.dilate(drawn, tile), cv2.erode(drawn, tile)
    wrong = (seen & (most == 0)) | (~seen & (cv2.erode(least, tile) == 1))
    return not wrong[2:-2, 2:-2].any()


def lines(seed: int, height: int, width: int) -> list[Polygon]:
    """Texts of 8 points, bent and slanted, apart from each other."""
    rng = np.random.default_rng(seed)
    outlines = []
    for top in range(20, height - 60, 70):
        left, right = rng.uniform(5, width / 3), rng.uniform(width / 2, width - 5)
        x = np.linspace(left, right, 4)
        y = top + rng.uniform(0, 20) * np.sin(np.linspace(0, 3, 4)) + rng.uniform(0, 10)
        upper = np.stack((x, y), axis=1)
        outlines.append(np.concatenate((upper, upper[::-1] + np.array([0, rng.uniform(18, 30)]))))
    return outlines


changes = st.builds(
    AugmentationConfig,
    crop=st.sampled_from([128, 192, 352]),
    scale=st.floats(0.4, 1.3),
    scale_jitter=st.floats(0, 0.5),
    rotation=st.floats(0, 60),
    flip=st.sampled_from([0.0, 1.0]),
    colour=st.just(0.0),
)


@settings(max_examples=60)
@given(changes, st.integers(0, 1000), st.sampled_from([(640, 300), (300, 640), (900, 700)]))
def test_polygons_go_where_their_pixels_go(
    config: AugmentationConfig, seed: int, size: tuple[int, int]
) -> None:
    """After scaling, turning, cutting and mirroring, the polygons cover the texts' pixels."""
    changed = augment(page(*size, lines(seed, *size)), 640, config, np.random.default_rng(seed))
    assert changed.image.shape == (config.crop, config.crop, 3)
    assert agrees(changed)


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_each_text_keeps_its_own_polygon(flip: float, rotation: float) -> None:
    """No text gets the polygon of another: each is followed alone and among the others."""
    outlines = lines(3, 640, 300)
    config = evolve(PLAIN, crop=704, rotation=rotation, flip=flip)
    together = augment(page(640, 300, outlines), 640, config, np.random.default_rng(5))
    assert [region.text for region in together.regions] == [str(i) for i in range(len(outlines))]
    for i, region in enumerate(together.regions):
        alone = page(640, 300, [outlines[i]])
        shown = evolve(together, image=augment_image(alone, together, config), regions=(region,))
        assert agrees(shown)


def augment_image(
    alone: LoadedPage, together: LoadedPage, config: AugmentationConfig
) -> NDArray[np.uint8]:
    """The image with one text of several, changed as the page with all of them was."""
    others = page(640, 300, lines(3, 640, 300)).regions
    changed = augment(evolve(alone, regions=others), 640, config, np.random.default_rng(5))
    assert len(changed.regions) == len(together.regions)
    return changed.image


def test_corners_stay_clockwise_from_the_top_left_when_mirrored() -> None:
    """The order of corners that metrics rely on survives mirroring."""
    flipped = augment(
        page(128, 128, [LINE + 30]), 128, evolve(PLAIN, flip=1.0), np.random.default_rng(0)
    )
    (region,) = flipped.regions
    assert region.polygon == pytest.approx(LINE + np.array([38, 30]))


def test_a_page_as_large_as_the_crop_stays_as_it_is() -> None:
    """Without any change asked for, image and polygons are the same."""
    given_page = page(128, 128, [LINE + 30])
    same = augment(given_page, 128, PLAIN, np.random.default_rng(0))
    assert np.array_equal(same.image, given_page.image)
    assert same.regions[0].polygon == pytest.approx(LINE + 30)


def test_a_smaller_page_is_padded_somewhere_in_the_crop() -> None:
    """All of the page is in the crop, the rest has the padding's colour, the place varies."""
    places = set()
    for seed in range(8):
        found = augment(page(64, 40, []), 64, PLAIN, np.random.default_rng(seed))
        padding = (found.image == PADDING).all(axis=2)
        assert (~padding).sum() == 64 * 40
        places.add(tuple(np.argwhere(~padding)[0].tolist()))
    assert len(places) > 4


def test_crops_cut_no_text_where_a_place_allows_that() -> None:
    """Lines of a receipt, closely set: each crop shows whole lines only, and at least one."""
    outlines = [LINE + np.array([20, 4 + 20 * row]) for row in range(30)]
    receipt = page(620, 100, outlines)
    for seed in range(20):
        found = augment(receipt, 620, PLAIN, np.random.default_rng(seed))
        assert found.regions
        assert all(region.text is not None for region in found.regions)
        assert [polygons.sides(region.polygon)[0] for region in found.regions] == pytest.approx(
            [12] * len(found.regions)
        )


def test_a_line_longer_than_the_crop_is_cut_along_itself_and_learned() -> None:
    """Such a line can't be whole; its height is, and the rest is a text without words."""
    wide = page(400, 420, [WIDE + np.array([10, 5 + 60 * row]) for row in range(6)])
    for seed in range(20):
        found = augment(wide, 420, PLAIN, np.random.default_rng(seed))
        assert found.regions
        for region in found.regions:
            assert not region.ignore
            assert polygons.short_side(region.polygon) == pytest.approx(16, abs=0.1)


def test_what_is_left_of_a_text_cut_through_its_letters_is_dont_care() -> None:
    """Of a page of one text much larger than the crop, some rests aren't legible."""
    large = np.array([[10.0, 10], [1000, 10], [1000, 70], [10, 70]])
    sheet, config = page(300, 1100, [large]), evolve(PLAIN, rotation=30.0)
    rests = []
    for seed in range(200):
        found = augment(sheet, 1100, config, np.random.default_rng(seed))
        rests += list(found.regions)
    assert {region.ignore for region in rests} == {True, False}
    for region in rests:
        if not region.ignore:
            short, long = polygons.sides(region.polygon)
            assert short > 0.75 * 60 - 0.5
            assert long > 60 - 0.5


def test_texts_outside_the_crop_are_dropped_and_the_others_lie_within() -> None:
    """No polygon reaches over the edge of the crop."""
    many = page(900, 700, lines(1, 900, 700))
    for seed in range(20):
        config = evolve(PLAIN, rotation=20.0)
        found = augment(many, 900, config, np.random.default_rng(seed))
        assert len(found.regions) < len(many.regions)
        for region in found.regions:
            assert region.polygon.min() >= 0
            assert region.polygon.max() <= PLAIN.crop


def test_dont_care_stays_dont_care() -> None:
    """Whole or cut, a text to be ignored is ignored in the crop."""
    ignored = page(300, 420, [WIDE + np.array([10, 5 + 60 * row]) for row in range(4)])
    ignored = evolve(
        ignored, regions=tuple(evolve(region, ignore=True) for region in ignored.regions)
    )
    found = augment(ignored, 420, PLAIN, np.random.default_rng(0))
    assert found.regions
    assert all(region.ignore for region in found.regions)


def test_the_same_random_numbers_make_the_same_page() -> None:
    """Image and polygons follow from the generator alone."""
    config = AugmentationConfig(
        crop=128, scale_jitter=0.3, rotation=10, flip=0.5, colour=0.5, blur=0.5
    )
    many = page(900, 700, lines(1, 900, 700))
    first, second, third = (
        augment(many, 640, config, np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    assert np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, third.image)
    for a, b in zip(first.regions, second.regions, strict=True):
        assert np.array_equal(a.polygon, b.polygon)


@pytest.mark.parametrize("config", [evolve(PLAIN, colour=1.0), evolve(PLAIN, blur=1.0)])
def test_colour_and_blur_change_pixels_but_no_polygons(config: AugmentationConfig) -> None:
    """What doesn't move pixels leaves the outlines alone."""
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    plain = evolve(page(128, 128, [LINE + 30]), image=noise)
    found = augment(plain, 128, config, np.random.default_rng(0))
    assert (found.image != noise).mean() > 0.5
    assert np.array_equal(found.regions[0].polygon, plain.regions[0].polygon)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (5000, 31)])
@pytest.mark.parametrize("rotation", [0.0, 45.0])
def test_pages_of_any_shape_make_a_crop(size: tuple[int, int], rotation: float) -> None:
    """The thinnest and the smallest pages come out as a crop and fitted."""
    config = evolve(PLAIN, rotation=rotation)
    tiny = page(*size, [])
    assert augment(tiny, 640, config, np.random.default_rng(0)).image.shape == (128, 128, 3)
    fitted = fit(tiny, 640)
    assert max(fitted.size) == 640
    assert all(side % 32 == 0 for side in fitted.image.shape[:2])


@pytest.mark.parametrize("size", [(1001, 703), (300, 500), (640, 640), (641, 2207)])
def test_fitted_pages_map_back_to_the_page(size: tuple[int, int]) -> None:
    """Polygons cover their pixels, and dividing by the scale returns the page's coordinates."""
    outlines = lines(2, *size)
    fitted = fit(page(*size, outlines), 640)
    shown = LoadedPage("page", fitted.image, fitted.regions)
    assert agrees(shown)
    assert fitted.page_size == size
    for region, outline in zip(fitted.regions, outlines, strict=True):
        assert region.polygon / fitted.scale == pytest.approx(outline)
    rows, columns = fitted.size
    assert (fitted.image[rows:] == PADDING).all()
    assert (fitted.image[:, columns:] == PADDING).all()
