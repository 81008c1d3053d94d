from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.terminal import at_terminal
from tests.waiting import LIMIT
from tests.waiting import wait_until
from toolkit import child
from toolkit.errors import UsageError

# Runs a command as `toolkit track` does, and writes down what became of it.
DRIVER = """
import base64, json, os, sys
from pathlib import Path
from toolkit import child
seen = {"stdout": b"", "stderr": b""}
def note(stream, data):
    seen[stream] += data
job = child.start(sys.argv[2:], os.environ)
code = job.wait(note)
result = {name: base64.b64encode(data).decode() for name, data in seen.items()}
result |= {"code": code, "interrupted_by": job.interrupted_by}
Path(sys.argv[1] + ".partial").write_text(json.dumps(result))
os.replace(sys.argv[1] + ".partial", sys.argv[1])
"""


class Command:
    """A Python command run by the driver, and what it and the driver wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result_path = folder / "result"

    def argv(self, code: str) -> list[str]:
        """The driver with the command after it."""
        script = self.folder / "script.py"
        script.write_text(code, encoding="utf-8")
        driver = self.folder / "driver.py"
        driver.write_text(DRIVER, encoding="utf-8")
        return [sys.executable, str(driver), str(self.result_path), sys.executable, str(script)]

    def result(self) -> dict[str, Any]:
        """What the driver has seen, once it is done."""
        wait_until(self.result_path.exists)
        found: dict[str, Any] = json.loads(self.result_path.read_text(encoding="utf-8"))
        for stream in ("stdout", "stderr"):
            found[stream] = base64.b64decode(found[stream])
        return found

    def run(self, code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end, its streams in pipes."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
        return subprocess.run(self.argv(code), check=True, timeout=LIMIT, **(given | options))

    def written(self, name: str) -> str:
        """What the command has written into this file, once there is something."""
        path = self.folder / name
        wait_until(lambda: path.exists() and path.stat().st_size)
        return path.read_text(encoding="utf-8")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Command(tmp_path)


def test_streams_are_not_merged(command: Command) -> None:
    """Standard output stays standard output, and standard error standard error."""
    done = command.run("import sys; print('out'); print('err', file=sys.stderr); print('more')")

    assert (done.stdout, done.stderr) == (b"out\nmore\n", b"err\n")
    assert command.result()["stdout"] == b"out\nmore\n"
    assert command.result()["stderr"] == b"err\n"


def test_bytes_pass_unchanged(command: Command) -> None:
    """Every byte arrives as it was written, and is recorded so, a megabyte of them as well."""
    code = "import os, sys; sys.stdout.buffer.write(bytes(range(256)) * 8192)"
    done = command.run(code)

    assert done.stdout == bytes(range(256)) * 8192
    assert command.result()["stdout"] == done.stdout


def test_both_streams_full(command: Command) -> None:
    """A command that fills both streams at once is not held up."""
    code = """
import sys, threading
def fill(stream, byte):
    for _ in range(200):
        stream.buffer.write(byte * 5000)
        stream.flush()
threads = [threading.Thread(target=fill, args=args)
           for args in ((sys.stdout, b"o"), (sys.stderr, b"e"))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    done = command.run(code)

    assert done.stdout == b"o" * 1_000_000
    assert done.stderr == b"e" * 1_000_000


def test_standard_input_is_passed_on(command: Command) -> None:
    """The command reads what we were given to read."""
    done = command.run("print(input()[::-1])", stdin=None, input=b"abc\n")

    assert done.stdout == b"cba\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(255)", 255),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11),
    ],
)
def test_exit_codes(command: Command, code: str, expected: int) -> None:
    """The exit code is the command's own, or minus the signal that it died by."""
    command.run(code)

    assert command.result()["code"] == expected
    assert command.result()["interrupted_by"] is None


def test_no_such_command(tmp_path: Path) -> None:
    """A command that doesn't exist, or can't be run, is an error that names it."""
    (tmp_path / "text").write_text("no program")
    for name in ("a-command-that-nobody-has", str(tmp_path / "text"), str(tmp_path)):
        with pytest.raises(UsageError, match="can't run") as caught:
            child.start([name], os.environ)
        assert repr(name) in str(caught.value)


