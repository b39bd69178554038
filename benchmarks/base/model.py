"""The base model of a run: its base sessions in order, each read from the cache or trained, and the features of its images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.base.cache import Checkpoint, cached_base
from benchmarks.base.features import BaseFeatures, base_features
from benchmarks.base.key import BaseKey, base_key
from benchmarks.base.network import kind_of, to_fast_layout, untrained, without
from benchmarks.base.taken import find_taken
from benchmarks.base.tensors import fits
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform
from benchmarks.records.identity import BaseStage, Identity
from methods.contract import BaseKind
from methods.parts.network import Network
from protocols.schema import BaseRecipe, Protocol

Progress = Callable[[str], None]
"""Called with a short text that says what a run is doing."""


@dataclass(frozen=True)
class BaseModel:
    """A base model and its features; the seconds spent on training it (0 if it came from the cache); and, for one that another machine
    trained, the environment there, else ''."""

    network: Network
    features: BaseFeatures
    seconds: float
    origin: str


@dataclass(frozen=True)
class BaseSessions:
    """Trains the base models of a protocol on a device; `folder` is their cache, `weights` are what the backbone starts from.

    A base model that another process is training is waited for, or a BusyError is raised if `wait` is False.
    """

    protocol: Protocol
    folder: Path
    device: torch.device
    weights: Path | None
    wait: bool = True

    def fresh(self, identity: Identity, precision: str, stages: int | None = None, parent: Network | None = None) -> Callable[[], Network]:
        """Function that returns the network of a run before any base session: of its first `stages` kinds (None: of all), with all
        parts; with `parent`, that network as the last of these kinds finds it. It holds no reference to this object, because methods
        get it."""
        kinds = [(kind(stage), identity.recipe_of(stage).head_gain) for stage in identity.stages[:stages]]
        return partial(untrained, self.protocol, kinds, precision, identity.seed, self.weights, self.device, parent)

    def model(self, identity: Identity, images: str, split: Split, tensors: Tensors, env: dict[str, Any], progress: Progress) -> BaseModel:
        """A copy of the run's base model.

        The tensors are always copied into a fresh network, so that a cached base model and a new one are identical.
        """
        key: BaseKey | None = None
        network: Network | None = None
        seconds: list[float] = []
        origins: list[str] = []
        for number, stage in enumerate(identity.stages):
            recipe, of_kind = identity.recipe_of(stage), kind(stage)
            key = base_key(self.protocol, recipe, stage, identity.seed, images, split.base_sha256, env, key)
            fresh = self.fresh(identity, str(env["precision"]), number + 1, network)
            own = of_kind.config.augment or self.protocol.augment
            transform, *more = [Transform(self.protocol.data, augment, side) for augment, side in ((own, None), *of_kind.other_views(own))]
            indices = torch.from_numpy(split.train[0])
            batches = Batches(tensors.train, tensors.labels, indices, transform, recipe.batch, identity.seed, "base", more=more)
            said = f"base session {stage.base}" if len(identity.stages) > 1 else "base session"
            train = partial(self._train, of_kind, batches, recipe, "compiler" in env, said, progress, seconds)
            progress(said)
            network = without(fresh(), of_kind.drop)
            taken = find_taken(self.folder, key)
            if taken is not None and fits(taken.state, network.state_dict()):
                origins.append(taken.origin)
                network.load_state_dict(taken.state)
            else:
                network.load_state_dict(cached_base(self.folder, key, fresh, train, of_kind.drop, self.wait))
            network.eval()
        assert key is not None and network is not None
        to_fast_layout(network, self.device)
        plain = Transform(self.protocol.data, self.protocol.augment)
        features = base_features(self.folder, key, network, tensors, split, plain, self.wait)
        return BaseModel(network, features, sum(seconds), "; ".join(origins))

    def _train(
        self,
        of_kind: BaseKind,
        batches: Batches,
        recipe: BaseRecipe,
        compiled: bool,
        said: str,
        progress: Progress,
        seconds: list[float],
        network: Network,
        checkpoint: Checkpoint,
    ) -> None:
        started = self.clock()

        def report(epoch: int, loss: float) -> None:
            progress(f"{said}, epoch {epoch}/{recipe.epochs}, loss {loss:.3f}")

        network.compiled_batch = recipe.batch if compiled else 0
        train_base(network, of_kind, batches, recipe, self.device, checkpoint, report)
        network.compiled_batch = 0
        seconds.append(self.clock() - started)

    def clock(self) -> float:
        """Time in seconds, read after all queued work of the device is finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def kind(stage: BaseStage) -> BaseKind:
    return kind_of(stage.base, stage.config)
