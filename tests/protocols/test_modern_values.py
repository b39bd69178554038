"""What recipes give the modern methods: the values of docs/modern.md 2.1 to 2.6 and docs/methods.md 6; method, kinds and recipe merged.

Expected values are written down from these texts, never from the recipes. Left out is what they do not say, and where docs/CHOICES.md says
that this suite differs: the bases of TEEN, ADBS and WaRP in recipe `cec` (epochs, rate, T 32), the rate of the base margins of ADBS,
optimiser and AutoAugment of OrCo's phase 1, the batches of CEC's episodes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from protocols import load_protocol
from protocols.schema import Augment

PROTOCOLS = ("cifar100", "miniimagenet", "cub200")
Values = dict[str, Any]
Rows = dict[str, dict[str, Values]]
"""{method, or method.kind for a base kind that it stands on: {protocol: {field: value}}}"""


@cache
def run(protocol: str, recipe: str, method: str) -> Identity:
    """A method's run under a recipe, as the planner merges it."""
    [identity] = identities(make_request(load_protocol(protocol), recipe, None, "0", method, []))
    return identity


def settings(protocol: str, recipe: str, name: str) -> Values:
    """All settings of a method in its sessions, or of the training of a base kind; an augmentation that is None is the protocol's."""
    method, _, kind = name.partition(".")
    identity = run(protocol, recipe, method)
    found = dict(identity.config)
    if kind:
        [stage] = [stage for stage in identity.stages if stage.base == kind]
        found = {**identity.recipe_of(stage).model_dump(mode="json"), **stage.config}
    found["augment"] = found.get("augment") or identity.augment.model_dump(mode="json")
    return found


def chosen(found: Values, fields: Values) -> Values:
    """What the settings hold in these fields, and within an augmentation in those of its own that are named."""
    return {
        field: {own: found[field][own] for own in value} if isinstance(value, dict) else found[field] for field, value in fields.items()
    }


def each(common: Values, cifar: Values | None = None, mini: Values | None = None, cub: Values | None = None) -> dict[str, Values]:
    """Values of all three data sets, and of each."""
    return {name: common | (own or {}) for name, own in zip(PROTOCOLS, (cifar, mini, cub), strict=True)}


def step(epochs: int, *milestones: int, **more: Any) -> Values:
    return {"epochs": epochs, "schedule": "step", "milestones": list(milestones), **more}


def cosine(epochs: int, **more: Any) -> Values:
    return {"epochs": epochs, "schedule": "cosine", **more}


SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
DAMPED = {"optimizer": "sgd", "momentum": 0.9, "dampening": 0.9}
FAMILY = SGD | {"batch": 128}
"""docs/methods.md 6, of CEC and its followers, as far as a section says nothing else."""
PLAIN = Augment().model_dump(mode="json")
FLIPPED = {"flip": True, "jitter": 0.0, "hue": 0.0, "grey": 0.0}
RESIZED = {"scale": [0.08, 1.0]}
"""What RandomResizedCrop, named without numbers, is in torchvision, and docs/modern.md 2.1, no. 1 says for miniImageNet."""
OF_CEC = ({"augment": FLIPPED | {"pad": 4}}, {"augment": FLIPPED | RESIZED}, {"augment": FLIPPED | RESIZED})
"""docs/methods.md 1.5: padded crops of 4 on CIFAR, resized ones elsewhere, and the flip alone."""
COLOURS = {"scale": [0.2, 1.0], "flip": True, "jitter": 0.4, "hue": 0.1, "jitter_p": 0.8, "grey": 0.2}

