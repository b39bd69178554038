"""ConCM's structure matching: a projector follows the simplex nearest to all classes, a new one each session (docs/modern.md 2.6)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.features import class_means, class_spreads, likeness
from methods.parts.grouped import pulled_by_groups
from methods.parts.heads import unit
from methods.parts.projected import ProjectedHead
from methods.parts.targets import drawn_together, nearest_simplex
from protocols.fields import MOST_EPOCHS, Share
from protocols.schema import Sessions
from protocols.training import Schedule


class ConCm(SessionStrategy):
    """A session trains the projector, from where the last one left it, on samples of N(mean, spread²) of each class, drawn anew in every
    epoch, and on `copies` augmented views of all novel shots so far, whose images are kept. Mean and spread are those of augmented images;
    a novel class has a share of its own spread and of those of base classes that it resembles. ConCM's other half is left out."""

    title = "ConCM structure"
    group = "modern"
    base = "structure"
    trains = "none"

    class Config(TrainConfig):
        epochs: int = Field(20, ge=0, le=MOST_EPOCHS)  # 10 on miniImageNet
        lr: float = Field(0.02, gt=0)  # .001 on CUB-200, .01 on miniImageNet
        batch: int | None = Field(32, ge=1)
        weight_decay: float = Field(1e-4, ge=0)
        nesterov: bool = False
        dampening: float = Field(0.9, ge=0, le=1)
        schedule: Schedule = "cosine"
        copies: int = Field(10, ge=1, le=1000)
        base_samples: int = Field(100, ge=1, le=100_000)
        novel_samples: int = Field(50, ge=1, le=100_000)
        spread: Share = 0.6
        likeness: float = Field(16.0, gt=0)  # factor on cosines of means
        temperature: float = Field(0.07, gt=0)
        novel_weight: float = Field(2.0, ge=0)  # of the cross-entropy of novel classes
        base_weight: float = Field(0.05, ge=0)

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        return sessions.shots * sessions.way * sessions.count if isinstance(sessions.shots, int) else None

    @classmethod
    def most_numbers(cls, config: Any, sessions: Sessions, width: int) -> int | None:
        return 2 * sessions.classes * width

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if not isinstance(network.head, ProjectedHead) or isinstance(network.head.targets, nn.Parameter):
            raise ValueError("concm: its base must have a projector and fixed targets, as base kind structure has")
        self.means = self.spreads = torch.empty(0, network.feature_dim)

    def shown(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, d] of augmented images, and their labels [n]."""
        batches = self.context.images.batches(indices, 512, f"statistics{self.session}", frozen_part=self.model.embed, epochs=1)
        features, labels = zip(*((x, y) for x, y, _ in batches), strict=True)
        return torch.cat(features), torch.cat(labels)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Adds mean and spread [d] of each new class."""
        means, spreads, base = class_means(features, labels), class_spreads(features, labels), self.context.sessions.base
        if self.session:
            spreads = self.config.spread * (spreads + likeness(means, self.means[:base], self.config.likeness) @ self.spreads[:base])
        self.means, self.spreads = torch.cat([self.means.to(means), means]), torch.cat([self.spreads.to(means), spreads])

    def before_session(self) -> None:
        c, base = self.config, self.context.sessions.base
        features, labels = self.shown(self.session_indices())
        new = labels >= self.old_classes
        self.learn(features[new], labels[new])
        if self.session:
            counts = torch.tensor([c.base_samples] * base + [c.novel_samples] * (self.classes_seen - base))
            self.now.labels = torch.arange(self.classes_seen).repeat_interleave(counts).to(labels.device)
            self.now.samples = self.sampled()
            projected = unit(self.model.head.project(torch.cat([self.now.samples, features])))
            self.model.head.targets = nearest_simplex(class_means(projected, torch.cat([self.now.labels, labels])))

    def sampled(self) -> Tensor:
        of = self.now.labels
        return self.means[of] + self.spreads[of] * torch.randn(len(of), self.means.shape[1]).to(self.means)

    def session_indices(self) -> Tensor:
        return torch.cat([self.context.memory.indices, self.own_indices]).repeat(self.config.copies if self.session else 1)

    def session_vectors(self) -> tuple[Tensor, Tensor]:
        return self.now.samples, self.now.labels

    def before_epoch(self, epoch: int) -> None:
        if epoch:
            self.now.samples.copy_(self.sampled())

    def trainable(self) -> list[nn.Parameter]:
        return list(self.model.head.project.parameters())

    def forward(self) -> Tensor:
        self.now.x = unit(self.model.head.project(self.embed_batch(self.model)))
        return self.now.x @ self.model.head.targets.T

    def session_loss(self) -> Tensor:
        c, labels, base = self.config, self.mb_y, self.context.sessions.base
        pulled = pulled_by_groups(self.mb_output, labels, base, c.novel_weight, c.base_weight)
        own = torch.arange(base, self.classes_seen, device=labels.device)
        return pulled + drawn_together(self.now.x, labels, self.model.head.targets[base:], own, c.temperature)

    def after_session(self) -> None:
        if self.session:
            self.context.memory.keep(self.own_indices)
