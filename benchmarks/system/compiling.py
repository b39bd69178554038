"""Compilation of the backbone: used if a compiler is found and the training is long enough to be worth it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.system.errors import storage_error
from protocols.schema import BaseRecipe, Protocol

COMPILED = ".compiled"
"""Folder of compiled kernels under the data root."""
WORTH = 300_000
"""Number of 32 x 32 images (larger ones count by area) that a training must process for compilation, 25 to 50 s, to be worth it."""


def keep_compiled(data_root: Path, device: torch.device) -> None:
    """On a GPU: keeps what is compiled under the data root, in a folder for each card and set of versions, so that every process and
    every later command finds it. A folder that TORCHINDUCTOR_CACHE_DIR names already is left as it is."""
    if device.type == "cuda":
        facts = [platform.python_version(), torch.__version__, str(triton()), str(torch.version.cuda), torch.cuda.get_device_name(device)]
        digits = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(data_root / COMPILED / digits))


@contextmanager
def on_all_cores(device: torch.device) -> Iterator[None]:
    """In this context, kernels for a GPU are compiled by processes on all cores. They end with this one."""
    if device.type != "cuda":
        yield
        return
    import torch._inductor.config

    config: Any = torch._inductor.config
    with config.patch(compile_threads=min(32, os.cpu_count() or 1)):
        yield


def compiling_pays(size: int, shown: int) -> bool:
    """Whether a training that processes `shown` images of `size` x `size` pixels is long enough to be compiled."""
    return shown * (size / 32) ** 2 >= WORTH


def compiler_for(protocol: Protocol, recipe: BaseRecipe, images: int, device: torch.device) -> str | None:
    """The compiler for a run's long trainings, as named in its record; None if they are not compiled.

    `images` is the number of base images. The result depends only on protocol, recipe and machine, so all methods of a table agree.
    """
    return find_compiler(str(device)) if compiling_pays(protocol.data.size, recipe.epochs * images) else None


@lru_cache
def find_compiler(device: str) -> str | None:
    """Name and version of a compiler with which torch.compile works here, tried on a small function; None without one.

    Configures torch's compiler so that its output depends only on what is recorded. If the trial fails for lack of disk space or
    memory, raises StorageError, OSError, MemoryError or torch's wrapper of them, because an uncompiled run would give other bits
    than the rest of a sweep.
    """
    import torch._dynamo
    import torch._inductor.config

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns if it finds no CUDA
    config: Any = torch._inductor.config
    config.compile_threads = 1  # a pool of compiler processes would outlive a killed worker
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.fail_on_recompile_limit_hit = True  # else it would silently continue uncompiled, with other bits
    config.cpp.threads = torch.get_num_threads()  # part of the generated code, so it must be in the key of torch's cache too
    on_gpu = torch.device(device).type == "cuda"
    config.deterministic = on_gpu  # kernels are not chosen by measured speed
    name = triton() if on_gpu else cxx()
    if name is None:
        return None
    try:
        x = torch.ones(8, device=device)
        works = torch.equal(torch.compile(lambda t: torch.relu(t - 2) + 1)(x), torch.ones_like(x))
    except Exception as error:
        if (refused := storage_error(error)) is not None:
            raise refused from None
        cause = getattr(error, "inner_exception", error)  # torch wraps errors inside its compiler
        if isinstance(cause, OSError | MemoryError | torch.OutOfMemoryError):
            raise  # may be temporary, while other processes of a sweep compile
        return None  # a broken tool chain counts as none
    return name if works else None


def cxx() -> str | None:
    """First line of `--version` of the C++ compiler that torch would use; None if there is none."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        path = get_cpp_compiler()
        return subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0].strip()
    except Exception:  # torch raises its own exception if there is none
        return None


def triton() -> str | None:
    try:
        return f"triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError:
        return None
