"""A protocol of the user's own with every key there is, and what is said of it where it is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from protocols import ProtocolError, load_protocol
from protocols.schema import Protocol

Path_ = tuple[str, ...]

VALID: dict[str, Any] = {  # every key there is
    "name": "mine",
    "title": "Mine",
    "data": {
        "source": "folder",
        "path": "mine/images",
        "classes": 12,
        "size": 32,
        "train_size": 40,
        "channels": 3,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "features": None,
        "texts": False,
    },
    "augment": {
        "pad": 4,
        "flip": True,
        "jitter": 0.4,
        "hue": 0.1,
        "jitter_p": 0.8,
        "scale": [0.25, 1.0],
        "ratio": [0.9, 1.1],
        "crop_or_resized": True,
        "autoaugment": "cifar10",
        "autoaugment_p": 0.5,
        "grey": 0.2,
        "cutout": 16,
    },
    "sessions": {"base": 6, "way": 2, "count": 3, "shots": 5},
    "backbone": {
        "name": "module:own",
        "pretrained": "imagenet",
        "weights": {"file": "own.pth", "sha256": "0" * 64, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "novel_seen": "no"},
        "source": "0" * 64,
    },
    "recipes": {
        "paper": {
            "epochs": 10,
            "batch": 64,
            "lr": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.0005,
            "schedule": "step",
            "milestones": [6],
            "gamma": 0.1,
            "warmup": 0.2,
            "dampening": 0.0,
            "optimizer": "sgd",
            "floor": 0.0,
            "ramp_epochs": 0.5,
            "ramp_from": 0.1,
            "head_gain": 1.0,
            "precision": "fp32",
            "trains": "last_block",
            "stored_views": 2,
            "like": None,
            "bases": {"projected": {"lr": 0.2}},
            "methods": {"ft_cnn": {"lr": 0.1}},
        }
    },
    "recipe": "paper",
    "splits": ["paper"],
    "seeds": "0-9",
    "methods": ["ft_cnn"],
    "without": ["der"],
    "canonical": {"base_train": 30, "base_test": 30, "shots_sha256": "0" * 64},
    "printed": "cub200",
    "notes": "none",
}


def at(content: dict[str, Any], path: Path_) -> Any:
    for part in path:
        content = content[part]
    return content


def changed(path: Path_, value: Any) -> dict[str, Any]:
    """The valid protocol with one value replaced or added."""
    content = copy.deepcopy(VALID)
    at(content, path[:-1])[path[-1]] = value
    return content


def load(folder: Path, content: Any) -> Protocol:
    file = folder / "mine.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return load_protocol(str(file))


def refused(folder: Path, content: Any) -> str:
    """What is said about a bad file: one line that names it. The file's name is left out of the answer."""
    with pytest.raises(ProtocolError) as caught:
        load(folder, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert message.startswith(f"{folder / 'mine.yaml'}:"), message
    return message.removeprefix(f"{folder / 'mine.yaml'}:").strip()
