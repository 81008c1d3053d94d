"""UFO json: a file for all pages, ``images -> name -> words -> id -> {points, transcription}``.

A word with ``illegibility: true`` or the transcription ``###`` is "don't care". Words of one id,
which JSON allows, are words all the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from toolkit_recipes.dbnet.readers.entries import DONT_CARE
from toolkit_recipes.dbnet.readers.entries import BadEntry
from toolkit_recipes.dbnet.readers.entries import Entry
from toolkit_recipes.dbnet.readers.entries import Format
from toolkit_recipes.dbnet.readers.entries import Sheet
from toolkit_recipes.dbnet.readers.entries import points_of
from toolkit_recipes.dbnet.readers.entries import quoted


def is_ufo(text: str) -> bool:
    """Tell whether the two words that the format can't do without are there."""
    return text.lstrip().startswith("{") and '"images"' in text and '"words"' in text


def parse_ufo(text: str, _name: str) -> Iterator[Sheet]:
    """Yield a sheet per image."""
    for name, page in _pairs(_images(text)):
        place = f"images/{name}"
        try:
            words = _words(page)
        except ValueError as error:
            yield Sheet(name, (BadEntry(place, str(error)),))
            continue
        entries = (_entry_or_bad(f"{place}/words/{key}", word) for key, word in words)
        yield Sheet(name, tuple(entries), _repeated(place, words))


class _Repeating(dict[str, Any]):
    """An object in which a key comes more than once; as a mapping, it has the last of them."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeating(pairs)


def _pairs(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return found.pairs if isinstance(found, _Repeating) else found.items()


def _value(found: Any, key: str) -> Any:
    """Look up a key of an object; None where there is no object or no such key."""
    if isinstance(found, _Repeating) and sum(name == key for name, _ in found.pairs) > 1:
        raise ValueError(f"`{key}` comes more than once")
    return found.get(key) if isinstance(found, dict) else None


def _images(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    images = _value(content, "images")
    if not isinstance(images, dict):
        raise ValueError("`images` is not an object with a name for each image")
    return images


def _words(page: Any) -> list[tuple[str, Any]]:
    words = _value(page, "words")
    if isinstance(words, list):
        return [(str(number), word) for number, word in enumerate(words)]
    if not isinstance(words, dict):
        raise ValueError("no `words`")
    return list(_pairs(words))


def _repeated(place: str, words: list[tuple[str, Any]]) -> tuple[str, ...]:
    counts = Counter(key for key, _ in words)
    return tuple(f"{place}/words/{key}" for key, count in counts.items() for _ in range(count - 1))


def _entry_or_bad(place: str, word: Any) -> Entry | BadEntry:
    try:
        return _entry(place, word)
    except ValueError as error:
        return BadEntry(place, str(error))


def _entry(place: str, word: Any) -> Entry:
    points = _value(word, "points")
    if not isinstance(points, list) or not all(isinstance(point, list) for point in points):
        raise ValueError("`points` is not a list of [x, y]")
    if any(len(point) != 2 for point in points):
        raise ValueError(f"a point without exactly x and y: {quoted(repr(points))}")
    text = _value(word, "transcription")
    text = text if isinstance(text, str) else None
    ignore = _value(word, "illegibility") is True or (
        text is not None and text.strip() == DONT_CARE
    )
    return Entry(place, points_of(value for point in points for value in point), text, ignore)


UFO = Format(
    "ufo",
    ".json",
    '{"images": {NAME: {"words": {ID: {"points": [[x, y], ...], "transcription": TEXT}}}}}',
    is_ufo,
    parse_ufo,
)
