"""Fixtures of the tests of TaxoClass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import AutoModel

from tests.recipes.taxoclass.nli import SmallModel
from tests.recipes.taxoclass.nli import train_small_model


@pytest.fixture(scope="session")
def bert_nli() -> SmallModel:
    """A language inference model with token types."""
    return train_small_model("bert")


@pytest.fixture(scope="session")
def roberta_nli() -> SmallModel:
    """A language inference model without token types."""
    return train_small_model("roberta")


@pytest.fixture(scope="session")
def half_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small encoder with its weights stored in half precision."""
    folder = Path(shutil.copytree(tiny_encoder, tmp_path_factory.mktemp("half") / "encoder"))
    AutoModel.from_pretrained(tiny_encoder).half().save_pretrained(folder)
    return folder
