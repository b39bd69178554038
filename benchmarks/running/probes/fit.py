"""Accuracy on the shots that a session has just trained on (training accuracy in LEC-Net's Figure 8)."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.base.features import embed_all
from benchmarks.running.probes.probe import Probe


class Fit(Probe):
    """`train`: per session from 1 on, the accuracy in percent on its un-augmented shots, predicted among all classes seen."""

    name = "fit"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.train: list[float] = []

    def after_test(self, session: int) -> None:
        if session == 0:
            return
        strategy, seed_context = self.contender.strategy, self.contender.seed_context
        indices = torch.from_numpy(seed_context.split.train[session])
        features = embed_all(strategy.embed, seed_context.tensors.plain, indices, seed_context.evaluator.transform)
        right = strategy.scores(features).argmax(1) == seed_context.tensors.labels[indices]
        self.train.append(100 * float(right.float().mean()))

    def numbers(self) -> dict[str, Any]:
        return {"train": [round(value, 4) for value in self.train]}
