"""Stored features with text vectors: ten classes, each with images, a prompt and descriptions around one direction."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.data.sources.features import FILE, SIDECAR, packed_ids
from protocols.schema import Protocol

NAME, CLASSES, WIDTH, DESCRIBED = "texts", 10, 16, 3
TEXTS: dict[str, Any] = {"tokenizer": "clip", "templates": ["a photo of a {}."], "context": 77, "longest": 9}
FACTS: dict[str, Any] = {
    "network": "noise",
    "weights": "0" * 64,
    "pooling": "mean",
    "preparation": {"size": 8, "resize": "none", "mean": [0.5], "std": [0.5]},
    "pretrained": "noise",
    "novel_seen": "no",
}


def tensors_with_texts(seed: int = 0) -> dict[str, NDArray[Any]]:
    """Features, text vectors and descriptions."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(CLASSES, WIDTH))
    tensors: dict[str, NDArray[Any]] = {}
    for part, each in (("train", 12), ("test", 6)):
        labels = np.repeat(np.arange(CLASSES), each)
        features = centres[labels] + draw.normal(scale=0.7, size=(len(labels), WIDTH))
        ids = packed_ids([f"{row:05d} {part}" for row in range(len(labels))])
        tensors |= {part: features.astype(np.float32), f"{part}_labels": labels, f"{part}_ids": ids}
    text = centres + draw.normal(scale=0.5, size=centres.shape)
    described = centres[:, None] + draw.normal(scale=0.8, size=(CLASSES, DESCRIBED, WIDTH))
    return {**tensors, "text": text.astype(np.float32), "descriptions": described.astype(np.float32)}


def write_texts(root: Path, tensors: dict[str, NDArray[Any]], **changes: Any) -> None:
    """Stores these tensors as the data set `texts` of a data root; `changes` are of the sidecar."""
    folder = root / NAME
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / FILE)
    texts = {**TEXTS, **({"descriptions": "a language model"} if "descriptions" in tensors else {})} if "text" in tensors else None
    said = {
        "format": 1,
        "features": FACTS,
        "sha256": hashlib.sha256((folder / FILE).read_bytes()).hexdigest(),
        "licence": "none",
        "pillow": "none",
        "data": {"name": "noise", "sha256": "0" * 64},
        "ordered": False,
        "class_names": [f"class {number}" for number in range(CLASSES)],
        "texts": texts,
    }
    (folder / SIDECAR).write_text(json.dumps(said | changes))


def protocol_with_texts(**data: Any) -> Protocol:
    """Six base classes, two sessions of two, on the data set `texts`."""
    return Protocol.model_validate(
        {
            "name": NAME,
            "title": "Features and texts",
            "data": {"source": "features", "path": NAME, "channels": WIDTH, "features": FACTS, "texts": True, **data},
            "sessions": {"base": 6, "way": 2, "count": 2, "shots": 5},
            "backbone": {"name": "identity"},
            "splits": ["paper", "canonical-order"],
            "seeds": "0-1",
            "recipe": "heads",
            "recipes": {"heads": {"epochs": 1, "lr": 0.1, "trains": "none", "methods": {"ft_cnn": {"epochs": 1}, "lecnet": {"epochs": 1}}}},
        }
    )
