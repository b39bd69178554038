"""Base model of CEC: attention among prototypes, learnt on episodes of base images and their rotations (Zhang et al., CVPR 2021;
docs/methods.md 6.2)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.bases.cosine import FIXED_16
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.attention import Attention, attended_cosines
from methods.parts.network import Network
from protocols.fields import Share
from protocols.schema import Augment, Sessions


class Episodes(BaseKind):
    """Goes on with a cosine base. A step is an episode: of `way` classes, one image is the prototype and others are queries; these images
    turned by 90, 180 or 270 degrees, one angle a class, are as many classes more. Cross-entropy over all.

    An episode is what a shuffled batch holds: classes of two images or more, at most `queries` of each (the source draws 15 of each, 10 on
    CUB-200). The source trains in evaluation mode throughout, so batch norm is frozen and dropout never acts (`evaluation`), and on plain
    images but for its first epoch; here all epochs are plain unless `augment` says otherwise.
    """

    parent = "cosine"
    bases = {"cosine": FIXED_16}
    added = ("attention",)

    class Config(KindConfig):
        augment: Augment | None = Augment()
        way: int = Field(15, ge=2, le=10_000)
        queries: int = Field(15, ge=1, le=10_000)
        scale: float = Field(16.0, gt=0)
        attention_rate: float = Field(0.1, gt=0, le=100)  # factor on the recipe's learning rate; 1 on CUB-200 and miniImageNet
        dropout: Share = 0.5
        evaluation: bool = True

    @property
    def changes_images(self) -> bool:
        return True

    def build(self, network: Network, sessions: Sessions) -> None:
        network.parts["attention"] = Attention(network.feature_dim, self.config.dropout)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        return [
            {"params": list(network.backbone.parameters())},
            {"params": list(network.parts["attention"].parameters()), "rate": self.config.attention_rate},
        ]

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c = self.config
        network.train(not c.evaluation)
        support, queries, targets = episode(labels.cpu(), c.way, c.queries, step.generator)
        angles = torch.randint(1, 4, (len(support),), generator=step.generator).tolist()
        images = views[0][torch.cat([support, queries]).to(labels.device)]
        of = [*range(len(support)), *targets.tolist()]
        turned = torch.stack([image.rot90(angles[own], (1, 2)) for image, own in zip(images, of, strict=True)])
        plain, other = network.embed(torch.cat([images, turned])).split(len(images))
        way = len(support)
        rows, x = torch.cat([plain[:way], other[:way]]), torch.cat([plain[way:], other[way:]])
        wanted = torch.cat([targets, way + targets]).to(labels.device)
        attention: Attention = network.parts["attention"]  # type: ignore[assignment]
        dropout = () if c.evaluation else attention.draw(len(x), len(rows) + 1, step.generator)
        return F.cross_entropy(c.scale * attended_cosines(attention, rows, x, dropout), wanted)


def episode(labels: Tensor, way: int, queries: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of the support [w] and the queries [q] in a batch with these labels [B], and the queries' classes [q], from 0 to w - 1.
    In a batch without two images of one class, the support is asked for itself."""
    classes = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    classes = [positions for positions in classes if len(positions) > 1] or classes
    chosen = [classes[number] for number in torch.randperm(len(classes), generator=generator)[:way].tolist()]
    asked = [positions[1 : 1 + queries] if len(positions) > 1 else positions for positions in chosen]
    targets = torch.cat([torch.full((len(own),), number) for number, own in enumerate(asked)])
    return torch.stack([positions[0] for positions in chosen]), torch.cat(asked), targets
