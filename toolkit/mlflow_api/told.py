"""What one run has been told, as far as later calls depend on it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from toolkit import journal
from toolkit import tables
from toolkit.events import Params
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.mlflow_api import checks
from toolkit.mlflow_api.exceptions import MlflowException
from toolkit.redact import Redactor
from toolkit.rundir import RunDir
from toolkit.tables import Rows
from toolkit.tracker import flatten

_AS_THEY_ARE = (bool, int, type(None))


class Told:
    """The params, tags, tables and moments of one run."""

    def __init__(self) -> None:
        self.tags: set[str] = set()
        self.tables: dict[str, Rows] = {}
        self._params: dict[str, str] = {}
        self._metrics: dict[str, tuple[int | None, int]] = {}
        self._redactor = Redactor.from_environment(os.environ)

    @classmethod
    def of(cls, run: RunDir) -> Told:
        """What the run was told before this process went on with it."""
        told = cls()
        for _, event in journal.events_of(run.journal, Params, Tags, Table):
            if isinstance(event, Params):
                for key, value in flatten(event.values):
                    told._params.setdefault(key, str(value))
            elif isinstance(event, Tags):
                for key, text in event.values.items():
                    (told.tags.add if text else told.tags.discard)(key)  # as `delete_tag` says it
            elif isinstance(event, Table) and event.step is None:
                told.tables[event.name] = tables.read(run.path / event.path)
        return told

    def add_params(self, params: Mapping[Any, Any]) -> dict[str, Any]:
        """The params as they are to be recorded.

        Raises:
            MlflowException: one of them has another value already, or can't be a param; then none
                of them counts.
        """
        new: dict[str, Any] = {}
        texts: dict[str, str] = {}
        for key, value in params.items():
            checks.key("param", key)
            text = checks.text(f"param {key!r}", value, checks.MAX_PARAM_LENGTH)
            new[key] = value if _reads_the_same(value) else text
            (recorded,) = self._redactor.values({key: new[key]}).values()
            texts[key] = str(recorded)  # as it will be read back
            if self._params.get(key, texts[key]) != texts[key]:
                raise MlflowException(
                    f"param {key!r} is {self._params[key]!r} already and can't become "
                    f"{texts[key]!r}; a nested run could have it: start_run(nested=True)"
                )
        self._params |= texts
        return new

    def add_tags(self, tags: Mapping[Any, Any]) -> dict[str, str]:
        """The tags as they are to be recorded.

        Raises:
            MlflowException: one of them can't be a tag.
        """
        texts = {
            checks.key("tag", key): checks.text(f"tag {key!r}", value, checks.MAX_TAG_LENGTH)
            for key, value in tags.items()
        }
        self.tags.update(texts)
        return texts

    def moment(self, keys: Collection[Any], step: int | None, given: int | None) -> int:
        """Unix milliseconds of points: as given, else of now.

        Now, each is later than the one before it with the same key and step: MLflow keeps one of
        two equal points of a millisecond, and takes the larger of two others for the latest.

        Raises:
            MlflowException: a key can't be a metric's.
        """
        moment = int(time.time() * 1000) if given is None else given
        for key in keys:
            if (last := self._metrics.get(key)) is None:
                checks.key("metric", key)
            elif given is None and last[0] == step and last[1] >= moment:
                moment = last[1] + 1
        self._metrics.update(dict.fromkeys(keys, (step, moment)))
        return moment

    def add_to_table(self, name: str, rows: Rows) -> Rows:
        """The whole table after these rows; a column that one part lacks is empty there."""
        before = self.tables.get(name, Rows(rows.columns, []))
        columns = list(dict.fromkeys([*before.columns, *rows.columns]))
        data = [
            [cells.get(column) for column in columns]
            for part in (before, rows)
            for cells in (dict(zip(part.columns, row, strict=True)) for row in part.data)
        ]
        self.tables[name] = Rows(columns, data)
        return self.tables[name]


def _reads_the_same(value: Any) -> bool:
    """Whether the text of a value is the same before and after it has been JSON."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in _AS_THEY_ARE
