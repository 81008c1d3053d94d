from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import kill
from tests.processes import line_from
from tests.processes import python
from tests.processes import tell
from toolkit import journal
from toolkit.events import Console
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Left
from toolkit.events import Metrics
from toolkit.events import Unknown
from toolkit.events import encode
from toolkit.journal import Follower
from toolkit.journal import SegmentWriter

FIRST = Metrics(1.0, {"loss": 0.5}, 1)
SECOND = Metrics(2.0, {"loss": 0.25}, 2)
LAST = Metrics(3.0, {"loss": 0.125}, 3)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SegmentWriter]:
    """A writer of the journal in tmp_path, which lives until the test closes it."""
    made = SegmentWriter.create(tmp_path, "owner")
    yield made
    made.close()


def damage(path: Path, data: bytes) -> None:
    """Put bytes at the end of a segment, as a write that was cut short does."""
    with path.open("ab") as file:
        file.write(data)


def test_what_is_written_is_read(tmp_path: Path, writer: SegmentWriter) -> None:
    """Events come back in their order, and after them there is nothing new."""
    writer.append(FIRST)
    writer.append(SECOND)
    follower = Follower(tmp_path)

    assert follower.read().events == (FIRST, SECOND)
    assert follower.read().events == ()
    writer.append(LAST)
    assert follower.read().events == (LAST,)


def test_event_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    """What a process has appended survives its SIGKILL."""
    code = """
import sys, time
from pathlib import Path
from toolkit.events import Metrics
from toolkit.journal import SegmentWriter
writer = SegmentWriter.create(Path(sys.argv[1]), "owner")
for step in range(1000):
    writer.append(Metrics(1.0, {"loss": 0.5}, step))
    print(step, flush=True)
time.sleep(600)
"""
    with python(code, tmp_path) as process:
        acknowledged = [line_from(process) for _ in range(300)]
        kill(process)
    read = [event.step for event in Follower(tmp_path).read().events if isinstance(event, Metrics)]

    assert read[: len(acknowledged)] == [int(line) for line in acknowledged]


def test_truncation_at_every_byte_of_the_last_line(tmp_path: Path) -> None:
    """Wherever a dead writer's last line was cut, all whole events are read; a torn one is told."""
    whole, last = encode(FIRST) + encode(SECOND), encode(LAST)
    for length in range(len(last) + 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "0001-owner.jsonl").write_bytes(whole + last[:length])
        batch = Follower(folder).read()
        is_whole = length >= len(last) - 1  # only the newline is missing
        is_torn = length > 0 and not is_whole

        assert batch.events == ((FIRST, SECOND, LAST) if is_whole else (FIRST, SECOND))
        assert len(batch.damaged) == is_torn
        assert all(f"0001-owner.jsonl:{len(whole)}: " in note for note in batch.damaged)


def test_torn_line_is_reported_once(tmp_path: Path) -> None:
    """A follower that goes on after a torn line doesn't report it again."""
    (tmp_path / "0001-owner.jsonl").write_bytes(encode(FIRST) + encode(LAST)[:20])
    follower = Follower(tmp_path)

    assert len(follower.read().damaged) == 1
    assert follower.read().damaged == ()
    assert Follower(tmp_path, follower.place).read().damaged == ()


def test_torn_line_of_a_living_writer_is_waited_for(tmp_path: Path, writer: SegmentWriter) -> None:
    """While the writer lives, a line without its end is not yet one."""
    writer.append(FIRST)
    damage(writer.segment.path, encode(SECOND)[:20])
    follower = Follower(tmp_path)

    assert follower.read() == journal.Batch((FIRST,), {"0001-owner.jsonl": len(encode(FIRST))})
    assert follower.read().events == ()
    damage(writer.segment.path, encode(SECOND)[20:])
    assert follower.read().events == (SECOND,)


