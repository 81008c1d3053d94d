"""What one long run is told, in groups that one rule each looks at.

Every group has names of its own, so that all of them go into one run: opening a run is what costs.
Values are such that 32 bits hold them exactly, where the rule isn't about that.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from math import inf
from math import nan

from toolkit.events import Event
from toolkit.testing.samples import Samples
from toolkit.testing.samples import png

Exhibits = Mapping[str, Sequence[Event]]

ODD_KEYS = (
    "P@1",
    "loss (x)",
    "50 %",
    "it's",
    'say "so"',
    "back\\slash",
    "/a//b/",
    "../up",
    "a.b.c",
    "#1",
    "UPPER",
    "upper",
    "[0]",
    "key=value;",
)
SIMILAR_KEYS = ("top 1", "top_1", "top-1", "top?1", "top/1", "Top_1")
ODD_FILE_NAMES = (
    "with space.txt",
    "ünï日本.txt",
    "per%cent#1.txt",
    "a+b=c&d.txt",
    "it's.txt",
    ".hidden",
    "no_suffix",
)
MANY = 250
POINTS = 120
LONG = 20_000


def all_exhibits(make: Samples) -> Exhibits:
    """Every group by name."""
    return {
        **_curves(make),
        **_numbers(make),
        **_keys(make),
        **_params(make),
        **_tags_and_summaries(make),
        **_media(make),
        **_files(make),
        **_sayings(make),
    }


def _curves(make: Samples) -> Exhibits:
    values = [(n * 37 % 101) / 8 for n in range(POINTS)]
    groups = {
        "order": list(enumerate(values)),
        "equal steps": [(5, 1.0), (5, 2.0), (5, 0.5)],
        "steps that go back": [(0, 1.0), (10, 2.0), (5, 3.0), (7, 4.0)],
        "negative steps": [(-3, 1.0), (-1, 2.0), (0, 3.0)],
        "large steps": [(2**31, 1.0), (2**40, 2.0)],
        "equal values": [(step, 1.0) for step in range(4)],
    }
    found: dict[str, Sequence[Event]] = {
        name: [make.metrics({f"curves/{name}": value}, step) for step, value in points]
        for name, points in groups.items()
    }
    # The last comes with a step: one and the same key may have both.
    found["no step"] = [
        *(make.metrics({"curves/no step": value}) for value in (1.0, 2.0)),
        make.metrics({"curves/no step": 3.0}, step=4),
    ]
    return found


def _numbers(make: Samples) -> Exhibits:
    groups = {
        "nan": (1.0, nan, 2.0),
        "infinities": (inf, 1.0, -inf),
        "doubles": (1e300, -1e300, 1e-300, 5e-324, 0.1, 1 / 3, 123456789.125),
        "whole numbers": (0.0, -1.0, 65536.0, 2.0**60),
    }
    return {
        name: [make.metrics({f"numbers/{name}": value}, step) for step, value in enumerate(values)]
        for name, values in groups.items()
    }


def _keys(make: Samples) -> Exhibits:
    return {
        "unicode keys": [make.metrics({"Größe/損失 😀": 0.5, "é": 0.25}, 1)],
        "odd keys": [make.metrics({key: n / 4 for n, key in enumerate(ODD_KEYS)}, 1)],
        "similar keys": [
            make.metrics({f"similar/{key}": n / 4}, 1) for n, key in enumerate(SIMILAR_KEYS)
        ],
        "long keys": [make.metrics({"k" * 300: 0.5, "k" * 299 + "l": 0.25}, 1)],
        "many keys": [make.metrics({f"many/{n}": n / 4 for n in range(MANY)}, 1)],
        "nothing": [
            make.metrics({}),
            make.metrics({}, step=1),
            make.params({}),
            make.tags({}),
            make.summary({}),
            make.described(),
        ],
    }


def _params(make: Samples) -> Exhibits:
    return {
        "nested params": [
            make.params({"nested": {"layers": 3, "act": "gelu", "deep": {"er": 1.5}}, "flat": 7})
        ],
        "kinds of params": [
            make.params({"kinds": {"bool": True, "no": False, "tiny": 1e-5, "text": "日本\nzwei"}})
        ],
        "odd params": [make.params({"odd": {"none": None, "list": [8, 8], "empty": {}, "": 1}})],
        "huge params": [make.params({"huge": {"int": 10**30, "low": -(2**63), "float": 1e300}})],
        "long params": [make.params({"long": "0123456789" * (LONG // 10)})],
        "changed params": [
            make.params({"changed": {"lr": 0.5, "seed": 1}}),
            make.params({"changed": {"lr": 0.25}}),
        ],
        "odd keys of params": [make.params({f"key {key}": n for n, key in enumerate(ODD_KEYS)})],
    }


def _tags_and_summaries(make: Samples) -> Exhibits:
    return {
        "tags": [make.tags({"dataset": "v1", "über/uns": "ja\nß 😀", "empty": ""})],
        "changed tags": [make.tags({"again": "1", "stays": "1"}), make.tags({"again": "2"})],
        "many tags": [make.tags({f"many.{n}": str(n) for n in range(MANY)})],
        "long tags": [make.tags({"long": "x" * 5000})],
        "summary": [make.summary({"best": 0.75, "verdict": "good", "test": {"f1": 0.5}})],
        "changed summary": [
            make.summary({"score": 0.25, "remark": "first"}),
            make.summary({"score": 0.125, "remark": "second"}),
        ],
        "odd summary": [make.summary({"worst": "NaN", "is_final": True, "is_none": None})],
    }


def _media(make: Samples) -> Exhibits:
    return {
        "text": [make.text("notes/readme.txt", "# Grüße 😀\n\n<b>&amp;</b>\n")],
        "long text": [make.text("notes/long.txt", "A line.\n" * 20_000)],
        "changed text": [make.text("notes/again.txt", "one"), make.text("notes/again.txt", "two")],
        "table": [make.table("tables/scores", {"class": ["a", "b"], "F1": [0.5, 0.25]})],
        "table series": [
            make.table("tables/series", {"n": [n, n + 1], "ü": ["x", "ß"]}, 10 * n) for n in (1, 2)
        ],
        "image": [make.image("images/single", 200)],
        "image series": [make.image("images/series", 50 * n, 10 * n) for n in (1, 2, 3)],
        "figure": [make.figure("plots/curve.png", png(60))],
        "figure without a picture": [
            make.figure("plots/page.html", "<html>é</html>".encode()),
            make.figure("plots/data.pdf", b"%PDF-1.4"),
        ],
        "histogram": [
            make.histogram("histograms/w", (1.0, 4.0), (-0.5, 0.5, 2.0), 1),
            make.histogram("histograms/w", (2.0, 3.0), (-0.5, 0.5, 2.0), 2),
        ],
        "matrix": [make.matrix("matrices/test", ("cat", "ünï"), ((5, 1), (0, 4)))],
    }


def _files(make: Samples) -> Exhibits:
    deep = {"config.json": b"{}", "deep/er/weights.bin": bytes(range(256))}
    odd = {name: name.encode() for name in ODD_FILE_NAMES}
    return {
        "artifact": [
            make.artifact("model.bin", {"model.bin": b"\0weights\xff"}, "checkpoints", ["best"])
        ],
        "folder": [make.artifact("step-10", deep, "checkpoints/step-10", ["latest", "good"])],
        "odd file names": [make.artifact("odd", odd, "odd")],
        "empty file": [make.artifact("empty.bin", {"empty.bin": b""}, "checkpoints")],
    }


def _sayings(make: Samples) -> Exhibits:
    return {
        "console": [
            make.console("line 1\n"),
            make.console("Warnung: ünï 😀\n", is_error=True),
            make.console("\n  an indented line\n"),
            make.console("the end\n"),
        ],
        "described": [
            make.described(name="a late name", tags=("late", "it's"), notes="Two\nlines. ß")
        ],
        "left": [make.left()],
        "unknown": [
            make.metrics({"around unknown": 1.0}, 1),
            make.unknown(),
            make.unknown("metrics2"),
            make.metrics({"around unknown": 2.0}, 2),
        ],
    }
