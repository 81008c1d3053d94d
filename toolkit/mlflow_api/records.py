"""What MLflow's functions give back about runs and experiments: the fields that scripts read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field
from attrs import frozen


@frozen
class Info:
    """What a run is, as ``run.info``."""

    run_id: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    """Unix milliseconds."""
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str
    run_name: str


@frozen
class Data:
    """What a run has recorded, as ``run.data``: latest values of metrics, texts of params."""

    metrics: Mapping[str, float] = field(factory=dict)
    params: Mapping[str, str] = field(factory=dict)
    tags: Mapping[str, str] = field(factory=dict)


@frozen(eq=False)
class Run:
    """A run at one moment; `toolkit.fluent.get_run` asks again."""

    info: Info
    data: Data
    inputs: None = None
    outputs: None = None

    def to_dictionary(self) -> dict[str, Any]:
        """Info and data as plain mappings."""
        return {"info": attrs.asdict(self.info), "data": attrs.asdict(self.data)}


@frozen
class Experiment:
    """A group of runs: the project that they belong to."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    tags: Mapping[str, str]
    creation_time: int
    """Unix milliseconds."""
    last_update_time: int
