"""Each kind of event as MLflow keeps it; told twice, it reads the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from tests.plugins.mlflow_support import CREATED
from tests.plugins.mlflow_support import everything
from tests.plugins.mlflow_support import history
from tests.plugins.mlflow_support import run_info
from toolkit.events import Artifact
from toolkit.events import Console
from toolkit.events import Described
from toolkit.events import Event
from toolkit.events import File
from toolkit.events import Metrics
from toolkit.events import Params
from toolkit.events import Summary
from toolkit.events import Tags
from toolkit_mlflow.console import PART_LENGTH
from toolkit_mlflow.console import part_name
from toolkit_mlflow.keys import accepted
from toolkit_mlflow.keys import accepted_path
from toolkit_mlflow.params import FILE_NAME
from toolkit_mlflow.tracker import MlflowTracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STAMP = int(CREATED * 1000)


def told(folder: Path, client: MlflowClient, *batches: Sequence[Event]) -> dict[str, Any]:
    """What MLflow keeps of a run that was told these batches.

    Each is told a second time, and all of them once more after a restart: it must read the same.
    """
    run = run_info(folder)
    tracker = MlflowTracker()
    link = tracker.open(run, None)
    for batch in batches:
        tracker.write(batch)
        once = everything(client, link.id)
        tracker.write(batch)
        assert everything(client, link.id) == once
    found = everything(client, link.id)
    restarted = MlflowTracker()
    restarted.open(run, link)
    for batch in batches:
        restarted.write(batch)
    assert everything(client, link.id) == found
    return found


def test_metrics_keep_step_time_and_value(folder: Path, client: MlflowClient) -> None:
    """No step is step 0; NaN and the infinities are what MLflow makes of them."""
    odd = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    found = told(
        folder,
        client,
        [
            Metrics(time=CREATED, step=3, values={"train/loss": 0.5, "lr": 1e-3}),
            Metrics(time=CREATED + 1, step=4, values={"train/loss": 0.25}),
            Metrics(time=CREATED + 2, values={"system/cpu utilization": 10.0, **odd}),
        ],
    )["metrics"]
    assert found["train/loss"] == [(3, STAMP, "0.5"), (4, STAMP + 1000, "0.25")]
    assert found["lr"] == [(3, STAMP, "0.001")]
    assert found["system/cpu utilization"] == [(0, STAMP + 2000, "10.0")]
    assert found["nan"] == [(0, STAMP + 2000, "nan")]
    largest = "1.7976931348623157e+308"
    assert [found[key][0][2] for key in ("inf", "-inf")] == [largest, f"-{largest}"]


def test_more_values_than_a_request_takes(folder: Path, client: MlflowClient) -> None:
    """1200 metrics, 150 params and 150 tags in one batch are over the limits of one request."""
    found = told(
        folder,
        client,
        [
            *(
                Metrics(time=CREATED + i, step=i, values={f"m{k}": k + i for k in range(5)})
                for i in range(240)
            ),
            Params(time=CREATED, values={f"p{i}": i for i in range(150)}),
            Tags(time=CREATED, values={f"t{i}": str(i) for i in range(150)}),
        ],
    )
    assert [len(found["metrics"][f"m{k}"]) for k in range(5)] == [240] * 5
    assert found["params"] == {f"p{i}": str(i) for i in range(150)}
    assert found["tags"].items() >= {f"t{i}": str(i) for i in range(150)}.items()


def test_refused_keys_are_mapped_and_kept(folder: Path, client: MlflowClient) -> None:
    """Of metrics, params, tags and summaries alike; the original is in a tag."""
    found = told(
        folder,
        client,
        [
            Metrics(time=CREATED, step=1, values={"P@1": 0.5}),
            Params(time=CREATED, values={"loss(x)": 1}),
            Tags(time=CREATED, values={"/a//b": "v"}),
            Summary(time=CREATED, values={"best?": "yes", "R@1": 2}),
        ],
    )
    assert found["metrics"].keys() == {accepted("P@1"), accepted("R@1")}
    assert found["params"] == {accepted("loss(x)"): "1"}
    assert found["tags"][accepted("/a//b")] == "v"
    assert found["tags"][accepted("summary.best?")] == "yes"
    originals = {v for k, v in found["tags"].items() if k.startswith("toolkit.key.")}
    assert originals == {"P@1", "loss(x)", "/a//b", "summary.best?", "R@1"}


def test_params_are_flat_in_mlflow_and_nested_in_the_file(
    folder: Path, client: MlflowClient
) -> None:
    """Dotted keys for tables and searches, the configuration as given for everything else."""
    given = {"gnn": {"layers": 3, "dims": [1, 2]}, "name": None, "empty": {}, "é": "ü", "b": True}
    found = told(folder, client, [Params(time=CREATED, values=given)])
    assert found["params"] == {
        "gnn.layers": "3",
        "gnn.dims": "[1, 2]",
        "name": "None",
        "empty": "{}",
        "é": "ü",
        "b": "True",
    }
    assert json.loads(found["artifacts"][FILE_NAME]) == given


def test_a_changed_param_keeps_its_first_value(folder: Path, client: MlflowClient) -> None:
    """MLflow's params can't change: the latest value is in a tag, and in the file."""
    found = told(
        folder,
        client,
        [
            Params(time=CREATED, values={"opt": {"lr": 0.1, "eps": 1}}),
            Params(time=CREATED, values={"opt": {"lr": 0.2}}),
        ],
        [Params(time=CREATED, values={"opt": {"lr": 0.3}, "seed": 7})],
    )
    assert found["params"] == {"opt.lr": "0.1", "opt.eps": "1", "seed": "7"}
    assert found["tags"]["toolkit.param_changed.opt.lr"] == "0.3"
    assert "toolkit.param_changed.opt.eps" not in found["tags"]
    nested = {"opt": {"lr": 0.3, "eps": 1}, "seed": 7}
    assert json.loads(found["artifacts"][FILE_NAME]) == nested


def test_a_param_changed_back_says_so(folder: Path, client: MlflowClient) -> None:
    """The tag holds the latest value, also when that is the first one again."""
    values = [Params(time=CREATED, values={"lr": lr}) for lr in (0.1, 0.2, 0.1)]
    found = told(folder, client, values)
    assert found["tags"]["toolkit.param_changed.lr"] == "0.1"


def test_params_of_an_earlier_courier_stay_in_the_file(folder: Path, client: MlflowClient) -> None:
    """A resumed run adds to the file that is there."""
    run = run_info(folder)
    first, second = MlflowTracker(), MlflowTracker()
    link = first.open(run, None)
    first.write([Params(time=CREATED, values={"a": {"x": 1, "y": 2}})])
    second.open(run, link)
    second.write([Params(time=CREATED, values={"a": {"y": 3}, "b": 4})])
    found = everything(client, link.id)
    assert json.loads(found["artifacts"][FILE_NAME]) == {"a": {"x": 1, "y": 3}, "b": 4}
    assert found["params"] == {"a.x": "1", "a.y": "2", "b": "4"}


def test_files_of_the_user_stay_theirs(folder: Path, client: MlflowClient) -> None:
    """Whatever their names: what a script keeps never becomes the plugin's, nor the reverse."""
    theirs = folder / "theirs"
    theirs.write_text('["mine"]')
    names = ("params.json", "console.log", "toolkit", FILE_NAME, part_name(0))
    artifacts = [
        Artifact(time=CREATED, name=name, files=(File(name, str(theirs)),)) for name in names
    ]
    console = Console(time=CREATED, text="hello", position=0)
    first: list[Event] = [Params(time=CREATED, values={"a": 1}), console, *artifacts]
    found = told(folder, client, first, [Params(time=CREATED, values={"b": 2})])["artifacts"]
    assert json.loads(found.pop(FILE_NAME)) == {"a": 1, "b": 2}
    assert found.pop(part_name(0)) == b"hello"
    assert found == {accepted_path(name): b'["mine"]' for name in names}
    assert [accepted_path(name) for name in names[:2]] == list(names[:2])


