"""The run's console as artifacts: ``toolkit/console.log``, ``toolkit/console-0001.log``, and so on.

Each holds a million characters, so that only the last one has to be uploaded again as it grows.
Every text is written at its position, so that telling it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.events import Console
from toolkit_mlflow.files import Files
from toolkit_mlflow.keys import OWN_FOLDER

PART_LENGTH = 1_000_000


def part_name(number: int) -> str:
    """The artifact that holds this part of the console, counted from 0."""
    return f"{OWN_FOLDER}/console-{number:04}.log" if number else f"{OWN_FOLDER}/console.log"


class ConsoleParts:
    """The part that is being written; the ones before it lie in MLflow."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._number: int | None = None
        self._text = ""
        self._stored = ""

    def write(self, event: Console) -> None:
        """Put the text at its position; parts that it completes are uploaded."""
        for number, start, text in _split(event.position, event.text):
            if number != self._number:
                self.flush()
                self._turn_to(number)
            self._put(start, text)

    def flush(self) -> None:
        """Upload the current part, if it has changed."""
        if self._number is not None and self._text != self._stored:
            self._files.put_text(self._text, part_name(self._number))
            self._stored = self._text

    def _turn_to(self, number: int) -> None:
        """Go on with a part; what an earlier courier has written of it is read back."""
        self._text = self._stored = self._files.text(part_name(number)) or ""
        self._number = number

    def _put(self, start: int, text: str) -> None:
        if start == len(self._text):
            self._text += text
        else:  # told again, or after a text that could not be told: its place is kept
            before = self._text[:start].ljust(start)
            self._text = before + text + self._text[start + len(text) :]


def _split(position: int, text: str) -> Iterator[tuple[int, int, str]]:
    """The pieces of a text as number of the part, start in that part, and piece."""
    while text:
        number, start = divmod(position, PART_LENGTH)
        piece = text[: PART_LENGTH - start]
        yield number, start, piece
        text, position = text[len(piece) :], position + len(piece)