def test_torn_line_is_dropped_when_its_writer_dies(tmp_path: Path) -> None:
    """A line that was waited for is dropped and reported once its writer is dead."""
    code = """
import sys
from pathlib import Path
from toolkit.events import Metrics
from toolkit.journal import SegmentWriter
writer = SegmentWriter.create(Path(sys.argv[1]), "joined")
writer.append(Metrics(1.0, {"loss": 0.5}, 1))
print(writer.segment.path, flush=True)
sys.stdin.read()
"""
    follower = Follower(tmp_path)
    with python(code, tmp_path) as process:
        damage(Path(line_from(process)), encode(SECOND)[:20])
        alive = follower.read()
        kill(process)
        dead = follower.read()

    assert (alive.events, alive.damaged) == ((FIRST,), ())
    assert dead.events == ()
    (note,) = dead.damaged
    assert note.startswith(f"0001-joined.jsonl:{len(encode(FIRST))}: ")


def test_damaged_middle_line(tmp_path: Path) -> None:
    """A damaged line in the middle is reported with segment and byte, and passed over."""
    content = encode(FIRST) + b'{"kind":"metrics"\x00\xff\n' + encode(LAST)
    (tmp_path / "0001-owner.jsonl").write_bytes(content)
    batch = Follower(tmp_path).read()

    assert batch.events == (FIRST, LAST)
    (note,) = batch.damaged
    assert note.startswith(f"0001-owner.jsonl:{len(encode(FIRST))}: ")


def test_carriage_return_does_not_end_a_line(tmp_path: Path) -> None:
    """A damaged line is one line, whatever bytes it holds."""
    content = b"a\rb\x0bc\n" + encode(LAST)
    (tmp_path / "0001-owner.jsonl").write_bytes(content)
    batch = Follower(tmp_path).read()

    assert batch.events == (LAST,)
    assert len(batch.damaged) == 1


def test_unknown_kinds_are_read(tmp_path: Path) -> None:
    """An event of a later version is read like any other."""
    (tmp_path / "0001-owner.jsonl").write_bytes(b'{"kind":"hologram","time":1.0,"cm":3}\n')

    assert Follower(tmp_path).read().events == (Unknown(1.0, "hologram", {"cm": 3}),)


def test_segments_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    """Segments come in the order of their numbers, even when these outgrow their zeros."""
    names = ["10000-joined.jsonl", "0002-joined.jsonl", "9999-settler.jsonl", "0001-owner.jsonl"]
    for name in (*names, "0001.lock", "0001.pid", "notes-of-mine.jsonl", "run.json"):
        (tmp_path / name).touch()
    found = journal.segments(tmp_path)

    assert [part.number for part in found] == [1, 2, 9999, 10000]
    assert [part.role for part in found] == ["owner", "joined", "settler", "joined"]


def test_numbers_are_unique_among_processes(tmp_path: Path) -> None:
    """Processes that open segments at the same time never get the same number."""
    code = """
import sys
from pathlib import Path
from toolkit.events import Left
from toolkit.journal import SegmentWriter
print("ready", flush=True)
sys.stdin.readline()
for _ in range(25):
    writer = SegmentWriter.create(Path(sys.argv[1]), "joined")
    writer.append(Left(1.0, "FINISHED"))
    print(writer.segment.number, flush=True)
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(python(code, tmp_path)) for _ in range(4)]
        for process in processes:
            line_from(process)
        for process in processes:
            tell(process)
        numbers = [int(line_from(process)) for process in processes for _ in range(25)]

    assert sorted(numbers) == list(range(1, 101))
    assert [part.number for part in journal.segments(tmp_path)] == list(range(1, 101))
    assert len(Follower(tmp_path).read().events) == 100


def test_writer_is_known(tmp_path: Path) -> None:
    """A segment tells whether its writer lives, and its process id."""
    code = """
