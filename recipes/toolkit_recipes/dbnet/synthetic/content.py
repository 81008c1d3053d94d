"""What a receipt says: rows from the shop's name down to the last thank you."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Literal

import numpy as np
from attrs import frozen

from toolkit_recipes.dbnet.synthetic.chance import between
from toolkit_recipes.dbnet.synthetic.chance import fill
from toolkit_recipes.dbnet.synthetic.chance import happens
from toolkit_recipes.dbnet.synthetic.chance import pick
from toolkit_recipes.dbnet.synthetic.lexicon import Locale
from toolkit_recipes.dbnet.synthetic.locales_south_east import SOUTH_EAST
from toolkit_recipes.dbnet.synthetic.locales_west import WEST

LOCALES = (*WEST, *SOUTH_EAST)

_ITEMS = ((1, 4), (1, 5), (1, 6), (2, 9), (2, 9), (4, 14), (5, 18), (12, 30), (25, 66))
"""Ranges of how many things were bought; each is as likely as the next."""

Align = Literal["left", "centre", "right"]
Table = Literal["plain", "counted", "columns", "two-line", "coded"]

_SHORT_TABLES: tuple[Table, ...] = ("plain", "counted", "columns")
_TABLES: tuple[Table, ...] = (*_SHORT_TABLES, "two-line", "coded")
_MANY = 30
"""More items than this have one row each."""


class Emphasis(Enum):
    """How a row stands out: the width and the height of its letters, times the usual ones."""

    NORMAL = (1.0, 1.0)
    BOLD = (1.0, 1.01)
    SMALL = (0.8, 0.85)
    TALL = (1.0, 1.8)
    LARGE = (1.4, 1.4)
    DOUBLE = (1.9, 1.8)
    REVERSED = (1.05, 1.05)


@frozen
class Cell:
    """A text of a row; ``at`` is where its anchor is, from 0, the left margin, to 1, the right."""

    text: str
    at: float = 0.0
    align: Align = "left"


@frozen
class TextRow:
    """Texts side by side, from left to right."""

    cells: tuple[Cell, ...]
    emphasis: Emphasis = Emphasis.NORMAL


@frozen
class Rule:
    """A line across the paper: of a character that is repeated, or drawn."""

    pattern: Literal["-", "=", "*", ".", "_", "- ", "solid", "dashed", "double"]


@frozen
class Gap:
    """Blank paper."""

    lines: float


@frozen
class Picture:
    """Something printed that is no text."""

    kind: Literal["barcode", "squares", "logo"]
    lines: float


Row = TextRow | Rule | Gap | Picture


@frozen
class Habits:
    """What a shop does in the same way all over its receipts."""

    locale: Locale
    columns: int
    """Characters that fit side by side."""
    head: Align
    items: int
    table: Table
    rule: Rule
    label_end: str
    value_at: float | None
    """Where values of labels stand; none: right behind the label."""
    capitals: Literal["as written", "upper"]
    strong_total: Emphasis


@frozen
class Bill:
    """Amounts of a receipt."""

    lines: tuple[tuple[str, int, float], ...]
    """Name, quantity and price of each."""
    rate: int
    total: float
    paid: float


def draw_habits(rng: np.random.Generator) -> Habits:
    """A shop."""
    most = pick(rng, _ITEMS)
    items = int(rng.integers(*most))
    return Habits(
        locale=pick(rng, LOCALES),
        columns=int(rng.integers(28, 50)),
        head="left" if happens(rng, 0.25) else "centre",
        items=items,
        table=pick(rng, _SHORT_TABLES if items > _MANY else _TABLES),
        rule=Rule(pick(rng, ("-", "-", "=", "*", ".", "_", "- ", "solid", "dashed", "double"))),
        label_end=pick(rng, (":", " :", ": ", "", ".")),
        value_at=pick(rng, (None, None, 0.32, 0.4, 1.0)),
        capitals="upper" if happens(rng, 0.3) else "as written",
        strong_total=pick(rng, tuple(Emphasis)),
    )


def compose(rng: np.random.Generator, habits: Habits) -> list[Row]:
    """A whole receipt, from top to bottom."""
    bill = _draw_bill(rng, habits)
    sections = (
        _head(rng, habits),
        _visit(rng, habits),
        _items(rng, habits, bill),
        _totals(rng, habits, bill),
        _taxes(rng, habits, bill) if happens(rng, 0.45) else iter(()),
        _foot(rng, habits),
    )
    rows: list[Row] = []
    for section in sections:
        if part := list(section):
            rows += [*part, *_separator(rng, habits)]
    return rows


def _separator(rng: np.random.Generator, habits: Habits) -> Iterator[Row]:
    if happens(rng, 0.7):
        yield habits.rule
    if happens(rng, 0.4):
        yield Gap(between(rng, 0.3, 1.5))


def _draw_bill(rng: np.random.Generator, habits: Habits) -> Bill:
    locale = habits.locale
    names = [pick(rng, locale.products) for _ in range(habits.items)]
    prices = locale.scale * np.exp(rng.normal(0, 0.8, habits.items))
    step = 500 if locale.decimals == 0 else 0.05
    lines = []
    for name, price in zip(names, prices, strict=True):
        quantity = 1 if happens(rng, 0.6) else int(rng.integers(2, 13))
        text = name.upper() if habits.capitals == "upper" else name
        lines.append((text, quantity, max(step, round(float(price) / step) * step)))
    total = sum(quantity * price for _, quantity, price in lines)
    paid = np.ceil(total / locale.scale) * locale.scale if happens(rng, 0.6) else total
    return Bill(tuple(lines), pick(rng, locale.rates), total, float(paid))


def _line(habits: Habits, text: str, emphasis: Emphasis = Emphasis.NORMAL) -> TextRow:
    at = {"left": 0.0, "centre": 0.5, "right": 1.0}[habits.head]
    return TextRow((Cell(text, at, habits.head),), emphasis)


def _head(rng: np.random.Generator, habits: Habits) -> Iterator[Row]:
    locale = habits.locale
    if happens(rng, 0.3):
        yield Picture("logo", between(rng, 2.5, 5))
        yield Gap(0.5)
    strong = (Emphasis.BOLD, Emphasis.NORMAL, Emphasis.LARGE, Emphasis.TALL, Emphasis.DOUBLE)
    yield from _name(rng, habits, pick(rng, strong))
    if happens(rng, 0.5):
        yield _line(habits, fill(rng, pick(rng, locale.numbers)))
    for street in rng.permutation(len(locale.streets))[: rng.integers(1, 3)]:
        yield _line(habits, fill(rng, locale.streets[street]))
    yield _line(habits, fill(rng, pick(rng, locale.cities)))
    yield _line(habits, fill(rng, pick(rng, locale.phones)))
    if happens(rng, 0.3):
        site = "".join(sign for sign in pick(rng, locale.names).lower() if "a" <= sign <= "z")
        yield _line(habits, f"www.{site}.example" if happens(rng, 0.5) else f"info@{site}.example")
    if happens(rng, 0.5):
        yield _line(habits, fill(rng, pick(rng, locale.numbers)))
    if happens(rng, 0.7):
        yield Gap(between(rng, 0.2, 1.0))
        yield _line(habits, pick(rng, locale.titles), pick(rng, tuple(Emphasis)))


def _name(rng: np.random.Generator, habits: Habits, emphasis: Emphasis) -> Iterator[Row]:
    locale = habits.locale
    parts = [pick(rng, locale.names), pick(rng, locale.trades)]
    parts = parts[::-1] if happens(rng, 0.5) else parts
    if happens(rng, 0.6):
        parts.append(fill(rng, pick(rng, locale.companies)))
    text = " ".join(parts)
    text = text.upper() if habits.capitals == "upper" else text
    for line in textwrap.wrap(text, int(habits.columns / emphasis.value[0])):
        yield _line(habits, line, emphasis)


def _visit(rng: np.random.Generator, habits: Habits) -> Iterator[Row]:
    """When, who and where."""
    locale, words = habits.locale, habits.locale.words
    moment = datetime.datetime(2015, 1, 1) + datetime.timedelta(
        minutes=int(rng.integers(6_000_000))
    )
    date, clock = moment.strftime(locale.date), moment.strftime("%H:%M")
    facts = [
        (words.number, fill(rng, pick(rng, ("########", "^^#######", "##-####", "#####")))),
        (words.cashier, fill(rng, pick(rng, ("##", "^. ^^^^^^", "^^^^^ (###)")))),
        (words.table, str(rng.integers(1, 60))),
    ]
    if happens(rng, 0.3):
        codes = (date, clock, fill(rng, "^^##"), fill(rng, "^#"), fill(rng, "^####"))
        yield _spread(habits, codes)
    elif habits.value_at is None and happens(rng, 0.6):
        when = (_label(habits, words.date, date), _label(habits, words.time, clock))
        yield TextRow((Cell(when[0]), Cell(when[1], 1.0, "right")))
    else:
        facts = [(words.date, f"{date} {clock}"), *facts]
    for label, value in facts[: rng.integers(1, 5)]:
        yield _fact(habits, label, value)


def _spread(habits: Habits, texts: tuple[str, ...]) -> TextRow:
    """Texts from margin to margin, as many as fit two letters apart."""
    while len(texts) > 2 and sum(map(len, texts)) + 2 * len(texts) > habits.columns:
        texts = texts[:-1]
    gap = (habits.columns - sum(map(len, texts))) / (len(texts) - 1)
    cells, start = [], 0.0
    for text in texts[:-1]:
        cells.append(Cell(text, start / habits.columns))
        start += len(text) + gap
    return TextRow((*cells, Cell(texts[-1], 1.0, "right")))


def _label(habits: Habits, label: str, value: str) -> str:
    return f"{label}{habits.label_end} {value}"


def _fact(habits: Habits, label: str, value: str) -> TextRow:
    if habits.value_at is None:
        return TextRow((Cell(_label(habits, label, value)),))
    side: Align = "right" if habits.value_at == 1.0 else "left"
    return TextRow((Cell(label + habits.label_end.rstrip()), Cell(value, habits.value_at, side)))


def _items(rng: np.random.Generator, habits: Habits, bill: Bill) -> Iterator[Row]:
    if habits.table in ("columns", "counted") and happens(rng, 0.8):
        yield from _table_head(habits)
    for number, (name, quantity, price) in enumerate(bill.lines):
        yield from _item(rng, habits, name, quantity, price)
        if number % 7 == 6 and happens(rng, 0.3):
            locale = habits.locale
            cut = Cell("-" + locale.number(price * 0.1), 1.0, "right")
            yield TextRow((Cell(locale.words.discount, 0.06), cut))


def _table_head(habits: Habits) -> Iterator[Row]:
    words = habits.locale.words
    if habits.table == "counted":
        cells = [Cell(words.quantity), Cell(words.item, 0.16), Cell(words.amount, 1.0, "right")]
    else:
        cells = [Cell(words.item), Cell(words.quantity, 0.58, "right")]
        cells += [Cell(words.price, 0.78, "right"), Cell(words.amount, 1.0, "right")]
    yield TextRow(tuple(cells))
    yield habits.rule


def _item(
    rng: np.random.Generator, habits: Habits, name: str, quantity: int, price: float
) -> Iterator[Row]:
    locale = habits.locale
    unit, amount = locale.number(price), Cell(locale.number(price * quantity), 1.0, "right")
    match habits.table:
        case "plain":
            yield TextRow((Cell(f"{quantity} x {name}" if quantity > 1 else name), amount))
        case "counted":
            yield TextRow((Cell(str(quantity)), Cell(name, 0.16), amount))
        case "columns":
            count, each = Cell(str(quantity), 0.58, "right"), Cell(unit, 0.78, "right")
            yield TextRow((Cell(name), count, each, amount))
        case "two-line":
            yield TextRow((Cell(name),))
            each = Cell(f"{quantity} x {unit}", 0.62, "right")
            yield TextRow((Cell(fill(rng, "#######"), 0.04), each, amount))
        case "coded":
            yield TextRow((Cell(f"{fill(rng, '#####')} {name}"),))
            yield TextRow((Cell(f"{quantity} @ {locale.price(price)}", 0.1), amount))


def _totals(rng: np.random.Generator, habits: Habits, bill: Bill) -> Iterator[Row]:
    locale, words = habits.locale, habits.locale.words
    at = pick(rng, (0.0, 0.0, 0.0, 0.7))
    if happens(rng, 0.4):
        yield TextRow((Cell(_label(habits, words.count, str(habits.items))),))
    if happens(rng, 0.6):
        yield _sum(words.subtotal, locale.number(bill.total), at)
    if happens(rng, 0.4):
        taxed = bill.total * bill.rate / (100 + bill.rate)
        yield _sum(locale.tax.format(bill.rate), locale.number(taxed), at)
    if happens(rng, 0.3):
        yield _sum(words.rounding, locale.number(0), at)
    yield _sum(words.total, locale.price(bill.total), at, habits.strong_total)
    if happens(rng, 0.3):
        yield habits.rule if happens(rng, 0.5) else Rule("double")
    if bill.paid > bill.total:
        yield _sum(words.cash, locale.price(bill.paid), at)
        yield _sum(words.change, locale.price(bill.paid - bill.total), at)
    else:
        yield _sum(words.card, locale.price(bill.total), at)
        yield from _card(rng)


def _card(rng: np.random.Generator) -> Iterator[Row]:
    if happens(rng, 0.5):
        right = Cell(fill(rng, "######"), 1.0, "right")
        yield TextRow((Cell(fill(rng, "**** **** **** ####")), Cell("**/**", 1.0, "right")))
        yield TextRow((Cell(fill(rng, "AID: A000000#######")), right))


def _sum(label: str, value: str, at: float, emphasis: Emphasis = Emphasis.NORMAL) -> TextRow:
    """A label, at the left margin or ending at ``at``, and a number at the right margin."""
    side: Align = "right" if at > 0 else "left"
    return TextRow((Cell(label, at, side), Cell(value, 1.0, "right")), emphasis)


def _taxes(rng: np.random.Generator, habits: Habits, bill: Bill) -> Iterator[Row]:
    locale, words = habits.locale, habits.locale.words
    stops = pick(rng, ((0.6, 1.0), (0.7, 1.0), (0.55, 0.85)))
    titles = zip((words.net, words.tax), stops, strict=True)
    yield TextRow((Cell("%"), *(Cell(text, at, "right") for text, at in titles)))
    for rate in locale.rates[: rng.integers(1, 4)]:
        net = bill.total * 100 / (100 + rate)
        amounts = zip((locale.number(net), locale.number(bill.total - net)), stops, strict=True)
        label = f"{pick(rng, 'ABCS')} = {rate}%"
        yield TextRow((Cell(label), *(Cell(text, at, "right") for text, at in amounts)))


def _foot(rng: np.random.Generator, habits: Habits) -> Iterator[Row]:
    locale = habits.locale
    if happens(rng, 0.6):
        small = pick(rng, (Emphasis.NORMAL, Emphasis.NORMAL, Emphasis.SMALL))
        for text in textwrap.wrap(pick(rng, locale.notes), int(habits.columns * 0.92)):
            yield _line(habits, text, small)
    for _ in range(int(rng.integers(0, 4))):
        yield _line(habits, pick(rng, locale.thanks))
    if happens(rng, 0.35):
        yield Gap(0.5)
        code = happens(rng, 0.6)
        yield Picture("barcode" if code else "squares", between(rng, 2, 3.5) + 3 * (not code))
        if happens(rng, 0.7):
            pattern = pick(rng, ("#############", "## #### ######", "^#######"))
            yield _line(habits, fill(rng, pattern))
    if happens(rng, 0.25):
        yield TextRow((Cell(fill(rng, "#### ### ##")), Cell(fill(rng, "^^####"), 1.0, "right")))


def wordless(rng: np.random.Generator) -> list[Row]:
    """A paper without text: blank, or with rules and pictures alone."""
    kinds: tuple[Row, ...] = (
        Rule("-"), Rule("solid"), Rule("*"), Rule("double"), Gap(3), Gap(6),
        Picture("barcode", 3), Picture("squares", 6), Picture("logo", 5),
    )  # fmt: skip
    return [pick(rng, kinds) for _ in range(int(rng.integers(0, 14)))]
