"""What an offline run's ``.wandb`` file says, in wandb's terms."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve
from attrs import frozen

from toolkit_wandb import moved


@frozen
class Told:
    """What a run's file says; ``run`` is the latest record about the run."""

    folder: Path
    run: Any
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    definitions: dict[str, Any]
    artifacts: list[Any]
    exit_codes: list[int]
    console: list[str]
    environment: dict[str, Any]

    def points(self, key: str) -> list[tuple[int | None, float]]:
        """Step and value of every row that has the key, in the file's order."""
        return [(row.get("toolkit/step"), row[key]) for row in self.rows if key in row]


def read(folder: Path) -> Told:
    """What the one ``.wandb`` file in the folder says."""
    (path,) = folder.glob("*.wandb")
    return collected(folder, _parsed(path))


def collected(folder: Path, records: Iterable[Any]) -> Told:
    """What the records say together; later ones replace earlier ones."""
    told = Told(folder, None, {}, [], {}, {}, [], [], [], {})
    run = None
    for record in records:
        run = record.run if record.HasField("run") else run
        _add(told, record)
    return evolve(told, run=run)


def _parsed(path: Path) -> Iterator[Any]:
    record: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    return map(record.FromString, moved.records(path.read_bytes()))


def _add(told: Told, record: Any) -> None:
    match record.WhichOneof("record_type"):
        case "run":
            told.config.update(_values(record.run.config.update))
        case "config":
            told.config.update(_values(record.config.update))
        case "history":
            told.rows.append(_values(record.history.item))
        case "summary":
            told.summary.update(_values(record.summary.update))
        case "metric":
            told.definitions[record.metric.name or record.metric.glob_name] = record.metric
        case "artifact":
            told.artifacts.append(record.artifact)
        case "output_logger":
            told.console.extend(record.output_logger.line.removesuffix("\n").split("\n"))
        case "environment":
            told.environment.update(_fields(record.environment))
        case "exit":
            told.exit_codes.append(record.exit.exit_code)


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _fields(message: Any) -> dict[str, Any]:
    formats = importlib.import_module("google.protobuf.json_format")
    found: dict[str, Any] = formats.MessageToDict(message)
    return found
