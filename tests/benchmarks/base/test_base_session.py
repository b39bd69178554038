"""The base session: its cache, its resumption, its schedule."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.base import cache as base_cache
from benchmarks.base.cache import Checkpoint, cached_base
from benchmarks.base.key import BaseKey, base_key
from benchmarks.base.network import build_network, kind_of
from benchmarks.base.tensors import read_tensors, write_tensors
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Transform
from benchmarks.records.identity import BaseStage
from benchmarks.system.errors import BusyError, StorageError
from methods.contract import BaseKind, BaseStep, KindConfig
from methods.contract.registry import base_kind_names
from methods.parts.network import Network
from methods.parts.schedules import learning_rate
from protocols.schema import Augment, BaseRecipe, Data, Protocol, Recipe, Sessions

KEY = BaseKey({"what": "a test"})
CPU = torch.device("cpu")


SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "schedule": "onecycle"},
    "adam": {"lr": 0.003, "optimizer": "adam", "schedule": "cosine", "floor": 0.1, "ramp_epochs": 2.5},
    "no momentum": {"lr": 0.1, "momentum": 0.0, "nesterov": False, "schedule": "constant"},
    "last block": {"lr": 0.1, "trains": "last_block"},
    "head": {"lr": 0.1, "trains": "none"},
    "dampening": {"lr": 0.1, "nesterov": False, "dampening": 0.9, "milestones": (2, 3)},
}
SMALL: dict[str, dict[str, Any]] = {"savc": {"queue": 64, "local_crops": 1, "local_side": 4}, "cosface": {"width": 32}}
"""Settings of base kinds whose own defaults take seconds."""


def small_kind(name: str) -> BaseKind:
    return kind_of(name, SMALL.get(name))


def make_batches(kind: BaseKind) -> Batches:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (48, 1, 8, 8), generator=generator, dtype=torch.uint8)
    data = Data(source="digits", size=8, channels=1, mean=(0.3,), std=(0.4,))
    transform, *more = (Transform(data, *view) for view in ((Augment(pad=1), None), *kind.other_views(Augment(pad=1))))
    return Batches(images, torch.arange(48) % 6, torch.arange(48), transform, 16, 0, "base", more=more)


def fresh(tiny: Protocol, kind: str = "linear") -> Callable[[], Network]:
    return lambda: build_network(tiny, small_kind(kind), "fp32", 0, None, 1.0)


def trainer(
    stop_after: int | None = None, epochs: int = 4, kind: str = "linear", settings: str = "sgd"
) -> Callable[[Network, Checkpoint], None]:
    def report(epoch: int, loss: float) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    recipe, of_kind = Recipe(epochs=epochs, batch=16, **SETTINGS[settings]), small_kind(kind)
    return lambda network, checkpoint: train_base(network, of_kind, make_batches(of_kind), recipe, CPU, checkpoint, report)


def refuse(network: Network, checkpoint: Checkpoint) -> None:
    raise AssertionError("trained again")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_trained_once_and_then_read(tiny: Protocol, tmp_path: Path) -> None:
    first = cached_base(tmp_path, KEY, fresh(tiny), trainer())
    assert same(cached_base(tmp_path, KEY, fresh(tiny), refuse), first)
    untrained = fresh(tiny)().state_dict()
    assert not same(dict(untrained), first)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other key"])
def test_a_damaged_or_foreign_base_is_trained_again(damage: str, tiny: Protocol, tmp_path: Path) -> None:
    first = cached_base(tmp_path, KEY, fresh(tiny), trainer())
    path = tmp_path / f"{KEY.stem}.safetensors"
    content = path.read_bytes()
    if damage == "other key":
        write_tensors(path, BaseKey({"what": "something else"}), first)
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncate": content[:-10], "flip": flipped, "empty": b""}[damage])
    assert read_tensors(path, KEY) is None
    assert same(cached_base(tmp_path, KEY, fresh(tiny), trainer()), first)
    assert path.read_bytes() == content


def test_a_base_that_cannot_be_read_is_named(tiny: Protocol, tmp_path: Path) -> None:
    path = tmp_path / f"{KEY.stem}.safetensors"
    path.mkdir()
    with pytest.raises(StorageError, match=f"{path}: cannot be read"):
        cached_base(tmp_path, KEY, fresh(tiny), refuse)


def test_a_checkpoint_of_a_finished_base_is_removed(tiny: Protocol, tmp_path: Path) -> None:
    """Its process was killed after its last write."""
    cached_base(tmp_path, KEY, fresh(tiny), trainer())
    for name in (f"{KEY.stem}.checkpoint", f".{KEY.stem}.checkpoint.tmp"):
        (tmp_path / name).touch()
    cached_base(tmp_path, KEY, fresh(tiny), refuse)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".lock"}


@pytest.mark.parametrize(
    ("kind", "settings", "stopped_after"),
    [
        ("linear", "sgd", 1),  # before there is a checkpoint
        *((kind, "sgd", 3) for kind in base_kind_names()),
        *(("linear", name, 3) for name in SETTINGS if name != "sgd"),
    ],
)
def test_interrupted_training_goes_on_to_the_same_bytes(
    kind: str, settings: str, stopped_after: int, tiny: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a base kind adds to the network, and an optimiser to its state, a checkpoint holds it."""
    network = fresh(tiny, kind)
    undisturbed = cached_base(tmp_path / "a", KEY, network, trainer(settings=settings, kind=kind))
    monkeypatch.setattr(base_cache, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cached_base(tmp_path / "b", KEY, network, trainer(stop_after=stopped_after, settings=settings, kind=kind))
    assert (tmp_path / "b" / f"{KEY.stem}.checkpoint").exists() == (stopped_after > 1)
    torch.manual_seed(99)
    epochs: list[int] = []
    resume = Checkpoint.resume

    def resumed(*of: Any) -> int:
        epochs.append(resume(*of))
        return epochs[-1]

    monkeypatch.setattr(Checkpoint, "resume", resumed)
    assert same(cached_base(tmp_path / "b", KEY, network, trainer(settings=settings, kind=kind)), undisturbed)
    assert epochs == [stopped_after - 1], "it began anew"
    assert not list((tmp_path / "b").glob("*.checkpoint"))


class Idle(BaseKind):
    """Never uses one of its layers, and another one only from the third epoch on."""

    def build(self, network: Network, sessions: Sessions) -> None:
        network.parts["idle"], network.parts["late"] = nn.Linear(3, 2), nn.Linear(network.feature_dim, 6)

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        features = network.embed(views[0])
        logits = network.classify(features)
        return F.cross_entropy(logits + network.parts["late"](features) if step.epoch >= 2 else logits, labels)


@pytest.mark.parametrize("stopped_after", [2, 4])
@pytest.mark.parametrize("settings", ["sgd", "adam"])
def test_what_no_loss_has_used_is_no_reason_to_begin_anew(
    settings: str, stopped_after: int, tiny: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimiser has no state for it, neither in a checkpoint nor without an interruption."""
    kind, recipe, began = Idle(KindConfig()), Recipe(epochs=4, batch=16, weight_decay=0.1, **SETTINGS[settings]), []

    def train(stop_after: int | None) -> Callable[[Network, Checkpoint], None]:
        def report(epoch: int, loss: float) -> None:
            began.append(epoch)
            if epoch == stop_after:
                raise KeyboardInterrupt

        return lambda network, checkpoint: train_base(network, kind, make_batches(kind), recipe, CPU, checkpoint, report)

    def network() -> Network:
        return build_network(tiny, kind, "fp32", 0, None, 1.0)

    undisturbed = cached_base(tmp_path / "a", KEY, network, train(None))
    assert torch.equal(undisturbed["parts.idle.weight"], network().state_dict()["parts.idle.weight"]), "not even decayed"
    monkeypatch.setattr(base_cache, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cached_base(tmp_path / "b", KEY, network, train(stopped_after))
    began.clear()
    assert same(cached_base(tmp_path / "b", KEY, network, train(None)), undisturbed)
    assert began == list(range(stopped_after, 5)), "it began anew"


COUNT_TRAINING = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:4]
import test_base_session as t
from protocols import load_protocol
tiny = load_protocol("tests/data/tiny.yaml")
def train(network, checkpoint):
    print("trained")
    t.trainer(epochs=20)(network, checkpoint)
t.cached_base(Path(sys.argv[1]), t.KEY, t.fresh(tiny), train)
"""


def test_two_processes_train_one_base_once(tmp_path: Path) -> None:
    here = Path(__file__).resolve()
    root = here.parents[3]
    command = [sys.executable, "-W", "ignore", "-c", COUNT_TRAINING, str(tmp_path), str(root), str(here.parent)]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(outputs) == ["", "trained\n"]


def test_a_base_that_another_process_trains_is_not_waited_for(tiny: Protocol, tmp_path: Path) -> None:
    """Once it is stored it is read, whoever holds its lock."""
    lock = tmp_path / f"{KEY.stem}.lock"
    holder = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as caught:
            cached_base(tmp_path, KEY, fresh(tiny), refuse, wait=False)
        assert caught.value.lock == lock
        state = dict(fresh(tiny)().state_dict())
        write_tensors(tmp_path / f"{KEY.stem}.safetensors", KEY, state)
        assert same(cached_base(tmp_path, KEY, fresh(tiny), refuse, wait=False), state)
        process.communicate()


def test_a_loss_that_is_no_number_is_an_error(tiny: Protocol, tmp_path: Path) -> None:
    wild = Recipe(epochs=3, batch=16, lr=1e6, schedule="constant")

    def train(network: Network, checkpoint: Checkpoint) -> None:
        train_base(network, kind_of("linear"), make_batches(kind_of("linear")), wild, CPU, checkpoint, lambda epoch, loss: None)

    with pytest.raises(FloatingPointError, match="lower the recipe's lr"):
        cached_base(tmp_path, KEY, fresh(tiny), train)
    assert not list(tmp_path.glob("*.safetensors"))


OTHER_RECIPE = {
    "epochs": 3,
    "batch": 65,
    "lr": 0.2,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 0.1,
    "schedule": "constant",
    "milestones": (1,),
    "gamma": 0.5,
    "warmup": 0.5,
    "dampening": 0.9,
    "optimizer": "adam",
    "floor": 0.01,
    "ramp_epochs": 0.5,
    "ramp_from": 0.2,
    "head_gain": 2.0,
    "precision": "bf16",
    "trains": "none",
    "stored_views": 2,
}


def test_every_field_that_can_change_a_base_is_in_its_key(tiny: Protocol) -> None:
    fast = tiny.recipes["fast"]

    def key(**changes: object) -> str:
        values: dict = {"protocol": tiny, "recipe": fast.shared, "stage": BaseStage(base="linear"), "seed": 0}
        values |= {"images": "d", "indices": "r", "environment": {"threads": 1}} | changes
        return base_key(**values).stem

    others: list[dict[str, Any]] = [
        *({"stage": BaseStage(base=base)} for base in base_kind_names() if base != "linear"),
        {"stage": BaseStage(base="linear", version=2)},
        {"stage": BaseStage(base="linear", config={"scale": 2.0})},
        {"parent": KEY},
        {"seed": 1},
        {"images": "e"},
        {"indices": "s"},
        {"environment": {"threads": 2}},
        {"protocol": tiny.model_copy(update={"augment": Augment(pad=2)})},
        {"protocol": tiny.model_copy(update={"backbone": tiny.backbone.model_copy(update={"name": "conv4"})})},
        *({"recipe": fast.shared.model_copy(update={name: value})} for name, value in OTHER_RECIPE.items()),
    ]
    assert OTHER_RECIPE.keys() == BaseRecipe.model_fields.keys(), "a new field of BaseRecipe: try another value of it, too"
    assert len({key(**change) for change in others} | {key()}) == len(others) + 1
    presentation = tiny.model_copy(update={"title": "another", "notes": "n", "methods": ("proto",), "without": ("der",), "seeds": "7"})
    assert key(protocol=presentation) == key()
    assert key(recipe=fast.model_copy(update={"methods": {}}).for_base("linear")) == key()
    elsewhere = fast.model_copy(update={"bases": {"path": {"lr": 1.0}}})
    assert key(recipe=elsewhere.for_base("linear")) == key(), "what a recipe changes for another base"


def test_onecycle_rises_to_its_rate_and_falls_to_nothing_as_torchs_does() -> None:
    steps, one = 7, Recipe(epochs=5, lr=0.4, schedule="onecycle", warmup=0.3)
    rates = [learning_rate(one, step, steps, one.gamma) for step in range(5 * steps)]
    assert rates[0] == pytest.approx(0.4 / 25)
    assert rates[-1] == pytest.approx(0.4 / 25 * 1e-4)
    assert [round(b - a, 9) > 0 for a, b in itertools.pairwise(rates)] == [True] * 10 + [False] * 24
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=5 * steps, pct_start=0.3, anneal_strategy="linear", cycle_momentum=False
    )
    for rate in rates[:-1]:  # torch peaks within one step of ours
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=0.4 / 8)
        optimizer.step()
        torchs.step()


