"""Record an experiment on local disk; tell any number of trackers about it in the background."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from toolkit.run import Run
    from toolkit.start import active_run
    from toolkit.start import end_run
    from toolkit.start import start_run

__version__ = "0.1.0"

__all__ = ["Run", "__version__", "active_run", "end_run", "start_run"]

_HOMES = {
    "Run": "toolkit.run",
    "active_run": "toolkit.start",
    "end_run": "toolkit.start",
    "start_run": "toolkit.start",
}


def __getattr__(name: str) -> Any:
    # Imported when used: the command line and couriers need little of what scripts do.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
