"""Lines on the hardware and software that the rows of a table were run with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.records.schema import BASE_ORIGIN, Record


def environment_lines(records: Sequence[Record]) -> list[str]:
    """One line an environment, and one that names the seeds of which several base models are in use."""
    lines = [f"- Run with {environment}." for environment in sorted({environment_of(record) for record in records})]
    bases = {(record.identity.seed, str(record.environment.get(BASE_ORIGIN) or environment_of(record))) for record in records}
    several = sorted(seed for seed, count in Counter(seed for seed, _ in bases).items() if count > 1)
    if several:
        lines.append(f"- **Seed {', '.join(map(str, several))}: run in several of these, so not all methods start from one base model.**")
    return lines


def environment_of(record: Record) -> str:
    """Hardware and software of a run, in words."""
    return ", ".join(f"{key} {value}" for key, value in record.environment.items())
