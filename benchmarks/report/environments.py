"""Lines on the hardware and software that the rows of a table were run with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.records.schema import BASE_ORIGIN, Record


def environment_lines(records: Sequence[Record]) -> list[str]:
    """One line an environment, and one that names the seeds of which several base models are in use."""
    lines = [f"- Run with {environment}." for environment in sorted({in_words(record) for record in records})]
    bases = {(record.identity.seed, str(record.environment.get(BASE_ORIGIN) or in_words(record))) for record in records}
    several = repeated(seed for seed, _ in sorted(bases))
    if several:
        lines.append(f"- **Seed {', '.join(map(str, several))}: run in several of these, so not all methods start from one base model.**")
    return lines


def in_words(record: Record) -> str:
    return ", ".join(f"{key} {value}" for key, value in record.environment.items())


def repeated(seeds: Iterable[int]) -> list[int]:
    """Seeds that stand more than once, each once, in order."""
    listed = list(seeds)
    return [seed for seed in dict.fromkeys(listed) if listed.count(seed) > 1]
