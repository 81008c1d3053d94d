"""Rules of the texts that stand for a class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from toolkit.errors import UsageError
from toolkit_recipes.config import load
from toolkit_recipes.taxoclass.class_views import mean_vectors
from toolkit_recipes.taxoclass.class_views import view_texts
from toolkit_recipes.taxoclass.presets import PRESETS
from toolkit_recipes.taxoclass.presets import TaxoClassConfig
from toolkit_recipes.taxoclass.presets import check_together
from toolkit_recipes.taxoclass.taxonomy import build

TAXONOMY = build(
    ids=["1", "2", "3", "4"],
    names=["living_things", "animals", "dogs", "cats"],
    edges=[(0, 1), (1, 2), (1, 3)],
)


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("about {name}", ["about living things", "about animals", "about dogs", "about cats"]),
        ("{name}, {parent}", ["living things, living things", "animals, living things"]),
        ("{path}", ["living things", "living things > animals", "living things > animals > dogs"]),
        ("{name}: {children}", ["living things: animals", "animals: dogs, cats", "dogs: dogs"]),
    ],
)
def test_placeholders_stand_for_the_class_and_its_neighbours(
    template: str, texts: list[str]
) -> None:
    """A root has its own name for its parent, a leaf for its children; underscores are spaces."""
    (found,) = view_texts(TAXONOMY, template)
    assert found[: len(texts)] == texts


def test_several_templates_make_several_views() -> None:
    """They are separated by a bar, and spaces around it don't count."""
    assert view_texts(TAXONOMY, "{name} | a {name} ") == [
        *view_texts(TAXONOMY, "{name}"),
        *view_texts(TAXONOMY, "a {name}"),
    ]


def test_names_with_braces_stay_as_they_are() -> None:
    """What a name holds isn't taken for a placeholder of the template."""
    taxonomy = build(["1", "2"], ["{children}", "b"], [(0, 1)])
    assert view_texts(taxonomy, "{name}: {children}") == [["{children}: b", "b: b"]]


def test_a_class_vector_is_the_mean_direction_of_its_views() -> None:
    """Of length 1, whatever the views say."""
    vectors = {"x": torch.tensor([[1.0, 0.0]]), "y": torch.tensor([[0.0, 1.0]])}

    def encode(texts: list[str]) -> Tensor:
        return torch.cat([vectors[text] for text in texts])

    expected = torch.full((1, 2), 0.5).sqrt()
    torch.testing.assert_close(mean_vectors(encode, [["x"], ["y"]]), expected)


@pytest.mark.parametrize("template", ["about", "{name} | about {parent}"])
def test_every_view_names_the_class(template: str) -> None:
    """A text that is the same for all classes, or for siblings, tells none from another."""
    with pytest.raises(UsageError, match=r"must contain \{name\}"):
        load(TaxoClassConfig, [f"similarity.template={template}"], PRESETS)


def test_entailment_is_asked_about_one_text() -> None:
    """A document may entail one text per class, so several are refused, in words."""
    config = load(
        TaxoClassConfig,
        ["preset=paper", "similarity.template={name} | a {name}"],
        PRESETS,
    )
    with pytest.raises(UsageError, match="give one"):
        check_together(config)
