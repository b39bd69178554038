"""Neural gas with competitive Hebbian learning, and the image of each node (TOPIC, section 3.2; docs/methods.md 4.6).

TOPIC's own code for it was never released. This follows the description in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_RANKS = 7.0  # in units of alpha: nodes of higher rank would move by less than a thousandth of the winner's step and are left out


def fit(features: Tensor, start: Tensor, eta: float, alpha: float, longest_age: int) -> tuple[Tensor, Tensor]:
    """One pass over `features` [n, d], in order, from nodes at `start` [K, d]. Returns node positions [K, d] and edges [E, 2].

    The node of rank i by distance moves by the fraction eta exp(-i / alpha) towards the feature (Martinetz and Schulten, 1991).
    The two nearest nodes get an edge of age 0. The other edges of the winner age by one and are removed beyond `longest_age`.
    """
    nodes = start.clone()
    count = len(nodes)
    reach = min(count, max(2, int(MOST_RANKS * alpha) + 1))
    step = (eta * torch.exp(-torch.arange(reach) / alpha))[:, None]
    age = torch.full((count, count), -1, dtype=torch.int64)  # -1: no edge
    for feature in features:
        near = ((nodes - feature) ** 2).sum(1).argsort()[:reach]
        nodes[near] += step * (feature - nodes[near])
        if count > 1:
            first, second = int(near[0]), int(near[1])
            edges = age[first]
            edges[edges >= 0] += 1
            edges[edges > longest_age] = -1
            edges[second] = 0
            age[:, first] = edges
    return nodes, (age >= 0).triu().nonzero()


class NeuralGas(nn.Module):
    """Nodes in feature space. Buffers, one entry per node: centroid and variance [K, d], label and image index [K]; edges [E, 2]."""

    centroids: Tensor
    variances: Tensor
    labels: Tensor
    indices: Tensor
    edges: Tensor

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.empty(0, feature_dim))
        self.register_buffer("variances", torch.empty(0, feature_dim))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self.register_buffer("indices", torch.empty(0, dtype=torch.int64))
        self.register_buffer("edges", torch.empty(0, 2, dtype=torch.int64))

    def add(self, nodes: Tensor, features: Tensor, labels: Tensor, indices: Tensor) -> list[int]:
        """Append nodes [k, d]. Each gets the variance of the features nearest to it, their most frequent label, and the image of
        that label nearest to the node. Nodes that are nearest to no feature are left out.

        Returns the positions in `nodes` of those appended, which keep their order.
        """
        owner = torch.cdist(features, nodes).argmin(1)
        taken, columns_of = [], []
        for number, node in enumerate(nodes):
            own = (owner == number).nonzero().squeeze(1)
            if not len(own):
                continue
            label = labels[own].mode().values
            candidates = own[labels[own] == label]
            nearest = candidates[((features[candidates] - node) ** 2).sum(1).argmin()]
            taken.append(number)
            columns_of.append((node, features[own].var(0, correction=0), label, indices[nearest]))
        columns = [torch.stack(column) for column in zip(*columns_of, strict=True)]
        for name, column in zip(("centroids", "variances", "labels", "indices"), columns, strict=True):
            old = getattr(self, name)
            setattr(self, name, torch.cat([old, column.to(old)]))
        return taken

    def connect(self, features: Tensor) -> None:
        """Add an edge between the two nodes nearest to each feature (competitive Hebbian learning without ageing)."""
        if len(self.centroids) > 1:
            pairs = torch.cdist(features, self.centroids).topk(2, largest=False).indices.sort(1).values
            self.edges = torch.unique(torch.cat([self.edges, pairs.to(self.edges)]), dim=0)

    def rivals(self, first_new: int) -> Tensor:
        """Edges [E, 2] between a node from `first_new` on (second column) and a node of another class (first column)."""
        i, j = self.edges.unbind(1)  # i < j by construction
        return self.edges[(j >= first_new) & (self.labels[i] != self.labels[j])]
