"""What ``synchronous=False`` gives back."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from toolkit.mlflow_api import settings
from toolkit.mlflow_api.exceptions import MlflowException


class RunOperations:
    """A call that has been made: recorded, or refused."""

    def __init__(self, failures: Sequence[Exception]) -> None:
        self._failures = failures

    def wait(self) -> None:
        """Return at once.

        Raises:
            MlflowException: the call was refused.
        """
        if self._failures:
            reasons = "; ".join(map(str, self._failures))
            raise MlflowException(f"refused while logging: {reasons}", "INTERNAL_ERROR")


def perform(synchronous: bool | None, call: Callable[[], None]) -> RunOperations | None:
    """Make the call; where it counts as asynchronous, a refusal waits for `RunOperations.wait`.

    Raises:
        MlflowException: the call was refused, and is synchronous.
    """
    is_async = settings.switch(settings.ASYNC_LOGGING) if synchronous is None else not synchronous
    if not is_async:
        call()
        return None
    try:
        call()
    except MlflowException as error:
        return RunOperations([error])
    return RunOperations([])
