"""Device, threads and arithmetic: everything that can change the last bit of a result and is therefore in every record."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import lru_cache
from pathlib import Path

import torch

from benchmarks.system.errors import UsageError
from protocols.messages import first_line

PACKAGES = ("torch", "torchvision", "avalanche-lib", "numpy")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU, else the CPU. Raises UsageError for a device that is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: not to be had here ({first_line(error)})") from None
    return device


def gpu_workers(device: torch.device) -> int:
    """How many runs may share a GPU: one per 6 GiB, at most 12. Sessions are short and leave most of it idle: twelve did 72 runs of
    CIFAR-100 in 98 s on an H200 (docs/PERFORMANCE.md)."""
    gib = torch.cuda.get_device_properties(device).total_memory / 2**30
    return max(1, min(12, int(gib // 6)))


@lru_cache
def cpuinfo() -> str:
    """The content of /proc/cpuinfo on Linux; empty elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def has_fast_bf16(device_type: str) -> bool:
    """Whether the processor supports bf16 natively (if not, it is emulated and slower than fp32)."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(set(cpuinfo().split()) & BF16_FLAGS)


def has_tf32(device: torch.device) -> bool:
    """Whether the device rounds the factors of float32 convolutions to TF32 (10 bits of mantissa), if it is allowed to."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def allow_tf32(precision: str) -> None:
    """Lets convolutions, forward and backward, compute in TF32 for runs of precision tf32, and for no others.

    Matrix products stay float32: neck, head, loss and statistics of features are always float32.
    """
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def resolve_precision(wanted: str, device: torch.device, said: str = "auto") -> str:
    """The precision of a run: that of the recipe, `wanted`; if it is `auto`, that of the command line, `said`; if both are, the fastest.

    The fastest is bf16 on processors with native support, else fp32. tf32 is of GPUs. Raises UsageError if both are fixed and differ, or
    for tf32 where it is not to be had.
    """
    if "auto" not in (wanted, said) and wanted != said:
        raise UsageError(f"--precision {said}: the recipe fixes {wanted}; only `precision: auto` leaves it open")
    if "tf32" in (wanted, said) and not has_tf32(device):
        raise UsageError(f"--precision tf32: {device.type} does not compute in it, only a GPU of 2020 or later; write auto, fp32 or bf16")
    for precision in (wanted, said):
        if precision != "auto":
            return precision
    return "bf16" if has_fast_bf16(device.type) else "fp32"


def make_deterministic(threads: int) -> None:
    """Make results bit-identical for equal seeds: a fixed number of threads (it changes the order of sums), deterministic kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # makes the order of sums in cuBLAS deterministic
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # never read; filling costs time
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # fp32 means fp32


def environment(device: torch.device, precision: str, compiler: str | None = None) -> dict[str, str | int]:
    """Everything that must be equal for a bit-identical repetition. Versions are without their build suffix.

    `compiler` is included only if long trainings are compiled.
    """
    facts: dict[str, str | int] = {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name).split("+")[0] for name in PACKAGES},
    }
    if compiler is not None:
        facts["compiler"] = compiler
    if device.type == "cuda":
        facts |= {
            "device": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "cudnn": int(torch.backends.cudnn.version() or 0),
        }
    else:
        facts |= {"device": processor(), "instructions": torch.backends.cpu.get_cpu_capability()}
    return facts


def processor() -> str:
    """The CPU's model name, or what the platform module reports."""
    names = [line.partition(":")[2].strip() for line in cpuinfo().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
