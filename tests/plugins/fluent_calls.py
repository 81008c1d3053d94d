"""Random sequences of calls for any module that has MLflow's functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from attrs import field
from attrs import frozen
from hypothesis import strategies as st

_KEYS = st.sampled_from(["loss", "a/b", "x y.z-1:2", "é"])
_REFUSED_KEYS = st.sampled_from(["acc@1", "", "a//b", "../x", "/x", "k" * 251])
_ANY_KEY = st.one_of(_KEYS, _KEYS, _KEYS, _REFUSED_KEYS)
_NUMBERS = st.sampled_from(
    [0.5, -1, 3, True, 1e300, 0.1 + 0.2, math.nan, math.inf, "1.5", np.float32(0.1), np.ones(1)]
)
_NO_NUMBERS = st.sampled_from(["x", None, np.ones(2), [1.0]])
_VALUES = st.one_of(_NUMBERS, _NUMBERS, _NUMBERS, _NO_NUMBERS)
_STEPS = st.sampled_from([None, None, 0, 1, 2, 7, -3, "x"])
# A division by 1000 and back makes 1001 a millisecond less.
_MOMENTS = st.sampled_from([None, None, None, 0, 1, 1_500_000_000_123, 1_001, -5])
_TEXTS = st.sampled_from(["", "b", 1, 2.0, None, True, 1e-7, "é\n", "x" * 8100, ("a", 1), {"a": 1}])
_PATHS = st.sampled_from(["a.txt", "b/c.txt", "b//d.txt", "./e.txt", "../f.txt", "/g", "b/../h"])
_FOLDERS = st.sampled_from([None, "", "deep/er", "a//b", "../c", "b"])
_SWITCH = st.sampled_from([None, None, True, False])
_STATUSES = st.sampled_from(["FINISHED", "FAILED", "KILLED"])
_TABLES = st.sampled_from(
    [{"a": [1, 2], "b": ["x", "é"]}, {"a": [3.5], "c": [None]}, {"a": 1}, {"a": [1], "b": [1, 2]}]
)


@frozen
class Call:
    """One call: a function of MLflow's, or a way of using several, and what it is given."""

    name: str
    given: Mapping[str, Any] = field(factory=dict)


@frozen
class Played:
    """What came of a sequence: the ids of its runs in order, and what each call gave."""

    ids: tuple[str, ...]
    outcomes: tuple[str, ...]


def _call(name: str, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(name), st.fixed_dictionaries(given))


def _mapping(
    keys: st.SearchStrategy[str], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, values, max_size=3)


_LOGGED = (
    _call("log_param", key=_ANY_KEY, value=_TEXTS, synchronous=_SWITCH),
    _call("log_params", params=_mapping(_ANY_KEY, _TEXTS), synchronous=_SWITCH),
    _call("log_metric", key=_ANY_KEY, value=_VALUES, step=_STEPS, timestamp=_MOMENTS),
    _call("log_metric", key=_KEYS, value=_NUMBERS, step=_STEPS),
    _call("log_metrics", metrics=_mapping(_ANY_KEY, _VALUES), step=_STEPS, synchronous=_SWITCH),
    _call("log_metrics", metrics=_mapping(_KEYS, _NUMBERS), timestamp=_MOMENTS),
    _call("set_tag", key=_ANY_KEY, value=_TEXTS, synchronous=_SWITCH),
    _call("set_tags", tags=_mapping(_ANY_KEY, _TEXTS)),
    _call("delete_tag", key=_KEYS),
)
_FILES = (
    _call("log_text", text=st.sampled_from(["é\n", "", 5]), artifact_file=_PATHS),
    _call("log_dict", dictionary=_TABLES, artifact_file=st.sampled_from(["d", "e.yml", "f.json"])),
    _call(
        "log_artifact",
        local_path=st.sampled_from(["one.bin", "folder", "gone"]),
        artifact_path=_FOLDERS,
    ),
    _call(
        "log_artifacts",
        local_dir=st.sampled_from(["folder", "empty", "gone"]),
        artifact_path=_FOLDERS,
    ),
    _call("log_table", data=_TABLES, artifact_file=st.sampled_from(["t.json", "u/v.json", "w"])),
    _call(
        "log_image",
        image=st.sampled_from([np.linspace(0, 1, 12).reshape(3, 4), "none"]),
        artifact_file=st.sampled_from([None, "p.png"]),
        key=st.sampled_from([None, "k/l", "k@"]),
        synchronous=st.just(True),
    ),
)
_RUNS = (
    _call("start_run", nested=st.booleans(), run_name=st.sampled_from([None, "n"]),
          description=st.sampled_from([None, "d"]), tags=st.sampled_from([None, {"t": 1}])),
    _call("end_run", status=_STATUSES),
    _call("resume", place=st.integers(0, 2), nested=st.booleans()),
    _call("block", nested=st.booleans(), is_raising=st.booleans()),
    _call("log_to", place=st.integers(0, 2), value=st.sampled_from([1.0, 2.0])),
)  # fmt: skip


def sequences(least: int, most: int) -> st.SearchStrategy[list[Call]]:
    """Sequences of calls that begin with a run, most of them about what is in it."""
    one = st.one_of(*_LOGGED, *_LOGGED, *_FILES, *_FILES, *_RUNS)
    return st.lists(one, min_size=least, max_size=most)


def play(mlflow: ModuleType, calls: Sequence[Call], folder: Path) -> Played:
    """Make the calls; a call that raises is noted, and the next one follows."""
    ids: list[str] = []
    outcomes: list[str] = []
    for call in calls:
        try:
            outcomes.append(_kind(_made(mlflow, call, folder, ids)))
        except Exception:  # which of them is compared by what they are told for
            outcomes.append("raised")
        active = mlflow.active_run()
        if active and active.info.run_id not in ids:
            ids.append(active.info.run_id)
    return Played(tuple(ids), tuple(outcomes))


def _made(mlflow: ModuleType, call: Call, folder: Path, ids: list[str]) -> Any:
    given = dict(call.given)
    match call.name:
        case "resume" if given["place"] < len(ids):
            mlflow.start_run(run_id=ids[given["place"]], nested=given["nested"])
            return None
        case "log_to" if given["place"] < len(ids):
            return mlflow.log_metrics({"to": given["value"]}, run_id=ids[given["place"]])
        case "resume" | "log_to":
            return None
        case "block":
            with mlflow.start_run(nested=given["nested"]) as run:
                ids.append(run.info.run_id)
                mlflow.log_metric("inside", 1.0, step=1)
                if given["is_raising"]:
                    raise ValueError("as asked")
            return None
    for name in ("local_path", "local_dir"):
        if name in given:
            given[name] = str(folder / given[name])
    return getattr(mlflow, call.name)(**given)


def _kind(value: Any) -> str:
    """What a call gave back: its type, and what an operation comes to."""
    if type(value).__name__ != "RunOperations":
        return repr(value) if value is None or isinstance(value, str) else type(value).__name__
    try:
        value.wait()
    except Exception:  # the same
        return "operation that raised"
    return "operation"
