"""Fixtures of the tests of TaxoClass."""

from __future__ import annotations

import pytest

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
