"""Further measurements of a run: parameters, peak memory, and the commit of the code."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import lru_cache

import torch

from benchmarks.system.files import SUITE_ROOT


def count_parameters(module: torch.nn.Module) -> int:
    """Number of elements in a module's parameters and buffers, without batch-norm statistics."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(value.numel() for name, value in module.state_dict().items() if not name.endswith(statistics))


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory in MiB: of the GPU if `device` is one, else of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@lru_cache
def git_commit() -> str:
    """The suite's commit, with `+changes` if the code differs from it; 'unknown' where no git repository holds the suite's files."""
    root = SUITE_ROOT

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "run_all.py")  # an environment may lie in another project's repository
        changed = git("status", "--porcelain", "--", "benchmarks", "methods", "protocols", "run_all.py")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
