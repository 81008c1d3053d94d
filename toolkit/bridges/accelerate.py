"""Accelerate's tracker: ``Accelerator(log_with="toolkit")``, or ``log_with=ToolkitTracker(...)``.

Importing this module makes the name ``toolkit`` known to accelerate.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Unpack

import accelerate  # noqa: TID253 - who imports this module wants it
from accelerate import PartialState  # noqa: TID253
from accelerate.state import is_initialized  # noqa: TID253
from accelerate.tracking import GeneralTracker  # noqa: TID253

from toolkit.bridges import values as bridged
from toolkit.bridges.attachment import Attachment
from toolkit.bridges.attachment import NamedOptions
from toolkit.bridges.attachment import silent_run
from toolkit.errors import UsageError
from toolkit.run import Run
from toolkit.run import status_of


class ToolkitTracker(GeneralTracker):  # type: ignore[misc]
    """Records in a run of toolkit what ``accelerator.log`` and its relatives are told.

    It records on the main process; on the others every call is accepted.

    Args:
        project: what the run belongs to; accelerate gives ``init_trackers(project_name)`` to a
            tracker that it was told by name.
        run: record in this run, and leave its end to whoever started it.
        options: what else `toolkit.start_run` takes; through accelerate as
            ``init_trackers(..., init_kwargs={"toolkit": {...}})``.
    """

    name = "toolkit"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self, project: str | None = None, *, run: Run | None = None, **options: Unpack[NamedOptions]
    ) -> None:
        super().__init__()
        self._attachment = Attachment(run, {"project": project, **options})
        self._run: Run | None = None

    def start(self) -> None:
        """Start or join the run; accelerate calls this from ``init_trackers``."""
        self._run = self._attachment.begin()

    @property
    def tracker(self) -> Run:
        """The run, for everything else that can be recorded: ``get_tracker(..., unwrap=True)``.

        Raises:
            UsageError: the tracker has not been started.
        """
        if self._run is None and is_initialized() and not PartialState().is_main_process:
            self._run = silent_run()  # accelerate starts trackers on the main process only
        if self._run is None:
            raise UsageError("toolkit's tracker has no run yet: call accelerator.init_trackers()")
        return self._run

    def store_init_configuration(self, values: Any) -> None:
        """Record the configuration as params, nested as given."""
        self.tracker.log_params(bridged.as_params(values))

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Record values by what they are; see `toolkit.bridges.values.log_values`."""
        bridged.log_values(self.tracker, values, step)

    def log_images(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Record pictures: names, each with a list or a batch of images."""
        for name, images in values.items():
            bridged.log_images(self.tracker, name, images, step)

    def log_table(
        self,
        table_name: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record a table: ``columns`` and rows of ``data``, or a ``dataframe``."""
        bridged.log_table(self.tracker, table_name, columns, data, dataframe, step)

    def finish(self) -> None:
        """End the run, if it was started here: FAILED where an exception leads here."""
        self._attachment.end(status_of(sys.exception()))


def register() -> None:
    """Make ``Accelerator(log_with="toolkit")`` work; importing this module has done it.

    Raises:
        UsageError: this accelerate takes no trackers by name from others.
    """
    from accelerate import tracking

    known = getattr(tracking, "LOGGER_TYPE_TO_CLASS", {})
    if known.get(ToolkitTracker.name) is ToolkitTracker:
        return
    adopt = getattr(tracking, "register_tracker_class", None)
    if adopt is None:
        raise UsageError(
            f"accelerate {accelerate.__version__} has no tracking.register_tracker_class, so it "
            'can\'t know log_with="toolkit": pass log_with=ToolkitTracker(...) instead, or install '
            "accelerate>=1.15"
        )
    adopt(ToolkitTracker)


try:
    register()
except UsageError as error:  # the tracker itself works all the same
    warnings.warn(str(error), RuntimeWarning, stacklevel=2)
