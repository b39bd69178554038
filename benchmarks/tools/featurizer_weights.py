"""Writes the weights of `resnet18_2223` from Microsoft's ImageNet featurizer, where torchvision's weights cannot be had.

The NuGet package Microsoft.ML.DnnImageFeaturizer.ResNet18 0.23.1 (MIT) holds two ONNX files, written by CNTK: `ResNet18.onnx`, a
residual network without classifier, and `ResNetPreprocess.onnx` with the mean image of its training set. Unpack the package (a zip
archive) and run

    python -m benchmarks.tools.featurizer_weights ResNet18.onnx ResNetPreprocess.onnx DATA_ROOT/weights/resnet18_imagenet.safetensors

The network reads BGR from 0 to 255 less the mean. The file that is written is for RGB from 0 to 1, less `mean`, divided by `std`: the
stem's input channels are swapped and multiplied by 255 std. Stem and first batch norm are then divided by 64, which changes no output
and gives the stem weights of the size of torchvision's, so that training moves them alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.system.errors import DataError
from benchmarks.system.files import write_atomic
from benchmarks.system.surroundings import settle

STD = (0.229, 0.224, 0.225)  # torchvision's, RGB
SHRINK = 1 / 64
BLOCKS = (2, 2, 2, 3)
Array = NDArray[np.float32]


@dataclass
class Graph:
    """Inputs and first output of each convolution and batch norm, in order, and the constant tensors by name."""

    convolutions: list[tuple[list[str], str]] = field(default_factory=list)
    norms: dict[str, list[str]] = field(default_factory=dict)  # by the name of their first input
    tensors: dict[str, Array] = field(default_factory=dict)


def varint(content: memoryview, at: int) -> tuple[int, int]:
    """Protocol Buffers' number of variable length at this position, and the position after it."""
    value = shift = 0
    while True:
        byte = content[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at


def fields(content: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, whole-number value and bytes of each field of a Protocol Buffers message; one of the latter two is empty."""
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        kind, number = tag & 7, 0
        if kind == 0:
            number, at = varint(content, at)
            size = 0
        elif kind == 2:
            size, at = varint(content, at)
        elif kind in (1, 5):
            size = {1: 8, 5: 4}[kind]
        else:
            raise ValueError("a kind of field that ONNX does not use")
        yield tag >> 3, number, content[at : at + size]
        at += size


def read_tensor(content: memoryview) -> tuple[str, Array]:
    shape: list[int] = []
    name, values = "", memoryview(b"")
    for key, number, inside in fields(content):
        if key == 1:
            at, packed = 0, inside
            shape += [number] if not len(inside) else []
            while at < len(packed):
                size, at = varint(packed, at)
                shape.append(size)
        elif key == 2 and number != 1:
            raise ValueError("a tensor that is not float32")
        elif key == 8:
            name = bytes(inside).decode()
        elif key in (4, 9):
            values = inside
    return name, np.frombuffer(values, "<f4").reshape(shape)


def read_graph(path: Path) -> Graph:
    """Raises DataError for a file that is no ONNX model."""
    graph = Graph()
    try:
        content = memoryview(path.read_bytes())
        [model] = [inside for key, _, inside in fields(content) if key == 7]
        for key, _, part in fields(model):
            if key == 5:
                name, values = read_tensor(part)
                graph.tensors[name] = values
            elif key == 1:
                texts = {number: [bytes(i).decode() for k, _, i in fields(part) if k == number] for number in (1, 2, 4)}
                if texts[4] == ["Conv"]:
                    graph.convolutions.append((texts[1], texts[2][0]))
                elif texts[4] == ["BatchNormalization"]:
                    graph.norms[texts[1][0]] = texts[1]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} is no ONNX model of the featurizer ({error})") from None
    return graph


def state_of(graph: Graph) -> dict[str, Array]:
    """The network's tensors under torchvision's names, the stem changed as the module says."""
    state: dict[str, Array] = {}
    convolutions = iter(graph.convolutions)

    def put(convolution: str, norm: str, of: tuple[list[str], str] | None = None) -> None:
        inputs, output = of or next(convolutions)
        state[f"{convolution}.weight"] = graph.tensors[inputs[1]]
        for key, name in zip(("weight", "bias", "running_mean", "running_var"), graph.norms[output][1:], strict=True):
            state[f"{norm}.{key}"] = graph.tensors[name]

    put("conv1", "bn1")
    for stage, blocks in enumerate(BLOCKS, 1):
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            first = next(convolutions)
            if graph.tensors[first[0][1]].shape[2] == 1:  # the projection comes before the block's own convolutions
                put(f"{place}.downsample.0", f"{place}.downsample.1", first)
                first = next(convolutions)
            put(f"{place}.conv1", f"{place}.bn1", first)
            put(f"{place}.conv2", f"{place}.bn2")
    if next(convolutions, None) is not None:
        raise ValueError("more convolutions than the network has")
    stem, std = state["conv1.weight"][:, ::-1].astype(np.float64), np.array(STD)[None, :, None, None]
    state["conv1.weight"] = (stem * 255 * std * SHRINK).astype(np.float32)
    for key, factor in (("running_mean", SHRINK), ("running_var", SHRINK**2)):
        state[f"bn1.{key}"] = (state[f"bn1.{key}"].astype(np.float64) * factor).astype(np.float32)
    return state


def mean_of(preprocessing: Graph) -> list[float]:
    """Mean of the mean image over its pixels, RGB from 0 to 1."""
    image = preprocessing.tensors["MeanImage"].astype(np.float64)
    return [round(float(channel), 5) for channel in image.reshape(3, -1).mean(axis=1)[::-1] / 255]


def packed(state: dict[str, Array], metadata: dict[str, str]) -> bytes:
    """A safetensors file with the tensors in this order."""
    head: dict[str, object] = {"__metadata__": metadata}
    at = 0
    for name, values in state.items():
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(values.tobytes() for values in state.values())


def convert(network: Path, preprocessing: Path) -> bytes:
    """The safetensors file for these two ONNX files. Raises DataError."""
    try:
        state, mean = state_of(read_graph(network)), mean_of(read_graph(preprocessing))
    except (KeyError, StopIteration, ValueError) as error:
        raise DataError(f"{network.name}, {preprocessing.name}: not the featurizer's network ({type(error).__name__}: {error})") from None
    metadata = {
        "source": "Microsoft.ML.DnnImageFeaturizer.ResNet18 0.23.1 (NuGet, MIT), converted",
        "architecture": "torchvision.models.ResNet(BasicBlock, [2, 2, 2, 3]), fc = Identity",
        "input": "RGB in 0..1, Normalize(mean, std), 224 x 224",
        "mean": json.dumps(mean),
        "std": json.dumps(STD),
        "license": "MIT",
        "source_sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
    }
    return packed(state, metadata)


def main(arguments: list[str] | None = None) -> int:
    settle()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools.featurizer_weights", description=(__doc__ or "").splitlines()[0])
    for name in ("network", "preprocessing", "target"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args(arguments)
    try:
        content = convert(asked.network, asked.preprocessing)
    except DataError as error:
        print(f"featurizer_weights: {error}", file=sys.stderr)
        return 2
    write_atomic(asked.target, content)
    print(f"{asked.target}: SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
