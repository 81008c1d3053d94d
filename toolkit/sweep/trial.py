"""``python -m toolkit.sweep.trial VALUES.json COMMAND...``: a trial's command, in its tracked run.

Records the trial's values in the run that ``toolkit track`` has made, and becomes the command. The
values are there for a command that never heard of the toolkit, and before it has begun.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.events import Left
from toolkit.events import Params
from toolkit.journal import SegmentWriter
from toolkit.redact import Redactor
from toolkit.rundir import RunDir

_CANNOT_RUN = 126


def main(file: str, *command: str) -> None:
    """Record the values of the file, and become the command."""
    values = json.loads(Path(file).read_text(encoding="utf-8"))
    _record(RunDir(Path(os.environ["TOOLKIT_RUN"])), values)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    except OSError as error:
        sys.stderr.write(f"toolkit: can't run {command[0]!r}: {error.strerror}\n")
        sys.exit(_CANNOT_RUN)


def _record(run: RunDir, values: Mapping[str, Any]) -> None:
    masked = Redactor.from_environment(os.environ).values(values)
    with run.lock():
        writer = SegmentWriter.create(run.journal, "joined")
    writer.append(Params(time.time(), masked))
    writer.append(Left(time.time(), "FINISHED"))
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
