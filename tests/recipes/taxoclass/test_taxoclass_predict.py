"""The prediction script, from its command line to the lines that it writes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toolkit
from tests.conftest import run_info
from tests.recipes.launching import RECIPES
from tests.recipes.taxoclass.models import random_model
from tests.recipes.taxoclass.strategies import taxonomies
from tests.waiting import LIMIT
from toolkit import rundir
from toolkit.errors import UsageError
from toolkit.events import Artifact
from toolkit.events import File
from toolkit.journal import SegmentWriter
from toolkit_recipes.config import help_text
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.taxoclass.classify import Classifier
from toolkit_recipes.taxoclass.corpus import SAMPLE
from toolkit_recipes.taxoclass.corpus import read_dataset
from toolkit_recipes.taxoclass.decode import decode
from toolkit_recipes.taxoclass.documents import Document
from toolkit_recipes.taxoclass.level_calibration import LevelCalibration
from toolkit_recipes.taxoclass.model_files import ARTIFACT
from toolkit_recipes.taxoclass.model_files import load
from toolkit_recipes.taxoclass.model_files import save
from toolkit_recipes.taxoclass.predict import Answer
from toolkit_recipes.taxoclass.predict import PredictConfig
from toolkit_recipes.taxoclass.predict import Summary
from toolkit_recipes.taxoclass.predict import open_source
from toolkit_recipes.taxoclass.predict import open_target
from toolkit_recipes.taxoclass.predict import predict
from toolkit_recipes.taxoclass.predict import predictions
from toolkit_recipes.taxoclass.predict import write
from toolkit_recipes.taxoclass.taxonomy import Taxonomy
from toolkit_recipes.taxoclass.taxonomy import build

COMMAND = [sys.executable, str(RECIPES / "taxoclass_predict.py")]
TEXTS = list(read_dataset(SAMPLE).test.texts[:7])
LEVELS = LevelCalibration(torch.tensor([0.4, 0.6]), torch.tensor([0.9, 0.8]))


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier with random weights, and no zero-shot part, which takes long to load."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    save(folder, random_model(tiny_encoder))
    return folder


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script in a folder, as a user would."""
    return subprocess.run(
        [*COMMAND, "mixed_precision=no", *arguments],
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def environment() -> dict[str, str]:
    """This process's environment, without what would lead the script elsewhere."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TOOLKIT_", "RANK"))}
    return inherited | {"HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What the script wrote, line by line."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_script_says_what_the_model_says(tmp_path: Path, tiny_encoder: Path) -> None:
    """Given a run's id, it takes the best model of the run, and writes a line per document.

    With explanations where it is asked for them.
    """
    model = tmp_path / "model"
    save(model, attrs.evolve(random_model(tiny_encoder, zero_shot_weight=0.3), levels=LEVELS))
    with toolkit.start_run(runs_dir=tmp_path / "runs") as tracked:
        tracked.log_artifacts(model, "model", name="taxo_model", aliases=["best"])
        tracked.log_artifacts(model / "zero_shot", "model", name="taxo_model")
    given = [{"body": text, "key": f"d{i}"} for i, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    arguments = ("input=in.jsonl", "text=body", "id=key", "batch_size=3", "explain=true")
    done = run(tmp_path, f"model={tracked.id}", *arguments)
    assert "the model keeps no train documents" in done.stderr
    found = rows(done)
    assert [row["id"] for row in found] == [row["key"] for row in given]

    classifier = Classifier(load(model))
    taxonomy, scores = classifier.taxonomy, classifier.scores(TEXTS)
    decoded = decode(scores, taxonomy)
    for i, row in enumerate(found):
        path = decoded.paths[i]
        assert row["classes"] == [taxonomy.ids[c] for c in path]
        assert row["names"] == [taxonomy.names[c] for c in path]
        assert row["path"] == " > ".join(row["names"])
        assert row["score"] == pytest.approx(decoded.path_scores[i].item(), abs=1e-4)
        assert [entry["id"] for entry in row["ranking"][: len(path)]] == row["classes"]
        assert len(row["ranking"]) == len(row["explanation"]["levels"][0]["rivals"]) + 2 == 5
        assert len(row["probability"]) == len(row["explanation"]["levels"]) == len(path)
        assert row["ranking"][0]["score"] == pytest.approx(scores[i, path[0]].item(), abs=1e-4)


def test_standard_input_goes_to_standard_output(tmp_path: Path, model: Path) -> None:
    """A document without text keeps its place, with its line and an error; the rest goes on."""
    done = run(tmp_path, f"model={model}", "top_k=1", stdin="Tea\r\n\r\nSourdough bread\r\n")
    found = rows(done)
    assert [row.get("error") for row in found] == [None, "empty document", None]
    assert found[1] == {"id": 2, "line": 2, "error": "empty document"}
    assert [len(row["ranking"]) for row in found[::2]] == [1, 1]
    assert done.stderr.startswith("2 documents classified, 1 without text (lines 2): these have")


def test_a_mistake_ends_with_code_2_and_no_output_file(tmp_path: Path, model: Path) -> None:
    """The message has file and line; what was done until then is in the .partial file alone."""
    (tmp_path / "in.csv").write_text("id,text\n" + "1,Tea\n" * 32 + "2,Tea,more\n")
    done = run(tmp_path, f"model={model}", "input=in.csv", "output=out.jsonl", "batch_size=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: in.csv, line 34: 3 fields under 2 columns")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
    assert len((tmp_path / "out.jsonl.partial").read_text().splitlines()) == 32


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path, model: Path) -> None:
    """As with `| head -1`: no traceback, and the exit code of a broken pipe."""
    (tmp_path / "in.txt").write_text("Tea\n" * 3000)
    writer = subprocess.Popen(
        [*COMMAND, f"model={model}", "input=in.txt", "batch_size=8", "mixed_precision=no"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert writer.stdout
    assert writer.stderr
    first = writer.stdout.readline()
    writer.stdout.close()
    message = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(timeout=LIMIT) == 141
    assert json.loads(first)["id"] == 1
    assert message == ""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere", r"weights=nowhere: no such folder, and no run 'nowhere' in .*runs"),
        ("runs/20260101-000000-abcdef", r"the run has no artifact 'taxo_model'; it hasn't got"),
    ],
)
def test_a_model_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    """Neither folder nor run, by the option it was given as; or a run that has no model yet."""
    rundir.create(tmp_path / "runs", run_info())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOOLKIT_RUNS_DIR", raising=False)
    with pytest.raises(UsageError, match=message), model_folder(model, ARTIFACT, "weights"):
        pass


def test_a_file_outside_the_model_is_refused(tmp_path: Path) -> None:
    """A journal from elsewhere can't make links into other folders."""
    run_dir = rundir.create(tmp_path / "runs", run_info())
    (run_dir.files / "x").write_text("")
    writer = SegmentWriter.create(run_dir.journal, "owner")
    writer.append(Artifact(0.0, "taxo_model", (File("../../evil", "files/x"),)))
    writer.close()
    with (
        pytest.raises(UsageError, match=r"'../../evil' would lie outside the model's folder"),
        model_folder(str(run_dir.path), ARTIFACT),
    ):
        pass


def test_the_configuration_names_every_key() -> None:
    """`help` says what each key does and takes."""
    text = help_text(PredictConfig(), {})
    assert "batch_size=32  (a whole number)" in text
    assert "format=auto  (one of auto, txt, csv, jsonl, corpus)" in text


def test_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message has the argument and the reason."""
    config = PredictConfig(input=str(tmp_path / "none.txt"))
    with pytest.raises(UsageError, match=r"none.txt: can't be read \(No such"), open_source(config):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [("", r"this is a folder; give a file in it"), ("none/out", r"can't be written \(No such")],
)
def test_output_that_cannot_be_written_is_named(tmp_path: Path, name: str, message: str) -> None:
    """The message has the argument and the reason."""
    with pytest.raises(UsageError, match=message), open_target(str(tmp_path / name)):
        pass


def answers_of(taxonomy: Taxonomy, top_k: int) -> Callable[[list[str]], list[Answer]]:
    """Predictions from scores that follow from the text alone."""

    def answer(texts: list[str]) -> list[Answer]:
        generators = [torch.Generator().manual_seed(len(text)) for text in texts]
        scores = torch.stack([torch.rand(len(taxonomy), generator=g) for g in generators])
        return predictions(scores, decode(scores, taxonomy), taxonomy, LEVELS, top_k)

    return answer


@given(taxonomies(), st.lists(st.integers(0, 9)), st.integers(1, 5), st.integers(0, 3))
def test_windows_change_nothing(
    taxonomy: Taxonomy, lengths: list[int], window: int, top_k: int
) -> None:
    """However many documents are held at once, each gets its own line, in order."""
    documents = [Document(i, "x" * length, i) for i, length in enumerate(lengths)]
    answer = answers_of(taxonomy, top_k)
    found = list(predict(documents, answer, window=window))
    assert [row["id"] for row in found] == list(range(len(lengths)))
    assert [("error" in row) for row in found] == [length == 0 for length in lengths]
    alone = [next(predict([d], answer, window=1)) for d in documents]
    assert found == alone


def test_no_more_than_a_window_is_read_ahead() -> None:
    """The first line comes before the second window of documents is asked for."""
    taken: list[int] = []

    def documents() -> Iterator[Document]:
        for i in range(100):
            taken.append(i)
            yield Document(i, "text", i)

    taxonomy = build(["a", "b"], ["a", "b"], [])
    next(predict(documents(), answers_of(taxonomy, top_k=1), window=4))
    assert len(taken) == 4


def test_lines_are_written_with_letters_as_they_are() -> None:
    """UTF-8 rather than escapes; the summary names the first lines without text."""
    target = io.StringIO()
    empty = [{"id": i, "line": i, "error": "empty document"} for i in range(1, 8)]
    summary = write([{"id": "가", "classes": []}, *empty], target)
    assert target.getvalue().startswith('{"id": "가", "classes": []}\n')
    assert summary == Summary(1, list(range(1, 8)))
    assert "7 without text (lines 1, 2, 3, 4, 5, ...)" in str(summary)
