"""Rules of the classifier and its class encoder."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from transformers import BertConfig
from transformers import BertModel

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.class_encoder import ClassEncoder
from toolkit_recipes.taxoclass.class_encoder import both_directions
from toolkit_recipes.taxoclass.class_encoder import ego_networks
from toolkit_recipes.taxoclass.classifier import ClassMatcher
from toolkit_recipes.taxoclass.classifier import TaxoClassifier
from toolkit_recipes.taxoclass.classifier import centred
from toolkit_recipes.taxoclass.classifier import choose_trainable
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.presets import TrainingConfig
from toolkit_recipes.taxoclass.taxonomy import build

TREE = build("abcde", "abcde", [(0, 1), (0, 2), (1, 3)])
EDGES = both_directions(TREE)


def _encoder() -> BertModel:
    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=16,
        )
    )


@pytest.mark.parametrize("gnn", ["gcn", "gat", "sage"])
@pytest.mark.parametrize("scope", ["graph", "ego"])
@pytest.mark.parametrize(("layers", "hidden"), [(1, 0), (4, 12)])
def test_every_kind_of_graph_network_learns(
    gnn: Literal["gcn", "gat", "sage"], scope: Literal["graph", "ego"], layers: int, hidden: int
) -> None:
    """Kind, scope, depth and width combine; the result is [classes, width] and has gradients."""
    config = ClassifierConfig(
        gnn=gnn, gnn_scope=scope, gnn_num_layers=layers, gnn_hidden_dim=hidden, residual=False
    )
    encoder = ClassEncoder(8, EDGES, len(TREE), config)
    vectors = encoder(torch.randn(len(TREE), 8))
    assert vectors.shape == (len(TREE), 8)
    vectors.sum().backward()
    assert all(p.grad is not None for p in encoder.layers.parameters())


def test_an_ego_network_is_a_class_with_parents_and_children() -> None:
    """Nodes and edges of each class, cut out of the whole taxonomy."""
    ego = ego_networks(EDGES, len(TREE))
    members = [ego.nodes[ego.owner == c].tolist() for c in range(len(TREE))]
    assert members == [[0, 1, 2], [0, 1, 3], [0, 2], [1, 3], [4]]
    pairs = {(int(ego.nodes[a]), int(ego.nodes[b])) for a, b in ego.edge_index.T.tolist()}
    assert pairs == set(map(tuple, EDGES.T.tolist()))
    assert bool((ego.owner[ego.edge_index[0]] == ego.owner[ego.edge_index[1]]).all())


def test_class_vectors_are_single_precision_under_autocast() -> None:
    """The graph network never sees half precision, which its libraries mix up."""
    matcher = ClassMatcher(8, torch.randn(5, 8), EDGES, ClassifierConfig()).eval()
    vectors = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = matcher(vectors.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, matcher(vectors.bfloat16().float()))


def test_untrained_it_ranks_by_similarity() -> None:
    """With equal widths the bilinear form starts as a multiple of the identity."""
    features, documents = torch.randn(5, 8), torch.randn(3, 8)
    matcher = ClassMatcher(8, features, EDGES, ClassifierConfig()).eval()
    order = matcher(documents).argsort(dim=1)
    assert torch.equal(order, (documents @ features.T).argsort(dim=1))


def test_padding_changes_nothing() -> None:
    """A document has the same logits alone and beside a longer one."""
    model = TaxoClassifier(_encoder(), torch.randn(5, 6), EDGES, ClassifierConfig()).eval()
    alone = model(torch.tensor([[1, 2, 3]]), torch.ones(1, 3))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    beside = model(torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]]), mask)
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_class_features_are_centred() -> None:
    """What all names share is taken off; each is of length 1."""
    features = centred(torch.randn(5, 8) + 10)
    assert torch.allclose(features.norm(dim=1), torch.ones(5))
    assert features.mean(dim=0).abs().max() < 0.5


@pytest.mark.parametrize(("trained", "layers"), [("full", 3), ("last_layers=1", 1), ("frozen", 0)])
def test_the_part_of_the_encoder_that_learns_can_be_chosen(trained: str, layers: int) -> None:
    """Whole, its last layers, or none; the pooling layer, which isn't used, never."""
    encoder = _encoder()
    choose_trainable(encoder, trained)
    learning = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert len({n.split(".")[2] for n in learning if n.startswith("encoder.layer")}) == layers
    assert any(n.startswith("embeddings") for n in learning) == (trained == "full")
    assert not any(n.startswith("pooler") for n in learning)


def test_more_layers_than_there_are_is_refused() -> None:
    """The message names the key."""
    with pytest.raises(UsageError, match=r"training\.encoder=last_layers=9"):
        choose_trainable(_encoder(), "last_layers=9")


def test_heads_that_do_not_divide_are_refused() -> None:
    """The message names the key and the width."""
    with pytest.raises(UsageError, match="gnn_heads=3: the graph network is 8 wide"):
        ClassEncoder(8, EDGES, len(TREE), ClassifierConfig(gnn="gat", gnn_heads=3))


@pytest.mark.parametrize("layers", ["0", "-1", "00", "\u00b2", "1.5", "", "two"])
def test_a_number_of_layers_is_whole_and_at_least_one(layers: str) -> None:
    """Nothing else is taken: 0 would be all of them. The configuration refuses it first."""
    trained = f"last_layers={layers}"
    with pytest.raises(ValueError, match="N a whole number from 1"):
        TrainingConfig(encoder=trained)
    with pytest.raises(UsageError, match=r"give full, frozen or last_layers=N"):
        choose_trainable(_encoder(), trained)
