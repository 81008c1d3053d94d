"""Record an experiment on local disk; tell any number of trackers about it in the background."""

from __future__ import annotations

from toolkit.run import Run
from toolkit.start import active_run
from toolkit.start import end_run
from toolkit.start import start_run

__version__ = "0.1.0"

__all__ = ["Run", "__version__", "active_run", "end_run", "start_run"]
