"""Rules of the handler for `logging` records."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

import toolkit
from tests.bridges.reading import curves
from tests.bridges.reading import only_run
from tests.commands import Bench
from tests.commands import of_kind
from tests.commands import status
from toolkit.bridges.logging import ToolkitHandler
from toolkit.events import Console

_TOKEN = "hf_" + "A1" * 17


@pytest.fixture
def logger() -> logging.Logger:
    """A logger that nothing else listens to, pytest least of all."""
    return logging.Logger("program.part")


def _console(folder: Path) -> str:
    """The run's console; every text lies where its position says."""
    text = ""
    for event in of_kind(only_run(folder), Console):
        assert event.position == len(text)
        text += event.text
    return text


def test_records_are_the_console_of_the_run(home: Path, logger: logging.Logger) -> None:
    """One line each, with time, level and logger; below the handler's level nothing."""
    logger.addHandler(ToolkitHandler(logging.INFO))
    with toolkit.start_run():
        logger.debug("too low")
        logger.info("step %d of %d", 1, 3)
        logger.warning("Grüße")
    first, second, rest = _console(home).split("\n")
    assert first.endswith(" INFO program.part: step 1 of 3")
    assert second.endswith(" WARNING program.part: Grüße")
    assert rest == ""


def test_a_traceback_is_kept(home: Path, logger: logging.Logger) -> None:
    """Formatted as Python prints it."""
    logger.addHandler(ToolkitHandler())
    with toolkit.start_run():
        try:
            raise KeyError("missing")
        except KeyError:
            logger.exception("it broke")
    text = _console(home)
    assert "ERROR program.part: it broke\nTraceback (most recent call last):\n" in text
    assert text.endswith("KeyError: 'missing'\n")


def test_metrics_travel_in_extra(home: Path, logger: logging.Logger) -> None:
    """With their step, or without one; something else under that name is none of ours."""
    logger.addHandler(ToolkitHandler())
    with toolkit.start_run():
        logger.info("a", extra={"metrics": {"loss": 0.5, "n": True}, "step": 7})
        logger.info("b", extra={"metrics": {"loss": 0.25}})
        logger.info("c", extra={"metrics": "none today"})
    assert curves(only_run(home)) == {"loss": [(7, 0.5), (None, 0.25)], "n": [(7, 1.0)]}
    assert _console(home).count("\n") == 3


def test_secrets_are_masked(home: Path, logger: logging.Logger) -> None:
    """As everywhere in a run."""
    logger.addHandler(ToolkitHandler())
    with toolkit.start_run():
        logger.info("logged in with %s", _TOKEN)
    assert _console(home).endswith("logged in with ***\n")


def test_the_format_can_be_chosen(home: Path, logger: logging.Logger) -> None:
    """As of any handler."""
    handler = ToolkitHandler()
    handler.setFormatter(logging.Formatter("%(message)s!"))
    logger.addHandler(handler)
    with toolkit.start_run():
        logger.info("short")
    assert _console(home) == "short!\n"


class _Chatty:
    """Logs whenever it is shown."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __str__(self) -> str:
        self._logger.warning("shown: %s", self)
        return "chatty"


def test_nothing_recurses(home: Path, logger: logging.Logger) -> None:
    """What is logged while a record is handled is passed over, and so are toolkit's loggers."""
    handler = ToolkitHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    own = logging.getLogger("toolkit.courier")
    own.addHandler(handler)
    try:
        with toolkit.start_run():
            logger.info("%s", _Chatty(logger))
            own.error("about delivery")
    finally:
        own.removeHandler(handler)
    assert _console(home) == "chatty\n"


