"""Read text files line by line; those of the taxonomy and the corpora are ``key TAB value``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from toolkit.errors import UsageError


@frozen
class Row:
    """One line of a file: its number from 1, what is before the first tab and what follows it."""

    file: Path
    line: int
    key: str
    value: str

    def error(self, message: str) -> UsageError:
        """Return an error that names this line."""
        return UsageError(f"{self.file}, line {self.line}: {message}")


def read_rows(file: Path, columns: str) -> Iterator[Row]:
    """Yield the rows of a UTF-8 file, white space around both parts removed.

    A byte order mark, CRLF line ends and blank lines are accepted.
    Further tabs belong to the value.

    Args:
        file: the file to read.
        columns: what a line should look like, for the error message.

    Raises:
        UsageError: the file can't be read, isn't UTF-8, or a line has no tab or no key.
    """
    for number, line in read_lines(file):
        key, tab, value = line.partition("\t")
        row = Row(file, number, key.strip(), value.strip())
        if not tab:
            raise row.error(f"no tab in {shorten(line)!r}; each line is {columns}")
        if not row.key:
            raise row.error(f"nothing before the tab; each line is {columns}")
        yield row


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file with their numbers from 1; blank ones are left out.

    Raises:
        UsageError: the file can't be read, or isn't UTF-8.
    """
    for number, line in enumerate(_read_text(file).split("\n"), start=1):
        if line.strip():
            yield number, line


def _read_text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file") from None
    except OSError as error:
        raise UsageError(f"{file}: can't be read ({error.strerror})") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{file}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None


def shorten(line: str, width: int = 60) -> str:
    """Cut a line to what an error message has room for."""
    return line if len(line) <= width else line[: width - 3] + "..."
