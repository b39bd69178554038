"""The learning rate over a training, as a pure function of its settings and the step, so that a training can resume anywhere."""

from __future__ import annotations

import math
from collections import Counter

from protocols.training import Training

START, END = 1 / 25, 1e-4 / 25  # onecycle: first and last rate as fractions of the highest


def is_flat(settings: Training) -> bool:
    """Whether the learning rate never changes."""
    return not settings.ramp_epochs and (settings.schedule == "constant" or (settings.schedule == "step" and not settings.milestones))


def learning_rate(
    settings: Training, step: int, steps: int, decay: float, *, lr: float | None = None, epochs: int | None = None, products: bool = False
) -> float:
    """Learning rate of batch `step` (from 0, over all epochs), with `steps` batches an epoch.

    `lr` and `epochs` replace those of the settings: the highest rate, and the length. `step` multiplies by `decay` at each milestone;
    with `products` one factor after the other, as torch's MultiStepLR does, which may differ in the last bit from their power.
    `cosine` is that of torch's CosineAnnealingLR (Loshchilov and Hutter, ICLR 2017, Eq. 5, one cycle), per batch: it would reach
    `floor` one batch after the last. A ramp is a factor that rises linearly to 1, on a schedule that has begun with it, as in mmcv.
    """
    lr = settings.lr if lr is None else lr
    epochs = settings.epochs if epochs is None else epochs
    if settings.schedule == "onecycle":
        return onecycle(lr, settings.warmup, step, epochs * steps - 1)
    if settings.schedule == "step":
        passed = [milestone for milestone in settings.milestones if step >= milestone * steps]
        for times in Counter(sorted(passed)).values() if products else [len(passed)]:
            lr *= decay**times
    elif settings.schedule == "cosine":
        done = min(1.0, step / max(1, epochs * steps))
        lr *= settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * done)) / 2
    ramp = settings.ramp_epochs * steps
    return lr if step >= ramp else lr * (settings.ramp_from + (1 - settings.ramp_from) * step / ramp)


def onecycle(lr: float, warmup: float, step: int, last: int) -> float:
    """The rate rises linearly to `lr` in a share `warmup` of the steps and falls to almost nothing at step `last`."""
    peak = max(warmup * last, 1e-9)
    if step <= peak:
        return lr * (START + (1 - START) * step / peak)
    return lr * (1 + (END - 1) * (min(step, last) - peak) / (last - peak))
