"""The errors of MLflow's functions: what a script's ``except mlflow.MlflowException`` expects."""

from __future__ import annotations

from toolkit.errors import UsageError

INVALID = "INVALID_PARAMETER_VALUE"
EXISTS = "RESOURCE_ALREADY_EXISTS"
MISSING = "RESOURCE_DOES_NOT_EXIST"


class MlflowException(UsageError):  # noqa: N818 - MLflow's own name
    """A call that MLflow would refuse too."""

    def __init__(self, message: str, error_code: str = INVALID) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code


class NotCoveredError(MlflowException, AttributeError):
    """A part of MLflow that is not here; an AttributeError, so that ``hasattr`` says so."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"mlflow.{what} is not covered by toolkit.fluent: leave it out, or import mlflow "
            "beside it, under another name, for this part; docs/fluent.md lists what is covered",
            "NOT_IMPLEMENTED",
        )
