"""Rules about what is looked at, files, the console, and what a script says of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit import tables
from toolkit.events import name_of
from toolkit.testing.comparing import brief
from toolkit.testing.harness import expect
from toolkit.testing.recorded import Bins
from toolkit.testing.recorded import Item
from toolkit.testing.recorded import Matrix
from toolkit.testing.rules import rule
from toolkit.testing.samples import sample_events
from toolkit.testing.samples import sample_run
from toolkit.testing.whole import Whole


class KindRules(Whole):
    """Every kind of event is shown, or passed over without an error."""

    @rule
    def test_every_kind_is_accepted(self) -> None:
        """An event of every kind, told in a batch of its own, raises no error."""
        tracker = self.make_tracker(self.folder)
        link = self.open(tracker, sample_run(self.folder))
        for event in sample_events(self.folder / "files"):
            self.write(tracker, [event])
        self.close(tracker)
        self.look(self.folder, link)

    @rule
    def test_unknown_kinds(self) -> None:
        """Events of unknown kinds are passed over; those around them are kept."""
        self.expect_curves("unknown")

    @rule
    def test_left(self) -> None:
        """That one script has left is no end of the run, and no error."""
        self.exhibit("left")

    @rule
    def test_text(self) -> None:
        """A text arrives as it is, whatever its letters."""
        self.expect_texts("text")

    @rule
    def test_long_text(self) -> None:
        """A text of many thousand characters arrives whole."""
        self.expect_texts("long text")

    @rule
    def test_changed_text(self) -> None:
        """Of several texts of one name the latest is shown."""
        self.expect_texts("changed text")

    @rule
    def test_table(self) -> None:
        """A table keeps its columns, rows and cells."""
        self.expect_items("tables", ["table"], _table)

    @rule
    def test_table_series(self) -> None:
        """Tables of one name at several steps are all kept, each with its step."""
        self.expect_items("tables", ["table series"], _table)

    @rule
    def test_image(self) -> None:
        """An image arrives byte for byte."""
        self.expect_items("images", ["image"], _picture)

    @rule
    def test_image_series(self) -> None:
        """Images of one key at several steps are all kept, each with its step."""
        self.expect_items("images", ["image series"], _picture)

    @rule
    def test_figure(self) -> None:
        """A figure that is a picture arrives byte for byte."""
        self.expect_items("figures", ["figure"], _picture)

    @rule
    def test_figures_of_other_formats(self) -> None:
        """A figure that is no picture, such as a page or a PDF, is taken without an error."""
        self.exhibit("figure without a picture")

    @rule
    def test_histogram(self) -> None:
        """A histogram keeps its edges, counts and steps."""
        self.expect_items(
            "histograms", ["histogram"], lambda e: (e.key, Item(Bins(e.edges, e.counts), e.step))
        )

    @rule
    def test_confusion_matrix(self) -> None:
        """A confusion matrix keeps its labels and counts, rows being the actual classes."""
        self.expect_items(
            "matrices", ["matrix"], lambda e: (e.name, Item(Matrix(e.labels, e.counts), e.step))
        )

    @rule
    def test_artifact(self) -> None:
        """An artifact's file arrives byte for byte, at its folder and name."""
        self.expect_files("artifact")

    @rule
    def test_folders(self) -> None:
        """An artifact of several files keeps their paths."""
        self.expect_files("folder")

    @rule
    def test_odd_file_names(self) -> None:
        """Files keep names with spaces, any letters, and characters that addresses lack."""
        self.expect_files("odd file names")

    @rule
    def test_empty_file(self) -> None:
        """A file without content is a file."""
        self.expect_files("empty file")

    @rule
    def test_aliases(self) -> None:
        """An artifact's aliases stand for it, or for its folder where it has several files."""
        events = self.exhibit("artifact", "folder")
        found = self.whole().holds("aliases")
        for event in events:
            paths = [f"{event.folder}/{file.name}" for file in event.files]
            path = paths[0] if len(paths) == 1 else event.folder
            kept = found.get(path, ())
            expect(set(event.aliases) <= set(kept), f"aliases of {path}", event.aliases, kept)

    @rule
    def test_console(self) -> None:
        """The console reads line by line as the command printed it."""
        expected = "".join(event.text for event in self.exhibit("console"))
        found = self.whole().holds("console")
        is_same = expected.splitlines() == found.splitlines()
        expect(is_same, "console", brief(expected), brief(found))

    @rule
    def test_late_description(self) -> None:
        """What a script says of its run after it was opened is shown: name, notes, labels."""
        (event,) = self.exhibit("described")
        told = self.whole()
        labels = told.holds("labels")
        expect(set(event.tags) <= set(labels), "labels", event.tags, labels)
        for name in ("name", "notes"):
            expected, found = getattr(event, name), told.holds(name)
            expect(expected == found, name, repr(expected), repr(found))

    def expect_texts(self, group: str) -> None:
        """Complain unless the last text of this group is there."""
        *_, event = self.exhibit(group)
        expected = Path(event.path).read_text(encoding="utf-8")
        found = self.whole().holds("texts").get(event.name)
        expect(found == expected, f"text {event.name!r}", brief(expected), brief(found))

    def expect_files(self, group: str) -> None:
        """Complain unless every file of this group's artifact is there."""
        (event,) = self.exhibit(group)
        found = self.whole().holds("artifacts")
        for file in event.files:
            path = f"{event.folder}/{file.name}"
            is_there = path in found
            expect(is_there, f"file {path!r}", "a file", f"none among {brief(sorted(found))}")
            expected = Path(file.path).read_bytes()
            expect(found[path] == expected, f"file {path!r}", brief(expected), brief(found[path]))


def _table(event: Any) -> tuple[str, Item[Any]]:
    return event.name, Item(tables.read(Path(event.path)), event.step)


def _picture(event: Any) -> tuple[str, Item[Any]]:
    return name_of(event), Item(Path(event.path).read_bytes(), event.step)