def test_a_file_of_params_that_is_none_counts_as_empty(folder: Path, client: MlflowClient) -> None:
    """Somebody may have put another there: it is replaced, and no param is lost."""
    run, first, second = run_info(folder), MlflowTracker(), MlflowTracker()
    link = first.open(run, None)
    (folder / "params.json").write_bytes(b'["\xff"]')
    client.log_artifact(link.id, str(folder / "params.json"), "toolkit")
    second.open(run, link)
    second.write([Params(time=CREATED, values={"a": 1})])
    assert json.loads(everything(client, link.id)["artifacts"][FILE_NAME]) == {"a": 1}


def test_long_text_is_cut_to_mlflows_limits(folder: Path, client: MlflowClient) -> None:
    """6000 characters of a param, 8000 of a tag; a half character becomes a question mark."""
    found = told(
        folder,
        client,
        [
            Params(time=CREATED, values={"long": "x" * 9000, "half": "a\ud800"}),
            Tags(time=CREATED, values={"long": "y" * 9000}),
        ],
    )
    assert found["params"] == {"long": "x" * 6000, "half": "a?"}
    assert found["tags"]["long"] == "y" * 8000
    assert json.loads(found["artifacts"][FILE_NAME])["long"] == "x" * 9000


def test_a_later_tag_replaces_an_earlier_one(folder: Path, client: MlflowClient) -> None:
    """Within a batch and across batches."""
    first = [Tags(time=CREATED, values={"a": "1", "b": "1"}), Tags(time=CREATED, values={"a": "2"})]
    found = told(folder, client, first)
    assert (found["tags"]["a"], found["tags"]["b"]) == ("2", "1")


