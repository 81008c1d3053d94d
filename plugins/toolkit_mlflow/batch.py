"""What one call of `write` tells MLflow's database, in as few requests as the limits allow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define
from attrs import field

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

MAX_METRICS = 1000
MAX_PARAMS_OR_TAGS = 100
MAX_REQUEST_BYTES = 900_000  # the server refuses a million; its own fields take some
MAX_TAG_LENGTH = 8000

_BYTES_OF_A_METRIC = 150  # of JSON, without its key


def clip(text: str, length: int = MAX_TAG_LENGTH) -> str:
    """The text as every database can hold it: not too long, and without halves of characters."""
    return text[:length].encode("utf-8", "replace").decode("utf-8")


@define
class Batch:
    """Metrics, params and tags of one run."""

    metrics: list[Metric] = field(factory=list)
    params: dict[str, str] = field(factory=dict)
    tags: dict[str, str] = field(factory=dict)

    def send(self, client: MlflowClient, run_id: str) -> None:
        """Log all of it; the same batch may be sent again."""
        from mlflow.entities import Param
        from mlflow.entities import RunTag

        for parcel in _parcels(self.params):
            client.log_batch(run_id, params=[Param(*pair) for pair in parcel])
        for parcel in _parcels(self.tags):
            client.log_batch(run_id, tags=[RunTag(*pair) for pair in parcel])
        longest = max((_json_bytes(key) for key in {m.key for m in self.metrics}), default=0)
        size = min(MAX_METRICS, MAX_REQUEST_BYTES // (_BYTES_OF_A_METRIC + longest))
        for start in range(0, len(self.metrics), size):
            client.log_batch(run_id, metrics=self.metrics[start : start + size])


def _parcels(values: Mapping[str, str]) -> Iterator[list[tuple[str, str]]]:
    """The pairs in lists that are neither too long nor too big for one request."""
    parcel: list[tuple[str, str]] = []
    room = MAX_REQUEST_BYTES
    for key, value in values.items():
        size = _json_bytes(key) + _json_bytes(value) + 50
        if len(parcel) == MAX_PARAMS_OR_TAGS or (parcel and size > room):
            yield parcel
            parcel, room = [], MAX_REQUEST_BYTES
        parcel.append((key, value))
        room -= size
    if parcel:
        yield parcel


def _json_bytes(text: str) -> int:
    return len(json.dumps(text))
