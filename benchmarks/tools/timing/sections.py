"""The measurements, one function per table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.data.images import ImageSet, load_images
from benchmarks.planning.plan import identities, make_request
from benchmarks.report.tables import markdown
from benchmarks.running.runner import Runner
from benchmarks.system.compiling import find_compiler
from benchmarks.system.device import pick_device, resolve_precision
from benchmarks.system.settings import Settings
from benchmarks.tools.timing import bare, ours, stock
from benchmarks.tools.timing.paired import Rates, Work, interleave, rate
from protocols import load_protocol
from protocols.schema import Protocol, Sessions

STEPS = 10  # batches per round
LARGE_SESSION = Sessions(base=5, way=5, count=1, shots=STEPS * 128 // 5)
SMALL_SESSION = Sessions(base=5, way=5, count=1, shots=5)
NETS = {
    "ResNet-20, CIFAR-100": ("cifar100", "quick"),
    "two convolutions, digits": ("digits", "paper"),
    "MLP 784-100-100, MNIST": ("seqmnist", "paper"),
}


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    settings: Settings  # its results folder is temporary
    rounds: int

    @property
    def device(self) -> torch.device:
        return pick_device(self.settings.device)

    def load(self, net: str) -> tuple[Protocol, str, ImageSet]:
        name, recipe = NETS[net]
        protocol = load_protocol(name)
        return protocol, recipe, load_images(protocol.data, self.settings.data_root)

    def measure(self, contenders: Mapping[str, Work]) -> Rates:
        return interleave(contenders, self.rounds, self.device)


def table(rates: Rates, unit: str, references: Sequence[str]) -> str:
    """Table with one row per contender: median rate, and its ratio to each reference."""
    header = ["", unit, *(f"times «{name}»" for name in references)]
    rows = [
        [name, f"{rates.median(name):,.0f}", *("–" if name == other else rates.ratio(name, other) for other in references)]
        for name in rates.by_name
    ]
    return markdown(rows, header)


def base_training(bench: Bench) -> str:
    """(a) Images per second in the base session, in batches of 128. `compiled` rows appear if a compiler is found."""
    protocol, recipe_name, images = bench.load("ResNet-20, CIFAR-100")
    recipe, device = protocol.recipes[recipe_name], bench.device
    precision = resolve_precision(recipe.precision, device, bench.settings.precision)
    some = ours.few(images, classes=10, train=STEPS * recipe.batch // 10, test=10)
    x, y = torch.from_numpy(some.train.copy()).to(device), torch.from_numpy(some.train_classes).to(device)
    compiler = find_compiler(str(device)) if bench.settings.compile else None
    mode = "reduce-overhead" if device.type == "cuda" else "default"

    def loop(fast: bool, compiled: str | None) -> Work:
        layout = torch.channels_last if fast else torch.contiguous_format
        net = bare.bare_net(protocol, protocol.sessions.base, device)
        return bare.training(net, bare.ready_batches(x, y, recipe.batch, layout), STEPS, fast and precision == "bf16", fast, compiled)

    train_stream, _ = stock.stream(some.train, some.train_classes, protocol)
    theirs = bare.bare_net(protocol, protocol.sessions.base, device)
    more = ours.few(images, classes=10, train=STEPS * recipe.batch // LARGE_SESSION.way, test=10)
    overrides = (f"ft_cnn.batch={recipe.batch}", "ft_cnn.epochs=1")
    contender = ours.contender(protocol, recipe_name, more, LARGE_SESSION, "ft_cnn", *overrides, settings=bench.settings)
    own = partial(ours.base_training, protocol, recipe, some, precision, device)
    contenders: dict[str, Work] = {
        "bare loop, fp32": loop(fast=False, compiled=None),
        f"bare loop, {precision}, channels last": loop(fast=True, compiled=None),
        "Avalanche Naive, its own data path": stock.training(stock.naive(theirs, recipe.batch, 128, 1, device), train_stream),
        f"our base session, {precision}": own(compiled=False),
        f"our strategy, {precision}": ours.session_training(contender),
    }
    if compiler:
        contenders[f"bare loop, {precision}, channels last, compiled"] = loop(fast=True, compiled=mode)
        contenders[f"our base session, {precision}, compiled"] = own(compiled=True)
    fastest = f"bare loop, {precision}, channels last" + (", compiled" if compiler else "")
    return table(bench.measure(contenders), "images/s", ["bare loop, fp32", fastest])


def incremental_session(bench: Bench, net: str) -> str:
    """(b) Images per second in a session of 25 images and 100 iterations."""
    protocol, recipe, images = bench.load(net)
    device = bench.device
    some = ours.few(images, classes=10, train=20, test=5)
    mine = ours.contender(protocol, recipe, some, SMALL_SESSION, "ft_cnn", "ft_cnn.epochs=100", settings=bench.settings)
    indices = mine.seed_context.split.train[1]
    train_stream, _ = stock.stream(some.train[indices], mine.seed_context.tensors.labels.cpu().numpy()[indices], protocol)
    theirs = bare.bare_net(protocol, 10, device)
    contenders = {
        "Avalanche Naive": stock.training(stock.naive(theirs, 25, 128, 100, device), train_stream),
        "our Ft-CNN": ours.session_training(mine),
    }
    return table(bench.measure(contenders), "images/s", ["Avalanche Naive"])


def evaluation(bench: Bench, net: str) -> str:
    """(c) Images per second when all test images are predicted (10,000 of CIFAR-100)."""
    protocol, recipe, images = bench.load(net)
    device, classes = bench.device, len(images.class_names)
    some = ours.few(images, classes, train=10, test=len(images.test))
    mine = ours.contender(
        protocol, recipe, some, Sessions(base=classes - 1, way=1, count=1, shots=5), "ft_cnn", "ft_cnn.epochs=1", settings=bench.settings
    )
    mine.train(1, 0)
    _, test_stream = stock.stream(some.test, some.test_classes, protocol)
    few_test = np.arange(0, len(some.test), 10)
    _, short_stream = stock.stream(some.test[few_test], some.test_classes[few_test], protocol)

    def theirs(batch: int) -> object:
        return stock.naive(bare.bare_net(protocol, classes, device), batch, batch, 1, device)

    contenders = {
        "Avalanche's eval, batches of 128": stock.evaluation(theirs(128), test_stream),
        "Avalanche's eval as it comes (one image a batch; a tenth of the images)": stock.evaluation(theirs(1), short_stream),
        "our evaluator": ours.evaluation(mine),
    }
    return table(bench.measure(contenders), "images/s", list(contenders)[:2])


def evaluation_of_sessions(bench: Bench) -> str:
    """(c) Evaluation as in a run: after each of nine sessions (60 + 8x5), over all classes so far, on a tenth of the test images.

    Features under the base model are stored with it, so a method that leaves the backbone unchanged embeds nothing here.
    """
    protocol, recipe, images = bench.load("ResNet-20, CIFAR-100")
    some = ours.few(images, len(images.class_names), train=20, test=10)
    changed = protocol.model_copy(update={"recipes": {recipe: ours.hasty(protocol.recipes[recipe])}, "canonical": None})
    runner = Runner(changed, bench.settings, some)
    runs = identities(make_request(changed, recipe, "paper", "0", "ft_cnn,proto", ["ft_cnn.epochs=1"]))
    streams = [stock.stream(some.test[indices], some.test_classes[indices], protocol)[1] for indices in seen_indices(runner)]
    net = bare.bare_net(protocol, protocol.sessions.classes, bench.device)
    eval_all = [stock.evaluation(stock.naive(net, 128, 128, 1, bench.device), stream) for stream in streams]
    found: dict[str, list[float]] = {"Avalanche's eval, batches of 128": [], "our Ft-CNN": [], "our Proto": []}
    for number in range(bench.rounds + 1):
        rates = [rate(lambda: sum(work() for work in eval_all), bench.device)]
        for identity in runs:
            record, costs, _ = runner.run(identity)
            rates.append(sum(sum(session.total) for session in record.sessions) / sum(costs.evaluation_seconds))
        if number:  # the first round warms up
            for name, value in zip(found, rates, strict=True):
                found[name].append(value)
    return table(Rates(found), "images/s", list(found)[:1])


def seen_indices(runner: Runner) -> list[Any]:
    """Indices of the test images of all classes seen, by session."""
    tests = runner.seed_context("paper", 0).split.test
    return [np.concatenate(tests[: number + 1]) for number in range(len(tests))]