def test_a_summary_is_numbers_and_text(folder: Path, client: MlflowClient) -> None:
    """Numbers are metrics, of which MLflow shows the latest; everything else is a tag."""
    found = told(
        folder,
        client,
        [
            Summary(time=CREATED, values={"f1": 0.5, "best": "epoch 3", "n": True, "l": [1, 2]}),
            Summary(time=CREATED + 1, values={"f1": 0.75, "worst": "NaN", "test": {"acc": 1}}),
        ],
    )
    assert found["metrics"] == {
        "f1": [(0, STAMP, "0.5"), (0, STAMP + 1000, "0.75")],
        "n": [(0, STAMP, "1.0")],
        "worst": [(0, STAMP + 1000, "nan")],
        "test.acc": [(0, STAMP + 1000, "1.0")],
    }
    assert found["tags"]["summary.best"] == "epoch 3"
    assert found["tags"]["summary.l"] == "[1, 2]"


def test_the_latest_summary_value_is_the_one_shown(folder: Path, client: MlflowClient) -> None:
    """Also when the earlier, larger one is told again."""
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    values = [Summary(time=CREATED + i, values={"loss": loss}) for i, loss in enumerate((2.0, 1.0))]
    tracker.write(values)
    tracker.write(values[:1])
    assert client.get_run(link.id).data.metrics["loss"] == 1.0
    assert len(history(client, link.id, "loss")) == 2


def test_a_summary_ends_the_curve_of_its_name(folder: Path, client: MlflowClient) -> None:
    """So it is what MLflow shows, and no point comes before the curve's first."""
    curve = [Metrics(time=CREATED, step=step, values={"acc": step / 10}) for step in (4, 6)]
    summary = Summary(time=CREATED + 1, values={"acc": 0.9})
    later = Metrics(time=CREATED + 2, step=8, values={"acc": 0.8})
    found = told(folder, client, [*curve, summary], [later])
    assert found["metrics"]["acc"] == [
        (4, STAMP, "0.4"),
        (6, STAMP, "0.6"),
        (6, STAMP + 1000, "0.9"),
        (8, STAMP + 2000, "0.8"),
    ]


def test_what_a_script_says_later_describes_the_run(folder: Path, client: MlflowClient) -> None:
    """Name, note, group and labels, where nothing was fixed before."""
    found = told(
        folder,
        client,
        [
            Described(time=CREATED, name="n1", group="g", tags=("x",), notes="why"),
            Described(time=CREATED, name="n2", tags=("y",)),
        ],
    )
    assert found["name"] == found["tags"]["mlflow.runName"] == "n1"
    assert found["tags"]["toolkit.tags"] == "x,y"
    assert found["tags"]["tag.x"] == found["tags"]["tag.y"] == "true"
    assert found["tags"]["mlflow.note.content"] == "why"
    assert found["tags"]["toolkit.group"] == "g"