BOTH: Rows = {
    # docs/modern.md 2.1, no. 1; on CUB-200 the encoder's rate is .005 beside .1
    "closer.closer": each(
        {"scale": 32.0, "contrast_temperature": 1 / 32},
        {"spread": 0.1, "together": 1.0},
        {"spread": 0.1, "together": 0.5},
        {"spread": 0.01, "together": 1.5, "backbone_rate": pytest.approx(0.005 / 0.1)},
    ),
    # docs/methods.md 6.3, no. 1, its trap (b), and docs/modern.md 1 (L2 acts against fixed vectors)
    "fact.virtual": each(
        {"scale": 16.0, "classes_a_slot": 3, "forbidden": "zero", "fixed_slots": True},
        {"weight": 0.001, "alpha": 0.5, "start": 0},
        {"weight": 0.01, "alpha": 0.5},
        {"weight": 0.01, "alpha": 2.0},
    ),
    "fact": each({"eta": 0.1, "scale": 16.0, "nearest": 40, "unit_along": "classes"}),  # docs/methods.md 6.3, no. 3
    # docs/methods.md 6.4, no. 1 (T 16 on CIFAR) and 2
    "teen.cosine": {"cifar100": {"rule": "cosine", "scale": 16.0, "scale_learns": False}},
    "teen": each({"temperature": 16.0}, {"shift": 0.1}, {"shift": 0.5}, {"shift": 0.5}),
    # docs/methods.md 6.2, no. 1: 5,000 episodes, of six a pass through CUB's 3,000 images here; the attention's rate is .0002; no. 4
    "cec.episodes": each(
        SGD | {"way": 15, "schedule": "step", "gamma": 0.5, "scale": 16.0, "dropout": 0.5, "evaluation": True},
        step(100, 20, 40, 60, 80, lr=0.002, attention_rate=pytest.approx(0.0002 / 0.002), queries=15),
        step(100, 20, 40, 60, 80, lr=0.0002, attention_rate=1.0, queries=15),
        {
            **{"lr": 0.0002, "attention_rate": 1.0, "queries": 10, "epochs": pytest.approx(5000 / 6, rel=0.01)},
            "milestones": [pytest.approx(share * 5000 / 6, rel=0.01) for share in (0.2, 0.4, 0.6, 0.8)],
        },
    ),
    "cec.cosine": each({"rule": "cosine", "scale": 16.0, "scale_learns": False}),  # docs/methods.md 6.1, no. 1
    # docs/methods.md 6.6, no. 1; 16 and the queue's form: docs/modern.md 1
    "savc.savc": each(
        {"scale": 16.0, "queue": 8192, "temperature": 0.07, "global_weight": 0.2, "local_weight": 0.8, "local_crops": 4},
        {
            **{"turns": 2, "channel_orders": 1, "width": 32, "key_momentum": 0.995},
            **{"global_scale": [0.9, 1.0], "local_scale": [0.2, 0.7], "local_side": 18},
        },
        {"turns": 4, "channel_orders": 3, "global_scale": [0.2, 1.0], "local_scale": [0.05, 0.14], "local_side": 50},
        {
            **{"turns": 2, "channel_orders": 1, "width": 128, "key_momentum": 0.999},
            **{"global_scale": [0.2, 1.0], "local_scale": [0.05, 0.14], "local_side": 96},
        },
    ),
    # docs/methods.md 6.5, no. 1, its trap (a), and docs/modern.md 1 (mixtures)
    "nc_fscil.etf": each(
        {"width": 512, "hidden_factor": 2, "factor": 10.0, "first_label_too": True},
        {"mixup_share": 0.4, "mixup_alpha": 0.8, "cutmix_share": 0.4, "cutmix_alpha": 1.0},
        {"mix": False},
        {"mix": False},
    ),
    # docs/methods.md 6.5, no. 2; warm-up, floor and lengths of targets: docs/modern.md 1
    "nc_fscil": each(
        {
            "batch": 64,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "schedule": "cosine",
            "floor": 0.01,
            "ramp_steps": 5,
            "ramp_from": 0.1,
            "factor": 10.0,
        },
        {
            "steps": [50, 75, 100, 120, 140, 160, 200, 200],
            "lr": 0.25,
            "mix": 0.75,
            "copies": False,
            "balance_lengths": True,
        },
        {"steps": [*range(100, 171, 10)], "lr": 0.025, "mix": 0.0, "copies": True, "balance_lengths": False},
        {"steps": [*range(105, 151, 5)], "lr": 0.05, "mix": 0.0, "copies": True, "balance_lengths": False},
    ),
    # docs/modern.md 2.3, no. 1 and 2
    "orco.contrast": each({"temperature": 0.2, "self_share": 0.1, "hidden": 2048}, {"width": 128}, {"width": 128}, {"width": 256}),
    # docs/modern.md 2.3, no. 3 and 4
    "orco.targets": each(
        DAMPED | {"temperature": 0.07, "batch": 128},
        {
            **{"number": None, "steps": 1000, "epsilon": 9e-5, "backbone": False},
            **{"epochs": 10, "lr": 0.25, "weight_decay": 5e-4, "schedule": "constant"},
        },
        {
            **{"number": None, "steps": 1000, "epsilon": 1e-2, "backbone": False},
            **{"epochs": 10, "lr": 0.1, "weight_decay": 1e-4, "schedule": "constant"},
        },
        {
            **{"number": 256, "steps": 5000, "epsilon": 1e-2, "backbone": True},
            **cosine(100, lr=0.025, weight_decay=5e-4, ramp_epochs=3.0, floor=pytest.approx(1e-5 / 0.025)),
        },
    ),
    # docs/modern.md 2.3, no. 5 and 6; a batch holds two views
    "orco": each(
        DAMPED | cosine(100, ramp_epochs=10.0, temperature=0.07, novel_weight=0.5, kept=5),
        {"lr": 0.1, "batch": 2 * 64, "weight_decay": 1e-4, "base_weight": 0.0, "epsilon": 9e-5},
        {"lr": 0.1, "batch": 2 * 64, "weight_decay": 1e-4, "base_weight": 0.0, "epsilon": 1e-2},
        {"lr": 0.05, "batch": 2 * 32, "weight_decay": 1e-5, "base_weight": 0.6, "epsilon": 1e-2},
    ),
    # docs/modern.md 2.4, no. 1 and 3
    "s3c.rotations": each({"scale": 16.0, "stochastic": True, "dropout": 0.5, "dropout_of_weights": 0.1}),
    "s3c": each(
        DAMPED | step(100, batch=None, batch_norm="eval", augment=PLAIN, noise=True),
        {"lr": 0.01, "old_weight": 5.0},
        {"lr": 0.01, "old_weight": 1.0},
        {"lr": 0.003, "old_weight": 5.0},
    ),
    # docs/modern.md 2.5, no. 1 and 2
    "adbs.cosine": each({"rule": "cosine", "scale": 16.0, "scale_learns": False, "margins": True, "separation": 0.01}),
    "adbs": each(
        DAMPED | {"separation": 0.01, "batch": None},
        {"epochs": 10, "lr": 0.01, "augment": FLIPPED | {"pad": 4}},
        {"epochs": 6, "lr": 0.1},
        {"epochs": 1, "lr": 0.01},
    ),
    # docs/modern.md 2.6, no. 3
    "concm.structure": each(
        DAMPED | {"weight_decay": 1e-4, "batch": 32},
        cosine(100, lr=1e-2),
        cosine(10, lr=1e-2),
        cosine(100, lr=1e-3),
    ),
    "concm": each(
        DAMPED
        | {"weight_decay": 1e-4, "batch": 32, "copies": 10, "base_samples": 100, "novel_samples": 50}
        | {"spread": 0.6, "likeness": 16.0, "novel_weight": 2.0, "base_weight": 0.05},
        cosine(20, lr=2e-2),
        cosine(10, lr=1e-2),
        cosine(20, lr=1e-3),
    ),
    # docs/methods.md 6.7, no. 1 and 2; what replaces what: docs/modern.md 1
    "alice.cosface": each(
        {"scale": 30.0, "margin": 0.4, "width": 2048}, {"pairs": True, "mixes": 4, "alpha": 20.0}, {"pairs": True}, {"pairs": False}
    ),
    "alice": each({"balanced": 5, "choose": "first_fit"}),
    # docs/modern.md 2.2, no. 1 to 3 and 5
    "warp.cosine": each({"rule": "dot"}),
    "warp": each(
        step(30, lr=0.01, momentum=0.9, nesterov=False, weight_decay=0.0, batch=None, batch_norm="eval", augment=PLAIN)
        | {"scale": 16.0, "frozen_share": 0.1, "space_batches": 20, "space_batch": 128, "importance_batch": 60}
    ),
}
"""What holds in the recipes `cec` and `paper`."""

