"""Rules of the parts of generated receipts: words, fonts, printed letters and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_recipes.dbnet.synthetic.chance import fill
from toolkit_recipes.dbnet.synthetic.content import LOCALES
from toolkit_recipes.dbnet.synthetic.content import TextRow
from toolkit_recipes.dbnet.synthetic.content import compose
from toolkit_recipes.dbnet.synthetic.content import draw_habits
from toolkit_recipes.dbnet.synthetic.fonts import Style
from toolkit_recipes.dbnet.synthetic.fonts import find_faces
from toolkit_recipes.dbnet.synthetic.fonts import print_text
from toolkit_recipes.dbnet.synthetic.layout import Patch
from toolkit_recipes.dbnet.synthetic.lexicon import Locale
from toolkit_recipes.dbnet.synthetic.render import paint

BY_CODE = {locale.code: locale for locale in LOCALES}
PACKAGED = [face for face in find_faces() if "mpl-data" in face.path]


@pytest.mark.parametrize(
    ("code", "value", "written"),
    [
        ("en-US", 1234.5, "$1,234.50"),
        ("de-DE", 1234.5, "1.234,50 €"),
        ("sv-SE", 1234567.0, "1 234 567,00 kr"),
        ("id-ID", 25000.0, "Rp 25.000"),
    ],
)
def test_prices_are_written_as_in_their_country(code: str, value: float, written: str) -> None:
    """Separators, decimals and the place of the currency are the country's."""
    assert BY_CODE[code].price(value) == written


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: locale.code)
def test_every_language_can_be_printed_with_the_packaged_fonts(locale: Locale) -> None:
    """Matplotlib's fonts are enough: regular and bold, letters of one width and of many."""
    fit = [face for face in PACKAGED if locale.code in face.locales]
    kinds = {(face.width, face.weight) for face in fit}
    assert kinds == {
        (width, weight) for width in ("mono", "even") for weight in ("regular", "bold")
    }


@given(st.integers(0, 2**32 - 1))
def test_a_receipt_has_only_characters_that_its_fonts_know(seed: int) -> None:
    """Whatever is composed can be printed in the fonts of its language."""
    rng = np.random.default_rng(seed)
    habits = draw_habits(rng)
    rows = compose(rng, habits)
    texts = [cell.text for row in rows if isinstance(row, TextRow) for cell in row.cells]
    assert set("".join(texts)) <= habits.locale.signs
    assert all(text.strip() for text in texts)


def test_patterns_are_filled_with_digits_and_letters() -> None:
    """Only the two signs are replaced."""
    text = fill(np.random.default_rng(0), "No. ##-^/x")
    assert text[:4] == "No. "
    assert text[4:6].isdigit()
    assert text[7].isupper()
    assert (text[6], text[8:]) == ("-", "/x")


@pytest.mark.parametrize("style", ["plain", "coarse", "wide", "slanted", "bold"])
def test_printed_texts_are_cut_to_their_ink(style: str) -> None:
    """The first and last rows and columns of a printed text hold ink."""
    changes = {
        "plain": {},
        "coarse": {"block": 2},
        "wide": {"stretch": 1.7},
        "slanted": {"slant": 0.2},
        "bold": {"stroke": 1},
    }
    ink = print_text("Total 12,50 g", Style(PACKAGED[0], 24.0, **changes[style]))  # type: ignore[arg-type]
    assert ink is not None
    dark = ink.mask >= 80
    assert dark[0].any()
    assert dark[-1].any()
    assert dark[:, 0].any()
    assert dark[:, -1].any()
    assert 0 < ink.rise < len(ink.mask)


def test_blank_text_prints_nothing() -> None:
    """Spaces have no ink, and so no outline."""
    assert print_text("   ", Style(PACKAGED[0], 24.0)) is None
    assert print_text("", Style(PACKAGED[0], 24.0)) is None


def test_what_is_printed_beyond_the_paper_is_cut_off() -> None:
    """A patch may reach over each border or lie outside."""
    canvas = np.zeros((6, 6, 3), np.uint8)
    mask = np.full((4, 4), 255, np.uint8)
    paint(canvas, [Patch(mask, -2, -2), Patch(mask, 5, 5), Patch(mask, -9, 0), Patch(mask, 9, 9)])
    assert canvas[:2, :2, 0].all()
    assert canvas[5, 5, 0] == 255
    assert (canvas > 0).sum() == 5


def test_the_packaged_fonts_come_in_a_fixed_order() -> None:
    """The order of the fonts follows from their names, so that draws can be repeated."""
    names = [face.path.rsplit("/", 1)[-1] for face in find_faces()]
    assert len(names) == len(set(names))
    assert names == sorted(names, key=lambda name: name.rsplit(".", 1)[0])
