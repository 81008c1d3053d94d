"""The class encoder: from the name of each class and its neighbours to a vector (section 4.3).

A graph network lets a class vector know the classes around it. The paper runs it on the ego network
of every class (the class, its parents and its children) and sums the node states (eq. 5); running
it once on the whole taxonomy is cheaper and sees further.
"""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor
from torch import nn
from torch_geometric.nn import GATv2Conv
from torch_geometric.nn import GCNConv
from torch_geometric.nn import SAGEConv

from toolkit.errors import UsageError
from toolkit_recipes.taxoclass.presets import ClassifierConfig
from toolkit_recipes.taxoclass.taxonomy import Taxonomy


@frozen
class EgoNetworks:
    """The ego networks of all classes, side by side as one graph without edges between them."""

    nodes: Tensor
    """[nodes]: the class that each node stands for."""
    edge_index: Tensor
    """[2, edges] between nodes."""
    owner: Tensor
    """[nodes]: the class whose network the node belongs to."""


class ClassEncoder(nn.Module):
    """A graph network over the taxonomy, in single precision also under autocast.

    Each layer adds what it learned to its input (``residual``), scaled by a number that starts at
    zero: sibling classes, whose names are all that tells them apart, otherwise become alike within
    two or three layers.

    Args:
        width: of the class features, and of the result.
        edge_index: [2, edges], every edge of the taxonomy in both directions.
        num_classes: how many classes there are.
        config: kind and number of layers, their width and dropout, whole graph or ego networks.
    """

    def __init__(
        self, width: int, edge_index: Tensor, num_classes: int, config: ClassifierConfig
    ) -> None:
        super().__init__()
        hidden = config.gnn_hidden_dim or width
        self._reads_ego_networks = config.gnn_scope == "ego"
        self._is_residual = config.residual
        self.lift = nn.Identity() if hidden == width else nn.Linear(width, hidden)
        self.layers = nn.ModuleList(_layer(config, hidden) for _ in range(config.gnn_num_layers))
        self.gates = nn.Parameter(torch.zeros(config.gnn_num_layers))
        self.lower = nn.Identity() if hidden == width else nn.Linear(hidden, width)
        self.dropout = nn.Dropout(config.dropout)
        ego = ego_networks(edge_index, num_classes) if self._reads_ego_networks else None
        self._keep("nodes", ego.nodes if ego else torch.arange(num_classes))
        self._keep("edges", ego.edge_index if ego else edge_index)
        self._keep("owner", ego.owner if ego else torch.arange(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Return class vectors [classes, width] from class features of the same shape."""
        with torch.autocast(features.device.type, enabled=False):
            states = self.lift(features.float())[self.nodes]
            for layer, gate in zip(self.layers, self.gates, strict=True):
                message = self.dropout(torch.relu(layer(states, self.edges)))
                states = states + gate * message if self._is_residual else message
            if self._reads_ego_networks:
                states = states.new_zeros(len(features), states.shape[1]).index_add(
                    0, self.owner, states
                )
            vectors: Tensor = self.lower(states)
            return vectors

    def _keep(self, name: str, values: Tensor) -> None:
        """Hold a tensor that moves with the module and follows from the taxonomy."""
        self.register_buffer(name, values, persistent=False)


def both_directions(taxonomy: Taxonomy) -> Tensor:
    """Return every edge of the taxonomy downward and upward, [2, edges]."""
    down = [(p, c) for c in range(len(taxonomy)) for p in taxonomy.parents[c]]
    edges = down + [(c, p) for p, c in down]
    return torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous()


def ego_networks(edge_index: Tensor, num_classes: int) -> EgoNetworks:
    """Cut the network of every class out of the graph: itself, its neighbours, their edges."""
    neighbours: list[set[int]] = [{c} for c in range(num_classes)]
    for a, b in edge_index.T.tolist():
        neighbours[a].add(b)
    nodes: list[int] = []
    owner: list[int] = []
    edges: list[tuple[int, int]] = []
    for c, members in enumerate(neighbours):
        place = {member: len(nodes) + i for i, member in enumerate(sorted(members))}
        edges += [(place[a], place[b]) for a in place for b in neighbours[a] & members if a != b]
        nodes += place
        owner += [c] * len(place)
    pairs = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous()
    return EgoNetworks(torch.tensor(nodes), pairs, torch.tensor(owner))


def _layer(config: ClassifierConfig, width: int) -> nn.Module:
    layer: nn.Module
    match config.gnn:
        case "gcn":
            layer = GCNConv(width, width)
        case "gat":
            layer = _attention(config.gnn_heads, width)
        case "sage":
            layer = SAGEConv(width, width)
    return layer


def _attention(heads: int, width: int) -> nn.Module:
    if width % heads:
        raise UsageError(
            f"classifier.gnn_heads={heads}: the graph network is {width} wide, which doesn't "
            "divide; give another number of heads or another classifier.gnn_hidden_dim"
        )
    layer: nn.Module = GATv2Conv(width, width // heads, heads=heads)
    return layer
