"""Rules of what a recipe keeps on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from toolkit.errors import UsageError
from toolkit_recipes.storage import Checkpoint
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import StageCache
from toolkit_recipes.storage import Tensors
from toolkit_recipes.storage import content_key
from toolkit_recipes.storage import files_fingerprint


def _made() -> Tensors:
    return {"values": torch.arange(3)}


def _never() -> Tensors:
    raise AssertionError("it should have been there")


def test_a_result_is_found_again_by_its_key(tmp_path: Path) -> None:
    """Made once per key and stage; another key is another result."""
    cache = StageCache(tmp_path / "new", Accelerator())
    assert torch.equal(cache.result(1, "a", _made)["values"], torch.arange(3))
    assert torch.equal(cache.result(1, "a", _never)["values"], torch.arange(3))
    with pytest.raises(AssertionError):
        cache.result(1, "b", _never)
    with pytest.raises(AssertionError):
        cache.result(2, "a", _never)


def test_starting_later_takes_what_is_there_and_makes_the_rest(tmp_path: Path) -> None:
    """Stages before the first must be stored."""
    StageCache(tmp_path, Accelerator()).result(1, "a", _made)
    cache = StageCache(tmp_path, Accelerator(), start_from=2)
    cache.result(1, "a", _never)
    cache.result(2, "a", _made)
    with pytest.raises(UsageError, match=r"start_from=2: .* no result of stage 1"):
        cache.result(1, "b", _made)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    """The message says which file to remove."""
    StageCache(tmp_path, Accelerator()).result(1, "a", _made)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"no tensors")
    with pytest.raises(UsageError, match=f"{file}: can't be read"):
        StageCache(tmp_path, Accelerator()).result(1, "a", _made)


def test_the_last_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    """Only the last of a key is kept, and an unfinished one isn't taken for it."""
    checkpoints = Checkpoints(tmp_path, content_key("a"), Accelerator())
    assert checkpoints.load() is None
    for step in (9, 10):
        weights = {"w": torch.tensor([float(step)])}
        checkpoints.save(Checkpoint(weights, {}, {"state": {0: weights}}, {"step": step}))
    (tmp_path / f"new-{content_key('a')[:24]}").mkdir()
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.progress == {"step": 10}
    assert loaded.weights["w"].item() == 10
    assert loaded.optimizer["state"][0]["w"].item() == 10
    assert len(list(tmp_path.glob("*-000*"))) == 1
    assert Checkpoints(tmp_path, content_key("b"), Accelerator()).load() is None


def test_a_fingerprint_changes_with_name_and_content(tmp_path: Path) -> None:
    """Files that don't match the patterns don't count."""
    (tmp_path / "a.json").write_text("1")
    first = files_fingerprint(tmp_path, ["*.json"])
    (tmp_path / "notes.md").write_text("x")
    assert files_fingerprint(tmp_path, ["*.json"]) == first
    (tmp_path / "a.json").write_text("2")
    assert files_fingerprint(tmp_path, ["*.json"]) != first


def test_a_step_can_be_saved_twice(tmp_path: Path) -> None:
    """As at the end of an epoch that ends where a checkpoint is due; the second one holds."""
    checkpoints = Checkpoints(tmp_path, content_key("a"), Accelerator())
    for epoch in (0, 1):
        checkpoints.save(Checkpoint(_made(), {}, {}, {"step": 100, "epoch": epoch}))
    checkpoint = checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.progress == {"step": 100, "epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_fingerprint_sees_files_below(tmp_path: Path) -> None:
    """As pooling settings of a sentence encoder are, which shape its vectors."""
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "1_Pooling" / "config.json").write_text("mean", encoding="utf-8")
    before = files_fingerprint(tmp_path, ["*.json"])
    (tmp_path / "1_Pooling" / "config.json").write_text("cls", encoding="utf-8")
    assert files_fingerprint(tmp_path, ["*.json"]) != before


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "best.safetensors", "optimizer.pt", "progress.json"]
)
def test_a_damaged_checkpoint_says_what_to_remove(tmp_path: Path, name: str) -> None:
    """Half a file names itself, and the folder without which training begins anew."""
    checkpoints = Checkpoints(tmp_path, content_key("a"), Accelerator())
    checkpoints.save(Checkpoint(_made(), _made(), {"state": _made()}, {"step": 1}))
    (file,) = tmp_path.glob(f"*/{name}")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match=rf"{name}: can't be read .*; remove {file.parent} to"):
        checkpoints.load()


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    """Resuming with other settings would silently begin anew."""
    checkpoints = Checkpoints(tmp_path, content_key("a"), Accelerator())
    checkpoints.refuse_others()
    checkpoints.save(Checkpoint(_made(), {}, {}, {"step": 1}))
    with pytest.raises(UsageError, match="another configuration"):
        Checkpoints(tmp_path, content_key("b"), Accelerator()).refuse_others()


def test_a_half_made_checkpoint_is_nobodys(tmp_path: Path) -> None:
    """Killed while its first checkpoint was written, a run begins anew, and keeps the next one."""
    checkpoints = Checkpoints(tmp_path, content_key("a"), Accelerator())
    checkpoints.save(Checkpoint(_made(), {}, {}, {"step": 1}))
    (whole,) = tmp_path.iterdir()
    whole.rename(tmp_path / f"new-{content_key('a')[:24]}")
    checkpoints.refuse_others()
    assert checkpoints.load() is None
    checkpoints.save(Checkpoint(_made(), {}, {}, {"step": 2}))
    (found,) = tmp_path.iterdir()
    assert json.loads((found / "progress.json").read_text()) == {"step": 2}


def test_names_that_arent_utf8_have_keys_and_fingerprints(tmp_path: Path) -> None:
    """Each its own, also beside the text that it is shown as."""
    name = os.fsdecode(b"caf\xe9.json")
    assert len({content_key(name), content_key(r"caf\udce9.json"), content_key("café.json")}) == 3
    empty = files_fingerprint(tmp_path, ["*.json"])
    (tmp_path / name).write_text("{}", encoding="utf-8")
    assert files_fingerprint(tmp_path, ["*.json"]) != empty
