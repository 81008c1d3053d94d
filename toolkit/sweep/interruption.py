"""Signals that ask a sweep to stop: the running trial is asked first, and ends in its own way."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from attrs import define

from toolkit import signals

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedTrialError(Exception):
    """The user stopped the sweep while a trial ran."""


@define
class Interruption:
    """Whether the sweep was asked to stop; passes the signal on to the trial that runs."""

    signal: int | None = None
    """The signal that it was asked with."""
    _trial: subprocess.Popen[bytes] | None = None

    def wait_for(self, trial: subprocess.Popen[bytes]) -> int:
        """The exit code of the trial's process, once it has ended."""
        self._trial = trial
        if self.signal is not None:  # it came before there was anybody to pass it on to
            self._pass_on(self.signal)
        try:
            return trial.wait()
        finally:
            self._trial = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the signal, and pass it on."""
        self.signal = number
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if self._trial is not None:
            self._trial.send_signal(number)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take signals that would end the sweep as notes."""
    interruption = Interruption()
    with signals.handled(_SIGNALS, interruption.receive):
        yield interruption
