"""Executes one run: gets the base model, trains and evaluates every session, and makes the record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.base.model import BaseSessions, Progress, Seed
from benchmarks.base.together import prepare_bases
from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.splits import Indices, Split, make_split
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
from benchmarks.running.shared_state import left_as_it_was
from benchmarks.running.validation import epochs_by_validation
from benchmarks.system.compiling import compiler_for, compiling_pays, keep_compiled
from benchmarks.system.device import allow_tf32, environment, pick_device, resolve_precision
from benchmarks.system.errors import BusyError, DataError, storage_error
from benchmarks.system.settings import Settings
from benchmarks.system.streams import seed_generators
from methods.contract.memory import Memory
from methods.contract.registry import load_base_kind, load_method
from methods.contract.strategy import MethodContext
from protocols.loading import first_line
from protocols.schema import Protocol


class Runner:
    """Executes runs of one protocol in this process, and keeps the objects that the runs of the last seed share.

    `images` replace the protocol's own. `verified` is the hash of images that this command has verified already. A run whose base model
    another process is training waits for it, or raises BusyError if `wait` is False.
    """

    def __init__(
        self, protocol: Protocol, settings: Settings, images: ImageSet | None = None, verified: str | None = None, wait: bool = True
    ) -> None:
        self.protocol, self.settings = protocol, settings
        self.device = pick_device(settings.device)
        keep_compiled(settings.data_root, self.device)
        self.transform = Transform(protocol.data, protocol.augment)
        self.images = images or load_images(protocol.data, settings.data_root, verified)
        self.on_device = to_device(self.images, self.device)
        weights = find_weights(protocol.backbone, settings.data_root)
        self.bases = BaseSessions(protocol, settings.results / ".base", self.device, weights, wait)
        self._seed_context: tuple[tuple[str, int, bool], SeedContext] | None = None
        self._prepared: set[str] = set()

    def split(self, split_name: str, seed: int, val: bool = False) -> tuple[Split, Indices | None]:
        """The split of this name under a seed; with `val`, without a tenth of the base training images, and these."""
        split = make_split(self.protocol, split_name, seed, self.images.train_classes, self.images.test_classes, self.images.keys)
        return split.without_held_out(self.images.train_classes, seed) if val else (split, None)

    def seed_context(self, split_name: str, seed: int, val: bool = False) -> SeedContext:
        """What runs of this split and seed share; with `val`, a tenth of the base training images is held out."""
        if self._seed_context is None or self._seed_context[0] != (split_name, seed, val):
            images = self.images
            split, held = self.split(split_name, seed, val)
            tensors = labelled(self.on_device, images, split)
            evaluator = Evaluator(tensors, split, self.transform)
            experiences, folders = make_experiences(split, tensors.labels), folders_to_block(self.settings)
            seed_context = SeedContext(images, split, tensors, experiences, evaluator, image_shapes(self.protocol), folders, held)
            self._seed_context = ((split_name, seed, val), seed_context)
        return self._seed_context[1]

    def complete(self, identity: Identity) -> Identity:
        """The identity with the images and the precision of this process filled in, in which the device computes from now on.

        Raises DataError for a run on other images.
        """
        if identity.images not in (None, self.images.sha256):
            raise DataError(f"{self.protocol.name}: its images are others now than when the command began")
        precision = resolve_precision(identity.precision or identity.recipe_settings.precision, self.device, self.settings.precision)
        allow_tf32(precision)
        return identity.model_copy(update={"images": self.images.sha256, "precision": precision})

    def environment(self, identity: Identity, split: Split) -> dict[str, str | int]:
        """Hardware and software on which the exact bytes of a run depend, beside its identity."""
        shown, compiled = len(split.train[0]), self.settings.compile
        compiler = compiler_for(self.protocol, identity.recipe_settings, shown, self.device) if compiled else None
        return environment(self.device, str(identity.precision), compiler)

    def enter(self, identity: Identity, progress: Progress = lambda text: None) -> Contender:
        """The method of this run on its base model, before session 0."""
        identity, cls = self.complete(identity), load_method(identity.method)
        seed_context = self.seed_context(identity.split, identity.seed, identity.selection == "val")
        env = self.environment(identity, seed_context.split)
        base = self.bases.model(Seed(identity, self.images.sha256, seed_context.split, seed_context.tensors, env), progress)
        network, features = base.network, base.features
        if base.origin:
            env = {**env, "base trained with": base.origin}
        seed_context.evaluator.remember(features)
        added = load_base_kind(identity.base).added
        base_parameters = count_parameters(network) - sum(count_parameters(network.parts[name]) for name in added)
        config = cls.Config.model_validate(identity.config)
        budget = cls.budget(config, identity.sessions)
        memory = Memory(budget)
        images = SessionImages(self.transform, memory, identity.seed)
        oracle = seed_context.oracle if identity.selection == "oracle_test" else None
        pays = partial(compiling_pays, self.protocol.data.size) if "compiler" in env else lambda shown: False
        fresh = self.bases.fresh(identity, str(env["precision"]))
        context = MethodContext(network, images, memory, identity.sessions, self.device, fresh, oracle, pays)
        seed_generators(identity.seed, "adopt")
        with blocked(seed_context.blocked_folders):
            strategy = cls(context=context, config=config)
        most = cls.most_numbers(config, identity.sessions, network.feature_dim)
        find = None if seed_context.held is None else epochs_by_validation
        return Contender(strategy, seed_context, images, memory, budget, features.train, env, base_parameters, base.seconds, most, find)

    def run(self, identity: Identity, progress: Progress = lambda text: None) -> tuple[Record, Costs, bytes]:
        """Runs one method with one seed through all sessions. Returns record, costs, packed predictions. Raises what the method raises."""
        return self.watch(identity, (), progress)[:3]

    def prepare(self, identity: Identity, group: Sequence[Identity], progress: Progress = lambda text: None) -> None:
        """Trains the base sessions of this run, and of other seeds' runs in `group` that stand on the same kind, together where the
        device can (benchmarks/base/together.py). Once for each kind.

        Where that fails, every run trains its own, and says what is wrong. Raises BusyError or StorageError.
        """
        if not self.bases.groups_seeds or (name := base_of(identity)) in self._prepared:
            return
        several = {other.seed: other for other in (*group, identity) if base_of(other) == name}
        try:
            seeds = [self.seed(self.complete(several[number])) for number in sorted(several)]
            prepare_bases(self.bases, seeds, progress)
        except BusyError:
            raise
        except Exception as error:
            if (refused := storage_error(error)) is not None:
                raise refused from None
            progress(f"seeds train one by one: {first_line(error)}")
        self._prepared.add(name)

    def seed(self, identity: Identity) -> Seed:
        """What the base session of a run is trained on. `identity` is complete."""
        split, _ = self.split(identity.split, identity.seed, identity.selection == "val")
        tensors = labelled(self.on_device, self.images, split)
        return Seed(identity, self.images.sha256, split, tensors, self.environment(identity, split))

    def watch(
        self, identity: Identity, probes: Sequence[str], progress: Progress = lambda text: None, group: Sequence[Identity] = ()
    ) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        """As `run`, with the trace of each probe (benchmarks.running.probes). Probes do not change the bytes of the record.

        `group` are the runs still to do, whose base sessions may be trained together with this one's. Raises SharedStateError if the
        run changes what it shares with others.
        """
        identity = self.complete(identity)
        self.prepare(identity, group, progress)
        with left_as_it_was(lambda: (load_method(identity.method), load_base_kind(identity.base))):
            return self._watch(identity, probes, progress)

    def _watch(self, identity: Identity, probes: Sequence[str], progress: Progress) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        identity = self.complete(identity)
        contender = self.enter(identity, progress)
        seed_context, strategy = contender.seed_context, contender.strategy
        watching = [PROBES[name](contender, identity.seed) for name in probes]
        results, predictions, train_seconds, test_seconds = [], [], [], []
        for session in range(identity.sessions.count + 1):
            started = self.bases.clock()
            contender.train(session, identity.seed)
            trained = self.bases.clock()
            evaluation = contender.test(session)
            test_seconds.append(self.bases.clock() - trained)
            train_seconds.append(trained - started)
            predictions.append(evaluation.predictions)
            results.append(
                SessionResult(
                    correct=evaluation.correct,
                    total=evaluation.total,
                    images_kept=len(contender.memory.indices),
                    parameters_added=count_parameters(strategy.model) - contender.base_parameters,
                    numbers_kept=numbers_kept(strategy),
                    log=contender.log(),
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
            knows_all_classes=any(load_base_kind(stage.base).knows_all_classes for stage in identity.stages),
            group=strategy.group,
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


def base_of(identity: Identity) -> str:
    """Equal for runs whose base sessions differ in the seed alone."""
    return repr((identity.stages, identity.recipe_settings, identity.split, identity.selection == "val"))


def image_shapes(protocol: Protocol) -> tuple[tuple[int, ...], ...]:
    data = protocol.data
    return tuple((data.channels, side, side) for side in sorted({data.size, data.train_size or data.size}))
