"""The command that stores features: what it writes is what the network makes of the pictures, and what is wrong is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import PIL
import pytest
import torch

from benchmarks.data.images import load_images
from benchmarks.data.sources.features import SIDECAR
from benchmarks.planning.plan import identities, make_request
from benchmarks.system.errors import UsageError
from benchmarks.tools import extract
from benchmarks.tools.extractor import extractor_of
from methods.parts.backbones import build_backbone
from protocols import load_protocol
from protocols.features import Seen, check_seen, seen_of
from protocols.schema import Protocol
from tests.benchmarks.data.stored import NAME, NETWORK, asked, protocol_in
from tests.conftest import ROOT


def test_it_writes_what_the_network_makes_of_the_pictures(made: Path, tiny: Protocol) -> None:
    """Width and pooling are those of a forward pass; Pillow's version, weights' hash and licence are recorded (pitfalls 2, 3, 5, 11)."""
    images, stored = load_images(tiny.data, made), load_images(protocol_in(made).data, made)
    net = build_backbone("conv2", 1, made / "weights" / "conv2.safetensors").eval()
    with torch.inference_mode():
        wanted = net((torch.from_numpy(images.test).float() / 255 - 0.3053) / 0.3760)
    torch.testing.assert_close(torch.from_numpy(stored.test)[:, :, 0, 0], wanted, rtol=1e-4, atol=1e-5)
    assert (stored.train_classes == images.train_classes).all() and (stored.test_classes == images.test_classes).all()
    said = json.loads((made / NAME / SIDECAR).read_text())
    assert said["features"]["weights"] == hashlib.sha256((made / "weights" / "conv2.safetensors").read_bytes()).hexdigest()
    assert said["features"]["pooling"] == "mean over 2 x 2 positions"
    assert said["features"]["preparation"] == {"size": 8, "resize": "PIL, bilinear, to a square", "mean": [0.3053], "std": [0.376]}
    assert (said["pillow"], said["licence"], said["ordered"]) == (PIL.__version__, "unknown", False)


def test_a_link_to_nothing_is_one_line(made: Path, tmp_path: Path, capsys: Any) -> None:
    """As where the suite loads images."""
    for place in (tmp_path / "birds" / part / name for part in ("train", "test") for name in ("a", "b")):
        place.mkdir(parents=True)
        (place / "1.png").symlink_to(tmp_path / "gone.png")
    protocol = (ROOT / "protocols" / "digits.yaml").read_text().replace("name: digits", "name: birds", 1)
    (tmp_path / "birds.yaml").write_text(protocol.replace("source: digits", "source: folder\n  path: birds", 1))
    (tmp_path / "weights").symlink_to(made / "weights")
    options = ["--protocol", str(tmp_path / "birds.yaml"), "--out", str(tmp_path / "f"), "--data-root", str(tmp_path)]
    assert extract.main([*options, "--novel-seen", "no", *NETWORK]) == 2
    error = capsys.readouterr().err
    assert error.startswith("extract: birds: ") and "1.png" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "conv2 has no weights, and random ones have no features"),
        (("--backbone", "conv2", "--weights", "gone.safetensors", "--mean", "0.5", "--std", "0.5"), "gone.safetensors is not there"),
        (NETWORK[:4], "say --mean and --std"),
        (NETWORK[2:8], "--weights, --mean, --std: without --backbone the network is the protocol's, conv2, with its own; name one"),
        (("--pretrained", "noise"), "--pretrained: without --backbone the network is the protocol's"),
        ((*NETWORK[:3], "../weights/conv2.safetensors", *NETWORK[4:]), "must be the name of a file in"),
        (NETWORK[:8], "say with --pretrained on which images"),
        ((*NETWORK[:4], "--mean", "0.5", "0.5", "--std", "0.5"), "mean and std need 1 values each"),
        (("--backbone", "conv4", *NETWORK[2:]), "does not fit conv4"),
        ((*NETWORK, "--licence", ""), "--licence: must be one line"),
        ((*NETWORK[:9], "x" * 250), "--pretrained: must be one line"),
        ((*NETWORK, "--size", "0"), "--size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_features_of_a_network_that_is_not_there(made: Path, capsys: Any, options: tuple[str, ...], said: str) -> None:
    """Pitfalls 1 and 11."""
    assert extract.main(asked(made, *options)) == 2
    error = capsys.readouterr().err
    assert error.startswith("extract: ") and said in error and len(error.splitlines()) == 1


class Unit(torch.nn.Module):
    """A network whose features have length 1."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.net(images), dim=1)


