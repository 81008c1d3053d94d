"""Rules about the class, the Link, and what a tracker leaves alone."""

from __future__ import annotations

import json
import os

import attrs

from toolkit.redact import Redactor
from toolkit.testing.comparing import brief
from toolkit.testing.harness import expect
from toolkit.testing.limits import Surroundings
from toolkit.testing.rules import rule
from toolkit.testing.whole import Whole
from toolkit.tracker import PROTOCOL_VERSION


class MannerRules(Whole):
    """A tracker is a guest in its process, and its Link can be shown to anybody."""

    @rule
    def test_protocol_version(self) -> None:
        """The class says which version of the protocol it speaks."""
        found = getattr(type(self.make_tracker(self.folder)), "protocol_version", None)
        expect(found == PROTOCOL_VERSION, "protocol_version", PROTOCOL_VERSION, repr(found))

    @rule
    def test_link(self) -> None:
        """The Link has an id, and its url and view are texts or None."""
        link = self.whole().link
        expect(isinstance(link.id, str) and link.id, "id", "a text that isn't empty", repr(link.id))
        for name in ("url", "view"):
            found = getattr(link, name)
            expect(found is None or isinstance(found, str), name, "a text or None", repr(found))

    @rule
    def test_link_is_json(self) -> None:
        """The Link is the same when it comes back from a file of JSON."""
        link = self.whole().link
        found = self.remembered(link)
        expect(found == link, "Link read from JSON", link, found)

    @rule
    def test_link_has_no_secret(self) -> None:
        """Neither the Link nor its state holds a password or a key."""
        text = json.dumps(attrs.asdict(self.whole().link), default=str)
        shown = [secret for secret in self.secrets if secret in text]
        expect(not shown, "secrets in the Link", "none", f"{len(shown)} of those that were given")
        masked = Redactor.from_environment(os.environ).text(text)
        expect(masked == text, "secrets in the Link", "none", f"where *** stands: {masked}")

    @rule
    def test_prints_nothing(self) -> None:
        """While all is well nothing is printed, on standard output or errors."""
        printed = self.whole().more["printed"]
        expect(not printed, "printed", "nothing", brief(printed))

    @rule
    def test_working_folder(self) -> None:
        """The process keeps its working folder."""
        before, after = self._surroundings()
        is_same = before.directory == after.directory
        expect(is_same, "working folder", before.directory, after.directory)

    @rule
    def test_environment(self) -> None:
        """Environment variables stay as they are, those of the backend's own apart."""
        before, after = self._surroundings()
        changed = sorted(
            name for name, _ in set(before.variables.items()) ^ set(after.variables.items())
        )
        expect(not changed, "environment variables that have changed", "none", changed)

    @rule
    def test_signals(self) -> None:
        """Handlers of SIGINT, SIGTERM and SIGCHLD stay what they are."""
        before, after = self._surroundings()
        expect(before.handlers == after.handlers, "handlers", before.handlers, after.handlers)

    @rule
    def test_files_stay(self) -> None:
        """The files of events are read, and neither moved, changed, nor joined by others."""
        more = self.whole().more
        before, after = more["files"], more["files after"]
        names = before.keys() | after.keys()
        changed = sorted(name for name in names if before.get(name) != after.get(name))
        expect(not changed, "files of events that have changed", "none", changed)

    def _surroundings(self) -> tuple[Surroundings, Surroundings]:
        more = self.whole().more
        return more["before"], more["after"]
