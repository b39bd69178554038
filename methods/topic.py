"""TOPIC (Tao et al., CVPR 2020): neural gas with anchor loss and min-max loss (docs/methods.md 4.6).

A re-implementation. The released code lacks the neural gas, the file with the losses and the base script, so this cannot be
verified against it. Loss weights are those of the released scripts.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.families.rehearsal import RehearsalConfig, RehearsalStrategy
from methods.parts.exemplars import random_choice
from methods.parts.heads import unit
from methods.parts.neural_gas import NeuralGas, fit


class Topic(RehearsalStrategy):
    """A graph of nodes in feature space. Each node keeps one image, whose feature the anchor loss holds in place.

    Loss: cross-entropy on the shots + anchor loss (AL: images of old nodes keep their features) + min-max loss (MML: shots move
    towards the new node of their class, new nodes away from the old nodes they are linked with). Only the last block and the
    head are trained; the weights of old classes and batch norm are frozen.
    """

    title = "TOPIC"

    class Config(RehearsalConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "eval"  # --wo-bn in the scripts
        freeze_old_rows: bool = True  # --fw
        old_logits: Literal["trained", "constant"] = "trained"  # constant: the released code beside --fw (docs/REPRODUCTION.md)
        choose: Literal["neural_gas"] = "neural_gas"  # type: ignore[assignment]  # base_exemplars: nodes of the base; novel_exemplars: nodes a novel class
        replay: Literal["beside"] = "beside"
        base_exemplars: int = Field(400, ge=1)
        novel_exemplars: int = Field(1, ge=1)
        space: Literal["raw", "unit"] = "unit"  # of the features for gas, AL and MML; not stated in the scripts
        gas_eta: float = Field(0.1, gt=0)
        gas_alpha: float = Field(10.0, gt=0)
        gas_age: int = Field(200, ge=1)  # maximum age of edges between base nodes; no loss uses them
        anchor_weight: float = Field(350.0, ge=0)
        anchor_form: Literal["script", "inverse"] = "script"  # inverse: the paper's sum of Mahalanobis distances (weight .5)
        variance_factor: float = Field(0.9, gt=0)  # script: if a variance exceeds .5, which never happens in space unit; .8 on CUB
        min_weight: float = Field(0.3, ge=0)
        centre_lr: float = Field(0.1, gt=0)
        max_weight: float = Field(1e-4, ge=0)
        max_margin: float = Field(0.5, ge=0)

    presets = {"al_mml": {}, "al": {"min_weight": 0.0, "max_weight": 0.0}}

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        network.gas = NeuralGas(network.feature_dim)

    def located(self, features: Tensor) -> Tensor:
        """Backbone features in the space of the gas (see `space`)."""
        return unit(features) if self.config.space == "unit" else features

    def before_session(self) -> None:
        if not self.session:
            return
        super().before_session()
        gas, indices = self.model.gas, self.own_indices
        self.first_new = len(gas.centroids)
        order = gas.indices.argsort()  # memory.indices are sorted
        self.now.anchor_factors = anchor_factors(gas.variances[order], self.config.anchor_form, self.config.variance_factor)
        features, labels = self.located(self.embed_indices(indices)), self.context.images.labels(indices)
        for label in self.context.sessions.span(self.session):
            own = labels == label
            start = features[own][random_choice(int(own.sum()), self.config.novel_exemplars)]
            nearest = torch.cdist(features[own], start).argmin(1)
            chosen = nearest.unique()  # not all of them, where shots are alike
            means = torch.stack([features[own][nearest == number].mean(0) for number in chosen])
            gas.add(means, features[own], labels[own], indices.to(labels.device)[own])
        gas.connect(features)
        self.now.rivals = gas.rivals(self.first_new)
        gas.centres = nn.Parameter(gas.centroids[self.first_new :].clone())

    def trainable(self) -> list[nn.Parameter]:
        chosen = [*super().trainable(), *self.model.gas.parameters()]
        return list({id(p): p for p in chosen}.values())  # with train: all, they contain the nodes already

    def parameter_groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """The new nodes have their own learning rate and no weight decay."""
        centres = self.model.gas.centres
        weights = [p for p in parameters if p is not centres]
        return [*super().parameter_groups(weights), {"params": [centres], "lr": self.config.centre_lr, "weight_decay": 0.0}]

    def session_loss(self) -> Tensor:
        c, gas = self.config, self.model.gas
        loss = self.cross_entropy()
        if c.anchor_weight:
            old, _, now, _ = self.old_and_now()
            loss = loss + c.anchor_weight * anchor_loss(self.located(now), self.located(old), self.now.anchor_factors, c.anchor_form)
        if c.min_weight:
            labels = gas.labels[self.first_new :]
            loss = loss + c.min_weight * min_loss(self.located(self.now.features), self.mb_y, gas.centres, labels)
        if c.max_weight:
            nodes = torch.cat([gas.centroids[: self.first_new], gas.centres])
            loss = loss + c.max_weight * max_loss(nodes, self.now.rivals, c.max_margin)
        return loss

    def keep_exemplars(self) -> None:
        """Keep the image of each of this session's nodes. In session 0, fit the nodes first."""
        gas, c = self.model.gas, self.config
        if self.session:
            gas.centroids[self.first_new :] = gas.centres.detach()
            self.context.memory.keep(gas.indices[self.first_new :])
            del gas.centres
            return
        indices = self.own_indices
        features, labels = self.located(self.embed_indices(indices)).cpu(), self.context.images.labels(indices).cpu()
        shuffled = features[torch.randperm(len(features))]
        nodes, edges = fit(shuffled, shuffled[: c.base_exemplars], c.gas_eta, c.gas_alpha, c.gas_age)
        place = torch.full((len(nodes),), -1)
        taken = gas.add(nodes, features, labels, indices)
        place[taken] = torch.arange(len(taken))
        edges = place[edges]
        gas.edges = edges[(edges >= 0).all(1)].to(gas.edges)
        self.context.memory.keep(gas.indices)


def anchor_factors(variances: Tensor, form: str, factor: float) -> Tensor:
    """Weights [n, d] of squared feature changes: `factor` or 1 as in the scripts, or the inverse variance."""
    if form == "inverse":
        return 1 / variances.clamp_min(1e-3)
    return torch.where(variances > 0.5, factor, 1.0)


def anchor_loss(now: Tensor, old: Tensor, factors: Tensor, form: str) -> Tensor:
    """factors * (now - old)² over features [n, d]: the mean over all entries (scripts) or their sum (inverse, the paper)."""
    squares = factors * (now - old) ** 2
    return squares.sum() if form == "inverse" else squares.mean()


def min_loss(features: Tensor, labels: Tensor, nodes: Tensor, node_labels: Tensor) -> Tensor:
    """Mean squared distance of features [N, d] to the nearest node of their own class."""
    distances = torch.cdist(features, nodes) ** 2
    return distances.masked_fill(labels[:, None] != node_labels, torch.inf).min(1).values.mean()


def max_loss(nodes: Tensor, pairs: Tensor, margin: float) -> Tensor:
    """Sum over linked nodes of different classes, `pairs` [E, 2], of ReLU(margin - distance)."""
    return F.relu(margin - (nodes[pairs[:, 0]] - nodes[pairs[:, 1]]).norm(dim=1)).sum()
