"""Executes one run: gets the base model, trains and evaluates every session, and makes the record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.base.model import Seed, Tell
from benchmarks.base.sources import note_sources, sources_at_work
from benchmarks.data.tensors import labelled
from benchmarks.data.transforms import brought
from benchmarks.metrics.accuracy import micro
from benchmarks.records.costs import Costs
from benchmarks.records.identity import Identity
from benchmarks.records.predictions import pack_predictions
from benchmarks.records.schema import BASE_ORIGIN, Record, SessionResult
from benchmarks.records.traces import trace_bytes
from benchmarks.running.audit import numbers_kept
from benchmarks.running.contender import Contender, SeedContext
from benchmarks.running.evaluate import Evaluator
from benchmarks.running.experiences import make_experiences
from benchmarks.running.guard import blocked, folders_to_block
from benchmarks.running.images import SessionImages
from benchmarks.running.measuring import count_parameters, peak_memory_mib
from benchmarks.running.probes import PROBES, observe
from benchmarks.running.seed_groups import SeedGroups
from benchmarks.running.shared_state import left_as_it_was
from benchmarks.running.side_by_side import runs_beside, session_steps
from benchmarks.running.telling import told
from benchmarks.running.validation import epochs_by_validation
from benchmarks.system.compiling import compiling_pays
from benchmarks.system.errors import failing_in
from benchmarks.system.streams import seed_generators, torch_seed
from methods.contract.context import MethodContext
from methods.contract.loading import load_base_kind, load_method
from methods.contract.memory import Memory
from protocols.schema import Protocol


class Runner(SeedGroups):
    """Executes runs of one protocol in this process, and keeps the objects that the runs of the last seed share."""

    _seed_context: tuple[tuple[str, int, bool], SeedContext] | None = None

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

    def enter(self, identity: Identity, progress: Tell = lambda text: None) -> Contender:
        """The method of this run on its base model, before session 0."""
        identity, cls = self.complete(identity), load_method(identity.method)
        seed_context = self.seed_context(identity.split, identity.seed, identity.selection == "val")
        env = self.environment(identity, seed_context.split)
        base = self.bases.model(Seed(identity, self.images.sha256, seed_context.split, seed_context.tensors, env), progress)
        network, features = base.network, base.features
        if base.origin:
            env = {**env, BASE_ORIGIN: base.origin}
        seed_context.evaluator.remember(features, base.outputs)
        added = load_base_kind(identity.base).added
        base_parameters = count_parameters(network) - sum(count_parameters(network.parts[name]) for name in added)
        config = cls.Config.model_validate(identity.config)
        budget = cls.budget(config, identity.sessions)
        memory = Memory(budget)
        augment = getattr(config, "augment", None)
        transform = self.transform if augment is None else brought(self.protocol.data, augment)
        images = SessionImages(transform, memory, identity.seed)
        oracle = seed_context.oracle if identity.selection == "oracle_test" else None
        pays = partial(compiling_pays, self.protocol.data.size) if "compiler" in env else lambda shown: False
        fresh = self.bases.fresh(identity, str(env["precision"]))
        how = (pays, session_steps, identity.base_recipe.trains, self.settings.record_sessions)
        context = MethodContext(network, images, memory, identity.sessions, self.device, fresh, oracle, *how)
        seed_generators(identity.seed, "adopt")
        with blocked(seed_context.blocked_folders):
            strategy = cls(context=context, config=config)
        most = cls.most_numbers(config, identity.sessions, network.feature_dim)
        find = None if seed_context.held is None else epochs_by_validation
        # A method with an augmentation of its own gets its images anew: the stored views are of the protocol's.
        outputs = base.outputs if augment is None else None
        of_run = (strategy, seed_context, images, memory, budget, features.train, env, base_parameters, base.seconds)
        streams = ("init", *(f"init/{stage.base}" for stage in identity.stages))
        seeds = [torch_seed(identity.seed, name) for name in streams]
        return Contender(*of_run, most_numbers=most, outputs=outputs, find_epochs=find, network_seeds=seeds)

    def run(self, identity: Identity, progress: Tell = lambda text: None) -> tuple[Record, Costs, bytes]:
        """Runs one method with one seed through all sessions. Returns record, costs, packed predictions. Raises what the method raises."""
        return self.watch(identity, (), progress)[:3]

    def watch(
        self, identity: Identity, probes: Sequence[str], progress: Tell = lambda text: None, group: Sequence[Identity] = ()
    ) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        """As `run`, with the trace of each probe (benchmarks.running.probes). Probes do not change the bytes of the record.

        `group` are the runs still to do, whose base sessions may be trained together with this one's. Raises SharedStateError if the
        run changes what it shares with others.
        """
        identity = self.complete(identity)
        note_sources([identity])
        self.prepare(identity, group, progress)
        with left_as_it_was(lambda: (load_method(identity.method), load_base_kind(identity.base))):
            return self._watch(identity, probes, progress)

    def _watch(self, identity: Identity, probes: Sequence[str], progress: Tell) -> tuple[Record, Costs, bytes, dict[str, bytes]]:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        contender = self.enter(identity, progress)
        seed_context, strategy = contender.seed_context, contender.strategy
        watching = [PROBES[name](contender, identity.seed) for name in probes]
        results, predictions, train_seconds, test_seconds = [], [], [], []
        accuracy = ""
        for session in range(identity.sessions.count + 1):
            with failing_in(session):
                started = self.bases.clock()
                with told(strategy, progress, f"session {session}/{identity.sessions.count}", accuracy):
                    contender.train(session, identity.seed)
                trained = self.bases.clock()
                evaluation = contender.test(session)
                test_seconds.append(self.bases.clock() - trained)  # a run alone: the others wait for a step
                train_seconds.append((trained - started) / runs_beside())
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
                accuracy = f", {micro(evaluation.correct, evaluation.total):.1f} %"
                progress(f"session {session}/{identity.sessions.count}{accuracy}")
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
            commit=self.commit,
            sources=sources_at_work(identity),
            class_names=names_in_order(self.images.class_names, seed_context.split.order),
            equal_pictures=self.equal_pictures,
        )
        return record, costs, packed, {probe.name: trace_bytes(probe.name, probe.numbers(), record) for probe in watching}


def names_in_order(names: Sequence[str], order: Sequence[int]) -> tuple[str, ...]:
    """The classes' names in the order of their labels; empty if they are numbers."""
    return () if all(name.isdecimal() for name in names) else tuple(names[number] for number in order)


def image_shapes(protocol: Protocol) -> tuple[tuple[int, ...], ...]:
    """Shapes in which a method may get an image; none of stored features, which a method may keep: they are counted as numbers kept."""
    data = protocol.data
    if data.of_vectors:
        return ()
    return tuple((data.channels, side, side) for side in sorted({data.size, data.train_size or data.size}))
