"""Which errors mean that MLflow can't be reached now, and are worth another try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.tracker import Unreachable

_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@contextmanager
def reaching() -> Iterator[None]:
    """Turn the errors of a backend that is away, overloaded or locked into `Unreachable`."""
    try:
        yield
    except Exception as error:
        if any(map(_is_passing, _chain(error))):
            raise Unreachable(str(error)) from error
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from: MLflow often wraps the cause without naming it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _is_passing(error: BaseException) -> bool:
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    match error:
        case requests.HTTPError():
            return error.response is not None and error.response.status_code in _TRY_AGAIN
        case requests.ConnectionError() | requests.Timeout() | requests.exceptions.RetryError():
            return True
        case requests.exceptions.ChunkedEncodingError():
            return True
        case ConnectionError() | TimeoutError() | OperationalError() | PoolTimeoutError():
            return True
        case MlflowException():
            return error.error_code in {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
    return False
