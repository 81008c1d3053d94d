"""Rules of a recipe's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from typing import Literal

import pytest
import yaml
from attrs import field
from attrs import frozen
from attrs import validators
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UsageError
from toolkit_recipes.config import as_dict
from toolkit_recipes.config import help_text
from toolkit_recipes.config import load
from toolkit_recipes.config import option
from toolkit_recipes.config import wants_help


@frozen
class Model:
    """A nested group."""

    layers: int = option(2, "number of layers", check=validators.gt(0))
    dropout: float = option(0.1, "share dropped", aliases=("drop", "model.drop"))
    kind: Literal["gcn", "gat"] = option("gcn", "kind of layer")


@frozen
class Other:
    """Another nested group."""

    size: int = option(7, "how large")
    kind: str = option("plain", "likewise")


@frozen
class Config:
    """A configuration with a key of every type."""

    name: str = option("first", "what to call it")
    limit: int | None = option(None, "how many at most")
    order: Literal["up", "down"] | None = option(None, "which way")
    folder: str | None = option(None, "where to look")
    shuffled: bool = option(True, "whether in random order")
    sizes: tuple[int, ...] = option((1, 2), "sizes to try")
    model: Model = field(factory=Model)
    other: Other = field(factory=Other)


def deep() -> Config:
    """Many layers."""
    return Config(name="deep", model=Model(layers=8, dropout=0.5))


def read(*arguments: str) -> Config:
    """Load the configuration with one preset."""
    return load(Config, arguments, {"deep": deep})


def written(folder: Path, content: Any, name: str = "config.yaml") -> str:
    """Write a configuration file and return the argument that names it."""
    file = folder / name
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return f"config={file}"


def test_without_arguments_defaults_hold() -> None:
    """Nothing given, nothing changed."""
    assert read() == Config()


def test_preset_beats_default() -> None:
    """A preset sets what it sets and leaves the rest."""
    assert read("preset=deep") == Config(name="deep", model=Model(layers=8, dropout=0.5))


def test_file_beats_preset(tmp_path: Path) -> None:
    """A key in the file replaces the preset's value; its neighbours stay."""
    config = read(written(tmp_path, {"model": {"layers": 4}}), "preset=deep")
    assert config.model == Model(layers=4, dropout=0.5)


def test_command_line_beats_file(tmp_path: Path) -> None:
    """A key on the command line replaces the file's value, in whatever order they are given."""
    file = written(tmp_path, {"model": {"layers": 4, "dropout": 0.2}})
    assert read("model.layers=6", file).model == Model(layers=6, dropout=0.2)


def test_file_takes_nested_and_dotted_keys_in_yaml_and_json(tmp_path: Path) -> None:
    """The two spellings and the two formats mean the same."""
    dotted = json.dumps({"model.layers": 3, "limit": None})
    nested = {"model": {"layers": 3}, "limit": None}
    assert read(written(tmp_path, dotted, "c.json")) == read(written(tmp_path, nested))


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("name=12", "name", "12"),
        ("name=a=b", "name", "a=b"),
        ("limit=5", "limit", 5),
        ("limit=none", "limit", None),
        ("order=up", "order", "up"),
        ("order=none", "order", None),
        ("folder=here", "folder", "here"),
        ("--folder=None", "folder", None),
        ("name=", "name", ""),
        ("shuffled=False", "shuffled", False),
        ("shuffled=true", "shuffled", True),
        ("sizes=4,5", "sizes", (4, 5)),
        ("sizes=", "sizes", ()),
    ],
)
def test_words_are_read_by_the_type_of_their_key(argument: str, key: str, value: Any) -> None:
    """A word of the command line means what its key's type says."""
    assert getattr(read(argument), key) == value


@pytest.mark.parametrize("value", [[4, 5], "4,5", "4, 5"])
def test_a_list_in_a_file_may_be_a_word(tmp_path: Path, value: Any) -> None:
    """It is read as on the command line."""
    assert read(written(tmp_path, {"sizes": value})).sizes == (4, 5)


@pytest.mark.parametrize("argument", ["model.layers=3", "layers=3", "--layers=3"])
def test_the_last_part_of_a_key_will_do(argument: str) -> None:
    """Where no other key ends so; with or without hyphens."""
    assert read(argument).model.layers == 3


@pytest.mark.parametrize("alias", ["drop", "model.drop"])
def test_a_key_may_have_other_names(tmp_path: Path, alias: str) -> None:
    """On the command line and in files."""
    assert read(f"{alias}=0.5").model.dropout == 0.5
    assert read(written(tmp_path, {alias: 0.5})).model.dropout == 0.5