def test_nothing_is_raised_into_the_program(
    home: Path, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    """A record that can't be formatted or holds no number is reported as `logging` does."""
    logger.addHandler(ToolkitHandler())
    with toolkit.start_run() as run:
        logger.info("%d of %d", 1)
        logger.info("bad", extra={"metrics": {"loss": "high"}, "step": 1})
        run.log_metrics({"loss": 1.0}, 2)
    assert curves(only_run(home)) == {"loss": [(2, 1.0)]}
    printed = capfd.readouterr().err
    assert printed.count("--- Logging error ---") == 2
    assert "metric 'loss': expected one number, got str 'high'" in printed


def test_without_a_run_there_is_nothing_to_do(home: Path, logger: logging.Logger) -> None:
    """Before the run, after it, and after one that was given."""
    given = toolkit.start_run()
    logger.addHandler(ToolkitHandler())
    logger.addHandler(ToolkitHandler(run=given))
    given.end()
    logger.info("after the end")
    assert _console(home) == ""


def test_other_threads_record_too(home: Path, logger: logging.Logger) -> None:
    """Once the handler has seen the run."""
    handler = ToolkitHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    with toolkit.start_run():
        logger.info("main")
        threads = [threading.Thread(target=logger.info, args=("other",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert _console(home) == "main\n" + 8 * "other\n"


def test_several_handlers_write_one_console(home: Path, logger: logging.Logger) -> None:
    """And a resumed run goes on behind what it has."""
    for form in ("1 %(message)s", "2 %(message)s"):
        handler = ToolkitHandler()
        handler.setFormatter(logging.Formatter(form))
        logger.addHandler(handler)
    with toolkit.start_run() as run:
        logger.info("x")
    with toolkit.start_run(run_id=run.id):
        logger.info("y")
    assert _console(home) == "1 x\n2 x\n1 y\n2 y\n"


def test_a_forked_child_writes_nothing(home: Path, logger: logging.Logger) -> None:
    """As everywhere in a run."""
    logger.addHandler(ToolkitHandler())
    with toolkit.start_run():
        child = os.fork()
        if child == 0:
            try:
                logger.info("from the child", extra={"metrics": {"x": 1}})
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert _console(home) == ""
    assert curves(only_run(home)) == {}


_TRACKED = """
import logging
import sys
import toolkit
from toolkit.bridges.logging import ToolkitHandler

toolkit.start_run()
logger = logging.getLogger("job")
logger.setLevel("INFO")
logger.addHandler(ToolkitHandler())
logger.info("only here", extra={"metrics": {"x": 1}, "step": 1})
logging.basicConfig(format="%(message)s", stream=sys.stdout)
logger.info("printed anyway", extra={"metrics": {"x": 2}, "step": 2})
raise SystemExit(3)
"""


def test_under_track_no_record_comes_twice(bench: Bench) -> None:
    """What is printed anyway is recorded as such; else the handler prints it."""
    done = bench.track(_TRACKED)
    run = bench.only_run()
    assert done.returncode == 3
    assert done.stdout == "printed anyway\n"
    assert done.stderr.endswith(" INFO job: only here\n")
    assert curves(run) == {"x": [(1, 1.0), (2, 2.0)]}
    assert status(run) == "FAILED"
    texts = {event.stream: event.text for event in of_kind(run, Console)}
    assert texts["stdout"] == "printed anyway\n"
    assert texts["stderr"].endswith(" INFO job: only here\n")
    assert len(texts) == 2


def test_a_handler_of_a_stream_elsewhere_doesnt_print(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is not the terminal, nor is a handler that takes higher levels only."""
    printed = io.StringIO()
    logger = logging.getLogger("program.printing")
    logger.setLevel(logging.INFO)
    with toolkit.start_run() as run:
        monkeypatch.setenv("TOOLKIT_RUN", str(run.dir))
        monkeypatch.setattr(sys, "stderr", printed)
        handler = ToolkitHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        to_file, errors = logging.StreamHandler(io.StringIO()), logging.StreamHandler(printed)
        errors.setLevel(logging.ERROR)
        for one in (handler, to_file, errors):
            logger.addHandler(one)
        logger.info("low")
        logger.error("high")
    for one in (handler, to_file, errors):
        logger.removeHandler(one)
    assert printed.getvalue() == "low\nhigh\n"
