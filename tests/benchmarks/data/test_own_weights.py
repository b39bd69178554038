"""A protocol's own weights: named by file and SHA-256, found below the data root, and said on its page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from benchmarks.data.weights import find_weights
from benchmarks.planning.preflight import check_fit
from benchmarks.report.printed import nobody_lines, origin_of
from benchmarks.system.errors import DataError
from methods.parts.backbones import build_backbone
from protocols import load_protocol
from protocols.backbones import Backbone, Weights
from protocols.schema import Protocol


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """Those of a `conv2` for grey images, on the disk."""
    path = tmp_path / "weights" / "own.pth"
    path.parent.mkdir()
    torch.save(build_backbone("conv2", 1).state_dict(), path)
    return Weights(file="own.pth", sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def with_weights(protocol: Protocol, weights: Weights, name: str = "conv2") -> Protocol:
    return protocol.model_copy(update={"backbone": Backbone(name=name, pretrained="imagenet", weights=weights)})


def test_they_are_found_checked_and_fitted(weights: Weights, tiny: Protocol, tmp_path: Path) -> None:
    own = with_weights(tiny, weights)
    path = find_weights(own.backbone, tmp_path)
    assert path == tmp_path / "weights" / "own.pth"
    check_fit(own, path)
    with pytest.raises(DataError, match=r"tiny, backbone\.weights: own\.pth does not fit conv4"):
        check_fit(with_weights(tiny, weights, "conv4"), path)


def test_a_missing_or_another_file_is_named(weights: Weights, tiny: Protocol, tmp_path: Path) -> None:
    missing = with_weights(tiny, weights.model_copy(update={"file": "gone.pth"}))
    with pytest.raises(DataError, match=r"gone\.pth is not there; docs/DATA\.md says how to make or fetch it"):
        find_weights(missing.backbone, tmp_path)
    with pytest.raises(DataError, match="its SHA-256 is not 000"):
        find_weights(with_weights(tiny, weights.model_copy(update={"sha256": "0" * 64})).backbone, tmp_path)


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda p: p["backbone"]["weights"].update(file="../own.pth"), "must be a file name without folder"),
    (lambda p: p["backbone"]["weights"].update(file="own.pkl"), r"ends in \.safetensors or \.pth"),
    (lambda p: p["backbone"]["weights"].update(sha256="abc"), "sha256"),
    (lambda p: p["backbone"].update(pretrained=None), "pretrained is required, and says which images they have seen"),
    (lambda p: p["backbone"].update(pretrained="noise", weights=None), "pretrained: must be imagenet, whose weights are known, or stand"),
    (
        lambda p: p["backbone"]["weights"].update(novel_seen="no"),
        "novel_seen is 'no', but imagenet may have seen the novel",
    ),
    (lambda p: p["data"].update(mean=[0.5, 0.5, 0.5]), r"data\.mean must be that of backbone\.weights"),
    (lambda p: p["data"].update(std=[0.5, 0.5, 0.5]), r"data\.std must be that of backbone\.weights"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_entry_is_named(change: Callable[[dict[str, Any]], object], said: str) -> None:
    content = load_protocol("cub200-resnet18b").model_dump(mode="json")
    Protocol.model_validate(content)
    change(content)
    with pytest.raises(ValidationError, match=said):
        Protocol.model_validate(content)


def test_cub_with_other_weights_differs_in_nothing_else() -> None:
    """So that its rows stand beside the printed ones for one reason only, and the two never share a table."""
    here, there = load_protocol("cub200-resnet18b"), load_protocol("cub200")
    left_out = {"name", "title", "backbone", "printed"}
    mine, theirs = (protocol.model_dump(mode="json", exclude=left_out) for protocol in (here, there))
    mine["data"].update(mean=theirs["data"]["mean"], std=theirs["data"]["std"])
    assert [here.recipes[name].trains for name in ("quick", "last-block")] == ["none", "last_block"], "what two cores can train"
    del mine["recipes"]["last-block"]
    for protocol in (mine, theirs):
        del protocol["recipes"]["quick"], protocol["notes"]
    assert mine == theirs
    assert (here.printed_on, there.printed_on) == ("cub200", "cub200")
    assert "On another network: [cub200-resnet18b.md](cub200-resnet18b.md)." in nobody_lines(there, [], ["cub200-resnet18b"])
    assert "On another network: `cub200-resnet18b`." in nobody_lines(there, [], []), "no link to a page that nobody can write"


def test_a_page_says_what_the_weights_have_seen(weights: Weights) -> None:
    own = Backbone(name="conv2", pretrained="imagenet", weights=weights)
    mini, cub = (load_protocol(name).data for name in ("miniimagenet", "cub200"))
    assert origin_of(Backbone(name="conv2"), mini) == "from scratch"
    file = f"(`own.pth`, sha256 {weights.sha256[:16]})"
    assert origin_of(own, cub) == f"pre-trained on imagenet {file}, **which may have seen the novel classes**"
    assert origin_of(own, mini) == f"pre-trained on imagenet {file}, **which has seen the novel classes: no few-shot result**"
    birds = cub.model_copy(update={"source": "folder", "path": "birds"})
    assert origin_of(own, birds).endswith("**which has seen nobody knows which classes**")
    clean = Backbone(name="conv2", pretrained="places365", weights=weights.model_copy(update={"novel_seen": "no"}))
    assert origin_of(clean, birds) == f"pre-trained on places365 {file}, which has not seen the novel classes"
