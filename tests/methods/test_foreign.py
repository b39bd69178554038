"""Networks that are not ours: what is left of them, that an image's features are its own, and what a wrong one is told."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision import models

from benchmarks.base.key import values_of
from benchmarks.cli.listing import listing
from benchmarks.planning.validation import check_backbone, check_last_block
from benchmarks.running.runner import Runner
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.registry import method_names
from methods.parts.backbones import build_backbone
from methods.parts.network import Network
from methods.parts.own_files import forget_own_files
from protocols.backbones import Backbone
from protocols.loading import load_protocol, with_source
from protocols.own_folder import take_own_folder
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import identity_of

SMALL = """from torch import nn

from methods._widths import WIDTH


def backbone(channels):
    return nn.Sequential(nn.Conv2d(channels, WIDTH, 3, 2, 1), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, 6, 3))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The user's folder of methods, with a network of 6 features that returns maps."""
    own = tmp_path / "mine"
    own.mkdir()
    (own / "small.py").write_text(SMALL)
    (own / "_widths.py").write_text("WIDTH = 5\n")
    take_own_folder(own)
    yield own
    forget_own_files()
    take_own_folder(None)


def on_small(protocol: Protocol, **said: Any) -> Protocol:
    return with_source(protocol.model_copy(update={"backbone": Backbone(name="module:small", **said)}))


@pytest.mark.parametrize(("name", "width", "given"), [("resnet18", 512, models.resnet18), ("squeezenet1_1", 512, models.squeezenet1_1)])
def test_a_network_of_torchvision_without_its_classifier(name: str, width: int, given: Any, tmp_path: Path) -> None:
    """docs: dimension and pooling from a real forward pass; a batch of 1 and one of 32 agree in evaluation mode."""
    donor = given(weights=None).eval()
    torch.save(donor.state_dict(), tmp_path / "donor.pth")
    network = Network(build_backbone(f"torchvision:{name}", 3, tmp_path / "donor.pth", size=64), "fp32").eval()
    assert network.feature_dim == width
    images = torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    last = donor.fc if name == "resnet18" else donor.classifier[1]
    seen: list[torch.Tensor] = []
    last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        features, alone = network.embed(images), network.embed(images[:1])
        donor(images)
    pooled = seen[0] if name == "resnet18" else seen[0].relu().mean(dim=(2, 3))  # squeezenet pools after its last convolution
    assert torch.allclose(features, pooled, atol=1e-4)
    assert torch.allclose(features[:1], alone, atol=1e-4)


