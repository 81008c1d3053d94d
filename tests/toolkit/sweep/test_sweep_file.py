"""Sweep files: what is read, and that every error says where it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("optuna", reason="sweeps need the extra sweep")

from tests.toolkit.sweep.sweeping import parse
from tests.toolkit.sweep.sweeping import write
from toolkit.errors import UsageError
from toolkit.sweep import located
from toolkit.sweep.space import Choice
from toolkit.sweep.space import Constant
from toolkit.sweep.space import Continuous
from toolkit.sweep.space import Integers
from toolkit.sweep.space import WeightedChoice
from toolkit.sweep.sweepfile import Metric

GUIDE = """\
program: main.py
method: bayes  # or grid, random
metric:
  name: test/accuracy
  goal: maximize
parameters:
  learning_rate:
    min: 5e-6
    max: 5e-5
  gnn_hidden_dim:
    values: [512, 768, 1024]
  gnn_num_layers:
    values: [3, 4, 5]
  self_train_threshold:
    min: 0.4
    max: 0.7
"""


def test_guides_file(tmp_path: Path) -> None:
    """A file as W&B's users write it is read as it is, numbers like 5e-6 among it."""
    sweep = parse(tmp_path, GUIDE)

    assert (sweep.method, sweep.program) == ("bayes", "main.py")
    assert sweep.metric == Metric("test/accuracy", "maximize")
    assert dict(sweep.parameters) == {
        "learning_rate": Continuous(5e-6, 5e-5),
        "gnn_hidden_dim": Choice((512, 768, 1024)),
        "gnn_num_layers": Choice((3, 4, 5)),
        "self_train_threshold": Continuous(0.4, 0.7),
    }


def test_everything_else(tmp_path: Path) -> None:
    """Texts, target, cap, command and keys that are for W&B's server are all accepted."""
    sweep = parse(
        tmp_path,
        "method: random\nname: n\ndescription: d\nproject: p\nentity: e\nrun_cap: 7\nkind: sweep\n"
        "metric: {name: loss, target: 1e-3}\ncommand: [python, -m, 8, '${args}']\n"
        "parameters: {x: {value: 1}}",
    )

    assert sweep.metric == Metric("loss", "minimize", 0.001)
    assert sweep.command == ("python", "-m", "8", "${args}")
    assert sweep.run_cap == 7
    assert sweep.texts == {"name": "n", "description": "d", "project": "p", "entity": "e"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("value: 1e-3", Constant(0.001)),
        ("values: [1e-3, '1e-3', yes, null]", Choice((0.001, "1e-3", True, None))),
        ("values: [[1, 2], {a: b}, 2020-01-01]", Choice(([1, 2], {"a": "b"}, "2020-01-01"))),
        ("{values: [1, 2], probabilities: [0.3, 0.7]}", WeightedChoice((1, 2), (0.3, 0.7))),
        ("{min: 1, max: 3}", Integers(1, 3)),
        ("{min: 1, max: 3.0}", Continuous(1, 3.0)),
        ("{min: 1e0, max: 3}", Continuous(1.0, 3)),
        ("{min: 1, max: 3, distribution: uniform}", Continuous(1, 3)),
    ],
)
def test_default_distribution(tmp_path: Path, written: str, expected: object) -> None:
    """Without a distribution, the keys mean one: integers int_uniform, any float uniform."""
    sweep = parse(tmp_path, f"method: random\nparameters:\n  p:\n    {written}\n")

    assert sweep.parameters["p"] == expected


def test_nested_parameters(tmp_path: Path) -> None:
    """Nested parameters have names with dots, in the order of the file."""
    sweep = parse(
        tmp_path,
        "method: grid\nparameters:\n  b: {value: 1}\n  a:\n    parameters:\n      z: {value: 2}\n"
        "      y: {parameters: {x: {values: [3]}}}\n",
    )

    assert list(sweep.parameters) == ["b", "a.z", "a.y.x"]


def test_anchors_and_merges(tmp_path: Path) -> None:
    """What YAML says of anchors and merges holds; a merged key may be given again."""
    sweep = parse(
        tmp_path,
        "method: random\nparameters:\n  a: &a {min: 0.0, max: 1.0}\n  b: {<<: *a, max: 2.0}\n",
    )

    assert sweep.parameters["b"] == Continuous(0.0, 2.0)


def test_early_terminate_is_said(tmp_path: Path) -> None:
    """Early termination isn't done, and the user is told so, with the line."""
    sweep = parse(
        tmp_path,
        "method: random\nparameters: {x: {value: 1}}\nearly_terminate: {type: hyperband}\n",
    )

    (notice,) = sweep.notices
    assert "sweep.yaml:3: early_terminate" in notice


