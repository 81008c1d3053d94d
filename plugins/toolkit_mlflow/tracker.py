"""The tracker: what the toolkit calls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import ClassVar

from attrs import define
from attrs import field

from toolkit.events import Ended
from toolkit.events import Event
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import Unreachable
from toolkit_mlflow import runs
from toolkit_mlflow import store
from toolkit_mlflow.reach import reaching
from toolkit_mlflow.session import Session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@define
class MlflowTracker:
    """Tells MLflow about one run.

    Metrics, params and tags keep their names where MLflow accepts them (`toolkit_mlflow.keys` has
    the rule for the others). Text of a summary is a tag ``summary.<key>``, its numbers are metrics
    at the last step of that name. An alias of an artifact is a tag
    ``toolkit.alias.<artifact>.<alias>`` with its path.
    """

    tracking_uri: str | None = field(
        default=None,
        metadata={
            "doc": "where MLflow keeps its runs; else MLFLOW_TRACKING_URI, "
            "else mlflow.db in the command's working folder"
        },
    )
    experiment: str | None = field(
        default=None,
        metadata={
            "doc": "name of the experiment; else the run's project, else MLFLOW_EXPERIMENT_NAME"
        },
    )
    _session: Session | None = field(default=None, init=False)

    protocol_version: ClassVar[int] = 1

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        """Go on with the run in MLflow, or create it.

        A run that was deleted in MLflow is restored. One that was removed for good is created anew,
        and the link says so by another id.

        Raises:
            Unreachable: the server or the database can't be reached now.
            UsageError: the experiment is deleted, or there is nowhere to write to.
        """
        store.configure(os.environ)
        address = store.resolve(self.tracking_uri, run.directory, os.environ)
        with reaching():
            client = store.connect(address)
            known = self._known(client, run, memory)
            self._session = Session(client, run, known)
            self._session.adopt()
        experiment, run_id = str(known.info.experiment_id), str(known.info.run_id)
        return Link(
            id=run_id,
            url=address.page(experiment, run_id),
            view=address.view,
            state={"experiment": experiment},
        )

    def write(self, events: Sequence[Event]) -> None:
        """Tell a batch of events; telling them again changes nothing.

        Raises:
            Unreachable: the server or database can't be reached now, or the run is deleted there.
            FileNotFoundError: a file of an artifact is gone.
        """
        with self._telling() as session:
            session.write(events)

    def close(self, ended: Ended) -> None:
        """Set the run's status and end.

        Raises:
            Unreachable: the server or database can't be reached now, or the run is deleted there.
        """
        with self._telling() as session:
            session.close(ended)

    def _known(self, client: MlflowClient, run: RunInfo, memory: Link | None) -> Run:
        known = runs.remembered(client, memory.id) if memory else None
        if known is None:
            name = self.experiment or run.project or os.environ.get("MLFLOW_EXPERIMENT_NAME")
            experiment = runs.experiment_id(client, name or run.project_name)
            known = runs.find(client, [experiment], run.id)
            if known is None:
                created = client.create_run(
                    experiment,
                    start_time=int(run.created * 1000),
                    tags=runs.description(run),
                    run_name=run.display_name,
                )
                runs.adopt_children(client, created, run.id)
                return created
        runs.reopen(client, known, run)
        return known

    @contextmanager
    def _telling(self) -> Iterator[Session]:
        if self._session is None:
            raise RuntimeError("open() comes first")
        with reaching():
            try:
                yield self._session
            except Exception as error:
                if _is_refusal(error) and not self._session.is_writable():
                    raise Unreachable(
                        "the run was deleted in MLflow; `toolkit sync` restores it and goes on"
                    ) from error
                raise


def _is_refusal(error: Exception) -> bool:
    """Whether MLflow itself answered, and said no."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.error_code in {
        "INVALID_PARAMETER_VALUE",
        "RESOURCE_DOES_NOT_EXIST",
    }
