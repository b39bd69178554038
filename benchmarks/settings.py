"""Where and on what to run: none of it is part of a run's identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Folders, device, and threads a run (the record's `environment` keeps what device and threads came to)."""

    data_root: Path
    results: Path
    device: str = "auto"
    threads: int = 1