def test_artifacts_have_the_names_they_were_given(
    folder: Path, client: MlflowClient, tmp_path: Path
) -> None:
    """Whatever they are called on disk; what an address can't carry is mapped."""
    stored = tmp_path / "files" / "ab12"
    stored.parent.mkdir()
    stored.write_bytes(b"weights")
    files = ("model.safetensors", "sub/deep/ünï code.txt", "epoch#3?.pt")
    event = Artifact(
        time=CREATED,
        name="checkpoint",
        files=tuple(File(name, str(stored)) for name in files),
        folder="best",
        type="model",
        aliases=("best", "latest"),
    )
    found = told(folder, client, [event])
    [odd] = found["artifacts"].keys() - {f"best/{name}" for name in files}
    assert odd.startswith("best/epoch_3_.pt-")
    assert found["artifacts"] == dict.fromkeys(
        ["best/model.safetensors", "best/sub/deep/ünï code.txt", odd], b"weights"
    )
    assert found["tags"][f"toolkit.key.{odd}"] == "best/epoch#3?.pt"
    assert found["tags"]["toolkit.alias.checkpoint.best"] == "best"
    assert found["tags"]["toolkit.alias.checkpoint.latest"] == "best"


def test_an_alias_of_one_file_is_its_path(
    folder: Path, client: MlflowClient, tmp_path: Path
) -> None:
    """And a later artifact takes the alias over; its file replaces the earlier one of its name."""
    events = []
    for number in (1, 2):
        stored = tmp_path / f"stored-{number}"
        stored.write_text(str(number))
        events.append(
            Artifact(
                time=CREATED,
                name="model",
                files=(File("model.pt", str(stored)),),
                folder=f"step-{number}" if number == 2 else "",
                aliases=("latest",),
            )
        )
    found = told(folder, client, events)
    assert found["artifacts"] == {"model.pt": b"1", "step-2/model.pt": b"2"}
    assert found["tags"]["toolkit.alias.model.latest"] == "step-2/model.pt"


def test_a_missing_file_is_an_error_that_names_it(folder: Path) -> None:
    """The rest of its batch has arrived; telling it again does no harm."""
    tracker = MlflowTracker()
    tracker.open(run_info(folder), None)
    gone = Artifact(time=CREATED, name="a", files=(File("a.txt", "/nowhere/ab12"),))
    with pytest.raises(FileNotFoundError, match="/nowhere/ab12"):
        tracker.write([gone])


def test_files_that_cannot_be_uploaded_hold_up_nothing_else(
    folder: Path, client: MlflowClient
) -> None:
    """Where the artifacts' place can't be written to, metrics still arrive, without an error."""
    (folder / "mlruns").write_text("not a folder")
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    with pytest.raises(OSError, match="mlruns"):
        tracker.write([Console(time=CREATED, text="hello", position=0)])
    tracker.write([Metrics(time=CREATED, step=1, values={"loss": 1.0})])
    assert len(history(client, link.id, "loss")) == 1


def test_the_console_is_text_at_its_position(folder: Path, client: MlflowClient) -> None:
    """Both streams, line ends as they were, a half character replaced by one that counts as one."""
    found = told(
        folder,
        client,
        [
            Console(time=CREATED, text="héllo\r\n", position=0),
            Console(time=CREATED, text="a\ud800b\n", position=7, stream="stderr"),
        ],
        [Console(time=CREATED, text="end", position=11)],
    )
    assert found["artifacts"][part_name(0)].decode() == "héllo\r\na?b\nend"


def test_a_part_of_the_console_that_could_not_be_told_leaves_its_place(
    folder: Path, client: MlflowClient
) -> None:
    """What comes after a gap stays at its position, and the gap can be filled later."""
    tracker = MlflowTracker()
    link = tracker.open(run_info(folder), None)
    tracker.write([Console(time=CREATED, text="ab", position=0)])
    tracker.write([Console(time=CREATED, text="ef", position=4)])
    assert everything(client, link.id)["artifacts"][part_name(0)] == b"ab  ef"
    tracker.write([Console(time=CREATED, text="cd", position=2)])
    assert everything(client, link.id)["artifacts"][part_name(0)] == b"abcdef"


def test_a_long_console_is_in_parts(folder: Path, client: MlflowClient) -> None:
    """A million characters each; a text across the border is in both."""
    texts = ["x" * (PART_LENGTH - 2), "a\nb\n", "y" * PART_LENGTH, "z"]
    events, position = [], 0
    for text in texts:
        events.append(Console(time=CREATED, text=text, position=position))
        position += len(text)
    found = told(folder, client, events)["artifacts"]
    whole = "".join(texts).encode()
    assert found == {
        part_name(0): whole[:PART_LENGTH],
        part_name(1): whole[PART_LENGTH : 2 * PART_LENGTH],
        part_name(2): whole[2 * PART_LENGTH :],
    }
