"""Compiled passes through the backbone: used where a compiler is found and the work is long enough to pay for it."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
from functools import lru_cache
from typing import Any

import torch

from benchmarks.system.errors import storage_error
from protocols.schema import Protocol, Recipe

WORTH = 300_000
"""Images of 32 x 32 (larger ones count by their area) that a training must show for compilation, 25 to 50 s, to pay."""


def compiling_pays(size: int, shown: int) -> bool:
    """Whether a training that shows so many images of side `size` is long enough."""
    return shown * (size / 32) ** 2 >= WORTH


def compiler_for(protocol: Protocol, recipe: Recipe, images: int, device: torch.device) -> str | None:
    """The compiler that a run's long trainings go through, as its record names it; None where they are not compiled.

    `images` are those of the base session. Depends on protocol, recipe and machine alone, so all methods of a table agree.
    """
    return find_compiler(str(device)) if compiling_pays(protocol.data.size, recipe.epochs * images) else None


@lru_cache
def find_compiler(device: str) -> str | None:
    """The name and version of a compiler that torch.compile works with here, tried on a small function; None without one.

    Sets torch's compiler up so that what it makes depends on what is recorded alone. Raises StorageError, OSError, MemoryError or
    torch's wrapping of them where the trial failed for want of room: to go on uncompiled would give other bits than the rest of a sweep.
    """
    import torch._dynamo
    import torch._inductor.config

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # looks for CUDA in vain and says so
    config: Any = torch._inductor.config
    config.compile_threads = 1  # a pool of compiling processes would outlive a killed worker
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # else it would quietly go on uncompiled, with other bits
    config.cpp.threads = torch.get_num_threads()  # in the generated code, so it must be in the key of torch's cache, too
    on_gpu = torch.device(device).type == "cuda"
    config.deterministic = on_gpu  # kernels are not chosen by how fast they happened to be
    name = triton() if on_gpu else cxx()
    if name is None:
        return None
    try:
        x = torch.ones(8, device=device)
        works = torch.equal(torch.compile(lambda t: torch.relu(t - 2) + 1)(x), torch.ones_like(x))
    except Exception as error:
        if (refused := storage_error(error)) is not None:
            raise refused from None
        cause = getattr(error, "inner_exception", error)  # torch wraps what happens inside its compiler
        if isinstance(cause, OSError | MemoryError | torch.OutOfMemoryError):
            raise  # may pass, and the other processes of a sweep compile
        return None  # a broken tool chain is as good as none
    return name if works else None


def cxx() -> str | None:
    """First line of what the C++ compiler that torch would take says of its version."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        path = get_cpp_compiler()
        return subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0].strip()
    except Exception:  # torch raises its own kind where there is none
        return None


def triton() -> str | None:
    try:
        return f"triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError:
        return None
