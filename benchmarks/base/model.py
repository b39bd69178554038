"""The base model of a run: its base sessions in order, each read from the cache or trained, and the features of its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.base.cache import CachedBase, Checkpoint, cached_base
from benchmarks.base.features import BaseFeatures, base_features
from benchmarks.base.frozen import check_frozen
from benchmarks.base.key import BaseKey, base_key
from benchmarks.base.network import kind_at, to_fast_layout, untrained, without
from benchmarks.base.outputs import Outputs, stored_outputs
from benchmarks.base.taken import find_taken
from benchmarks.base.training import BaseTraining, train_together
from benchmarks.data.batches import Batches
from benchmarks.data.splits import Split
from benchmarks.data.tensors import Tensors
from benchmarks.data.transforms import Transform, brought
from benchmarks.records.identity import Identity
from benchmarks.system.compiling import on_all_cores
from methods.contract import BaseKind
from methods.parts.capture import Recorder, Steps, recorder_for, steps_with
from methods.parts.network import Network
from protocols.schema import BaseRecipe, Protocol

Tell = Callable[[str], None]
"""Called with a short text that says what a run is doing."""


@dataclass(frozen=True)
class BaseModel:
    """A base model and its features; the seconds spent on training it (0 if it came from the cache; its share, if several seeds trained
    together); for one that another machine trained, the environment there, else ''; and what is stored of its frozen part."""

    network: Network
    features: BaseFeatures
    seconds: float
    origin: str
    outputs: Outputs | None = None


@dataclass(frozen=True)
class Seed:
    """One seed of a run, with the images that its base session shows and the environment that its base's key names."""

    identity: Identity
    images: str
    split: Split
    tensors: Tensors
    env: dict[str, Any]


@dataclass(frozen=True)
class BaseSession:
    """One base session of one seed, ready to be trained."""

    cached: CachedBase
    kind: BaseKind
    recipe: BaseRecipe
    batches: Batches
    said: str
    outputs: Callable[[Network, Tell], Outputs] | None = None
    """Reads or computes the outputs of the part that stays frozen, if the recipe stores them."""

    @property
    def stem(self) -> str:
        return self.cached.key.stem

    def training(self, network: Network, progress: Tell, steps: Steps) -> BaseTraining:
        """`steps` is asked why a step is not recorded."""

        def report(epoch: int, loss: float) -> None:
            slow = f" (step by step: {steps.reason})" if steps.reason else ""
            progress(f"{self.said}{slow}, epoch {epoch}/{self.recipe.epochs}, loss {loss:.3f}")

        if self.outputs is not None:
            self.batches.stored = self.outputs(network.eval(), progress).views
        return BaseTraining(network, self.kind, self.batches, self.recipe, self.cached.checkpoint, report)


