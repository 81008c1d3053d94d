"""wandb's errors as those that the toolkit knows, each with what to do about it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from toolkit.errors import UsageError
from toolkit.tracker import Unreachable

_NOT_INSTALLED = "wandb is not installed: pip install 'toolkit-tracker[wandb]'"
_LOGIN = (
    "Run `wandb login` or set WANDB_API_KEY; -o wandb.mode=offline keeps the run on this machine."
)
_PROJECT = (
    "Make the project on W&B's page, or name another with -o wandb.project=NAME and "
    "-o wandb.entity=USER_OR_TEAM."
)
_PERMISSION = (
    "The key may not write there: use another one, or name a project of your own with "
    "-o wandb.entity=USER_OR_TEAM."
)
_REFUSALS = (
    (re.compile(r"returned error 401|not logged in|invalid api key", re.I), _LOGIN),
    (re.compile(r"returned error 403|permission denied", re.I), _PERMISSION),
    (re.compile(r"returned error 404|(?:project|entity|team)\b.{0,200} not found", re.I), _PROJECT),
)
"""What the server says when trying again would not help, and what does help."""

_MESSAGE = re.compile(r'"message":\s*"((?:[^"\\]|\\.)*)"')
_WANDBS_ADVICE = "\nConsider increasing"  # a call that the user didn't write


@contextlib.contextmanager
def while_opening() -> Iterator[None]:
    """Say why a run can't be opened.

    Raises:
        UsageError: wandb or the server refused what it was given, or there is no valid key.
        Unreachable: the server doesn't answer, or not as W&B does.
    """
    try:
        from wandb import errors
    except ModuleNotFoundError as error:
        raise UsageError(_NOT_INSTALLED) from error
    try:
        yield
    except errors.AuthenticationError as error:
        raise UsageError(f"W&B: {error} {_LOGIN}") from error
    except errors.UsageError as error:
        hint = f" {_LOGIN}" if "API key" in str(error) else ""
        raise UsageError(f"W&B: {error}{hint}") from error
    except errors.Error as error:
        raise _refused_or_away(str(error)) from error
    except TimeoutError as error:
        raise Unreachable(f"W&B: {error}") from error
    except ConnectionError as error:
        raise Unreachable(_own_process(error)) from error


@contextlib.contextmanager
def while_writing() -> Iterator[None]:
    """Tell what is wrong with the connection from what is wrong with an event.

    Raises:
        Unreachable: the server doesn't answer or doesn't take the key any more, or wandb's own
            process is gone. The run has to be opened again, which says more.
    """
    from wandb import errors
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        yield
    except (errors.CommError, WandbApiFailedError, TimeoutError) as error:
        raise Unreachable(f"W&B: {error}") from error
    except ConnectionError as error:
        raise Unreachable(_own_process(error)) from error


def _own_process(error: ConnectionError) -> str:
    return f"wandb's own process on this machine has ended: {error}"


def _refused_or_away(text: str) -> Exception:
    """What the server's answer means: a definite no, or that it can be tried again."""
    for said, advice in _REFUSALS:
        if said.search(text):
            message = _MESSAGE.search(text)
            return UsageError(f"W&B: {message[1] if message else text}. {advice}")
    return Unreachable(f"W&B: {text.partition(_WANDBS_ADVICE)[0]}")