CEC: Rows = {
    # docs/modern.md 2.1, no. 1
    "closer.closer": each(
        SGD | {"lr": 0.1, "gamma": 0.1},
        step(
            *(200, 160, 180),
            batch=128,
            augment=FLIPPED
            | {
                "crop_or_resized": True,
                "pad": 4,
                "scale": [0.25, 1.0],
                "ratio": [1.0, 1.0],
                "autoaugment": "cifar10",
                "autoaugment_p": 0.5,
            },
        ),
        step(200, 160, 180, batch=128, augment=FLIPPED | {"scale": [0.08, 1.0], "autoaugment": "imagenet", "autoaugment_p": 0.5}),
        step(50, 40, 45, batch=256, augment=FLIPPED | {"scale": [0.25, 1.0], "ratio": [1.0, 1.0], "autoaugment": None}),
    ),
    # docs/methods.md 6.3, no. 1; augmentation: 1.5
    "fact.virtual": each(
        SGD,
        cosine(600, batch=256, lr=0.1, start=0, augment=FLIPPED | {"pad": 4, "autoaugment": "cifar10", "cutout": 16}),
        cosine(1000, batch=128, lr=0.1, start=150, augment=FLIPPED | RESIZED | {"autoaugment": "imagenet"}),
        step(400, 50, 100, 150, 200, 250, 300)
        | {"batch": 256, "lr": 0.005, "gamma": 0.25, "start": 0, "augment": FLIPPED | RESIZED | {"autoaugment": "imagenet"}},
    ),
    # docs/methods.md 6.1, no. 1; augmentation: 1.5
    "cec.cosine": each(
        FAMILY | {"lr": 0.1, "gamma": 0.1},
        step(100, 60, 70) | OF_CEC[0],
        step(100, 40, 70) | OF_CEC[1],
        step(100, 30, 40, 60, 80) | OF_CEC[2],
    ),
    # docs/methods.md 6.6, no. 1; augmentation: 1.5
    "savc.savc": each(
        FAMILY,
        cosine(600, lr=0.1) | OF_CEC[0],
        step(120, 40, 70, 100, lr=0.1) | OF_CEC[1],
        step(120, 60, 80, 100, lr=0.002) | OF_CEC[2],
    ),
    # docs/methods.md 6.5, no. 1: 59 and 6 batches of 512 an epoch; warm-up, floors, mixtures, colours: docs/modern.md 1; augmentation: 1.5
    "nc_fscil.etf": each(
        {"batch": 8 * 64, "augment": RESIZED | {"flip": True, "jitter": 0.4, "hue": 0.0, "grey": 0.0, "autoaugment": None}},
        cosine(
            50 * 4,
            **{"lr": 0.25, "floor": 0.01, "ramp_epochs": pytest.approx(100 / 59, rel=0.01), "mix": True},
            augment={"scale": [0.6, 1.0], "flip": True, "jitter": 0.4},
        ),
        step(50 * 10, *(10 * milestone for milestone in (20, 30, 35, 40, 45)))
        | {"lr": 0.25, "gamma": 0.25, "ramp_epochs": pytest.approx(3000 / 59, rel=0.01)},
        cosine(20 * 4, lr=0.025, floor=0.1, ramp_epochs=pytest.approx(100 / 6, rel=0.01)),
    ),
    # docs/modern.md 2.3, no. 2, which has no phase 1 on CUB-200
    "orco.contrast": {
        "cifar100": {"crops": 4, "epochs": 300, "batch": 512, "weight_decay": 1e-5, "augment": FLIPPED},
        "miniimagenet": {"crops": 2, "epochs": 400, "batch": 512, "weight_decay": 1e-5, "augment": FLIPPED},
    },
    # docs/modern.md 2.3, no. 4
    "orco.targets": each(
        {},
        {"augment": {"scale": [0.2, 1.0], "flip": True, "autoaugment": "cifar10", "grey": 0.2, "cutout": 16, "jitter": 0.0}},
        {"augment": COLOURS},
        {"augment": COLOURS},
    ),
    # docs/modern.md 2.4, no. 2, and docs/methods.md 6
    "s3c.rotations": each(FAMILY, step(200, 120, 160, lr=0.1), step(100, 40, 70, lr=0.1), step(100, 30, 40, 60, 80, lr=0.03)),
    "adbs.cosine": each(SGD, *OF_CEC),  # docs/modern.md 2.5, no. 1
    # docs/methods.md 6.7, no. 1: columns of 60 classes, 1,770 pairs and those to come; miniImageNet: docs/modern.md 1; augmentation: 1.5
    "alice.cosface": each(
        SGD | {"augment": COLOURS},
        step(100, 60, 70, lr=0.01, batch=128, idle=1950 - 60 - 1770),
        step(200, 60, 70, lr=0.01, batch=64),
        {"epochs": 100, "lr": 0.001, "batch": 512},
    ),
    "warp.cosine": each(FAMILY, *OF_CEC),  # docs/modern.md 2.2, no. 1
}
"""What holds in recipe `cec` alone, where each kind is trained as its source trains it."""


def cases(rows: Rows) -> list[tuple[str, str]]:
    return [(name, protocol) for name, of_protocols in rows.items() for protocol in of_protocols]


@pytest.mark.parametrize("recipe", ["cec", "paper"])
@pytest.mark.parametrize(("name", "protocol"), cases(BOTH))
def test_methods_and_kinds_have_their_sources_values(name: str, protocol: str, recipe: str) -> None:
    expected = BOTH[name][protocol]
    assert chosen(settings(protocol, recipe, name), expected) == expected


@pytest.mark.parametrize(("name", "protocol"), cases(CEC))
def test_recipe_cec_trains_each_kind_as_its_source(name: str, protocol: str) -> None:
    expected = CEC[name][protocol]
    assert chosen(settings(protocol, "cec", name), expected) == expected
