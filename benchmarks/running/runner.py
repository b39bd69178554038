"""Executes one run: gets the base model, trains and evaluates every session, and makes the record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.base.cache import Checkpoint, cached_base
from benchmarks.base.features import BaseFeatures, base_features
from benchmarks.base.key import base_key
from benchmarks.base.network import build_network, to_fast_layout
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.splits import make_split
from benchmarks.data.tensors import labelled, to_device
from benchmarks.data.transforms import Transform
from benchmarks.data.weights import find_weights
from benchmarks.metrics.accuracy import micro
from benchmarks.records.costs import Costs
from benchmarks.records.identity import Identity
from benchmarks.records.predictions import pack_predictions
from benchmarks.records.schema import Record, SessionResult
from benchmarks.records.source_hash import source_hash
from benchmarks.records.traces import trace_bytes
from benchmarks.running.audit import numbers_kept
from benchmarks.running.contender import Contender, SeedContext
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.experiences import make_experiences
from benchmarks.running.guard import blocked, folders_to_block
from benchmarks.running.images import SessionImages
from benchmarks.running.measuring import count_parameters, git_commit, peak_memory_mib
from benchmarks.running.probes import PROBES, observe
from benchmarks.system.compiling import compiler_for, compiling_pays
from benchmarks.system.device import environment, pick_device, resolve_precision
from benchmarks.system.errors import DataError
from benchmarks.system.settings import Settings
from benchmarks.system.streams import torch_seed
from methods.contract.memory import Memory
from methods.contract.registry import load_method
from methods.contract.strategy import MethodContext
from methods.parts.network import Network
from protocols.schema import Protocol

Progress = Callable[[str], None]
"""Called with a short text that says what a run is doing."""


class Runner:
    """Executes runs of one protocol in this process, and keeps the objects that the runs of the last seed share.

    `images` replace the protocol's own. `verified` is the hash of images that this command has verified already. A run whose base model
    another process is training waits for it, or raises BusyError if `wait` is False.
    """

    def __init__(
        self, protocol: Protocol, settings: Settings, images: ImageSet | None = None, verified: str | None = None, wait: bool = True
    ) -> None:
        self.protocol, self.settings, self.wait = protocol, settings, wait
        self.device = pick_device(settings.device)
        self.transform = Transform(protocol.data, protocol.augment)
        self.images = images or load_images(protocol.data, settings.data_root, verified)
        self.on_device = to_device(self.images, self.device)
        self.weights = find_weights(protocol.backbone, settings.data_root)
        self._seed_context: tuple[tuple[str, int], SeedContext] | None = None

    def clock(self) -> float:
        """Time in seconds, read after all queued work of the device is finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seed_context(self, split_name: str, seed: int) -> SeedContext:
        if self._seed_context is None or self._seed_context[0] != (split_name, seed):
            images = self.images
            split = make_split(self.protocol, split_name, seed, images.train_classes, images.test_classes, images.keys)
            tensors = labelled(self.on_device, images, split)
            evaluator = Evaluator(tensors, split, self.transform)
            experiences, folders = make_experiences(split, tensors.labels), folders_to_block(self.settings)
            seed_context = SeedContext(images, split, tensors, experiences, evaluator, image_shapes(self.protocol), folders)
            self._seed_context = ((split_name, seed), seed_context)
        return self._seed_context[1]

    def complete(self, identity: Identity) -> Identity:
        """The identity with the images and the precision of this process filled in. Raises DataError for a run on other images."""
        if identity.images not in (None, self.images.sha256):
            raise DataError(f"{self.protocol.name}: its images are others now than when the command began")
        precision = resolve_precision(identity.precision or identity.recipe_settings.precision, self.device, self.settings.precision)
        return identity.model_copy(update={"images": self.images.sha256, "precision": precision})

    def environment(self, identity: Identity, seed_context: SeedContext) -> dict[str, str | int]:
        """Hardware and software on which the exact bytes of a run depend, beside its identity."""
        shown, compiled = len(seed_context.split.train[0]), self.settings.compile
        compiler = compiler_for(self.protocol, identity.recipe_settings, shown, self.device) if compiled else None
        return environment(self.device, str(identity.precision), compiler)

    def fresh(self, identity: Identity, env: dict[str, Any]) -> Callable[[], Network]:
        """Function that returns the network of a run before its base session. Methods get it, so it holds no reference to the runner."""
        gain = identity.base_recipe.head_gain
        precision, seed = str(env["precision"]), identity.seed
        return partial(fresh_network, self.protocol, identity.base, precision, seed, self.weights, gain, self.device)

    def base(
        self, identity: Identity, seed_context: SeedContext, env: dict[str, Any], progress: Progress
    ) -> tuple[Network, BaseFeatures, float]:
        """A copy of the run's base model, its features, and the seconds spent on training it (0 if it came from the cache).

        The tensors are always copied into a fresh network, so that a cached base model and a new one are identical.
        """
        recipe = identity.base_recipe
        seed, seconds = identity.seed, 0.0
        split, tensors = seed_context.split, seed_context.tensors
        images = seed_context.images.sha256
        key = base_key(self.protocol, recipe, identity.base, identity.base_version, seed, images, split.base_sha256, env)
        fresh = self.fresh(identity, env)

        def report(epoch: int, loss: float) -> None:
            progress(f"base session, epoch {epoch}/{recipe.epochs}, loss {loss:.3f}")

        def train(network: Network, checkpoint: Checkpoint) -> None:
            nonlocal seconds
            started = self.clock()
            indices = torch.from_numpy(split.train[0])
            batches = Batches(tensors.train, tensors.labels, indices, self.transform, recipe.batch, seed, "base")
            network.compiled_batch = recipe.batch if "compiler" in env else 0
            train_base(network, batches, recipe, self.device, checkpoint, report)
            seconds = self.clock() - started

        progress("base session")
        network = fresh()
        folder = self.settings.results / ".base"
        network.load_state_dict(cached_base(folder, key, fresh, train, self.wait))
        to_fast_layout(network.eval(), self.device)
        return network, base_features(folder, key, network, tensors, split, self.transform, self.wait), seconds

    def enter(self, identity: Identity, progress: Progress = lambda text: None) -> Contender:
        """The method of this run on its base model, before session 0."""
        identity, cls = self.complete(identity), load_method(identity.method)
        seed_context = self.seed_context(identity.split, identity.seed)
        env = self.environment(identity, seed_context)
        network, features, base_seconds = self.base(identity, seed_context, env, progress)
        seed_context.evaluator.remember(features)
        base_parameters = count_parameters(network) - (count_parameters(network.path) if network.path else 0)
        config = cls.Config.model_validate(identity.config)
        budget = cls.budget(config, identity.sessions)
        memory = Memory(budget)
        images = SessionImages(self.transform, memory, identity.seed)
        oracle = seed_context.oracle if identity.selection == "oracle_test" else None
        pays = partial(compiling_pays, self.protocol.data.size) if "compiler" in env else lambda shown: False
        context = MethodContext(network, images, memory, identity.sessions, self.device, self.fresh(identity, env), oracle, pays)
        torch.manual_seed(torch_seed(identity.seed, "adopt"))
        with blocked(seed_context.blocked_folders):
            strategy = cls(context=context, config=config)
        return Contender(strategy, seed_context, images, memory, budget, features.train, env, base_parameters, base_seconds)

    def run(self, identity: Identity, progress: Progress = lambda text: None) -> tuple[Record, Costs, bytes]:
        """Runs one method with one seed through all sessions. Returns record, costs, packed predictions. Raises what the method raises."""
        return self.watch(identity, (), progress)[:3]

    def watch(
        self, identity: Identity, probes: Sequence[str], progress: Progress = lambda text: None
    ) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        """As `run`, with the trace of each probe (benchmarks.running.probes). Probes do not change the bytes of the record."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        identity = self.complete(identity)
        contender = self.enter(identity, progress)
        seed_context, strategy = contender.seed_context, contender.strategy
        watching = [PROBES[name](contender, identity.seed) for name in probes]
        results, predictions, train_seconds, test_seconds = [], [], [], []
        for session in range(identity.sessions.count + 1):
            started = self.clock()
            contender.train(session, identity.seed)
            trained = self.clock()
            evaluation = contender.test(session)
            test_seconds.append(self.clock() - trained)
            train_seconds.append(trained - started)
            predictions.append(evaluation.predictions)
            results.append(
                SessionResult(
                    correct=evaluation.correct,
                    total=evaluation.total,
                    images_kept=len(contender.memory.indices),
                    parameters_added=count_parameters(strategy.model) - contender.base_parameters,
                    numbers_kept=numbers_kept(strategy),
                    log=strategy.session_log(),
                )
            )
            observe(watching, contender, session)
            progress(f"session {session}/{identity.sessions.count}, {micro(evaluation.correct, evaluation.total):.1f} %")
        packed = pack_predictions(predictions, seed_context.evaluator.labels())
        record = Record(
            title=strategy.title,
            identity=identity,
            order=seed_context.split.order,
            order_sha256=seed_context.split.order_sha256,
            rows_sha256=seed_context.split.indices_sha256,
            environment=contender.environment,
            selection=identity.selection,
            memory_budget=contender.budget,
            sessions=tuple(results),
            predictions_sha256=hashlib.sha256(packed).hexdigest(),
        )
        costs = Costs(
            base_seconds=contender.base_seconds,
            session_seconds=tuple(train_seconds),
            evaluation_seconds=tuple(test_seconds),
            peak_memory_mib=peak_memory_mib(self.device),
            commit=git_commit(),
            sources=source_hash(identity.method, identity.base),
        )
        return record, costs, packed, {probe.name: trace_bytes(probe.name, probe.numbers(), record) for probe in watching}


def fresh_network(
    protocol: Protocol, base: str, precision: str, seed: int, weights: Path | None, gain: float, device: torch.device
) -> Network:
    """The network before its base session, on the CPU. torch's global generators are not changed."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return build_network(protocol, base, precision, seed, weights, gain)


def image_shapes(protocol: Protocol) -> tuple[tuple[int, ...], ...]:
    data = protocol.data
    return tuple((data.channels, side, side) for side in sorted({data.size, data.train_size or data.size}))