def test_output_of_the_last_moment(command: Command) -> None:
    """What a command prints just before it ends is not lost, even if we were held up then."""
    code = """
import os, psutil, signal
driver = psutil.Process(os.getppid())
driver.send_signal(signal.SIGSTOP)
while driver.status() != psutil.STATUS_STOPPED:
    pass
print("last words", flush=True)
"""
    with subprocess.Popen(command.argv(code), stdout=subprocess.PIPE) as process:
        driver = psutil.Process(process.pid)
        wait_until(lambda: driver.status() == psutil.STATUS_STOPPED)
        (script,) = driver.children()
        wait_until(lambda: script.status() == psutil.STATUS_ZOMBIE)
        held_up_until = time.monotonic() + 0.3  # longer than we wait for output at a time
        wait_until(lambda: time.monotonic() > held_up_until)
        driver.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=LIMIT)

    assert output == command.result()["stdout"] == b"last words\n"


def test_process_left_behind(command: Command) -> None:
    """A process that the command left behind, and that holds its streams, holds nobody up."""
    code = """
import os, sys, time
print("out", flush=True)
if not os.fork():
    open("left", "w").write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists("left"):
    time.sleep(0.01)
"""
    command.run(code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, capture_output=False)
    os.kill(int(command.written("left")), signal.SIGKILL)

    assert command.result()["stdout"] == b"out\n"


def test_closed_streams(command: Command) -> None:
    """A command that closes its streams and goes on is waited for."""
    code = """
import os, time
print("out", flush=True)
os.close(1); os.close(2)
time.sleep(0.5)
open("done", "w").write("done")
os._exit(7)
"""
    command.run(code)

    assert command.written("done") == "done"
    assert command.result()["code"] == 7


def test_nobody_reads_our_output(command: Command) -> None:
    """When our reader is gone, as in `| head`, the command learns of it, and we live on."""
    code = """
import sys, time
while True:
    print("line", flush=True)
"""
    reading, writing = os.pipe()
    with subprocess.Popen(command.argv(code), stdout=writing, stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        assert os.read(reading, 4) == b"line"
        os.close(reading)
        assert process.wait(LIMIT) == 0

    # Its own BrokenPipeError, or 120 where that came while the interpreter was leaving.
    assert command.result()["code"] in {1, 120}


def test_our_output_does_not_block(command: Command) -> None:
    """A standard output that was set to non-blocking, and is slow, loses nothing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = "import sys; sys.stdout.write('x' * 1_000_000)"
    with subprocess.Popen(command.argv(code), stdout=writing) as process:
        os.close(writing)
        with open(reading, "rb") as file:
            assert file.read() == b"x" * 1_000_000
        assert process.wait(LIMIT) == 0

    assert command.result()["code"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on(command: Command, number: signal.Signals) -> None:
    """A signal that asks us to stop reaches the command and what it started, and is remembered."""
    code = """
import subprocess, sys, time
process = subprocess.Popen(["sleep", "600"])
open("ready", "w").write(str(process.pid))
time.sleep(600)
"""
    with subprocess.Popen(command.argv(code), stderr=subprocess.DEVNULL) as process:
        grandchild = psutil.Process(int(command.written("ready")))
        process.send_signal(number)
        assert process.wait(LIMIT) == 0
        wait_until(lambda: not grandchild.is_running())

    assert command.result()["code"] == -number
    assert command.result()["interrupted_by"] == number


def test_ignored_signal_stays_ignored(command: Command) -> None:
    """Under nohup a hangup stops neither us nor the command, and is not held against it."""
    code = """
import pathlib, time
open("ready", "w").write("ready")
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
    argv = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command.argv(code)]
    with subprocess.Popen(argv) as process:
        command.written("ready")
        process.send_signal(signal.SIGHUP)
        (command.folder / "go").touch()
        assert process.wait(LIMIT) == 0

    assert command.result()["code"] == 0
    assert command.result()["interrupted_by"] is None


