"""Measures contenders in turn, round by round, so that their ratios stay valid if the machine's speed drifts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from torch import device as Device

Work = Callable[[], int]
"""Does a piece of work and returns its number of images (or steps)."""


@dataclass(frozen=True)
class Rates:
    """Units per second of every contender, one value per round."""

    by_name: dict[str, list[float]]

    def median(self, name: str) -> float:
        return median(self.by_name[name])

    def ratios(self, name: str, reference: str) -> list[float]:
        """Ratios of `name` to `reference`, one per round."""
        return [own / other for own, other in zip(self.by_name[name], self.by_name[reference], strict=True)]

    def ratio(self, name: str, reference: str) -> str:
        """Median and range of the ratios of all rounds."""
        values = self.ratios(name, reference)
        return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def interleave(contenders: Mapping[str, Work], rounds: int, device: Device) -> Rates:
    """Run every contender once unmeasured, then all of them in turn, `rounds` times."""
    for work in contenders.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            found[name].append(rate(work, device))
    return Rates(found)


def rate(work: Work, device: Device) -> float:
    """Units per second. Waits for the device before and after the work."""
    wait_for(device)
    started = time.perf_counter()
    units = work()
    wait_for(device)
    return units / (time.perf_counter() - started)


def wait_for(device: Device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
