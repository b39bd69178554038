"""The base sessions of a group of seeds, trained together before their runs begin, which then find them in the cache."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from benchmarks.base.cache import CachedBase, train_missing
from benchmarks.base.key import BaseKey
from benchmarks.base.memory import free_memory, memory_of, seeds_a_group
from benchmarks.base.model import BaseSession, BaseSessions, Seed, Tell
from benchmarks.base.network import without
from benchmarks.base.taken import find_taken
from benchmarks.system.errors import BusyError
from benchmarks.system.files import locked
from methods.parts.network import Network


@dataclass
class Line:
    """How far a seed's base sessions are: the key and the network of the last one."""

    seed: Seed
    key: BaseKey | None = None
    network: Network | None = None


def prepare_bases(bases: BaseSessions, seeds: Sequence[Seed], progress: Tell) -> None:
    """Trains the base sessions of seeds of one kind, recipe and number of images, as many at once as the device's memory holds.

    Left out are base models that are stored, or that another process is training. A seed that fails is noted in `bases.errors`, and does
    not stop the others. One process of a results folder and a machine does this at a time; another waits, or gets a BusyError. Raises
    StorageError.
    """
    lines = [Line(seed) for seed in seeds]
    if all(stored_at(bases, seed).exists() for seed in seeds):
        return
    lock = bases.folder / lock_name()
    with locked(lock, bases.wait) as mine:
        if not mine:
            raise BusyError(lock)
        for number in range(len(seeds[0].identity.stages)):
            sessions = [bases.session(line.seed, number, line.key, line.network) for line in lines]
            train_all(bases, lines, sessions, progress)
            lines = [line for line, session in zip(lines, sessions, strict=True) if gone_on(line, session)]
            if not lines:
                return


def lock_name() -> str:
    """Of the lock that keeps two processes of one machine from training groups at the same time. Other machines and other jobs of a cluster
    have cards of their own."""
    card = (platform.node(), *(os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")))
    return f"together-{hashlib.sha256(repr(card).encode()).hexdigest()[:8]}.lock"


def stored_at(bases: BaseSessions, seed: Seed) -> Path:
    """The file of the seed's last base model."""
    key = None
    for number in range(len(seed.identity.stages)):
        session = bases.session(seed, number, key, None)
        key = session.cached.key
    return session.cached.path


def train_all(bases: BaseSessions, lines: Sequence[Line], sessions: Sequence[BaseSession], progress: Tell) -> None:
    """Trains these sessions, group by group."""
    by_stem = {session.stem: session for session in sessions}
    missing = [session for session in sessions if found(session.cached) is None]
    if not missing:
        return
    compiled = "compiler" in lines[0].seed.env

    def train(networks: Sequence[tuple[CachedBase, Network]]) -> list[FloatingPointError | None]:
        return bases.train_several([(by_stem[cached.key.stem], network) for cached, network in networks], compiled, progress)

    size = seeds_a_group(free_memory(bases.device), memory_of_session(missing[0], bases.protocol.data.channels), len(missing))
    for start in range(0, len(missing), size):
        group = [session.cached for session in missing[start : start + size]]
        train_missing(group, train)
        bases.errors.update({cached.key.stem: cached.error for cached in group if cached.error is not None})


def found(base: CachedBase) -> Mapping[str, Tensor] | None:
    """The state of a base model that is there, from another machine or stored; None if it is to be trained."""
    taken = find_taken(base)
    return base.read() if taken is None else taken.state


def memory_of_session(session: BaseSession, channels: int) -> int:
    sides = [transform.side for transform in (session.batches.transform, *session.batches.more)]
    return memory_of(session.cached.fresh(), session.kind, channels, sides, session.recipe.batch)


def gone_on(line: Line, session: BaseSession) -> bool:
    """Whether the session's base model is there. If so, the line's next session starts from it."""
    if (state := found(session.cached)) is None:
        return False
    network = without(session.cached.fresh(), session.kind.drop)
    network.load_state_dict(state)
    line.key, line.network = session.cached.key, network.eval()
    return True
