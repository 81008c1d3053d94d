"""Trackers that are each wrong in one way; ``breaks`` is the check that is sure to notice."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar

from attrs import evolve

from tests.toolkit.testing.json_tracker import JsonTracker
from toolkit.events import Artifact
from toolkit.events import ConfusionMatrix
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Ended
from toolkit.events import Event
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Table
from toolkit.events import Tags
from toolkit.events import Text
from toolkit.events import Unknown
from toolkit.runinfo import RunInfo
from toolkit.tracker import Link
from toolkit.tracker import Unreachable


class Mutant(JsonTracker):
    """What mutants have in common."""

    breaks: ClassVar[str]
    taken: int = 0


class _DropsEveryTenth(Mutant):
    breaks = "test_order"

    def take(self, event: Event) -> None:
        self.taken += 1
        if self.taken % 10:
            super().take(event)


class _WritesTwice(Mutant):
    breaks = "test_order"

    def point(self, key: str, value: float, event: Metrics) -> None:
        super().point(key, value, event)
        super().point(key, value, evolve(event, time=event.time + 1e-4))


class _LosesOrder(Mutant):
    breaks = "test_order"

    def write(self, events: Sequence[Event]) -> None:
        super().write(events[::-1])


class _SwallowsNan(Mutant):
    breaks = "test_nan"

    def point(self, key: str, value: float, event: Metrics) -> None:
        if not math.isnan(value):
            super().point(key, value, event)


class _RefusesInfinity(Mutant):
    breaks = "test_infinities"

    def point(self, key: str, value: float, event: Metrics) -> None:
        if math.isinf(value):
            raise ValueError("no number")
        super().point(key, value, event)


class _KeepsSinglePrecision(Mutant):
    breaks = "test_doubles"

    def point(self, key: str, value: float, event: Metrics) -> None:
        if abs(value) < 1e38:
            value = struct.unpack("f", struct.pack("f", value))[0]
        super().point(key, value, event)


class _KeepsLastOfStep(Mutant):
    breaks = "test_equal_steps"

    def point(self, key: str, value: float, event: Metrics) -> None:
        curve = self.record.setdefault("metrics", {}).setdefault(key, {})
        curve[str(event.step)] = [event.step, value, event.time]


class _RefusesStepsBack(Mutant):
    breaks = "test_steps_that_go_back"

    def point(self, key: str, value: float, event: Metrics) -> None:
        curve = self.record.setdefault("metrics", {}).setdefault(key, {})
        if event.step is None or all(step <= event.step for step, *_ in curve.values()):
            super().point(key, value, event)


class _StampsItself(Mutant):
    breaks = "test_times"

    def point(self, key: str, value: float, event: Metrics) -> None:
        super().point(key, value, event)
        curve = self.record["metrics"][key]
        curve[f"{event.step}@{event.time}"][2] = time.time()


class _TakesNoStepForZero(Mutant):
    breaks = "test_metrics_without_a_step"

    def point(self, key: str, value: float, event: Metrics) -> None:
        super().point(key, value, evolve(event, step=event.step or 0))


class _MakesKeysAlike(Mutant):
    breaks = "test_similar_keys"

    def point(self, key: str, value: float, event: Metrics) -> None:
        super().point(key.replace("?", "_"), value, event)


class _ForgetsTheRun(Mutant):
    breaks = "test_the_run_is_found"
    memory: Link | None = None

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        self.memory = memory
        return evolve(super().open(run, memory), id=self.path().name)

    def path(self) -> Path:
        if self.memory:
            return self.folder / str(self.memory.state["file"])
        if not self.taken:
            self.taken = len(list(self.folder.glob("*.json"))) + 1
        return self.folder / f"{self.run.id}-{self.taken}.json"


class _StartsAfresh(Mutant):
    breaks = "test_resume_with_memory"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        if memory:
            (self.folder / str(memory.state["file"])).unlink(missing_ok=True)
        return super().open(run, memory)


class _Appends(Mutant):
    breaks = "test_repeated_batches"

    def point(self, key: str, value: float, event: Metrics) -> None:
        curve = self.record.setdefault("metrics", {}).setdefault(key, {})
        curve[str(len(curve))] = [event.step, value, event.time]


class _AppendsToTheConsole(Mutant):
    breaks = "test_resume_without_memory"

    def take(self, event: Event) -> None:
        if isinstance(event, Console):
            place = 1000 * len(self.record.get("console", {}))
            event = evolve(event, position=place)
        super().take(event)


class _RefusesUnknownKinds(Mutant):
    breaks = "test_unknown_kinds"

    def take(self, event: Event) -> None:
        if isinstance(event, Unknown):
            raise TypeError(event.kind)
        super().take(event)


class _RefusesEmptyBatches(Mutant):
    breaks = "test_batches_of_every_size"

    def write(self, events: Sequence[Event]) -> None:
        first, *rest = events
        super().write([first, *rest])


class _GivesUpAtAFailure(Mutant):
    breaks = "test_a_failed_event_spoils_no_other"

    def take(self, event: Event) -> None:
        if self.taken:
            return
        try:
            super().take(event)
        except OSError:
            self.taken = 1


class _CallsFailuresUnreachable(Mutant):
    breaks = "test_a_failed_event_spoils_no_other"

    def read(self, path: str) -> bytes:
        try:
            return super().read(path)
        except OSError as error:
            raise Unreachable(str(error)) from error


class _SaysNothingOfBeingAway(Mutant):
    breaks = "test_unreachable"

    def reach(self) -> None:
        try:
            super().reach()
        except Unreachable as error:
            raise ConnectionError(str(error)) from error


class _MixesRuns(Mutant):
    breaks = "test_runs_do_not_mix"

    def path(self) -> Path:
        return self.folder / "all.json"


class _CutsParams(Mutant):
    breaks = "test_long_params"

    def take(self, event: Event) -> None:
        if isinstance(event, Params):
            event = evolve(event, values={k: _cut(v) for k, v in event.values.items()})
        super().take(event)


class _ReplacesParams(Mutant):
    breaks = "test_changed_params"

    def take(self, event: Event) -> None:
        if isinstance(event, Params):
            for name in event.values:
                params = self.record.get("params", {})
                for key in [key for key in params if key.startswith(f"{name}.")]:
                    del params[key]
        super().take(event)


class _KeepsFirstTag(Mutant):
    breaks = "test_changed_tags"

    def take(self, event: Event) -> None:
        if isinstance(event, Tags):
            known = self.record.get("tags", {})
            event = evolve(event, values={**event.values, **known})
        super().take(event)


class _EndsAlwaysWell(Mutant):
    breaks = "test_failed"

    def close(self, ended: Ended) -> None:
        super().close(evolve(ended, status="FINISHED"))


class _EndsEarly(Mutant):
    breaks = "test_giving_up_is_no_end"

    def save(self) -> None:
        self.record["status"] = "FINISHED"
        super().save()


class _HangsInClose(Mutant):
    breaks = "test_close_comes_back"

    def close(self, ended: Ended) -> None:
        while True:
            try:
                time.sleep(3600)
            except Exception:  # noqa: S112 - as careless plugins do
                continue


class _Prints(Mutant):
    breaks = "test_prints_nothing"

    def close(self, ended: Ended) -> None:
        print("done")
        super().close(ended)


class _PrintsFromOutside(Mutant):
    breaks = "test_prints_nothing"

    def close(self, ended: Ended) -> None:
        os.write(2, b"done\n")
        super().close(ended)


class _MovesFiles(Mutant):
    breaks = "test_files_stay"

    def read(self, path: str) -> bytes:
        content = super().read(path)
        Path(path).with_suffix(".taken").write_bytes(content)
        return content


class _ChangesFolder(Mutant):
    breaks = "test_working_folder"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        os.chdir(self.folder)
        return super().open(run, memory)


class _SetsVariables(Mutant):
    breaks = "test_environment"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        os.environ["OTHER_PEOPLES"] = str(time.time())
        return super().open(run, memory)


class _TakesSignals(Mutant):
    breaks = "test_signals"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return super().open(run, memory)


class _RemembersObjects(Mutant):
    breaks = "test_link_is_json"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        link = super().open(run, memory)
        return evolve(link, state={**link.state, "places": ("a", "b")})


class _ShowsPasswords(Mutant):
    breaks = "test_link_has_no_secret"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        return evolve(super().open(run, memory), url="https://ann:s3cr3t-w0rd@example.org/runs/1")


class _ReturnsNoLink(Mutant):
    breaks = "test_link"

    def open(self, run: RunInfo, memory: Link | None) -> Any:
        return super().open(run, memory).id


class _SpeaksAnotherVersion(Mutant):
    breaks = "test_protocol_version"
    protocol_version = 2


class _KeepsLastImage(Mutant):
    breaks = "test_image_series"

    def show(self, event: Any, content: Any) -> None:
        if isinstance(event, Image):
            self.record.get("image", {}).pop(event.key, None)
        super().show(event, content)


class _LosesRows(Mutant):
    breaks = "test_table"

    def show(self, event: Any, content: Any) -> None:
        if isinstance(event, Table):
            rows = json.loads(content)
            content = json.dumps({**rows, "data": rows["data"][:-1]})
        super().show(event, content)


class _TurnsMatrices(Mutant):
    breaks = "test_confusion_matrix"

    def take(self, event: Event) -> None:
        if isinstance(event, ConfusionMatrix):
            event = evolve(event, counts=tuple(zip(*event.counts, strict=True)))
        super().take(event)


class _SpreadsBins(Mutant):
    breaks = "test_histogram"

    def take(self, event: Event) -> None:
        if isinstance(event, Histogram):
            low, high = event.edges[0], event.edges[-1]
            width = (high - low) / len(event.counts)
            event = evolve(event, edges=tuple(low + width * n for n in range(len(event.edges))))
        super().take(event)


class _CutsTexts(Mutant):
    breaks = "test_long_text"

    def show(self, event: Any, content: Any) -> None:
        super().show(event, content[:65_536] if isinstance(event, Text) else content)


class _LosesFolders(Mutant):
    breaks = "test_folders"

    def take(self, event: Event) -> None:
        if isinstance(event, Artifact):
            files = tuple(evolve(file, name=Path(file.name).name) for file in event.files)
            event = evolve(event, files=files)
        super().take(event)


class _ForgetsAliases(Mutant):
    breaks = "test_aliases"

    def take(self, event: Event) -> None:
        super().take(evolve(event, aliases=()) if isinstance(event, Artifact) else event)


class _StripsTheConsole(Mutant):
    breaks = "test_console"

    def take(self, event: Event) -> None:
        super().take(
            evolve(event, text=event.text.lstrip()) if isinstance(event, Console) else event
        )


class _IgnoresWhatComesLate(Mutant):
    breaks = "test_late_description"

    def take(self, event: Event) -> None:
        if not isinstance(event, Described):
            super().take(event)


class _IsItsOwnParent(Mutant):
    breaks = "test_child_run"

    def open(self, run: RunInfo, memory: Link | None) -> Link:
        return super().open(evolve(run, parent=run.parent and run.id), memory)


MUTANTS = tuple(Mutant.__subclasses__())


def _cut(value: Any) -> Any:
    return value[:250] if isinstance(value, str) else value