def test_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    """1e-3 is a number in both places, and a whole number will do for a float in a file."""
    assert read("model.dropout=1e-3").model.dropout == 0.001
    assert read(written(tmp_path, "model: {dropout: 1e-3}")).model.dropout == 0.001
    assert read(written(tmp_path, {"model": {"dropout": 1}})).model.dropout == 1.0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model.layer=3", r"argument 'model.layer=3': .*did you mean 'model.layers'\?"),
        ("kind=gcn", r"argument 'kind=gcn': 'kind' may be any of model.kind, other.kind"),
        ("presett=deep", r"did you mean 'preset'\?"),
        ("zzz=3", r"there is no key 'zzz' \(`help` lists the keys\)"),
        ("model=3", r"'model' holds several keys; set one of model.layers, "),
        ("model.layers=many", r"model.layers takes a whole number, not 'many'"),
        ("model.layers=2.5", r"model.layers takes a whole number, not '2.5'"),
        ("model.layers=0", r"argument 'model.layers=0': 'layers' must be > 0: 0"),
        ("model.kind=cnn", r"model.kind takes one of gcn, gat, not 'cnn'"),
        ("shuffled=yes", r"shuffled takes true or false, not 'yes'"),
        ("limit=x", r"limit takes a whole number, or none, not 'x'"),
        ("sizes=1,x", r"sizes takes a list, each item a whole number, not '1,x'"),
        ("preset=dep", r"there is no preset 'dep' \(did you mean 'deep'\?\); presets: deep"),
        ("verbose", r"argument 'verbose' is not key=value"),
        ("=3", r"argument '=3' is not key=value"),
        ("config=nowhere.yaml", r"nowhere.yaml: can't read the configuration"),
    ],
)
def test_a_wrong_argument_is_refused(argument: str, message: str) -> None:
    """The message names the argument, what its key takes, and the nearest valid name."""
    with pytest.raises(UsageError, match=message):
        read(argument)


@pytest.mark.parametrize("word", ["folder=", "folder= ", "--folder=", "limit=", "order="])
def test_an_empty_value_doesnt_pass_for_none(word: str) -> None:
    """It comes from a variable that isn't set; who means nothing says none."""
    with pytest.raises(UsageError, match=r"folder is empty .* the word none|, or none, not ''"):
        read(word)


def test_an_empty_text_of_a_file_doesnt_pass_for_none(tmp_path: Path) -> None:
    """As on the command line; the message names the file and the key."""
    with pytest.raises(UsageError, match=r"config.yaml, key 'folder': folder is empty"):
        read(written(tmp_path, {"folder": ""}))
    assert read(written(tmp_path, {"folder": None})).folder is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"layres": 3}}, r"config.yaml, key 'model.layres': .* mean 'model.layers'\?"),
        ({"model": {"layers": "3"}}, r"key 'model.layers': .* a whole number, not '3'"),
        ({"model": {"layers": True}}, r"takes a whole number, not True"),
        ({"name": 3}, r"name takes text, not 3"),
        ({"name": None}, r"name takes text, not None"),
        ({"sizes": [1, "x"]}, r"sizes takes a list, each item"),
        ({"preset": "deep"}, r"'preset' can only be given on the command line"),
        ("- 1\n", r"config.yaml: expected a mapping"),
        ("name: [\n", r"config.yaml, line 2: not YAML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    """The message names the file with the line or the key."""
    with pytest.raises(UsageError, match=message):
        read(written(tmp_path, content))


def test_wrong_json_and_wrong_bytes_are_refused(tmp_path: Path) -> None:
    """A JSON file is not read as YAML, and text must be UTF-8."""
    with pytest.raises(UsageError, match=r"c.json, line 1: not JSON"):
        read(written(tmp_path, "{'name': 1}", "c.json"))
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin.yaml: not UTF-8"):
        read(f"config={tmp_path / 'latin.yaml'}")


@given(
    st.builds(
        Config,
        name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
        limit=st.none() | st.integers(),
        order=st.none() | st.sampled_from(["up", "down"]),
        folder=st.none() | st.text("ab/ ", min_size=1).filter(str.strip),
        shuffled=st.booleans(),
        sizes=st.lists(st.integers()).map(tuple),
        model=st.builds(
            Model,
            layers=st.integers(1),
            dropout=st.floats(allow_nan=False),
            kind=st.sampled_from(["gcn", "gat"]),
        ),
    )
)
def test_a_written_configuration_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    """What a run keeps as its configuration can be given to the next one."""
    file = tmp_path_factory.mktemp("config") / "config.json"
    file.write_text(json.dumps(as_dict(config)), encoding="utf-8")
    assert read(f"config={file}") == config


def test_help_names_every_key_type_default_and_preset() -> None:
    """Whoever asks for help sees all that can be set."""
    text = help_text(Config(), {"deep": deep})
    assert "model.layers=2  (a whole number)\n      number of layers" in text
    assert "limit=none  (a whole number, or none)" in text
    assert "order=none  (one of up, down, or none)" in text
    assert "deep: Many layers." in text
    assert wants_help(["--help"])
    assert not wants_help(["name=help"])