OK = "parameters: {x: {value: 1}}\n"
P = "method: random\nparameters:\n  x:\n    "


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("- 1\n", 1, "must be a mapping"),
        ("method: grid\nparameters: [\n", 3, "not YAML"),
        ("method: grid\nmethod: grid\n", 2, "twice"),
        ("method: grid\n", 1, "needs 'parameters'"),
        (OK, 1, "needs 'method'"),
        (f"{OK}method: gird\n", 2, "did you mean 'grid'"),
        (f"{OK}method: bayes\n", 2, "needs a metric"),
        (f"{OK}method: grid\nmetod: grid\n", 3, "did you mean 'method'"),
        (f"{OK}method: grid\njob: x\n", 3, "W&B's server"),
        (f"{OK}method: grid\nrun_cap: 0\n", 3, "from 1 on"),
        (f"{OK}method: grid\nrun_cap: many\n", 3, "'many'"),
        (f"{OK}method: grid\nname: 3\n", 3, "must be a text"),
        (f"{OK}method: grid\nmetric: loss\n", 3, "mapping"),
        (f"{OK}method: grid\nmetric:\n  goal: minimize\n", 4, "needs a name"),
        (f"{OK}method: grid\nmetric:\n  name: a\n  goal: max\n", 5, "minimize, maximize"),
        (f"{OK}method: grid\nmetric:\n  name: a\n  impute: best\n", 5, "no key 'impute'"),
        (f"{OK}method: grid\nmetric:\n  name: a\n  target: '1'\n", 5, "leave the quotes out"),
        (f"{OK}method: grid\ncommand: python x.py\n", 3, "must be a list"),
        (f"{OK}method: grid\ncommand:\n- python\n- ${{arg}}\n", 5, "did you mean 'args'"),
        (f"{OK}method: grid\ncommand:\n- --all=${{args}}\n", 4, "an item of its own"),
        (f"{OK}method: grid\ncommand:\n- [a]\n", 4, "one word"),
        ("method: grid\nparameters: {}\n", 2, "at least one"),
        ("method: grid\nparameters:\n  x: 3\n", 3, "mapping"),
        ("method: grid\nparameters:\n  2x:\n    value: 1\n", 4, "can't be a parameter's name"),
        ("method: grid\nparameters:\n  x:\n    min: 0.0\n    max: 1.0\n", 3, "by a grid"),
        ("method: grid\nparameters:\n  x: {min: 0, max: 999999}\n", 3, "1,000,000 points"),
        (f"{P}mean: 1\n", 4, "needs value, values"),
        (f"{P}values: []\n", 4, "at least one item"),
        (f"{P}values: 3\n", 4, "must be a list"),
        (f"{P}min: 0\n    max: 0\n", 4, "less than max"),
        (f"{P}min: a\n    max: 1\n", 4, "must be a number"),
        (f"{P}min: '5e-6'\n    max: 1\n", 4, "leave the quotes out"),
        (f"{P}min: 0\n    max: .inf\n", 5, "must be a number"),
        (f"{P}min: true\n    max: 3\n", 4, "must be a number"),
        (f"{P}min: 0.5\n    max: 3\n    distribution: int_uniform\n", 4, "whole number"),
        (f"{P}distribution: unifrom\n", 4, "did you mean 'uniform'"),
        (f"{P}distribution: beta\n", 4, "it can be constant"),
        (f"{P}distribution: uniform\n    min: 1\n", 4, "needs 'max'"),
        (f"{P}distribution: normal\n    q: 1\n", 5, "no key 'q'"),
        (f"{P}distribution: normal\n    sigma: -1\n", 5, "negative"),
        (f"{P}distribution: log_normal\n    mu: 900\n", 4, "smaller"),
        (f"{P}distribution: q_uniform\n    min: 0\n    max: 1\n    q: 0\n", 7, "greater than 0"),
        (f"{P}distribution: q_uniform\n    min: 1\n    max: 2\n    q: 5\n", 4, "no multiple"),
        (f"{P}distribution: log_uniform\n    min: 1\n    max: 2000\n", 4, "exponents"),
        (f"{P}distribution: log_uniform_values\n    min: 0\n    max: 1\n", 5, "logarithm"),
        (f"{P}values: [1, 2]\n    probabilities: [1]\n", 5, "one for each"),
        (f"{P}values: [1, 2]\n    probabilities: [1, 1]\n", 5, "add up to 1"),
        (f"{P}parameters: {{y: {{value: 1}}}}\n    value: 2\n", 5, "remove 'value'"),
        (f"{P}parameters: {{y: {{value: 1}}}}\n  x.y:\n    value: 2\n", 6, "twice"),
        ("method: random\nparameters: &p\n  x: {parameters: *p}\n", 2, "recursive"),
        ("method: random\nparameters:\n  x: {value: !!binary aGk=}\n", 3, "can't be used here"),
        ("method: random\nparameters:\n  x: {value: !!python/name:os.system }\n", 3, "not YAML"),
        ("method: random\nparameters:\n  ? [a]\n  : 1\n", 3, "key"),
    ],
)
def test_errors_say_where(tmp_path: Path, text: str, line: int, words: str) -> None:
    """Whatever is wrong is told with file, line and what to do."""
    with pytest.raises(UsageError) as caught:
        parse(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'sweep.yaml'}:{line}: ")
    assert words in str(caught.value)


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that isn't there, or isn't text, is named."""
    with pytest.raises(UsageError, match=r"nowhere\.yaml: can't be read"):
        located.read(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.yaml: can't be read"):
        located.read(tmp_path / "binary.yaml")


@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    form=st.sampled_from(["{!r}", "{:e}", "{:.17g}", "{:E}", "{:+.3e}"]),
)
def test_numbers_in_any_form(
    tmp_path_factory: pytest.TempPathFactory, number: float, form: str
) -> None:
    """A number is a number however its exponent is written."""
    written = form.format(number)
    path = write(tmp_path_factory.mktemp("numbers"), f"a: {written}\n")

    read = located.read(path).mapping("file")["a"].value
    assert isinstance(read, int | float)
    assert read == float(written)


@given(text=st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40))
def test_any_content(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever a file holds, it is read or refused as the user's error."""
    path = write(tmp_path_factory.mktemp("any"), text)

    with contextlib.suppress(UsageError):
        located.read(path)