def test_what_is_known_of_pre_training_may_not_be_denied() -> None:
    assert (seen_of("folder", "imagenet"), seen_of("cub200", "imagenet")) == ("unknown", "possible")
    assert seen_of("cub200", "imagenet", "seen") == "seen"
    denied: tuple[tuple[str, Seen], ...] = (("miniimagenet", "no"), ("miniimagenet", "possible"), ("cub200", "no"), ("cub200", "unknown"))
    for source, stated in denied:
        with pytest.raises(ValueError, match=f"novel_seen is '{stated}', but imagenet"):
            check_seen(source, "imagenet", stated)
        assert seen_of(source, "imagenet", stated) == seen_of(source, "imagenet"), "a record that states it is read as what is known"
    with pytest.raises(ValueError, match="has seen the novel classes"):
        check_seen("miniimagenet", "ImageNet-21k", "no")


def test_a_network_in_training_mode_is_noticed(made: Path) -> None:
    """Pitfall 4: batch norm makes an image's features depend on the others of its batch."""
    extractor = extractor_of(protocol_of_images(), extract.parser().parse_args(asked(made, *NETWORK)))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 1, 8, 8), dtype=np.uint8)
    assert not extractor.net.training and extractor.check(pixels) == 64
    unit = replace(extractor, net=cast(Any, Unit(extractor.net)))
    with pytest.raises(UsageError, match="conv2: its features all have length 1; say --l2"):
        unit.check(pixels)
    extractor.net.train()
    with pytest.raises(UsageError, match="features in batches of 1 and of 32 differ by"):
        extractor.check(pixels)


def protocol_of_images() -> Protocol:
    return load_protocol(str(Path(__file__).parents[2] / "data" / "tiny.yaml"))


def test_a_warning_of_another_activation_is_an_error(made: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 2: OpenAI's weights in a network without QuickGELU."""

    def warns(*of: object) -> None:
        import warnings

        warnings.warn("QuickGELU mismatch between the weights and the network", UserWarning, stacklevel=1)

    monkeypatch.setattr("benchmarks.tools.extractor.build_backbone", warns)
    assert extract.main(asked(made, *NETWORK)) == 2
    assert "QuickGELU mismatch" in capsys.readouterr().err


def test_normalised_features_are_declared(made: Path, tmp_path: Path, capsys: Any) -> None:
    """Pitfall 6: the flag is written, held against the lengths, and a method that reads lengths refuses."""
    options = asked(made, *NETWORK, "--l2")
    options[options.index("--out") + 1] = str(tmp_path / NAME)
    capsys.readouterr()
    assert extract.main(options) == 0
    assert f"a run looks for {NAME} in its data root: move the folder there, or give --data-root {tmp_path}" in capsys.readouterr().err
    unit = load_protocol(str(tmp_path / NAME / f"{NAME}.yaml"))
    np.testing.assert_allclose(np.linalg.norm(load_images(unit.data, tmp_path).plain[:, :, 0, 0], axis=1), 1, atol=1e-5)
    with pytest.raises(UsageError, match="gkeal:default cannot run on these: it reads the lengths of raw features"):
        identities(make_request(unit, None, None, "0", "gkeal", []))
    assert identities(make_request(protocol_in(made), None, None, "0", "gkeal", []))
