"""Parses and writes seeds such as `0-9`, `3` or `0,2,5-7`."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_SEEDS = 1000


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds in ascending order, without repeats. Raises ValueError."""
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not all(re.fullmatch("[0-9]{1,6}", number) for number in ([first, last] if dash else [first])):
            raise ValueError("write them like 0-9 or 0,2,5-7")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise ValueError(f"{part.strip()} runs backwards")
        if len(span) > MOST_SEEDS or len(seeds.union(span)) > MOST_SEEDS:
            raise ValueError(f"more than {MOST_SEEDS}")
        seeds.update(span)
    return tuple(sorted(seeds))


def in_words(seeds: Iterable[int]) -> str:
    """Seeds for a message: `seed 3`, `seeds 0-2,5`."""
    several = set(seeds)
    return f"seed{'s' if len(several) > 1 else ''} {in_ranges(several)}"


def in_ranges(seeds: Iterable[int]) -> str:
    """Seeds as `parse_seeds` takes them, such as `0-2,5`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and runs[-1][-1] == seed - 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
