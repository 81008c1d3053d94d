"""What a recipe shows while it runs: stages, progress and a table of results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0


class Reporter:
    """Prints for a person: moving bars on a terminal, a plain line now and then elsewhere.

    Args:
        console: where to print; a quiet one (``Console(quiet=True)``) prints nothing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def stage(self, title: str) -> None:
        """Announce the next part of the work."""
        self._console.print(f"[bold]{escape(title)}[/bold]", highlight=False, soft_wrap=True)

    def track(self, items: Sequence[T], description: str) -> Iterator[T]:
        """Yield the items and show how many of them are done."""
        if self._console.is_terminal:
            yield from track(items, f"  {description}", console=self._console)
        else:
            yield from self._track_in_lines(items, description)

    def table(self, title: str, rows: Mapping[str, str | float]) -> None:
        """Print names and values in two columns; fractions with four decimals."""
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column(style="cyan")
        table.add_column(justify="right")
        for name, value in rows.items():
            table.add_row(escape(name), escape(_written(value)))
        self._console.print(table)

    def _track_in_lines(self, items: Sequence[T], description: str) -> Iterator[T]:
        last = time.monotonic()
        for done, item in enumerate(items):
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                self.say(f"  {description}: {done} of {len(items)}")
            yield item


def _written(value: str | float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
