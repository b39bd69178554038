"""Where and on what to run: none of it is part of a run's identity."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_data_root() -> Path:
    """$FSCIL_DATA, else data/."""
    return Path(os.environ.get("FSCIL_DATA", "data"))


@dataclass(frozen=True)
class Settings:
    """Folders, device, and threads a run (the record's `environment` keeps what device and threads came to)."""

    data_root: Path
    results: Path
    device: str = "auto"
    threads: int = 1
