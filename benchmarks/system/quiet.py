"""Two warnings of Avalanche's dependencies that say nothing about the suite, silenced before anything imports them."""

from __future__ import annotations

import warnings


def silence_warnings() -> None:
    warnings.filterwarnings("ignore", message="no QP solver found")  # the solvers serve GEM only; we leave them out
    warnings.filterwarnings("ignore", message="No loggers specified")  # results are ours, not the evaluation plugin's
