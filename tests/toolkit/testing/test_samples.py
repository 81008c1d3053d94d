"""Sample runs and events: every kind, valid, with their files."""

from __future__ import annotations

import io
from pathlib import Path

import attrs
import pytest

from toolkit import tables
from toolkit.events import KINDS
from toolkit.events import Decoder
from toolkit.events import Ended
from toolkit.events import Table
from toolkit.events import Unknown
from toolkit.events import encode
from toolkit.testing import Samples
from toolkit.testing import sample_events
from toolkit.testing import sample_run
from toolkit.testing.exhibits import all_exhibits
from toolkit.testing.samples import png


def test_one_of_every_kind(tmp_path: Path) -> None:
    """The kinds that there are, the end apart, and one that nobody knows."""
    kinds = [type(event) for event in sample_events(tmp_path)]
    assert set(kinds) == {*KINDS.values(), Unknown} - {Ended}
    assert len(kinds) == len(set(kinds))


def test_events_are_such_as_a_journal_gives_back(tmp_path: Path) -> None:
    """Written as a line and read again, each is the same, but for what JSON has no name for."""
    decoder = Decoder()
    for event in sample_events(tmp_path):
        assert decoder.decode(encode(event)) == event


def test_every_exhibit_fits_into_a_journal(tmp_path: Path) -> None:
    """A tracker is not held to what no journal could give it."""
    decoder = Decoder()
    for events in all_exhibits(Samples(tmp_path)).values():
        for event in events:
            assert type(decoder.decode(encode(event))) is type(event)


def test_times_rise(tmp_path: Path) -> None:
    """Each event is later than the one before."""
    events = [e for group in all_exhibits(Samples(tmp_path)).values() for e in group]
    times = [event.time for event in events]
    assert times == sorted(set(times))


def test_consoles_have_their_positions(tmp_path: Path) -> None:
    """Each text begins where the one before ended."""
    make = Samples(tmp_path)
    events = [make.console("one\n"), make.console("ü\n"), make.console("")]
    assert [event.position for event in events] == [0, 4, 6]


def test_tables_can_be_read(tmp_path: Path) -> None:
    """As the toolkit's own."""
    (table,) = (event for event in sample_events(tmp_path) if isinstance(event, Table))
    assert tables.read(Path(table.path)).columns == ["class", "score"]


def test_a_lost_artifact_has_no_file(tmp_path: Path) -> None:
    """Its path leads nowhere."""
    (file,) = Samples(tmp_path).lost_artifact("a.bin").files
    assert not Path(file.path).exists()


def test_pictures_are_png() -> None:
    """In the grey that was asked for."""
    pictures = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with pictures.open(io.BytesIO(png(120))) as picture:
        assert (picture.size, picture.getpixel((3, 3))) == ((8, 8), 120)


def test_runs_differ_by_number_and_fields(tmp_path: Path) -> None:
    """A number gives another id; every field may be given."""
    first, second = sample_run(tmp_path), sample_run(tmp_path, 2, project="x", parent="p")
    assert first.id != second.id
    assert (second.project, second.parent) == ("x", "p")
    assert attrs.evolve(second, id=first.id, project="contract", parent=None) == first
