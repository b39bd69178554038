"""What the shipped protocols say, against docs/methods.md section 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.planning.plan import parse_methods
from methods.bases.closer import Closer
from methods.bases.targets import Targets
from methods.orco import OrCo
from protocols import load_protocol, protocol_names
from protocols.schema import Sessions

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# sessions (base, way, count, shots), image side, training side, backbone, weights, default split, of docs/methods.md 1.1, 1.5, 1.6, 6.10
SHIPPED: dict[str, tuple[Any, ...]] = {
    "cifar100": ((60, 5, 8, 5), 32, None, "resnet20", None, "paper"),
    "miniimagenet": ((60, 5, 8, 5), 84, None, "resnet18", None, "paper"),
    "miniimagenet-32": ((60, 5, 8, 5), 32, None, "resnet20", None, "paper"),
    "cub200": ((100, 10, 10, 5), 224, 256, "resnet18", "imagenet", "paper"),
    "cub200-resnet18b": ((100, 10, 10, 5), 224, 256, "resnet18_2223", "imagenet", "paper"),
    "omniglot": ((100, 10, 10, 5), 28, None, "conv4", None, "paper"),
    "digits": ((6, 1, 4, 5), 8, None, "conv2", None, "paper"),
    "seqmnist": ((2, 2, 4, "all"), 28, None, "mlp", None, "canonical-order"),
}
# docs/methods.md 1.1
BASE_IMAGES = {name: (3000, 2864) if name.startswith("cub200") else (30000, 6000) for name in list(SHIPPED)[:5]}


def test_every_shipped_protocol_is_checked_here() -> None:
    """Two are what a command writes of cub200-resnet18b: tests/benchmarks/data/test_stored_features.py."""
    assert protocol_names() == sorted([*SHIPPED, "cub200-features", "cub200-lite0"])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_protocol_says_what_the_papers_say(name: str) -> None:
    protocol = load_protocol(name)
    s, data = protocol.sessions, protocol.data
    found = ((s.base, s.way, s.count, s.shots), data.size, data.train_size, protocol.backbone.name, protocol.backbone.pretrained)
    assert (*found, protocol.splits[0]) == SHIPPED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_ten_seeds_and_a_paper_recipe_by_default(name: str) -> None:
    protocol = load_protocol(name)
    assert (protocol.seeds, protocol.recipe) == ("0-9", "paper")


@pytest.mark.parametrize("name", BASE_IMAGES)
def test_lec_net_base_recipe(name: str) -> None:
    """100 epochs, batch 128, rate 0.1 to 0.01 at 60 (LEC-Net section 4.1)."""
    recipe = load_protocol(name).recipes["paper"]
    assert (recipe.epochs, recipe.batch, recipe.lr, recipe.schedule) == (100, 128, 0.1, "step")
    assert (recipe.milestones, recipe.gamma) == ((60,), 0.1)


@pytest.mark.parametrize("name", SHIPPED)
def test_canonical_split_is_offered_with_the_facts_that_prove_it(name: str) -> None:
    protocol = load_protocol(name)
    assert ("canonical" in protocol.splits) == (protocol.canonical is not None) == (name in BASE_IMAGES)
    if protocol.canonical is not None:
        assert (protocol.canonical.base_train, protocol.canonical.base_test) == BASE_IMAGES[name]


def test_only_cub_has_the_ten_released_orders() -> None:
    assert [name for name in SHIPPED if "lec" in load_protocol(name).splits] == ["cub200", "cub200-resnet18b"]


def test_normalisation() -> None:
    """Trap 6. docs/methods.md 1.5: TOPIC's on CIFAR, ImageNet's on CUB and miniImageNet; 6.10: none on Seq-MNIST."""
    cifar = load_protocol("cifar100").data
    assert (cifar.mean, cifar.std) == ((0.5071, 0.4866, 0.4409), (0.2009, 0.1984, 0.2023))
    for name in ("cub200", "miniimagenet"):
        data = load_protocol(name).data
        assert (data.mean, data.std) == IMAGENET
    mnist = load_protocol("seqmnist").data
    assert (mnist.mean, mnist.std) == ((0.0,), (1.0,))


def test_augmentation() -> None:
    """docs/methods.md 1.5: TOPIC's crop on CIFAR, LEC's loaders on CUB and miniImageNet; 6.10: none on Seq-MNIST."""
    found = {name: load_protocol(name).augment for name in ("cifar100", "cub200", "miniimagenet", "seqmnist")}
    assert {name: (a.pad, a.flip, a.jitter) for name, a in found.items()} == {
        "cifar100": (4, True, 0.0),
        "cub200": (0, True, 0.0),
        "miniimagenet": (8, True, 0.4),
        "seqmnist": (0, False, 0.0),
    }


@pytest.mark.parametrize(
    ("name", "epsilon", "together"), [("cifar100", 9e-5, 1.0), ("miniimagenet", 1e-2, 0.5), ("miniimagenet-32", 1e-2, 0.5)]
)
def test_values_that_sources_have_for_a_data_set_hold_in_every_recipe(name: str, epsilon: float, together: float) -> None:
    """docs/modern.md 2.1 and 2.3: whatever a recipe is like otherwise. Where none is stated, it is the method's or the kind's own."""
    for recipe in load_protocol(name).recipes.values():
        assert recipe.methods.get("orco", {}).get("epsilon", OrCo.Config().epsilon) == epsilon
        assert recipe.bases.get("targets", {}).get("epsilon", Targets.Config().epsilon) == epsilon
        assert recipe.bases.get("closer", {}).get("together", Closer.Config().together) == together


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "seqmnist"])
def test_cecs_stage_has_its_five_thousand_episodes_in_every_recipe(name: str) -> None:
    """docs/methods.md 6.2, whatever the base is and however few images it has: with fewer, its attention stays as it was drawn."""
    protocol = load_protocol(name)
    images = {"omniglot": 1500, "digits": 720} | {known: count for known, (count, _) in BASE_IMAGES.items()}
    for recipe in protocol.recipes.values():
        if "episodes" in recipe.bases:
            stage = recipe.bases["episodes"]
            steps = -(-images[name] // stage["batch"])
            assert 5000 <= steps * stage["epochs"] <= 6000
            assert [round(milestone / stage["epochs"], 2) for milestone in stage["milestones"]] == [0.2, 0.4, 0.6, 0.8]


def test_seqmnist_recipe() -> None:
    """docs/methods.md 6.10: one epoch of plain SGD, batch 10, rate 0.03, for the base and for fine-tuning alike."""
    recipe = load_protocol("seqmnist").recipes["paper"]
    assert (recipe.epochs, recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (1, 10, 0.03, 0.0, 0.0)
    assert recipe.methods["ft_cnn"].items() >= {"epochs": 1, "batch": 10, "momentum": 0.0, "weight_decay": 0.0}.items()
    assert recipe.methods["ft_cnn:topic"] == {"lr": 0.03}


@pytest.mark.parametrize("name", SHIPPED)
def test_seqmnists_methods_take_part_nowhere_else(name: str) -> None:
    """SI, LwF and DER are rows of LEC-Net's Table 6 alone; and every name that a protocol gives is a method."""
    taking_part = {method for method, *_ in parse_methods(None, load_protocol(name))}
    assert ({"si", "lwf", "der"} <= taking_part) == (name == "seqmnist")
    assert {"base_only", "ft_cnn", "joint_cnn", "lecnet", "proto"} <= taking_part
    assert ({"icarl", "eeil", "ncm", "topic"} & taking_part == set()) == (name == "seqmnist")


