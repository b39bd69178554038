"""Settings of the process that all runs in it share, such as torch's number of threads: read before code of a method, put back after it.

Not seen: what has no way to be read (torch's inter-op threads) and functions of libraries that are replaced by others.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from protocols.reading import short

LIBRARIES = ("TORCH", "_TORCH", "TRITON", "KMP_", "CUBLAS_", "CUDA_", "DISABLE_CUPTI", "TEARDOWN_CUPTI", "MPL")
"""Beginnings of environment variables that torch and scikit-learn set by themselves, when they compile or are imported."""
SMALLEST = 2.0**-140  # a denormal number of float32


@dataclass(frozen=True)
class Setting:
    """Something that can be read and written. `told` puts a change into words, given the values before and after."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    told: Callable[[Any, Any], str]


def setting(name: str, read: Callable[[], Any], write: Callable[[Any], object]) -> Setting:
    return Setting(read, write, lambda before, after: f"{name} to {short(after)}")


def flag(owner: Any, attribute: str, name: str) -> Setting:
    return setting(f"{name}.{attribute}", lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def matmul_precision() -> str:
    """The precision set by the older of torch's two interfaces."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by the newer one, too
        return "another value"


def set_default_device(name: str) -> None:
    torch.set_default_device(None)
    if str(torch.get_default_device()) != name:
        torch.set_default_device(name)


def flushes_denormals() -> bool:
    return bool((torch.full((1,), SMALLEST, dtype=torch.float32, device="cpu") * 1).eq(0))


def working_directory() -> str | None:
    with suppress(OSError):  # it may have been removed
        return os.getcwd()  # noqa: PTH109
    return None


def set_working_directory(path: str | None) -> None:
    with suppress(OSError):
        os.chdir(path or os.curdir)


def variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(LIBRARIES)}


def set_variables(wanted: dict[str, str]) -> None:
    for name in variables().keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def changed_variable(before: dict[str, str], after: dict[str, str]) -> str:
    name = min(name for name in before | after if before.get(name) != after.get(name))
    return f"the environment variable {name} to {short(after[name]) if name in after else 'nothing'}"


def deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def autocast(device: str) -> Setting:
    return setting(
        f"torch's autocast on {device}", lambda: torch.is_autocast_enabled(device), lambda value: torch.set_autocast_enabled(device, value)
    )


BACKENDS: Any = torch.backends
SETTINGS = (
    setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    setting("torch's default device", lambda: str(torch.get_default_device()), set_default_device),
    setting("torch's gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    setting("torch's deterministic algorithms", deterministic, lambda v: torch.use_deterministic_algorithms(v[0], warn_only=v[1])),
    setting("torch's anomaly detection", anomaly, lambda v: torch.autograd.set_detect_anomaly(*v)),
    setting("torch's flushing of denormals", flushes_denormals, torch.set_flush_denormal),
    autocast("cpu"),
    autocast("cuda"),
    setting("torch's float32 matmul precision", matmul_precision, torch.set_float32_matmul_precision),  # before its parts
    flag(BACKENDS, "fp32_precision", "torch.backends"),
    flag(BACKENDS.cuda.matmul, "fp32_precision", "torch.backends.cuda.matmul"),
    flag(BACKENDS.cuda.matmul, "allow_bf16_reduced_precision_reduction", "torch.backends.cuda.matmul"),
    flag(BACKENDS.cuda.matmul, "allow_fp16_reduced_precision_reduction", "torch.backends.cuda.matmul"),
    flag(BACKENDS.cudnn.conv, "fp32_precision", "torch.backends.cudnn.conv"),
    flag(BACKENDS.cudnn, "enabled", "torch.backends.cudnn"),
    flag(BACKENDS.cudnn, "benchmark", "torch.backends.cudnn"),
    flag(BACKENDS.cudnn, "deterministic", "torch.backends.cudnn"),
    flag(BACKENDS.mkldnn.matmul, "fp32_precision", "torch.backends.mkldnn.matmul"),
    flag(BACKENDS.mkldnn.conv, "fp32_precision", "torch.backends.mkldnn.conv"),
    setting("torch's use of MKL-DNN", torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    flag(torch.utils.deterministic, "fill_uninitialized_memory", "torch.utils.deterministic"),
    setting("NumPy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    setting("the working directory", working_directory, set_working_directory),
    Setting(variables, set_variables, changed_variable),
)


class ProcessSettings:
    """The values of all settings at the time when it is made."""

    def __init__(self) -> None:
        self.values = [setting.read() for setting in SETTINGS]
        self.filters = list(warnings.filters)

    def put_back(self) -> list[str]:
        """Restores the values, and returns what had changed, such as "torch's number of threads to 2".

        Filters of warnings are restored without a word, because libraries add some when they are imported.
        """
        if warnings.filters != self.filters:
            warnings.filters[:] = self.filters  # type: ignore[index]
            with warnings.catch_warnings():  # lets Python notice
                pass
        now = [setting.read() for setting in SETTINGS]
        told = []
        for setting, before, after in zip(SETTINGS, self.values, now, strict=True):
            if after != before:
                told.append(setting.told(before, after))
            if setting.read() != before:  # or was changed by putting back another
                setting.write(before)
        return told