@dataclass
class BaseSessions:
    """Trains the base models of a protocol on a device; `folder` is their cache, `weights` are what the backbone starts from.

    A base model that another process is training is waited for, or a BusyError is raised if `wait` is False. `recorder` records steps,
    on a GPU. `seconds` and `errors` keep, by the key's stem, what training a base took and, together with others, why it failed; `possible`
    keeps which base sessions have been tried on what their recipes leave frozen.
    """

    protocol: Protocol
    folder: Path
    device: torch.device
    weights: Path | None
    wait: bool = True
    recorder: Recorder | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, FloatingPointError] = field(default_factory=dict)
    possible: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.recorder is None:
            self.recorder = recorder_for(self.device)

    @property
    def groups_seeds(self) -> bool:
        """Whether seeds that train together are faster than one after the other."""
        return self.recorder is not None

    def fresh(self, identity: Identity, precision: str, stages: int | None = None, parent: Network | None = None) -> Callable[[], Network]:
        """Function that returns the network of a run before any base session: of its first `stages` kinds (None: of all), with all
        parts; with `parent`, that network as the last of these kinds finds it. It holds no reference to this object, because methods
        get it."""
        kinds = [(kind_at(stage), identity.recipe_of(stage).head_gain) for stage in identity.stages[:stages]]
        return partial(untrained, self.protocol, kinds, precision, identity.seed, self.weights, self.device, parent)

    def session(self, seed: Seed, number: int, parent: BaseKey | None, network: Network | None) -> BaseSession:
        """Base session `number` (from 0) of a seed, on the base model of key `parent` and its network, if it goes on with one.

        Raises ValueError if one of the run's cannot be trained on what its recipe leaves frozen.
        """
        identity, split, tensors = seed.identity, seed.split, seed.tensors
        if identity.base_session not in self.possible:
            check_frozen(self.protocol, identity)
            self.possible.add(identity.base_session)
        stage = identity.stages[number]
        recipe, of_kind = identity.recipe_of(stage), kind_at(stage)
        key = base_key(self.protocol, recipe, stage, identity.seed, seed.images, split.base_sha256, seed.env, parent)
        fresh = self.fresh(identity, str(seed.env["precision"]), number + 1, network)
        transform, *more = self.transforms(of_kind)
        indices = torch.from_numpy(split.train[0])
        batches = Batches(tensors.under(transform.data), tensors.labels, indices, transform, recipe.batch, identity.seed, "base", more=more)
        said = f"base session {stage.base}" if len(identity.stages) > 1 else "base session"
        outputs = partial(self.outputs, seed, recipe, transform) if recipe.stored_views else None
        return BaseSession(CachedBase(self.folder, key, fresh, of_kind.drop), of_kind, recipe, batches, said, outputs)

    def transforms(self, kind: BaseKind) -> list[Transform]:
        """Of the views that a step of this kind shows."""
        own, data = kind.config.augment or self.protocol.augment, self.protocol.data
        views = [(own, None), *kind.other_views(own)]
        # All views take one set of images, so they are images as they are tested for all of them or for none.
        if kind.config.augment is not None and all(augment == own for augment, _ in views):
            return [brought(data, own, side) for _, side in views]
        return [Transform(data, augment, side) for augment, side in views]

    def outputs(self, seed: Seed, recipe: BaseRecipe, transform: Transform, network: Network, progress: Tell) -> Outputs:
        """What is stored of the part of the network that the recipe leaves frozen."""
        to_fast_layout(network, self.device)
        views = recipe.stored_views or 0
        of = (recipe.trains, views, seed.images, seed.tensors, transform, seed.env)
        return stored_outputs(self.folder, network, *of, self.wait, progress)

    def model(self, seed: Seed, progress: Tell) -> BaseModel:
        """A copy of the run's base model.

        The tensors are always copied into a fresh network, so that a cached base model and a new one are identical.
        """
        key: BaseKey | None = None
        network: Network | None = None
        seconds: list[float] = []
        origins: list[str] = []
        for number in range(len(seed.identity.stages)):
            session = self.session(seed, number, key, network)
            key, fresh, drop = session.cached.key, session.cached.fresh, session.kind.drop
            progress(session.said)
            network = without(fresh(), drop)
            if (taken := find_taken(session.cached)) is not None:
                origins.append(taken.origin)
                network.load_state_dict(taken.state)
            else:
                train = partial(self._train, session, "compiler" in seed.env, progress)
                network.load_state_dict(cached_base(self.folder, key, fresh, train, drop, self.wait))
            seconds.append(self.seconds.pop(key.stem, 0.0))
            network.eval()
        assert key is not None and network is not None
        to_fast_layout(network, self.device)
        plain = Transform(self.protocol.data, self.protocol.augment)
        recipe = seed.identity.base_recipe
        outputs = self.outputs(seed, recipe, plain, network, progress) if recipe.stored_views else None
        if outputs is not None and recipe.trains == "none":
            features = outputs.features(seed.split)
        else:
            features = base_features(self.folder, key, network, seed.tensors, seed.split, plain, self.wait)
        return BaseModel(network, features, sum(seconds), "; ".join(origins), outputs)

    def _train(self, session: BaseSession, compiled: bool, progress: Tell, network: Network, _: Checkpoint) -> None:
        """Trains one seed alone, unless it has failed together with others. Raises FloatingPointError."""
        if (error := self.errors.pop(session.stem, None)) is None:
            [error] = self.train_several([(session, network)], compiled, progress)
        if error is not None:
            raise error

    def train_several(
        self, sessions: Sequence[tuple[BaseSession, Network]], compiled: bool, progress: Tell
    ) -> list[FloatingPointError | None]:
        """Trains several seeds' networks together, and notes what each took: an equal share."""
        started, steps = self.clock(), steps_with(self.recorder)
        networks, first = [network for _, network in sessions], sessions[0][0]
        telling = progress if len(sessions) == 1 else partial(of_several, progress, len(sessions))
        trainings = [session.training(network, telling if session is first else silent, steps) for session, network in sessions]
        self._prepare(networks, first.recipe.batch if compiled else 0)
        with on_all_cores(self.device):
            errors = train_together(trainings, self.device, steps)
        self._prepare(networks, 0, recorded=False)
        took = (self.clock() - started) / len(sessions)
        self.seconds.update({session.stem: took for session, _ in sessions})
        return errors

    def _prepare(self, networks: Sequence[Network], compiled_batch: int, recorded: bool = True) -> None:
        for network in networks:
            network.compiled_batch, network.recorded = compiled_batch, recorded and self.recorder is not None

    def clock(self) -> float:
        """Time in seconds, read after all queued work of the device is finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def of_several(progress: Tell, count: int, text: str) -> None:
    progress(f"{count} seeds together: {text}")


def silent(text: str) -> None:
    """For the seeds that train beside the one whose progress is reported."""