@given(base=st.integers(1, 60), way=st.integers(1, 10), count=st.integers(0, 10))
def test_session_spans_cover_every_label_once(base: int, way: int, count: int) -> None:
    sessions = Sessions(base=base, way=way, count=count, shots=1)
    spans = [sessions.span(session) for session in range(count + 1)]
    assert [label for span in spans for label in span] == list(range(sessions.classes))
    assert [len(span) for span in spans] == [base] + [way] * count


def test_labels_fit_into_what_stores_them() -> None:
    """Beyond 16 bits, labels would begin anew from below 0."""
    assert Sessions(base=32_765, way=2, count=1, shots=1).classes == np.iinfo(np.int16).max
    with pytest.raises(ValidationError, match=r"base \+ way \* count is 32,768 classes; at most 32,767 are possible"):
        Sessions(base=32_766, way=2, count=1, shots=1)


def test_a_protocol_cannot_be_changed() -> None:
    protocol = load_protocol("digits")
    with pytest.raises(ValidationError):
        protocol.sessions.shots = 50  # type: ignore[misc]


def test_protocols_are_read_without_torch() -> None:
    """So that --help and --list answer at once."""
    heavy = {"torch", "numpy", "benchmarks", "methods"}
    code = f"import sys, protocols; protocols.load_protocol('cub200'); print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
