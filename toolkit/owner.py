"""What the owner of a run does: hold it to its end, start couriers, sample the machine.

The owner is whoever created the run: ``toolkit track``, or the process whose `start_run` made it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

from toolkit import delivery
from toolkit import journal
from toolkit.dispatch import CourierProcess
from toolkit.dispatch import IdleCouriers
from toolkit.errors import UsageError
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Metrics
from toolkit.events import Status
from toolkit.journal import SegmentWriter
from toolkit.notice import Notices
from toolkit.patience import Patience
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

_LOOK_SECONDS = 0.25
_SYSTEM_SECONDS = 10.0

Backends = Mapping[str, Mapping[str, str]]
"""Names of backends, each with its options."""


class Owner:
    """Holds a run while its command or script runs.

    Args:
        run: the run's folder.
        backends: whom to tell; empty means whoever the script asks for.
        notices: to the user: where to look, and what is wrong.
        idle: couriers that may be sent again, and where its own are kept when the run has ended;
            else each is started and dismissed with the run.
    """

    def __init__(
        self,
        run: RunDir,
        backends: Backends,
        notices: Notices,
        idle: IdleCouriers | None = None,
    ) -> None:
        self.run = run
        self._idle = idle
        self.redactor = Redactor.from_environment(os.environ)
        self._backends = backends
        self._notices = notices
        self._patience = Patience.from_environment(os.environ)
        self._system_seconds = _system_interval(os.environ)
        self._couriers: list[CourierProcess] = []
        with run.lock():
            self.writer = SegmentWriter.create(run.journal, "owner")
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._attend, name="toolkit-owner", daemon=True)

    def start(self) -> None:
        """Start the couriers, and begin to sample the machine."""
        for backend, given in self._backends.items():
            self._send(backend, given)
        self._thread.start()

    def finish(self, status: Status) -> None:
        """Write how the run ended, and wait for its couriers."""
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._adopt_backends()
        self.record(Ended(time.time(), status))
        self.writer.close()
        try:
            for courier in self._couriers:
                courier.wait(self._patience)
        finally:  # an impatient Ctrl-C included: none goes on with a run that ended
            for courier in self._couriers:
                self._idle.keep(courier) if self._idle else courier.dismiss()
            self._tell_news()
            self._tell_outcome()

    def record(self, event: Event) -> None:
        """Write an event of the owner's own; a disk that refuses it is reported, once."""
        try:
            self.writer.append(event)
        except OSError as error:
            self._notices.tell(f"can't record any more: {error}")

    def _send(self, backend: str, given: Mapping[str, str]) -> None:
        delivery.owe(self.run, backend, given, self.redactor)
        send = self._idle.send if self._idle else CourierProcess.send
        self._couriers.append(send(self.run, backend, given))

    def _attend(self) -> None:
        from toolkit.system import SystemSampler

        sampler = SystemSampler()
        step = last_system_step(self.run)
        next_sample = time.monotonic()
        while not self._is_ending.wait(_LOOK_SECONDS):
            self._adopt_backends()
            for courier in self._couriers:
                courier.mend()
            self._tell_news()
            if self._system_seconds and time.monotonic() >= next_sample:
                next_sample += self._system_seconds
                step += 1
                self.record(Metrics(time.time(), sampler.sample(), step))

    def _adopt_backends(self) -> None:
        """Send couriers to the backends that the script asks for, if none were chosen before."""
        if self._backends or self._couriers:
            return
        for part in journal.segments(self.run.journal):
            if part.number <= self.writer.segment.number:  # an earlier attempt's, or our own
                continue
            # What a script says of the run comes first: reading on would cost more with every step.
            event = journal.first_event(part)
            if isinstance(event, Described) and event.backends:
                for backend, given in event.backends.items():
                    self._send(backend, given)
                return

    def _tell_news(self) -> None:
        for courier in self._couriers:
            state = delivery.load(self.run, courier.backend)
            if state.link and state.link.url:
                self._notices.tell(f"{courier.backend}: {state.link.url}")
            if state.problem:
                self._notices.tell(f"{courier.backend}: {state.problem}")

    def _tell_outcome(self) -> None:
        for courier in self._couriers:
            state = delivery.load(self.run, courier.backend)
            if owed := state.owed_bytes(self.run) or state.closed is None:
                self._notices.tell(
                    f"{courier.backend}: not everything is told yet; later: "
                    f"toolkit sync {self.run.path.name}"
                )
            elif state.link and state.link.view:
                self._notices.tell(f"{courier.backend}: {state.link.view}")
            if state.passed_over and not owed:
                self._notices.tell(
                    f"{courier.backend}: {len(state.passed_over)} events were passed over; see "
                    f"{delivery.log_path(self.run, courier.backend)}"
                )


def last_system_step(run: RunDir) -> int:
    """Number of the last sample of the machine in earlier attempts; -1 if there is none."""
    steps = (
        event.step
        for segment, event in journal.events_of(run.journal, Metrics)
        if segment.role == "owner" and isinstance(event, Metrics) and event.step is not None
        if any(key.startswith("system/") for key in event.values)
    )
    return max(steps, default=-1)


def _system_interval(environ: Mapping[str, str]) -> float:
    """Seconds between samples of the machine, as TOOLKIT_SYSTEM_INTERVAL says; 0 is never."""
    text = environ.get("TOOLKIT_SYSTEM_INTERVAL")
    if not text:
        return _SYSTEM_SECONDS
    try:
        return max(0.0, float(text))
    except ValueError:
        raise UsageError(f"TOOLKIT_SYSTEM_INTERVAL={text!r} is not a number of seconds") from None
