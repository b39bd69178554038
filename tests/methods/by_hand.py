"""Losses and means written out, and images straight from the data set: what tests compare a method's own arithmetic with."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.running.runner import Contender
from methods.contract import BaseKind, BaseStep

Row = list[float]
Rows = list[Row]


def teach(made: Any, session: int, features: Rows, labels: list[int]) -> Any:
    """A FeatureMethod that has learnt these features in this session."""
    made.session = session
    made.learn(torch.tensor(features), torch.tensor(labels))
    return made


def normalised(pixels: Tensor) -> Tensor:
    """The test transform of the tiny protocol."""
    return (pixels.float() / 255 - 0.3053) / 0.3760


def plain(contender: Contender, rows: Tensor) -> Tensor:
    """Images under the test transform, from the data set itself."""
    return normalised(contender.seed_context.tensors.plain[rows])


def rows_of(contender: Contender, session: int, label: int) -> Tensor:
    """A session's training rows of one class, by the split itself."""
    rows = torch.from_numpy(contender.seed_context.split.train[session])
    return rows[contender.seed_context.tensors.labels[rows] == label]


def softmax(row: Row) -> Row:
    whole = sum(math.exp(value) for value in row)
    return [math.exp(value) / whole for value in row]


def label_loss(logits: Rows, labels: list[int]) -> float:
    """Cross-entropy, written out."""
    return -sum(math.log(softmax(row)[label]) for row, label in zip(logits, labels, strict=True)) / len(logits)


def label_loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy that can be differentiated."""
    return -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()


def soft_loss(logits: Rows, teacher: Rows, temperature: float) -> float:
    """Distillation over the teacher's columns, written out: no T², no other column."""
    total = 0.0
    for row, old in zip(logits, teacher, strict=True):
        target, now = softmax([v / temperature for v in old]), softmax([v / temperature for v in row[: len(old)]])
        total -= sum(t * math.log(p) for t, p in zip(target, now, strict=True))
    return total / len(logits)


def unit(row: Row) -> Row:
    return [v / math.hypot(*row) for v in row]


def unit_rows(rows: Rows) -> Rows:
    return [unit(row) for row in rows]


def mean_row(rows: Rows) -> Row:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def cosine(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def step_of(kind: BaseKind, network: Any, views: list[Tensor], seed: int = 0) -> BaseStep:
    """The first step of base training, with what the kind draws for it."""
    step = BaseStep(0, 1, 0.0, torch.Generator().manual_seed(seed))
    return replace(step, drawn=kind.draw(network, views[0].shape, step))
