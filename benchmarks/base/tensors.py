"""Tensors in files that are believed only when whole: safetensors behind a SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.base.key import BaseKey
from benchmarks.system.errors import StorageError
from benchmarks.system.files import write_atomic


def fits(state: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> bool:
    """Whether a stored state is of a network like this: the same names, shapes and types."""
    return state.keys() == network.keys() and all(
        state[name].shape == value.shape and state[name].dtype == value.dtype for name, value in network.items()
    )


def finite(state: dict[str, Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in state.values())


def write_tensors(path: Path, key: BaseKey, state: dict[str, Tensor]) -> None:
    """A SHA-256, then the safetensors bytes that it covers: tensors only, never pickled code."""
    body = save({name: value.cpu().contiguous() for name, value in state.items()}, metadata={"key": key.text})
    write_atomic(path, hashlib.sha256(body).digest() + body)


def read_tensors(path: Path, key: BaseKey) -> dict[str, Tensor] | None:
    """What write_tensors wrote under this key; None where there is nothing, damage, another key, or a number that is none.

    Raises StorageError where something is there that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of(path, error, "read") from None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    try:
        header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        if header["__metadata__"]["key"] != key.text:
            return None
        state = load(body)
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError):  # the hash is no secret: the body may be anything
        return None
    return state if finite(state) else None
