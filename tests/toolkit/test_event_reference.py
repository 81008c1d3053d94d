"""The reference of events: what the classes are, and nothing that isn't so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from toolkit import event_reference
from toolkit.events import KINDS
from toolkit.spoken import Reader

READER = Reader()
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page() -> str:
    """The page as it is generated now."""
    return event_reference.page(DOCS)


def test_page_is_what_is_generated(page: str) -> None:
    """docs/events.md is what `python -m toolkit.event_reference` prints."""
    is_same = (DOCS / "events.md").read_text(encoding="utf-8") == page
    assert is_same, "run `python -m toolkit.event_reference > docs/events.md`"


def test_every_kind_is_there(page: str) -> None:
    """Each kind of event has a section, in the order of its class, and nothing else has one."""
    kinds = page.partition("## Kinds")[2].partition("## Programs")[0]

    assert re.findall(r"^### (.+)$", kinds, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained(page: str, kind: str) -> None:
    """Every field of a kind has a row with its meaning; time is explained once for all."""
    section = page.partition(f"### {kind}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", section, re.MULTILINE)

    fields = [field.name for field in attrs.fields(KINDS[kind]) if field.name != "time"]
    assert [name for name, _ in rows] == fields
    assert all(meaning for _, meaning in rows)


@pytest.mark.parametrize("example", event_reference.EXAMPLES, ids=lambda e: type(e).__name__)
def test_examples_are_events(page: str, example: Any) -> None:
    """The line that a section shows is read as the event that it stands for."""
    kind = type(example).__name__.lower()
    section = page.partition(f"### {kind}\n")[2]
    line = section.partition("```json\n")[2].partition("\n```")[0]
    spoken = READER.read(line.encode(), example.time)

    assert json.loads(line)["kind"] == kind
    assert (spoken.event, spoken.problems) == (example, ())


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (float, "number"),
        (int | None, "whole number"),
        (tuple[str, ...], "list of texts"),
        (tuple[tuple[int, ...], ...], "list of lists of whole numbers"),
        (dict[str, float], "object of numbers"),
        (dict[str, Any], "object"),
        (dict[str, dict[str, str]], "object of objects of texts"),
    ],
)
def test_types_in_terms_of_json(wanted: Any, shown: str) -> None:
    """Types are shown as what one writes in JSON."""
    assert event_reference.json_type(wanted) == shown