IS_TERMINAL = (
    "import json, os; open('tty', 'w').write(json.dumps([os.isatty(i) for i in range(3)]))"
)


@pytest.mark.parametrize("piped", [(), ("stdin",), ("stdout",), ("stderr",), ("stdout", "stderr")])
def test_terminals_stay_terminals(command: Command, piped: tuple[str, ...]) -> None:
    """Inside, exactly those streams are terminals that were terminals outside."""
    # The terminal is the one on standard input, so a shell replaces that afterwards.
    shell = 'exec "$@"' + (" </dev/null" if "stdin" in piped else "")
    streams = {name: subprocess.DEVNULL for name in piped if name != "stdin"}
    with at_terminal(["/bin/sh", "-c", shell, "sh", *command.argv(IS_TERMINAL)], **streams):
        result = command.result()

    expected = [name not in piped for name in ("stdin", "stdout", "stderr")]
    assert json.loads(command.written("tty")) == expected
    assert result["code"] == 0


def test_terminal_output(command: Command) -> None:
    """What a terminal shows is what it would show without us; what is recorded has no returns."""
    code = "import sys; print('é\\tone'); print('two', file=sys.stderr)"
    with at_terminal(command.argv(code)) as (terminal, _):
        result = command.result()
        wait_until(lambda: "two" in terminal.shown())

        assert sorted(terminal.shown().split("\r\n")) == ["", "two", "é\tone"]
    assert (result["stdout"], result["stderr"]) == ("é\tone\n".encode(), b"two\n")


SIZES = """
import os, signal, sys, time
def note(*_):
    size = os.get_terminal_size(1)
    with open("sizes", "a") as file:
        file.write(f"{size.lines}x{size.columns}\\n")
signal.signal(signal.SIGWINCH, note)
note()
time.sleep(600)
"""


def test_size(command: Command) -> None:
    """The command sees the window's size from its first moment, and every change of it."""
    with at_terminal(["/bin/sh", "-c", 'stty rows 33 cols 101; exec "$@"', "sh",
                      *command.argv(SIZES)]) as (terminal, _):  # fmt: skip
        assert command.written("sizes").splitlines()[0] == "33x101"
        terminal.resize(50, 120)
        wait_until(lambda: command.written("sizes").endswith("50x120\n"))


INTERRUPTED = """
import os, time
try:
    open("ready", "w").write(str(os.getpid()))
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise
"""


def test_ctrl_c(command: Command) -> None:
    """Ctrl-C reaches the command, and not us."""
    with at_terminal(command.argv(INTERRUPTED)) as (terminal, process):
        command.written("ready")
        terminal.type("\x03")
        result = command.result()
        assert process.wait(LIMIT) == 0

    assert result["code"] == -signal.SIGINT
    assert result["interrupted_by"] is None
    assert result["stdout"].count(b"interrupted") == 1


def test_ctrl_backslash(command: Command) -> None:
    r"""Ctrl-\ ends the command, and not us."""
    with at_terminal(command.argv(INTERRUPTED)) as (terminal, _):
        command.written("ready")
        terminal.type("\x1c")

        assert command.result()["code"] == -signal.SIGQUIT


def test_command_reads_the_terminal(command: Command) -> None:
    """The command can ask at the terminal, for it is the foreground job."""
    code = "open('answer', 'w').write(input('really? '))"
    with at_terminal(command.argv(code)) as (terminal, _):
        wait_until(lambda: "really?" in terminal.shown())
        terminal.type("yes\n")

        assert command.written("answer") == "yes"


@pytest.mark.parametrize("code", ["", "import os; os.abort()"])
def test_terminal_is_given_back(command: Command, code: str) -> None:
    """After the command's end we are the foreground job again, however it ended."""
    argv = command.argv(code)
    after = Path(argv[1])
    text = after.read_text() + "open('after', 'w').write(input('again? '))"
    after.write_text(text)
    with at_terminal(argv) as (terminal, _):
        wait_until(lambda: "again?" in terminal.shown())
        terminal.type("yes\n")

        assert command.written("after") == "yes"