def test_the_last_block_is_that_of_a_residual_network_alone(tiny: Protocol) -> None:
    residual = build_backbone("torchvision:resnet18", 3, size=32)
    assert residual.last_block is residual.get_submodule("net.layer4.1")
    other = tiny.model_copy(update={"backbone": Backbone(name="torchvision:squeezenet1_1"), "data": tiny.data})
    coloured = {**tiny.data.model_dump(), "channels": 3, "size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    other = other.model_copy(update={"data": type(tiny.data).model_validate(coloured)})
    check_last_block(other, [identity_of(tiny, "ft_cnn"), identity_of(tiny, "proto")])
    with pytest.raises(
        UsageError, match="tiny, icarl:topic: backbone torchvision:squeezenet1_1 names no last block; train all of it or none"
    ):
        check_last_block(other, [identity_of(tiny, "proto"), identity_of(tiny, "icarl")])


WRONG = {
    "resnet": "has no resnet.py with a function backbone",
    "drops": r"draws random numbers while it trains \(dropout\?\)",
    "mixes": "module:mixes: the features of an image depend on the images beside it",
    "tuples": r"must return vectors \[N, d\] or maps \[N, d, h, w\], and returned tuple in evaluation",
    "tokens": r"and returned a tensor of shape \[8, 1, 4\]",
    "fails": r"fails\.py: RuntimeError: no luck \(line 2\)",
    "odd": r"must return an nn\.Module, and returned str",
    "peeks": "ImportError: may not import benchmarks",
    "large": "cannot take images of data.size 8 with 1 channels",
    "states": "feature_dim says 7, and it returns 64 features",
    "seeds": r"seeds\.py: RuntimeError: it seeds torch's generator",
    "loads": "module:loads has the same values under every seed; if they come from a file, name it with weights",
}
FLAT = "nn.Sequential(nn.Flatten(), nn.Linear(64, 4){})"
FILES = {
    "drops": f"return {FLAT.format(', nn.Dropout(0.5)')}",
    "mixes": "return type('Mixing', (nn.Module,), {'forward': lambda self, x: x.flatten(1) - x.flatten(1).mean(0)})()",
    "tuples": "return type('Two', (nn.Module,), {'forward': lambda self, x: (x, x)})()",
    "tokens": f"return {FLAT.format(', nn.Unflatten(1, (1, 4))')}",
    "fails": "raise RuntimeError('no luck')",
    "odd": "return 'resnet'",
    "peeks": "import benchmarks.running",
    "large": "return nn.Sequential(nn.Flatten(), nn.Linear(784, 4))",
    "states": "net = nn.Sequential(nn.Flatten()); net.feature_dim = 7; return net",
    "lazy": "return nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.Linear(108, 4))",
    "seeds": f"import torch; torch.manual_seed(0); return {FLAT.format('')}",
    "loads": f"net = {FLAT.format('')}; net[1].weight.data.fill_(1); net[1].bias.data.zero_(); return net",
}


def test_a_wrong_file_is_told_in_one_line(folder: Path, tiny: Protocol) -> None:
    for name, body in FILES.items():
        first = "" if name == "fails" else "from torch import nn\n"
        (folder / f"{name}.py").write_text(f"{first}def backbone(channels):\n    {body}\n")
    check_backbone(with_source(tiny.model_copy(update={"backbone": Backbone(name="module:lazy")})))  # honest
    for name, said in WRONG.items():
        with pytest.raises(UsageError, match=said) as caught:
            check_backbone(with_source(tiny.model_copy(update={"backbone": Backbone(name=f"module:{name}")})))
        assert str(caught.value).startswith("tiny, backbone: ")
        assert "\n" not in str(caught.value)


def test_a_wrong_name_is_told_in_one_line(tiny: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for name, said in {
        "torchvision:resnet19": "torchvision has no network 'resnet19'. Did you mean 'resnet18'?",
        "torchvision:googlenet": "has 3 classifiers",
        "timm:resnet18": "need the package timm: pip install timm",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            build_backbone(name, 3, size=32)
    with pytest.raises(UsageError, match="tiny, backbone: torchvision's resnet18 reads 3 channels"):
        check_backbone(tiny.model_copy(update={"backbone": Backbone(name="torchvision:resnet18")}))
    weights = {"file": "own.pth", "sha256": "0" * 64}
    for said, fields in {
        "needs a name of a-z": {"name": "module:../evil"},
        "must be one of ours, or torchvision:NAME, timm:NAME, module:NAME": {"name": "hub:resnet"},
        "needs mean and std of the images": {"name": "timm:vit", "pretrained": "imagenet", "weights": weights},
        "source: is for module:NAME alone": {"name": "conv2", "source": "0" * 64},
    }.items():
        with pytest.raises(ValidationError, match=said):
            Backbone.model_validate(fields)


def test_a_file_is_known_by_its_source(folder: Path, tiny: Protocol, tmp_path: Path) -> None:
    """An edited network is another one: the base's key and the record name it."""
    (tmp_path / "tiny.yaml").write_text(TINY.read_text().replace("{name: conv2}", "{name: 'module:small'}"))
    first = load_protocol(str(tmp_path / "tiny.yaml"))
    assert first.backbone == on_small(tiny).backbone
    assert values_of(first.backbone) == {"name": "module:small", "pretrained": None, "source": first.backbone.source}
    (folder / "_widths.py").write_text("WIDTH = 4\n")
    with pytest.raises(UsageError, match=r"small\.py is not the file with the source"):
        check_backbone(first)
    assert on_small(tiny).backbone.source != first.backbone.source
    for line in ("from methods.widths import WIDTH", "from .widths import WIDTH", "from . import widths", "import methods.widths"):
        (folder / "small.py").write_text(SMALL.replace("from methods._widths import WIDTH", line))
        sources = set()
        for width in (3, 4):  # a name that does not begin with _ is a helper, too
            (folder / "widths.py").write_text(f"WIDTH = {width}\n")
            sources.add(on_small(tiny).backbone.source)
        assert len(sources) == 2, line
    (folder / "nets").mkdir()
    for place, line in (("nets/__init__.py", "from methods.nets import WIDTH"), ("nets/inner.py", "from methods.nets.inner import WIDTH")):
        (folder / "small.py").write_text(SMALL.replace("from methods._widths import WIDTH", line))
        sources = set()
        for text in ("from methods.nets.deep import WIDTH", "from .deep import WIDTH", "from . import deep", "WIDTH = 4"):
            (folder / place).write_text(f"{text}\n")
            for width in (3, 4):
                (folder / "nets" / "deep.py").write_text(f"WIDTH = {width}\n")
                sources.add(on_small(tiny).backbone.source)
        assert len(sources) == 7, place
    assert "small" not in method_names()
    assert "small" not in listing()


def test_methods_run_on_a_file_of_the_users(folder: Path, tiny: Protocol, data_root: Path, tmp_path: Path) -> None:
    own = on_small(tiny)
    check_backbone(own)
    runner = Runner(own, Settings(data_root, tmp_path / "results", "cpu", 1))
    record = runner.run(identity_of(own, "ft_cnn", "epochs=1"))[0]
    assert record.identity.backbone == own.backbone
    network = runner.enter(identity_of(own, "proto")).strategy.model
    assert (type(network.backbone.net), network.feature_dim) == (nn.Sequential, 6)
