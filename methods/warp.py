"""WaRP: late convolutions in the space of their inputs, frozen where it matters (Kim et al., ICLR 2023; docs/modern.md 2.2)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.features import class_means
from methods.parts.heads import unit
from methods.parts.network import Network
from methods.parts.rotated import freeze_most_important, late_convolutions, rotate, rotated
from protocols.fields import MOST_EPOCHS, Share
from protocols.schema import Augment


class Warp(SessionStrategy):
    """After the base session, whose head is a bias-free linear layer, rows become class means and the late convolutions are rotated. Of all
    their coefficients, those with the largest sum of absolute gradients are frozen (loss: cross-entropy over scale * cos to the
    prototypes, a mean over each batch of base images in class order). A session adds the means of its shots, trains the other
    coefficients on the shots as they are, and freezes those that matter most for the shots, one image at a time. No row is computed again.

    Weight decay must be 0 in the sessions: it would move frozen coefficients.
    """

    title = "WaRP"
    group = "modern"
    base = "cosine"
    bases = {"cosine": {"rule": "dot"}}
    needs = "network"

    class Config(TrainConfig):
        epochs: int = Field(30, ge=0, le=MOST_EPOCHS)
        lr: float = Field(0.01, gt=0)
        nesterov: bool = False
        weight_decay: float = Field(0.0, ge=0, le=0)
        augment: Augment | None = Augment()
        scale: float = Field(16.0, gt=0)
        frozen_share: Share = 0.1
        space_batches: int = Field(20, ge=1, le=10_000)
        space_batch: int = Field(128, ge=1, le=10_000)
        importance_batch: int = Field(60, ge=1, le=10_000)  # in the base session

    def adopt(self, network: Network) -> None:
        super().adopt(network)
        if self.context.trains == "none":
            raise ValueError("warp: it trains the layers of the network, and this recipe trains none of them (trains: none)")
        late_convolutions(network.backbone)  # refuses what `rotate` could not keep, before the base session is trained

    def before_session(self) -> None:
        self.now.means = class_means(self.embed_indices(self.own_indices), self.context.images.labels(self.own_indices))

    def head_grown(self) -> None:
        self.model.head.weight.data[self.old_classes :] = self.now.means

    def trainable(self) -> list[nn.Parameter]:
        return [layer.coefficients for layer in rotated(self.model)]

    def scores(self, features: Tensor) -> Tensor:
        return self.config.scale * unit(features) @ unit(self.model.head.weight).T

    def forward(self) -> Tensor:
        self.now.features = self.embed_batch(self.model)
        return self.scores(self.now.features)

    def before_update(self) -> None:
        for layer in rotated(self.model):
            if layer.coefficients.grad is not None:
                layer.coefficients.grad.masked_fill_(layer.frozen, 0)

    def after_session(self) -> None:
        indices, c = self.own_indices, self.config
        if not self.session:
            self.model.head.weight.data[:] = self.now.means
            chosen = indices[torch.randperm(len(indices))[: c.space_batches * c.space_batch]]
            rotate(self.model, (self.context.images.plain(part) for part in chosen.split(c.space_batch)))
            indices = indices[self.context.images.labels(indices).argsort(stable=True).cpu()]
        layers = list(rotated(self.model))
        importance = self.importance(indices, 1 if self.session else c.importance_batch)
        freeze_most_important(layers, importance, c.frozen_share)

    def importance(self, indices: Tensor, batch: int) -> list[Tensor]:
        """Sum over batches of the absolute gradient of each coefficient."""
        coefficients = self.trainable()
        found = [torch.zeros_like(own) for own in coefficients]
        with torch.enable_grad():
            for part in indices.split(batch):
                logits = self.scores(self.model.embed(self.context.images.plain(part)))
                loss = F.cross_entropy(logits, self.context.images.labels(part))
                for total, gradient in zip(found, torch.autograd.grad(loss, coefficients), strict=True):
                    total += gradient.abs()
        return found

    def session_log(self) -> dict[str, float]:
        """Share of the coefficients that are frozen."""
        frozen = torch.cat([layer.frozen.flatten() for layer in rotated(self.model)])
        return {"frozen": float(frozen.float().mean())}
