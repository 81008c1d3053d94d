"""What W&B's server has of a run, asked through wandb's public interface."""

from __future__ import annotations

import time
from typing import Any

_NOT_OVER = frozenset(("pending", "running"))
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0


def printed_lines(run: Any) -> int:
    """How many lines of the console it has."""
    last = list(_found(run).console_logs(last=1))
    return last[-1].number + 1 if last else 0


def knows_the_end(run: Any) -> bool:
    """Whether the run is over there; it gets a few seconds to take notice."""
    found = _found(run)
    patient_until = time.monotonic() + min(_PATIENCE_SECONDS, run.settings.finish_timeout)
    while found.state in _NOT_OVER and time.monotonic() < patient_until:
        time.sleep(_PAUSE_SECONDS)
        found.load(force=True)
    return found.state not in _NOT_OVER


def _found(run: Any) -> Any:
    import wandb

    its = run.settings
    where = {"base_url": its.base_url, "entity": its.entity, "project": its.project}
    api = wandb.Api(where, timeout=max(1, round(its.init_timeout)), api_key=its.api_key)
    return api.run(f"{its.entity}/{its.project}/{its.run_id}")
