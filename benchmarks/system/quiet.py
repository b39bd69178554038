"""Silences two irrelevant warnings of Avalanche and its dependencies. Call it before these are imported."""

from __future__ import annotations

import warnings


def silence_warnings() -> None:
    warnings.filterwarnings("ignore", message="no QP solver found")  # only GEM needs them; not installed
    warnings.filterwarnings("ignore", message="No loggers specified")  # the suite does its own logging
