"""The conversion of Microsoft's featurizer, on a small graph in the form of its ONNX files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.tools.featurizer_weights import BLOCKS, SHRINK, STD, main
from methods.parts.backbones import build_backbone

Array = NDArray[np.float32]
MEAN_BGR = (100.0, 110.0, 120.0)


def number(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def message(key: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return number(key << 3) + number(content)
    return number(key << 3 | 2) + number(len(content)) + content


def tensor(name: str, values: Array) -> bytes:
    shape = message(1, b"".join(number(size) for size in values.shape))
    return message(5, shape + message(2, 1) + message(8, name.encode()) + message(9, values.tobytes()))


def node(kind: str, inputs: list[str], output: str) -> bytes:
    return message(1, b"".join(message(1, name.encode()) for name in inputs) + message(2, output.encode()) + message(4, kind.encode()))


def model(*parts: bytes) -> bytes:
    return message(7, b"".join(parts))


def network_of(draw: np.random.Generator) -> tuple[bytes, list[Array]]:
    """A model of three channels everywhere, and the tensors of its stem: weight, then scale, shift, mean, variance of the norm."""
    parts: list[bytes] = []
    stem: list[Array] = []

    def convolution(side: int) -> None:
        place = len(parts)
        weight = draw.normal(size=(3, 3, side, side)).astype(np.float32)
        norms = [draw.uniform(0.5, 1.5, size=3).astype(np.float32) for _ in range(4)]
        names = [f"{place}.{name}" for name in "wabmv"]
        parts.extend(tensor(name, values) for name, values in zip(names, (weight, *norms), strict=True))
        parts.append(node("Conv", ["x", names[0]], f"{place}.y"))
        parts.append(node("BatchNormalization", [f"{place}.y", *names[1:]], f"{place}.z"))
        stem.extend([] if stem else [weight, *norms])

    convolution(7)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            for side in (*([1] if stage and not block else []), 3, 3):
                convolution(side)
    return model(*parts, message(3, b"other")), stem


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Network and preprocessing."""
    content, _ = network_of(np.random.default_rng(0))
    (tmp_path / "net.onnx").write_bytes(content)
    image = np.broadcast_to(np.array(MEAN_BGR, np.float32)[None, :, None, None], (1, 3, 2, 2))
    (tmp_path / "pre.onnx").write_bytes(model(tensor("MeanImage", np.ascontiguousarray(image))))
    return [tmp_path / "net.onnx", tmp_path / "pre.onnx"]


def converted(files: list[Path]) -> Path:
    target = files[0].with_name("out.safetensors")
    assert main([*map(str, files), str(target)]) == 0
    return target


def test_names_are_those_of_the_backbone(files: list[Path]) -> None:
    wanted = {name.removeprefix("net.") for name in build_backbone("resnet18_2223", 3).state_dict() if "num_batches" not in name}
    assert set(load_file(converted(files))) == wanted


def normed(x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, shift, eps=1e-12)


def test_stem_and_norm_of_rgb_are_those_of_bgr(files: list[Path]) -> None:
    """On pixels of 0 to 255 in the order BGR, less the mean, the original; on normalised RGB the converted one."""
    _, (weight, scale, shift, mean, variance) = network_of(np.random.default_rng(0))
    state = load_file(converted(files))
    rgb = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    bgr = 255 * rgb.flip(1) - torch.tensor(MEAN_BGR)[:, None, None]
    tensors = [torch.from_numpy(values.copy()) for values in (mean, variance, scale, shift)]
    original = normed(F.conv2d(bgr, torch.from_numpy(weight.copy())), *tensors)
    normalised = (rgb - torch.tensor(MEAN_BGR[::-1])[:, None, None] / 255) / torch.tensor(STD)[:, None, None]
    norm = [state[f"bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    assert torch.allclose(normed(F.conv2d(normalised, state["conv1.weight"]), *norm), original, rtol=1e-3, atol=1e-2)
    assert torch.allclose(state["bn1.running_mean"], torch.from_numpy(mean.copy()) * SHRINK)


def test_bytes_are_those_of_the_converter_that_made_the_file(files: list[Path], shared: Callable[[str], Path]) -> None:
    """The SHA-256 in the protocol is of a file that another program made by the same rule."""
    target = files[0].with_name("theirs.safetensors")
    command = [sys.executable, str(shared("../tools/convert_mlnet_resnet.py")), *map(str, files), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    assert converted(files).read_bytes() == target.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x3a\x00", b"\xff" * 40], ids=repr)
def test_another_file_is_refused_in_one_line(content: bytes, files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    files[0].write_bytes(content)
    assert main([*map(str, files), str(files[0].with_name("out.safetensors"))]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "net.onnx" in said
    assert main(["gone.onnx", str(files[1]), "out.safetensors"]) == 2
