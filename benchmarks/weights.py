"""Pre-trained weights: found under the data root or downloaded, checked against the hash in their name, never unpickled."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import DataError
from benchmarks.files import sha256_file
from benchmarks.sources.raw import fetch
from protocols.schema import Backbone

FILES = {("resnet18", "imagenet"): "resnet18-f37072fd.pth"}  # torchvision's IMAGENET1K_V1
URL = "https://download.pytorch.org/models/"


def find_weights(backbone: Backbone, root: Path) -> Path | None:
    """The checkpoint that the backbone starts from; None where it starts from random values. Raises DataError."""
    if backbone.pretrained is None:
        return None
    name = FILES.get((backbone.name, backbone.pretrained))
    if name is None:
        raise DataError(f"there are no {backbone.pretrained} weights for backbone {backbone.name}")
    path = root / "weights" / name
    if not path.is_file():
        fetch(f"{backbone.name} weights", root, lambda: download(name, path), f"Fetch {URL}{name} and put it at {path}.")
    expected = path.stem.rsplit("-", 1)[1]
    if not sha256_file(path).startswith(expected):
        raise DataError(f"{path}: its SHA-256 does not start with {expected}; fetch it again from {URL}{name}")
    return path


def download(name: str, path: Path) -> None:
    from torch.hub import download_url_to_file

    if path.is_file():  # another process has been here
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    download_url_to_file(URL + name, str(path), hash_prefix=path.stem.rsplit("-", 1)[1], progress=False)
