"""UFO json: a file for all pages, ``images -> name -> words -> id -> {points, transcription}``.

A word with ``illegibility: true`` or the transcription ``###`` is "don't care".
"""

from __future__ import annotations

import json
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
    for name, page in _images(text).items():
        yield Sheet(name, tuple(_entries(f"images/{name}", page)))


def _images(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, dict):
        raise ValueError("`images` is not an object with a name for each image")
    return images


def _entries(place: str, page: Any) -> Iterator[Entry | BadEntry]:
    words = page.get("words") if isinstance(page, dict) else None
    if isinstance(words, list):
        words = {str(number): word for number, word in enumerate(words)}
    if not isinstance(words, dict):
        yield BadEntry(place, "no `words`")
        return
    for key, word in words.items():
        try:
            yield _entry(f"{place}/words/{key}", word)
        except ValueError as error:
            yield BadEntry(f"{place}/words/{key}", str(error))


def _entry(place: str, word: Any) -> Entry:
    points = word.get("points") if isinstance(word, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, list) for point in points):
        raise ValueError("`points` is not a list of [x, y]")
    if any(len(point) != 2 for point in points):
        raise ValueError(f"a point without exactly x and y: {quoted(repr(points))}")
    text = word.get("transcription")
    text = text if isinstance(text, str) else None
    ignore = word.get("illegibility") is True or (text is not None and text.strip() == DONT_CARE)
    return Entry(place, points_of(value for point in points for value in point), text, ignore)


UFO = Format(
    "ufo",
    ".json",
    '{"images": {NAME: {"words": {ID: {"points": [[x, y], ...], "transcription": TEXT}}}}}',
    is_ufo,
    parse_ufo,
)
