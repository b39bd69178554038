"""Named random streams: every draw of the suite depends on (seed, name), not on draws made elsewhere.

Adding a method, a session or a stream therefore does not change other draws, and two methods with the same seed get the
same orders, shots and augmentations (common random numbers).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream(seed: int, name: str) -> np.random.Generator:
    """NumPy's generator of the stream `name` under `seed`."""
    digest = hashlib.sha256(name.encode()).digest()
    words = np.frombuffer(digest[:16], dtype=np.uint32)
    return np.random.default_rng(np.random.SeedSequence([seed, *(int(word) for word in words)]))


def torch_seed(seed: int, name: str) -> int:
    """A 63-bit seed for a torch generator of the stream `name` under `seed`."""
    return int(stream(seed, name).integers(0, 2**63 - 1))


def seed_generators(seed: int, name: str) -> None:
    """Seeds the global generators of torch, Python and NumPy from the streams `name`, `name/random` and `name/numpy` under `seed`."""
    import torch  # not at the top: splits are drawn without it

    torch.manual_seed(torch_seed(seed, name))
    random.seed(torch_seed(seed, f"{name}/random"))
    np.random.seed(stream(seed, f"{name}/numpy").integers(0, 2**32, 4, dtype=np.uint32))


def seed_all(number: int) -> None:
    """Seeds the global generators of torch, Python and NumPy with one number below 2**32."""
    import torch

    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Puts the global generators of torch, on the device too, of Python and of NumPy back to where they were."""
    import torch

    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
