"""Files of tensors with an integrity check: a SHA-256 followed by safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.base.key import BaseKey
from benchmarks.system.errors import StorageError
from benchmarks.system.files import read_bytes, write_atomic


def fits(state: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> bool:
    """Whether a stored state fits a network: the same names, shapes and types."""
    return state.keys() == network.keys() and all(
        state[name].shape == value.shape and state[name].dtype == value.dtype for name, value in network.items()
    )


WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers of so many bytes."""


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape and type hold the same bits: NaN equals NaN, and -0 does not equal 0."""
    if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
        return False
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    whole = WHOLE[a.element_size()] if a.is_floating_point() else a.dtype
    return torch.equal(a.detach().view(whole), b.detach().view(whole))


def finite(state: dict[str, Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in state.values())


def write_tensors(path: Path, key: BaseKey, state: dict[str, Tensor]) -> None:
    """Write a SHA-256 and the safetensors bytes that it covers. Tensors only, never pickled code. Raises StorageError."""
    body = save({name: value.cpu().contiguous() for name, value in state.items()}, metadata={"key": key.text})
    write_atomic(path, hashlib.sha256(body).digest() + body)


DAMAGED = (SafetensorError, ValueError, LookupError, TypeError, RecursionError)
"""What reading a body may raise. The hash is no proof: the body may be anything."""


def unsealed(content: bytes) -> bytes | None:
    """The safetensors bytes of a file's content; None if they are not those that its SHA-256 covers."""
    body = content[32:]
    return body if hashlib.sha256(body).digest() == content[:32] else None


def key_text(body: bytes) -> Any:
    """What the header of safetensors bytes holds as their key. Raises one of DAMAGED if there is none."""
    return json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])["__metadata__"]["key"]


def read_key(path: Path) -> BaseKey | None:
    """The key under which a file of tensors was written; None if it is no such file. Only its header is read, and no hash verified: a
    folder may hold many large files, of which `read_tensors` reads the one that is used."""
    try:
        if not path.is_file():  # reading a pipe would wait for ever
            return None
        with path.open("rb") as source:
            size = source.read(40)[32:]
            header = source.read(min(int.from_bytes(size, "little"), path.stat().st_size))
        fields = json.loads(key_text(size + header))
    except (OSError, *DAMAGED):
        return None
    return BaseKey(fields) if isinstance(fields, dict) else None


def read_tensors(path: Path, key: BaseKey) -> dict[str, Tensor] | None:
    """The tensors that write_tensors wrote under this key; None if missing, damaged, of another key or not finite.

    Raises StorageError if the file exists but cannot be read.
    """
    try:
        body = unsealed(read_bytes(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of(path, error, "read") from None
    try:
        if body is None or key_text(body) != key.text:
            return None
        state = load(body)
    except DAMAGED:
        return None
    return state if finite(state) else None