def test_steps_and_constant_rates() -> None:
    stepped = Recipe(epochs=5, lr=0.1, milestones=(2, 4), gamma=0.1)
    assert [round(learning_rate(stepped, epoch * 7, 7, 0.1), 6) for epoch in range(5)] == [0.1, 0.1, 0.01, 0.01, 0.001]
    assert learning_rate(stepped, 2 * 7 - 1, 7, 0.1) == 0.1
    assert learning_rate(Recipe(epochs=2, lr=0.3, schedule="constant"), 9, 7, 0.1) == 0.3


def test_head_gain_scales_the_first_rows(tiny: Protocol) -> None:
    one, ten = (build_network(tiny, kind_of("linear"), "fp32", 0, None, gain) for gain in (1.0, 10.0))
    assert torch.allclose(ten.head.weight, 10 * one.head.weight)
    assert torch.equal(one.backbone.get_parameter("blocks.0.weight"), ten.backbone.get_parameter("blocks.0.weight"))


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("virtual", lambda network: [network.head.weight, network.parts["virtual"].rows]),
        ("rotations", lambda network: [network.head.weight, network.head.turned]),
        ("savc", lambda network: [network.head.weight, network.head.others]),
    ],
)
def test_head_gain_scales_all_rows_of_one_classifier(kind: str, rows: Callable[[Any], list[torch.Tensor]], tiny: Protocol) -> None:
    """A longer row turns more slowly: rows of virtual classes, turns and transforms are as long as those of images as they are."""
    one, ten = (rows(build_network(tiny, kind_of(kind), "fp32", 0, None, gain)) for gain in (1.0, 10.0))
    assert len(one) == 2 and all(torch.allclose(after, 10 * before) for before, after in zip(one, ten, strict=True))