def test_terminal_is_given_back_by_a_command_that_cannot_run(command: Command) -> None:
    """Where there is no such command, we stay the foreground job."""
    code = """
import os
from toolkit import child
from toolkit.errors import UsageError
try:
    child.start(["a-command-that-nobody-has"], os.environ)
except UsageError:
    open("after", "w").write(input("again? "))
"""
    with at_terminal([sys.executable, "-c", code]) as (terminal, _):
        wait_until(lambda: "again?" in terminal.shown())
        terminal.type("yes\n")

        assert command.written("after") == "yes"


def test_hang_up(command: Command) -> None:
    """When the window is closed, the command hears of it, and we get to write down its end."""
    with at_terminal(command.argv(INTERRUPTED)) as (terminal, _):
        command.written("ready")
        terminal.hang_up()

        assert command.result()["code"] == -signal.SIGHUP


STEPS = """
import itertools, os, time
for step in itertools.count():
    with open("step", "w") as file:
        file.write(f"{os.getpid()} {step}")
    os.replace("step", "steps")  # so that whoever stops us never leaves an empty file
    if os.path.exists("enough"):
        print("last step", flush=True)
        break
    time.sleep(0.01)
"""


@pytest.mark.parametrize("pipe", ["", " | cat"])
def test_ctrl_z(command: Command, pipe: str) -> None:
    """Ctrl-Z in a shell stops the command and us, `fg` continues both, and the terminal works."""
    shell = ["/usr/bin/env", "bash", "--norc", "--noprofile", "-i"]
    environ = {**os.environ, "PS1": "$ ", "HISTFILE": "/dev/null"}
    with at_terminal(shell, env=environ) as (terminal, bash):
        wait_until(lambda: "$ " in terminal.shown())
        terminal.type(" ".join(command.argv(STEPS)) + pipe + "\n")
        pid = int(command.written("steps").split()[0])
        tracked = psutil.Process(pid)
        driver = psutil.Process(tracked.ppid())

        terminal.type("\x1a")
        # Until the shell asks again: what is typed before that, it may throw away.
        wait_until(lambda: "$ " in terminal.shown().partition("Stopped")[2])
        assert tracked.status() == driver.status() == psutil.STATUS_STOPPED
        assert terminal.foreground() == bash.pid

        stopped_at = command.written("steps")
        terminal.type("fg\n")
        wait_until(lambda: command.written("steps") != stopped_at)
        wait_until(lambda: terminal.foreground() == pid)
        (command.folder / "enough").touch()
        assert command.result()["code"] == 0
        wait_until(lambda: "last step" in terminal.shown())
        wait_until(lambda: terminal.foreground() == bash.pid)


def test_ctrl_z_without_a_shell(command: Command) -> None:
    """Where no shell could continue us, as in a window of our own, Ctrl-Z freezes nothing."""
    with at_terminal(command.argv(STEPS)) as (terminal, _):
        command.written("steps")
        terminal.type("\x1a")
        (command.folder / "enough").touch()

        assert command.result()["stdout"] == b"last step\n"


def test_stopped_without_a_terminal(command: Command) -> None:
    """A command that somebody stops and continues, with no terminal around, is waited for."""
    with subprocess.Popen(command.argv(STEPS), start_new_session=True) as process:
        pid = int(command.written("steps").split()[0])
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        os.kill(pid, signal.SIGCONT)
        (command.folder / "enough").touch()
        assert process.wait(LIMIT) == 0

    assert command.result()["stdout"] == b"last step\n"


def test_background_job(command: Command) -> None:
    """As a background job (`&`) we leave the terminal to whoever has it."""
    shell = ["/usr/bin/env", "bash", "--norc", "--noprofile", "-i"]
    environ = {**os.environ, "PS1": "$ ", "HISTFILE": "/dev/null"}
    with at_terminal(shell, env=environ) as (terminal, bash):
        wait_until(lambda: "$ " in terminal.shown())
        terminal.type(" ".join(command.argv(STEPS)) + " &\n")
        command.written("steps")
        assert terminal.foreground() == bash.pid
        (command.folder / "enough").touch()

        assert command.result()["code"] == 0
        wait_until(lambda: "last step" in terminal.shown())
