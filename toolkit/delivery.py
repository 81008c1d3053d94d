"""What one backend has been told about one run: ``delivery/<backend>.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field
from attrs import frozen

from toolkit import journal
from toolkit import jsonfile
from toolkit import options
from toolkit.errors import UsageError
from toolkit.lifecycle import Life
from toolkit.redact import MASK
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.tracker import Link


@frozen
class Delivery:
    """How far one courier has got; only the courier that holds the backend's lock writes it."""

    backend: str
    options: Mapping[str, str] = field(factory=dict)
    """What the backend was opened with; secrets are masked, and asked for again."""
    link: Link | None = None
    place: Mapping[str, int] = field(factory=dict)
    """Bytes told of each segment."""
    told: int = 0
    """Number of events."""
    closed: int | None = None
    """Number of the segment whose end has been told."""
    problem: str | None = None
    """Why nothing is told at the moment."""
    passed_over: tuple[str, ...] = ()
    """Events that the backend refused, and lines that could not be read."""

    def is_complete(self, run: RunDir, life: Life) -> bool:
        """Whether the run is over and everything, its end included, has been told."""
        return life.is_over and self.closed == life.end_segment and not self.owed_bytes(run)

    def owed_bytes(self, run: RunDir) -> int:
        """How much of the journal has not been told yet."""
        return sum(
            max(0, part.path.stat().st_size - self.place.get(part.name, 0))
            for part in journal.segments(run.journal)
        )

    def open_options(self, given: Mapping[str, str]) -> dict[str, str]:
        """The options to open the backend with: those remembered, and over them those given anew.

        Raises:
            UsageError: one that held a secret isn't given anew; without it, the backend's default
                would be told, which may be another place.
        """
        for name in self.options.keys() - without_secrets(self.options).keys() - given.keys():
            variable = next(iter(options.to_environment(self.backend, {name: ""})))
            raise UsageError(
                f"the option {name} of {self.backend} held a secret, which is not kept; give it "
                f"again: --backend {self.backend} -o {self.backend}.{name}=VALUE, or {variable}"
            )
        return {**self.options, **given}


def without_secrets(given: Mapping[str, str]) -> dict[str, str]:
    """The options whose values are what the user gave: no secret in them has been masked."""
    return {name: value for name, value in given.items() if MASK not in value}


def state_path(run: RunDir, backend: str) -> Path:
    """Where the delivery is remembered."""
    return run.delivery / f"{backend}.json"


def log_path(run: RunDir, backend: str) -> Path:
    """Where the courier writes what it has to say."""
    return run.delivery / f"{backend}.log"


def lock_path(run: RunDir, backend: str) -> Path:
    """What a courier holds, so that no two tell the same backend about the same run."""
    return run.delivery / f"{backend}.lock"


def load(run: RunDir, backend: str) -> Delivery:
    """The delivery to this backend, as far as it has got."""
    path = state_path(run, backend)
    return jsonfile.read(path, Delivery) if path.exists() else Delivery(backend)


def save(run: RunDir, delivery: Delivery) -> None:
    """Remember how far the delivery has got."""
    jsonfile.write(state_path(run, delivery.backend), delivery)


def owe(run: RunDir, backend: str, given: Mapping[str, str], redactor: Redactor) -> None:
    """Note that the run is to be told to this backend; a delivery that has begun stays as it is."""
    if not state_path(run, backend).exists():
        save(run, Delivery(backend, redactor.values(given)))


def backends(run: RunDir) -> list[str]:
    """The backends that the run is told to."""
    return sorted(path.stem for path in run.delivery.glob("[!.]*.json"))
