from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from toolkit.console import ConsoleRecorder
from toolkit.console import Stream
from toolkit.console import StreamRecorder
from toolkit.events import Console
from toolkit.redact import MASK
from toolkit.redact import Redactor


def recorded(*pieces: bytes) -> str:
    """What a stream's recorder makes of these pieces."""
    recorder = StreamRecorder()
    return "".join([*map(recorder.feed, pieces), recorder.rest()])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


PRINTED = st.lists(
    st.sampled_from(
        ["\n", "\r", "\r\n", "\x1b[31m", "\x1b[0m", "\x1b[2K", "\x1b]0;title\x07", "50%|███  |",
         "é", "日本", "🙂", "loss: 0.5", "\x1b", "[", "\x0b", "\x0c", "\x85", "\u2028", "\x1c"]
    ).map(str.encode)
    | st.binary(max_size=3)
).map(b"".join)  # fmt: skip


@given(PRINTED, st.lists(st.integers(min_value=0), max_size=8))
@example("é".encode(), [1])
@example("🙂\r\n".encode(), [1, 2, 3, 4])
@example(b"50%\r100%\n", [4])
@example(b"a\r\nb", [2])
@example(b"\x1b[31mred", [1, 2, 3])
def test_cutting_anywhere_gives_the_same_text(data: bytes, places: list[int]) -> None:
    """However the bytes come in pieces, the text is the same."""
    assert recorded(*cut(data, places)) == recorded(data)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")))
def test_plain_text_is_kept(text: str) -> None:
    """Text without control characters is kept as it is, whatever Unicode calls a line break."""
    assert recorded(text.encode()) == text


def test_every_byte_alone() -> None:
    """A multi-byte character whose bytes come one by one is one character."""
    assert recorded(*(bytes([b]) for b in "né 日本 🙂\n".encode())) == "né 日本 🙂\n"


def test_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 are shown as such, and what is around them is kept."""
    assert recorded(b"a\xff\xfeb\n") == "a\ufffd\ufffdb\n"
    assert recorded(b"half a character: \xe2\x82") == "half a character: \ufffd"


def test_only_whole_lines_are_given_out() -> None:
    """A line is given out once it is whole; the last one, at the end."""
    recorder = StreamRecorder()

    assert recorder.feed(b"first\nsec") == "first\n"
    assert recorder.feed(b"ond\nthird") == "second\n"
    assert recorder.rest() == "third"
    assert recorder.rest() == ""


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        (b"\r 0%\r 50%\r100%\n", "100%\n"),
        (b" 0%\r 50%\r100%\r\n", "100%\n"),
        (b"epoch 1\n 0%\r100%\nepoch 2\n 0%\r100%", "epoch 1\n100%\nepoch 2\n100%"),
        (b" 0%\r 50%\r", " 50%"),
        (b"windows\r\nlines\r\n", "windows\nlines\n"),
        (b"\n\n\n", "\n\n\n"),
        (b"\r\x1b[K\x1b[1m 3/10\x1b[0m loss 0.5\r\x1b[K\x1b[1m10/10\x1b[0m loss 0.1\n",
         "10/10 loss 0.1\n"),
    ],
)  # fmt: skip
def test_progress_bars(printed: bytes, seen: str) -> None:
    """Of a line that overwrites itself, its last state is kept."""
    assert recorded(printed) == seen


@pytest.mark.parametrize(
    "escape",
    [
        "\x1b[31m",
        "\x1b[1;38;5;208m",
        "\x1b[38:2::1:2:3m",
        "\x1b[2J",
        "\x1b[?25l",
        "\x1b[10;20H",
        "\x1b[1 q",
        "\x1b[A",
        "\x1b]0;a title\x07",
        "\x1b]0;a title\x1b\\",
        "\x1b]8;;https://example.org\x1b\\",
        "\x1bPq#0;2;0;0;0\x1b\\",
        "\x1b_Gf=24;AAAA\x1b\\",
        "\x1b(B",
        "\x1b)0",
        "\x1b7",
        "\x1b8",
        "\x1bM",
        "\x1b=",
        "\x1b>",
        "\x1bc",
        "\x1b#8",
    ],
)
def test_escapes(escape: str) -> None:
    """Colours, cursor movements, titles and links are left out, and nothing else."""
    assert recorded(f"0{escape}0 [x] 0{escape}B\n".encode()) == "00 [x] 0B\n"


def test_endless_progress_bar() -> None:
    """A bar that overwrites itself for hours is kept at its last state, however much it printed."""
    states = [f"\r{number:6d}/100000 steps".encode() for number in range(20_000)]

    assert recorded(*states) == " 19999/100000 steps"


def test_endless_line() -> None:
    """A line that never ends is given out in parts, so that it doesn't fill the memory."""
    recorder = StreamRecorder()
    parts = [recorder.feed(b"x" * 50_000) for _ in range(10)]

    assert any(parts)
    assert "".join([*parts, recorder.rest()]) == "x" * 500_000


STREAMS: st.SearchStrategy[Stream] = st.sampled_from(["stdout", "stderr"])


@given(st.lists(st.tuples(STREAMS, PRINTED)), st.integers(min_value=0, max_value=1000))
def test_positions_are_consecutive(printed: list[tuple[Stream, bytes]], start: int) -> None:
    """Each text's position is where the one before ended, from the end of the last attempt on."""
    events: list[Console] = []
    recorder = ConsoleRecorder(events.append, Redactor(), start)
    for stream, data in printed:
        recorder.feed(stream, data)
    recorder.close()

    position = start
    for event in events:
        assert event.position == position
        assert event.text
        position += len(event.text)


@given(st.lists(st.tuples(STREAMS, PRINTED)))
def test_streams_are_kept_apart(printed: list[tuple[Stream, bytes]]) -> None:
    """Lines of one stream are never broken up by what the other prints meanwhile."""
    events: list[Console] = []
    recorder = ConsoleRecorder(events.append, Redactor(), 0)
    for stream, data in printed:
        recorder.feed(stream, data)
    recorder.close()

    for name in ("stdout", "stderr"):
        text = "".join(event.text for event in events if event.stream == name)
        assert text == recorded(b"".join(data for stream, data in printed if stream == name))


def test_secrets_are_masked_even_when_cut() -> None:
    """A secret is masked although its bytes came in pieces; positions fit what is recorded."""
    events: list[Console] = []
    recorder = ConsoleRecorder(events.append, Redactor(("correct-horse-battery",)), 0)
    recorder.feed("stdout", b"key: correct-hor")
    recorder.feed("stdout", b"se-battery staple\nnext\nlast correct-")
    recorder.feed("stdout", b"horse-battery")
    recorder.close()

    assert "".join(event.text for event in events) == f"key: {MASK} staple\nnext\nlast {MASK}"
    assert [event.position for event in events] == [0, len(events[0].text)]
