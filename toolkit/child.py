"""Running a command as a shell would, and seeing what it prints.

The command gets the terminal as its foreground job, so Ctrl-C and Ctrl-Z reach it, and only it.
Its standard input is ours. Of its output, a stream that is a terminal stays one (a pseudo-terminal
of the same size), any other becomes a pipe; stdout and stderr are never merged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import selectors
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from types import FrameType

from attrs import define

from toolkit import signals
from toolkit.console import Stream
from toolkit.errors import UsageError

_TICK_SECONDS = 0.1
_DRAIN_SECONDS = 1.0
_CHUNK = 65536
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@define
class Output:
    """One output stream of the command: where we read it, and where it goes on to."""

    stream: Stream
    target: int
    reading: int
    writing: int
    is_terminal: bool
    size: bytes = b""

    @classmethod
    def like(cls, stream: Stream, target: int) -> Output:
        """A pseudo-terminal if the target is a terminal, else a pipe."""
        is_terminal = os.isatty(target)
        reading, writing = os.openpty() if is_terminal else os.pipe()
        os.set_inheritable(writing, True)
        output = cls(stream, target, reading, writing, is_terminal)
        if is_terminal:
            _pass_bytes_unchanged(writing)
            output.follow_size()
        return output

    def follow_size(self) -> bool:
        """Give the pseudo-terminal our terminal's size; whether that was a change."""
        if not self.is_terminal:
            return False
        try:
            size = fcntl.ioctl(self.target, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        except OSError:  # the window was closed
            return False
        if size == self.size:
            return False
        fcntl.ioctl(self.reading, termios.TIOCSWINSZ, size)
        self.size = size
        return True

    def read(self) -> bytes:
        """What the command has printed; nothing at its end."""
        try:
            return os.read(self.reading, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # how a pseudo-terminal says that nobody writes any more
                return b""
            raise

    def pass_on(self, data: bytes) -> bool:
        """Write to our own stream; False when nobody reads that any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.target, view) :]
            except BlockingIOError:  # whoever we share the stream with made it so
                select.select([], [self.target], [])
            except BrokenPipeError:
                return False
            except OSError:  # a closed window or a full disk: no reason to stop the command
                return True
        return True

    def close(self) -> None:
        """Read no more: the command has ended or closed the stream, or nobody wants it."""
        os.close(self.reading)
        self.is_terminal = False


def _pass_bytes_unchanged(terminal: int) -> None:
    # Our own terminal turns newlines into what it needs; doing so twice would change the output.
    mode = termios.tcgetattr(terminal)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, mode)


@define
class Job:
    """A running command."""

    process: subprocess.Popen[bytes]
    outputs: list[Output]
    terminal: int | None
    """Descriptor of our controlling terminal, if the command got it as its foreground job."""
    interrupted_by: int | None = None
    """The signal that we were asked to stop with."""

    @property
    def pid(self) -> int:
        """Process id of the command, and of its process group."""
        return self.process.pid

    def wait(self, on_output: Callable[[Stream, bytes], None]) -> int:
        """Pass output on until the command has ended.

        Returns:
            Its exit code, or minus the number of the signal that it died by.
        """
        # We write to the terminal although the command has the foreground.
        on_background_write = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with signals.handled(_FORWARDED, self._forward):
            try:
                return self._relay(on_output)
            finally:
                self._take_terminal_back()
                signal.signal(signal.SIGTTOU, on_background_write)

    def _relay(self, on_output: Callable[[Stream, bytes], None]) -> int:
        code: int | None = None
        deadline = float("inf")
        with selectors.DefaultSelector() as selector:
            for output in self.outputs:
                selector.register(output.reading, selectors.EVENT_READ, output)
            while True:
                known = code  # before looking: what was printed last is there to be read then
                ready = selector.select(_TICK_SECONDS)
                for key, _ in ready:
                    if not self._pass_on(key.data, on_output):
                        selector.unregister(key.fd)
                        key.data.close()
                if known is not None and (not ready or time.monotonic() > deadline):
                    return known
                if code is None and (code := self._poll()) is not None:
                    # A process that the command left behind may hold its streams for ever.
                    deadline = time.monotonic() + _DRAIN_SECONDS
                if not selector.get_map():
                    if code is not None:
                        return code
                    time.sleep(_TICK_SECONDS)
                self._follow_size()

    def _pass_on(self, output: Output, on_output: Callable[[Stream, bytes], None]) -> bool:
        data = output.read()
        if not data:
            return False
        is_read = output.pass_on(data)
        on_output(output.stream, data)
        return is_read

    def _poll(self) -> int | None:
        """The exit code, once there is one; stops along when the command was stopped."""
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if not pid:
            return None
        if os.WIFSTOPPED(status):
            self._stop_along()
            return None
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def _stop_along(self) -> None:
        """Ctrl-Z: give the terminal back and stop; when continued, so is the command."""
        if self.terminal is None:
            return
        self._take_terminal_back()
        # The whole group, as the key does: in `... | tee log` the shell waits for tee as well.
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        with contextlib.suppress(OSError):  # the window was closed meanwhile
            if os.tcgetpgrp(self.terminal) == os.getpgrp():  # continued in the foreground
                os.tcsetpgrp(self.terminal, self.pid)
        self.signal(signal.SIGCONT)

    def _take_terminal_back(self) -> None:
        with contextlib.suppress(OSError):  # the window was closed
            if self.terminal is not None and os.tcgetpgrp(self.terminal) == self.pid:
                os.tcsetpgrp(self.terminal, os.getpgrp())

    def _follow_size(self) -> None:
        has_changed = [output.follow_size() for output in self.outputs]
        if any(has_changed):
            self.signal(signal.SIGWINCH)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.interrupted_by = number
        self.signal(number)

    def signal(self, number: int) -> None:
        """Send a signal to the command and whatever shares its process group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # it has just ended, or become another user
            return


def start(command: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Start the command in a process group of its own.

    Raises:
        UsageError: there is no such command, or it can't be run.
    """
    outputs = [Output.like("stdout", 1), Output.like("stderr", 2)]
    terminal = _controlling_terminal()
    try:
        process = subprocess.Popen(
            command,
            stdout=outputs[0].writing,
            stderr=outputs[1].writing,
            env=environ,
            process_group=0,
            preexec_fn=None if terminal is None else _come_to_the_foreground,
        )
    except OSError as error:
        if terminal is not None:
            _come_to_the_foreground()  # where the command was already
        for output in outputs:
            output.close()
        raise UsageError(f"can't run {command[0]!r}: {error.strerror}") from error
    finally:
        for output in outputs:
            os.close(output.writing)
    return Job(process, outputs, terminal)


def _controlling_terminal() -> int | None:
    """A descriptor of the controlling terminal, if we are its foreground job."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    if os.tcgetpgrp(terminal) == os.getpgrp():
        return terminal
    os.close(terminal)
    return None


def _come_to_the_foreground() -> None:
    """Take the terminal; in the new process, before the command can ask for it."""
    handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    os.tcsetpgrp(terminal, os.getpgrp())
    os.close(terminal)
    signal.signal(signal.SIGTTOU, handler or signal.SIG_DFL)
