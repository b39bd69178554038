"""NC-FSCIL: a neck is tuned towards fixed simplex targets on class means and shots (Yang et al., ICLR 2023; docs/methods.md 6.5)."""

from __future__ import annotations

import random
from math import ceil
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.features import class_means
from methods.parts.projected import ProjectedHead
from methods.parts.targets import dot_regression
from protocols.fields import Epoch, Share
from protocols.schema import Augment
from protocols.training import Schedule, Training


class NcFscil(SessionStrategy):
    """The backbone is frozen. Each session trains the neck, from where the last one left it, on its shots and one mean feature of each old
    class, both under the test transform. Defaults are the source's on CIFAR-100; `steps` by session, the last one holds on ((): `epochs`).
    The source drops an epoch's last batch and ends with five steps at .001 of the rate; here all are shown, epochs are whole, and the
    cosine ends at .01.
    """

    version = 2
    migrations = {1: lambda config: {"ramp_steps": 0, "ramp_epochs": 2.5, **config}}  # was counted in epochs
    title = "NC-FSCIL"
    group = "modern"
    base = "etf"
    trains = "none"

    class Config(TrainConfig):
        steps: tuple[Epoch, ...] = (50, 75, 100, 120, 140, 160, 200, 200)  # miniImageNet 100..170, CUB-200 105..150
        lr: float = Field(0.25, gt=0)  # .025 on miniImageNet, .05 on CUB-200
        batch: int | None = Field(64, ge=1)
        nesterov: bool = False
        schedule: Schedule = "cosine"
        floor: Share = 0.01
        ramp_steps: int = Field(5, ge=0, le=1_000_000)  # warm-up in steps; 0: ramp_epochs
        augment: Augment | None = Augment()
        views: int | None = Field(1, ge=1, le=1000)
        factor: float = Field(10.0, gt=0)
        balance_lengths: bool = True  # `with_len`: targets longer for classes that are rare in the batch; CIFAR-100 only
        mix: Share = 0.75  # probability that a batch's projections are mixed half and half
        copies: bool = False  # old novel means stand in the data as often as the session's number says; miniImageNet and CUB-200

    def adopt(self, network: Any) -> None:
        if not isinstance(network.head, ProjectedHead):
            raise ValueError("nc_fscil: its base must have a neck and fixed targets, as base kind etf has")
        self.means = torch.empty(0, network.head.feature_dim)

    def session_epochs(self) -> int:
        c, count = self.config, len(self.own_indices) + len(self.session_vectors()[1])
        steps = c.steps[min(self.session, len(c.steps)) - 1] if c.steps else 0
        return ceil(steps / ceil(count / (c.batch or count))) or super().session_epochs()

    def course(self, steps: int) -> Training:
        ramp = {"ramp_epochs": self.config.ramp_steps / steps} if self.config.ramp_steps else {}
        return self.config.model_copy(update=ramp)

    def trainable(self) -> list[nn.Parameter]:
        return list(self.model.head.project.parameters())

    def session_vectors(self) -> tuple[Tensor, Tensor]:
        base, old = torch.arange(len(self.means), device=self.means.device).tensor_split([self.context.sessions.base])
        labels = torch.cat([base, old.repeat(self.session if self.config.copies else 1)])
        return self.means[labels], labels

    def session_loss(self) -> Tensor:
        head, labels = self.model.head, self.mb_y
        x, lengths = head.project(self.now.features), torch.ones(len(labels), device=labels.device)
        if self.config.balance_lengths:
            counts = (labels[:, None] == labels).sum(dim=1)
            lengths = (len(labels) / (1 / counts).sum() / counts).sqrt()  # batch / classes in it / images of the class
        order = torch.randperm(len(labels)).to(labels.device)
        if random.random() >= self.config.mix:
            return self.config.factor * dot_regression(x, head.targets[labels], lengths)
        both = [dot_regression(0.5 * (x + x[order]), head.targets[labels[of]], lengths[of]) for of in (slice(None), order)]
        return 0.5 * self.config.factor * (both[0] + both[1])

    def after_session(self) -> None:
        own = class_means(self.embed_indices(self.own_indices), self.context.images.labels(self.own_indices))
        self.means = torch.cat([self.means.to(own), own])