import os, sys
from pathlib import Path
from toolkit.journal import SegmentWriter
writer = SegmentWriter.create(Path(sys.argv[1]), "joined")
print(os.getpid(), flush=True)
sys.stdin.read()
"""
    with python(code, tmp_path) as process:
        pid = int(line_from(process))
        (segment,) = journal.segments(tmp_path)
        assert segment.is_alive()
        assert segment.writer_pid() == pid
        kill(process)

    assert not segment.is_alive()


def test_writer_of_unknown_process(tmp_path: Path) -> None:
    """A segment copied from elsewhere has no living writer, and nobody's process id."""
    (tmp_path / "0001-owner.jsonl").touch()
    (segment,) = journal.segments(tmp_path)

    assert not segment.is_alive()
    assert segment.writer_pid() is None


TEXTS = st.text(max_size=30)


@given(
    texts=st.lists(st.lists(TEXTS, max_size=6), max_size=3),
    sizes=st.lists(st.integers(min_value=1, max_value=400), min_size=1, max_size=5),
)
def test_place_round_trip(texts: list[list[str]], sizes: list[int]) -> None:
    """Followers that go on from each other's place read everything once, in order per writer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, content in enumerate(texts, 1):
            lines = [encode(Console(float(number), t, i)) for i, t in enumerate(content)]
            (folder / f"{number:04d}-joined.jsonl").write_bytes(b"".join(lines))
        place: dict[str, int] = {}
        found: list[Event] = []
        while batch := Follower(folder, place).read(sizes[len(found) % len(sizes)]).events:
            follower = Follower(folder, place)
            assert follower.read(sizes[len(found) % len(sizes)]).events == batch
            found += batch
            place = json.loads(json.dumps(follower.place))

    for number, content in enumerate(texts, 1):
        of_writer = [e for e in found if isinstance(e, Console) and e.time == number]
        assert [e.text for e in of_writer] == content
    assert len(found) == sum(map(len, texts))


def test_line_longer_than_a_batch(tmp_path: Path, writer: SegmentWriter) -> None:
    """A line that is longer than a whole batch comes whole, in a batch of its own."""
    long = Console(1.0, "x" * 100_000, 0)
    for event in (FIRST, long, LAST):
        writer.append(event)
    follower = Follower(tmp_path)

    assert [follower.read(50).events for _ in range(4)] == [(FIRST,), (long,), (LAST,), ()]


def test_batch_is_bounded(tmp_path: Path, writer: SegmentWriter) -> None:
    """A batch holds no more bytes than asked for, however many segments there are."""
    for _ in range(100):
        writer.append(FIRST)
    other = SegmentWriter.create(tmp_path, "joined")
    other.append(SECOND)
    other.close()
    size = len(encode(FIRST))
    follower = Follower(tmp_path)

    assert len(follower.read(10 * size).events) == 10
    assert len(follower.read(90 * size).events) == 90
    assert follower.read(90 * size).events == (SECOND,)


def test_new_segments_are_followed(tmp_path: Path, writer: SegmentWriter) -> None:
    """A writer that comes later is read by a follower that was there before."""
    writer.append(FIRST)
    follower = Follower(tmp_path)
    follower.read()
    other = SegmentWriter.create(tmp_path, "joined")
    other.append(SECOND)
    other.close()

    assert follower.read().events == (SECOND,)


def test_threads_never_interleave(tmp_path: Path, writer: SegmentWriter) -> None:
    """Several threads may write: every line stays whole, and each thread's are in order."""

    def write(name: str) -> None:
        for step in range(200):
            writer.append(Metrics(1.0, {name: 0.5, "filling" * 50: 1.0}, step))

    threads = [threading.Thread(target=write, args=(f"thread {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batch = Follower(tmp_path).read(1 << 24)

    assert batch.damaged == ()
    steps: dict[str, list[int | None]] = {}
    for event in batch.events:
        assert isinstance(event, Metrics)
        steps.setdefault(next(iter(event.values)), []).append(event.step)
    assert list(steps.values()) == [list(range(200))] * 4


def test_full_disk(tmp_path: Path) -> None:
    """A line that the disk took only part of is reported, and the next event is readable."""
    code = """
import resource, signal, sys
from pathlib import Path
from toolkit.events import Metrics
from toolkit.journal import SegmentWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = SegmentWriter.create(Path(sys.argv[1]), "owner")
event = Metrics(1.0, {"loss": 0.5}, 1)
writer.append(event)
size = writer.segment.path.stat().st_size
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, hard))
for attempt in range(2):
    try:
        writer.append(event)
    except OSError as error:
        print(error, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
writer.append(Metrics(2.0, {"loss": 0.25}, 2))
writer.append(Metrics(3.0, {"loss": 0.125}, 3))
"""
    with python(code, tmp_path) as process:
        first, second = line_from(process), line_from(process)
        assert process.wait() == 0
    batch = Follower(tmp_path).read()

    assert "0001-owner.jsonl" in first
    assert "only" in first
    assert second
    assert batch.events == (FIRST, SECOND, LAST)
    (note,) = batch.damaged
    assert note.startswith(f"0001-owner.jsonl:{len(encode(FIRST))}: ")


def test_late_event_is_in_no_other_file(tmp_path: Path) -> None:
    """An event that comes after the segment was given up is refused, whatever was opened since."""
    writer = SegmentWriter.create(tmp_path, "owner")
    writer.close()
    with ExitStack() as stack:
        others = [stack.enter_context((tmp_path / name).open("wb")) for name in "abc"]
        with pytest.raises(OSError, match="descriptor"):
            writer.append(FIRST)

    assert [Path(other.name).read_bytes() for other in others] == [b"", b"", b""]


def test_events_of_some_kinds(tmp_path: Path, writer: SegmentWriter) -> None:
    """Events of the kinds asked for come with their segment; damaged lines don't matter."""
    writer.append(FIRST)
    writer.append(Console(1.0, 'said "ended" and "left"', 0))
    damage(writer.segment.path, b'{"kind":"left"\n')
    other = SegmentWriter.create(tmp_path, "joined")
    other.append(Left(2.0, "FAILED"))
    other.close()
    writer.append(Ended(3.0, "FAILED"))
    damage(writer.segment.path, b'{"kind":"left","ti')
    found = [(part.number, event) for part, event in journal.events_of(tmp_path, Left, Ended)]

    assert found == [(1, Ended(3.0, "FAILED")), (2, Left(2.0, "FAILED"))]


@pytest.mark.parametrize("rest", [b"", b'{"kind":"metr', b"\x00" * 100, b"\n\n"])
def test_last_event(tmp_path: Path, writer: SegmentWriter, rest: bytes) -> None:
    """The last whole event is found behind whatever a dying writer left."""
    for event in (FIRST, SECOND, LAST):
        writer.append(event)
    damage(writer.segment.path, rest)

    assert journal.last_event(writer.segment) == LAST


@pytest.mark.parametrize("length", [10, 65_536, 1_000_000])
def test_last_event_of_any_length(tmp_path: Path, writer: SegmentWriter, length: int) -> None:
    """The last event is found however long it is."""
    long = Console(1.0, "é" * length, 0)
    writer.append(FIRST)
    writer.append(long)

    assert journal.last_event(writer.segment) == long


def test_last_event_of_nothing(tmp_path: Path, writer: SegmentWriter) -> None:
    """A segment without a whole event has no last one."""
    assert journal.last_event(writer.segment) is None
    damage(writer.segment.path, encode(FIRST)[:20])
    assert journal.last_event(writer.segment) is None


def test_first_event(tmp_path: Path, writer: SegmentWriter) -> None:
    """The first event is there once its line is whole."""
    path = writer.segment.path
    assert journal.first_event(writer.segment) is None
    line = encode(LAST)
    path.write_bytes(line[:-1])
    assert journal.first_event(writer.segment) is None
    path.write_bytes(line + b"{torn")

    assert journal.first_event(writer.segment) == LAST
