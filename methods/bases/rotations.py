"""Base model of S3C: a stochastic classifier of classes and rotations (Kalla and Biswas, ECCV 2022; docs/modern.md 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.attention import Attention
from methods.parts.fantasies import Transforms
from methods.parts.heads import GrowingHead, unit
from methods.parts.network import Network
from protocols.fields import Share
from protocols.schema import Sessions

TURNS = 4
TURNED = Transforms(TURNS, 1)


class StochasticHead(GrowingHead):
    """scale * cos(feature after attention, class weights), where each class and turn has a mean and a spread.

    `weight` [classes, d] are the means of upright images, `turned` [classes, 3, d] those of the three other turns, `sigma` [classes, 4, d]
    the spreads before softplus(sigma - 4).
    """

    def __init__(self, feature_dim: int, scale: float, attention: Attention) -> None:
        super().__init__(feature_dim)
        self.scale, self.attention = scale, attention
        self.turned = nn.Parameter(torch.empty(0, TURNS - 1, feature_dim))
        self.sigma = nn.Parameter(torch.empty(0, TURNS, feature_dim))

    def draw_weights(self, rows: Tensor) -> Tensor:
        return rows.normal_(0.0, 0.01)

    def grow(self, classes: int) -> None:
        super().grow(classes)
        missing = len(self.weight) - len(self.turned)
        if missing:
            turned, sigma = (torch.empty(missing, TURNS - 1, self.feature_dim), torch.zeros(missing, TURNS, self.feature_dim))
            self.turned = nn.Parameter(torch.cat([self.turned.data, self.draw_weights(turned).to(self.turned)]))
            self.sigma = nn.Parameter(torch.cat([self.sigma.data, sigma.to(self.sigma)]))

    def class_tensors(self) -> list[Tensor]:
        return [self.weight, self.turned, self.sigma]

    def means(self) -> Tensor:
        """Means [classes, 4, d] of all turns, the upright one first."""
        return torch.cat([self.weight[:, None], self.turned], dim=1)

    def attended(self, features: Tensor, dropout: Sequence[Tensor] = ()) -> Tensor:
        """Features [N, d] after the attention, which sees one of them at a time; `dropout` is what `draw` drew for it."""
        out: Tensor = self.attention(features[:, None], dropout)[:, 0]
        return out

    def draw(self, count: int, stochastic: bool, generator: torch.Generator) -> list[Tensor]:
        """Noise of the class weights [classes, 4, d], if they are `stochastic`, and what decides on dropout for `count` features."""
        noise = [torch.randn(self.sigma.shape, generator=generator)] if stochastic else []
        return [*noise, *self.attention.draw(count, 1, generator)]

    def joint(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Logits [N, 4 * classes] of attended features [N, d]; column 4c + k is turn k of class c. `noise` [classes, 4, d], N(0, 1)."""
        rows = self.means()
        if noise is not None:
            rows = rows + F.softplus(self.sigma - 4) * noise
        return self.scale * unit(x) @ unit(rows.flatten(0, 1)).T

    def forward(self, features: Tensor) -> Tensor:
        return self.joint(self.attended(features))[:, ::TURNS]


class Rotations(BaseKind):
    """Cross-entropy over class and turn of images that are turned by 0, 90, 180 and 270 degrees; one draw of the class weights a step."""

    version = 2

    class Config(KindConfig):
        scale: float = Field(16.0, gt=0)
        dropout: Share = 0.5
        dropout_of_weights: Share = 0.1
        stochastic: bool = True

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        network.head = StochasticHead(d, c.scale, Attention(d, c.dropout, c.dropout_of_weights))

    def class_rows(self, network: Network) -> list[Tensor]:
        return [network.head.weight, network.head.turned]

    def expand(self, views: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
        return [TURNED.shown(view) for view in views], TURNED.joint_labels(labels)

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        return network.head.draw(TURNS * shape[0], self.config.stochastic, step.generator)

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        *noise, of_weights, of_output = step.drawn
        x = network.head.attended(network.embed(views[0]), [of_weights, of_output])
        return F.cross_entropy(network.head.joint(x, *noise), labels)
