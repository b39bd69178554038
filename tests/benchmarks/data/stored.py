"""The command that stores features, asked for those of the digits."""

from __future__ import annotations

from pathlib import Path

from protocols import load_protocol
from protocols.schema import Protocol

NAME = "digits-features"


def asked(root: Path, *options: str) -> list[str]:
    """The command on the tiny protocol's digits and a small network's weights in the data root."""
    given = ["--protocol", str(Path(__file__).parents[2] / "data" / "tiny.yaml"), "--data-root", str(root), "--out", str(root / NAME)]
    return [*given, "--novel-seen", "possible", *options]


NETWORK = ("--backbone", "conv2", "--weights", "conv2.safetensors", "--mean", "0.3053", "--std", "0.3760", "--pretrained", "noise")


def protocol_in(root: Path) -> Protocol:
    return load_protocol(str(root / NAME / f"{NAME}.yaml"))
