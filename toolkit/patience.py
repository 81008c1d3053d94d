"""How long a run that is over waits for its backends."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from toolkit.errors import UsageError


@frozen
class Patience:
    """How long to wait for a backend once the run is over, in seconds."""

    without_progress: float = 30.0
    in_all: float = 600.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Patience:
        """As TOOLKIT_FINISH_TIMEOUT says, which is the time without progress.

        Raises:
            UsageError: it isn't a number of seconds.
        """
        text = environ.get("TOOLKIT_FINISH_TIMEOUT")
        if not text:
            return cls()
        try:
            return cls(without_progress=float(text))
        except ValueError:
            raise UsageError(
                f"TOOLKIT_FINISH_TIMEOUT={text!r} is not a number of seconds"
            ) from None
