"""The values of `--slurm` and `--ray`: KEY=VALUE, separated by commas."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.system.errors import UsageError
from protocols.reading import short

ITEM = re.compile(r"[a-z][a-z0-9_-]*")
SLURM_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})")
OWN = ("array", "job-name", "output", "error", "open-mode", "signal", "nodes", "ntasks", "ntasks-per-node", "wrap", "export", "chdir")
"""Options of sbatch that the launcher sets itself."""
EXAMPLES = {"--slurm": "partition=gpu,time=60", "--ray": "gpus=0.5"}
MOST_TIMEOUTS = 3
"""How often Slurm queues an element again that its time limit has stopped."""
LIMITED = 11
"""Minutes. With a shorter limit, submitit takes each interruption for the end of the time, and gives up after a few."""


def parsed(option: str, texts: Sequence[str]) -> dict[str, str]:
    """What the texts of a repeatable option say, by key. A value may hold commas. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        for item in re.split(r",(?=[A-Za-z][\w-]*=)", text):
            key, equals, value = item.partition("=")
            key = key.strip().replace("_", "-").lstrip("-")
            if not equals or not ITEM.fullmatch(key) or not value.strip() or not value.isprintable():
                raise UsageError(f"{option} {short(item)}: write KEY=VALUE, such as {option} {EXAMPLES[option]}")
            if key in found:
                raise UsageError(f"{option}: {key} is given twice")
            found[key] = value.strip()
    return found


def number(option: str, values: dict[str, str], key: str, default: float, least: float, most: float, whole: bool = True) -> float:
    """Takes a number out of the values. Raises UsageError."""
    text = values.pop(key, None)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most or (whole and value != int(value)):
        raise UsageError(
            f"{option}: {key} must be a {'whole ' if whole else ''}number from {least:g} to {most:g}, not {short(text or f'{value:g}')}"
        )
    return value


def minutes(text: str) -> int:
    """A time limit in minutes, from the forms that sbatch takes: 90, 90:00, 1:30:00, 1-12, 1-12:30. Raises UsageError."""
    found = SLURM_TIME.fullmatch(text)
    if found is None:
        raise UsageError(f"--slurm: time={short(text)}: write minutes, HH:MM:SS or DAYS-HH:MM:SS")
    days, parts = int(found["days"] or 0), [int(part) for part in found["rest"].split(":")]
    if found["days"] is not None:  # DAYS-HH[:MM[:SS]]
        hours, least, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, least, seconds = parts
    else:
        hours, (least, seconds) = 0, [*parts, 0][:2]
    whole = (24 * days + hours) * 60 + least + (seconds > 0)
    if not 0 < whole <= 366 * 24 * 60:
        raise UsageError(f"--slurm: time={short(text)}: must be between a minute and a year")
    return whole
