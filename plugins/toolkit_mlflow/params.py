"""Params: MLflow keeps the first value of each; later ones become tags, all of them a file.

A param that changes when a run is resumed keeps its first value in MLflow, which can't change it.
The latest value goes into the tag ``toolkit.param_changed.<key>``. The artifact
``toolkit/params.json`` holds the params nested as they were given, with the latest values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolkit.tracker import flatten
from toolkit_mlflow.batch import Batch
from toolkit_mlflow.batch import clip
from toolkit_mlflow.files import Files
from toolkit_mlflow.keys import OWN_FOLDER
from toolkit_mlflow.keys import Keys
from toolkit_mlflow.keys import accepted

CHANGED_PREFIX = "toolkit.param_changed."
FILE_NAME = f"{OWN_FOLDER}/params.json"
MAX_VALUE_LENGTH = 6000


class Params:
    """What MLflow has been told of one run's params."""

    def __init__(self, files: Files, told: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._files = files
        self._told = dict(told)
        self._changed = {key for key in tags if key.startswith(CHANGED_PREFIX)}
        self._stored: str | None = None
        self._nested: dict[str, Any] = {}

    def add(self, values: Mapping[str, Any], keys: Keys, batch: Batch) -> None:
        """Put into the batch the params that are new, and tags for those that have changed."""
        self._merge(values)
        for key, value in flatten(values):
            name, text = keys[key], clip(str(value), MAX_VALUE_LENGTH)
            tag = accepted(CHANGED_PREFIX + name)
            first = self._told.get(name, batch.params.get(name))
            if first is None:
                batch.params[name] = text
            elif first != text or tag in self._changed:
                self._changed.add(tag)
                batch.tags[tag] = text

    def keep(self, batch: Batch) -> None:
        """Remember the params of a batch that has arrived."""
        self._told.update(batch.params)

    def flush(self) -> None:
        """Upload the file, if it has changed."""
        text = json.dumps(self._nested, indent=2, ensure_ascii=False, default=str)
        if self._nested and text != self._stored:
            self._files.put_text(text, FILE_NAME)
            self._stored = text

    def _merge(self, values: Mapping[str, Any]) -> None:
        if self._stored is None:  # an earlier courier may have written the file
            self._stored = self._files.text(FILE_NAME) or ""
            self._nested = _mapping(self._stored)
        self._nested = _merged(self._nested, values)


def _mapping(text: str) -> dict[str, Any]:
    """What the file says; nothing, where somebody has made something else of it."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        result[key] = value
    return result
