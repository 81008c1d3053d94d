"""What the reference of events (`toolkit.event_reference`) says beyond the classes of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROGRAMS: Final = (
    ("Shell", "train.sh", "sh"),
    ("JavaScript", "train.mjs", "js"),
    ("R", "train.R", "r"),
)
"""Title, file and language."""

FIELDS: Final[Mapping[str, str]] = {
    "aliases": "names that point to this version from now on, such as `best`",
    "caption": "what to write under it",
    "counts": "how many values are in each bin",
    "confusionmatrix.counts": "row by row, in the order of the labels",
    "files": "what it consists of: `name` inside the artifact, and `path`",
    "folder": "where to show it among the run's artifacts",
    "group": "runs to compare with",
    "key": "the name of its series",
    "labels": "the classes, all different",
    "name": "what it is called",
    "notes": "a description",
    "path": "where the file lies",
    "position": "from outside, it needn't be there and doesn't count",
    "project": "what the run belongs to; the command line wins",
    "status": "how",
    "step": "place on the axis",
    "stream": "which of the two it was printed to",
    "tags": "labels",
    "text": "what was printed",
    "type": "such as `model` or `dataset`",
    "described.name": "what to call the run; the command line wins",
    "metrics.values": "names and numbers",
    "params.values": "names and values, nested as you like",
    "summary.values": "names and values",
    "tags.values": "keys and texts",
}
"""By kind and field, or by field; what the class itself says comes first."""

KINDS: Final[Mapping[str, str]] = {
    "described": "From outside, let it be the first line: trackers are told of the run after it, "
    "and `backends` count nowhere else.",
    "image": "Files in other formats than PNG need Pillow.",
    "table": 'The file is JSON: `{"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}`.',
    "ended": "From outside, this is the same as `left`.",
}
"""What to know of a kind from outside."""
