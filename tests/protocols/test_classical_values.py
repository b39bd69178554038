"""What recipes give the classical methods: the values of docs/methods.md 3.1, 4.1 to 4.6 and 6.10, preset and recipe merged."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from benchmarks.planning.validation import effective
from methods.contract.config import MethodConfig
from protocols import load_protocol, protocol_names

PUBLISHED = ("cifar100", "cub200", "miniimagenet")


@cache
def config(protocol: str, recipe: str, variant: str) -> MethodConfig:
    """A variant's settings under a recipe, as the planner merges them."""
    method, _, preset = variant.partition(":")
    return effective(load_protocol(protocol), recipe, method, preset, {})


def chosen(protocol: str, recipe: str, variant: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What the settings hold in these fields."""
    found = config(protocol, recipe, variant)
    return {field: getattr(found, field) for field in fields}


def course(lr: float, epochs: int, *milestones: int, **more: Any) -> dict[str, Any]:
    """Rate, length, drops to a tenth, and what else a row of a table holds."""
    return {"lr": lr, "epochs": epochs, "milestones": milestones, "schedule": "step", "lr_decay": 0.1, **more}


CIFAR, MINI, CUB = course(0.1, 70, 60), course(0.1, 100, 90), course(0.01, 100)
SHORT = {"epochs": 90, "milestones": (50, 70)}  # F2M's, of the presets `original`
MAMMOTH = {"epochs": 1, "batch": 10, "momentum": 0.0, "nesterov": False, "schedule": "step", "milestones": ()}

PAPER: dict[str, dict[str, dict[str, Any]]] = {
    "cifar100": {
        "ft_cnn:topic": course(0.1, 70, 60),
        "ft_cnn:slow": course(0.01, 70, 60),
        "joint_cnn:topic": course(0.1, 70, 60),
        "icarl:topic": CIFAR | {"distill_weight": 1.0, "distill_temperature": 2.0},
        "icarl:original": {"lr": 0.1, "batch": 120, "per_class": 5, **SHORT},
        "eeil:topic": CIFAR | {"distill_weight": 1.0, "distill_temperature": 2.0, "anchor_weight": 0.004, "balanced_epochs": 0},
        "eeil:original": {"lr": 0.1, "epochs": 90, "balanced_epochs": 40, "balanced_lr": 0.1, "distill_temperature": 2.0},
        "ncm:topic": CIFAR | {"less_forget": 50.0, "less_forget_grows": False, "margin_weight": 0.0, "freeze_old_rows": True},
        "ncm:original": {"lr": 0.1, "less_forget": 5.0, "margin_weight": 1.0, "margin": 0.5, "margin_classes": 2, "batch": 128, **SHORT},
        "topic:al_mml": CIFAR | {"anchor_weight": 350.0, "min_weight": 0.3, "centre_lr": 0.1, "max_weight": 1e-4, "max_margin": 0.5},
        "topic:al": CIFAR | {"anchor_weight": 350.0, "min_weight": 0.0, "max_weight": 0.0},
    },
    "miniimagenet": {
        "ft_cnn:topic": course(0.1, 50),
        "ft_cnn:slow": course(0.01, 50),
        "joint_cnn:topic": course(0.1, 50, 45),
        "icarl:topic": MINI | {"distill_weight": 1.0, "distill_temperature": 2.0},
        "icarl:original": {"lr": 0.1, "batch": 120, "per_class": 5, **SHORT},
        "eeil:topic": MINI | {"distill_weight": 1.0, "distill_temperature": 2.0, "anchor_weight": 0.01, "balanced_epochs": 0},
        "eeil:original": {"lr": 0.1, "epochs": 90, "balanced_epochs": 40, "balanced_lr": 0.1, "distill_temperature": 2.0},
        "ncm:topic": course(0.1, 100) | {"less_forget": 1.0, "less_forget_grows": False, "margin_weight": 0.0, "freeze_old_rows": False},
        "ncm:original": {"lr": 0.1, "less_forget": 10.0, "margin_weight": 1.0, "margin": 0.5, "margin_classes": 2, "batch": 128, **SHORT},
        "topic:al_mml": MINI | {"anchor_weight": 350.0, "min_weight": 0.3, "max_weight": 1e-5},
        "topic:al": MINI | {"anchor_weight": 350.0, "min_weight": 0.0, "max_weight": 0.0},
    },
    "cub200": {
        "ft_cnn:topic": {"epochs": 100, "milestones": ()},  # the section names no rate for its starred row
        "ft_cnn:slow": {"epochs": 100, "milestones": ()},
        "icarl:topic": CUB | {"distill_weight": 1.0, "distill_temperature": 2.0},
        "icarl:original": {"batch": 120, "per_class": 5, **SHORT},
        "eeil:topic": CUB | {"distill_weight": 0.8, "distill_temperature": 2.0, "anchor_weight": 0.004, "balanced_epochs": 0},
        "eeil:original": {"epochs": 90, "balanced_epochs": 40, "balanced_lr": 0.1, "distill_temperature": 2.0},
        "ncm:topic": CUB | {"less_forget": 1.0, "less_forget_grows": False, "margin_weight": 0.0, "freeze_old_rows": True},
        "ncm:original": {"less_forget": 5.0, "margin_weight": 1.0, "margin": 0.5, "margin_classes": 2, "batch": 128, **SHORT},
        "topic:al_mml": course(0.01, 120, 110, anchor_weight=350.0, min_weight=5e-5, centre_lr=0.5, max_weight=1e-6),
        "topic:al": course(0.01, 120, 110, anchor_weight=350.0, min_weight=0.0, max_weight=0.0),
    },
    "seqmnist": {
        "ft_cnn:topic": {"lr": 0.03, "weight_decay": 0.0, **MAMMOTH},
        "si:mammoth": {"lr": 0.1, "weight_decay": 0.0, "c": 1.0, "xi": 0.9, "clip": 1.0, **MAMMOTH},
        "lwf:mammoth": {"lr": 0.03, "weight_decay": 5e-4, "distill_weight": 1.0, "distill_temperature": 2.0, "warmup_epochs": 1, **MAMMOTH},
        "der:no_buffer": {"lr": 0.03, "weight_decay": 0.0, "buffer": 0, **MAMMOTH},
        "der:buffer200": {"lr": 0.03, "weight_decay": 0.0, "buffer": 200, "replay_batch": 10, "alpha": 0.2, **MAMMOTH},
        "lecnet:paper": {"beta_clock": "progress", **MAMMOTH},
        "lecnet:code": {"beta_clock": "progress", **MAMMOTH},
    },
}


@pytest.mark.parametrize(("protocol", "variant"), [(protocol, variant) for protocol, rows in PAPER.items() for variant in rows])
def test_recipe_paper_has_the_sources_values(protocol: str, variant: str) -> None:
    """docs/methods.md 4.1 (Ft-CNN), 4.2 (Joint-CNN), 4.3 (iCaRL), 4.4 (EEIL), 4.5 (NCM), 4.6 (TOPIC), 6.10 (Seq-MNIST).

    Left out is what these sections do not say: rates on CUB of Ft-CNN and the `original` presets, and CUB's Joint-CNN.
    """
    expected = PAPER[protocol][variant]
    assert chosen(protocol, "paper", variant, expected) == expected


@pytest.mark.parametrize("protocol", PUBLISHED)
@pytest.mark.parametrize("variant", ["icarl:topic", "eeil:topic", "ncm:topic", "topic:al_mml", "topic:al"])
def test_topics_common_set_up(variant: str, protocol: str) -> None:
    """docs/methods.md 3.1: Nesterov SGD, all shots in one batch, --fix-conv, rows of N(0, .001²), 400 images and one a novel class.

    TOPIC's own runs have --wo-bn and --fw (4.6).
    """
    topic = variant.startswith("topic:")
    expected = {
        "optimizer": "sgd",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "batch": None,
        "train": "last_block",
        "batch_norm": "eval" if topic else "last_block",
        "new_row_std": 0.001,
        "base_exemplars": 400,
        "novel_exemplars": 1,
        "choose": "neural_gas" if topic else "random",
        "replay": "beside",
    }
    if topic:
        expected["freeze_old_rows"] = True
    assert chosen(protocol, "paper", variant, expected) == expected


@pytest.mark.parametrize(("variant", "lr", "epochs"), [("paper", 0.01, 100), ("code", 0.005, 100), ("frozen", 0.01, 350)])
def test_lec_nets_rate_and_length_on_cifar(variant: str, lr: float, epochs: int) -> None:
    """Rates are docs/methods.md 5.2's; lengths, which no source has, are those that docs/CHOICES.md says pseudo-sessions chose."""
    found: Any = config("cifar100", "paper", f"lecnet:{variant}")
    assert (found.lr, found.epochs, found.milestones, found.batch) == (lr, epochs, (), None)


# docs/methods.md 4.4 to 4.6, whatever the length
OF_DATA: dict[str, dict[str, dict[str, Any]]] = {
    "cifar100": {
        "eeil:topic": {"anchor_weight": 0.004, "distill_weight": 1.0},
        "ncm:topic": {"less_forget": 50.0, "freeze_old_rows": True},
        "ncm:original": {"less_forget": 5.0},
        "topic:al_mml": {"anchor_weight": 350.0, "min_weight": 0.3, "centre_lr": 0.1, "max_weight": 1e-4, "variance_factor": 0.9},
    },
    "miniimagenet": {
        "eeil:topic": {"anchor_weight": 0.01, "distill_weight": 1.0},
        "ncm:topic": {"less_forget": 1.0, "freeze_old_rows": False},
        "ncm:original": {"less_forget": 10.0},
        "topic:al_mml": {"anchor_weight": 350.0, "min_weight": 0.3, "centre_lr": 0.1, "max_weight": 1e-5, "variance_factor": 0.9},
    },
    "cub200": {
        "eeil:topic": {"anchor_weight": 0.004, "distill_weight": 0.8},
        "ncm:topic": {"less_forget": 1.0, "freeze_old_rows": True},
        "ncm:original": {"less_forget": 5.0},
        "topic:al_mml": {"anchor_weight": 350.0, "min_weight": 5e-5, "centre_lr": 0.5, "max_weight": 1e-6, "variance_factor": 0.8},
    },
}


def data_of(protocol: str) -> str:
    """The data set whose images a protocol shows, be it as stored features."""
    found = load_protocol(protocol)
    return str(found.printed or found.name) if found.data.source == "features" else found.data.source


RECIPES = [
    (protocol, recipe) for protocol in protocol_names() if data_of(protocol) in OF_DATA for recipe in load_protocol(protocol).recipes
]


def test_recipes_of_the_published_data_are_tried() -> None:
    """Those that are like another included."""
    whole = {"cifar100", "cub200", "cub200-resnet18b", "cub200-features", "cub200-lite0", "miniimagenet", "miniimagenet-32"}
    assert {protocol for protocol, _ in RECIPES} == whole
    assert {("miniimagenet-32", "quick"), ("cub200-resnet18b", "last-block"), ("cifar100", "quick-fp32")} <= set(RECIPES)


@pytest.mark.parametrize("variant", ["eeil:topic", "ncm:topic", "ncm:original", "topic:al_mml"])
@pytest.mark.parametrize(("protocol", "recipe"), RECIPES)
def test_loss_weights_are_the_data_sets_in_every_recipe(protocol: str, recipe: str, variant: str) -> None:
    """docs/methods.md 4.4 (EEIL*), 4.5 (NCM*, LUCIR), 4.6 (TOPIC): what the sources have for the images, whatever a recipe is like."""
    expected = OF_DATA[data_of(protocol)][variant]
    assert chosen(protocol, recipe, variant, expected) == expected


@pytest.mark.parametrize("name", OF_DATA)
def test_recipe_cec_trains_another_base_for_the_same_sessions(name: str) -> None:
    """Those of recipe paper: its own lengths are of CEC's followers' base sessions."""
    for variant in PAPER[name]:
        assert config(name, "cec", variant) == config(name, "paper", variant), variant
