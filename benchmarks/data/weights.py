"""Pre-trained weights: found under the data root or downloaded, checked by their full SHA-256, never unpickled as code."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.sources.raw import fetch
from benchmarks.system.errors import DataError, NotHereError, StorageError, UsageError
from benchmarks.system.files import sha256_file
from protocols.schema import Backbone

FILES = {("resnet18", "imagenet"): "resnet18-f37072fd.pth"}  # torchvision's IMAGENET1K_V1
SHA256 = {"resnet18-f37072fd.pth": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"}
URL = "https://download.pytorch.org/models/"


def check_known(backbone: Backbone) -> None:
    """Raises UsageError if the requested weights do not exist."""
    if backbone.weights is None and backbone.pretrained is not None and (backbone.name, backbone.pretrained) not in FILES:
        having = ", ".join(name for name, weights in FILES if weights == backbone.pretrained)
        raise UsageError(
            f"backbone.pretrained: there are no {backbone.pretrained} weights for {backbone.name}, only for {having}; "
            "name a file of your own with backbone.weights"
        )


def find_weights(backbone: Backbone, root: Path) -> Path | None:
    """Path of the pre-trained weights, or None if the backbone is initialised randomly.

    Raises DataError, UsageError or StorageError.
    """
    check_known(backbone)
    if backbone.pretrained is None:
        return None
    if backbone.weights is not None:
        path = root / "weights" / backbone.weights.file
        if not path.is_file():
            raise NotHereError(f"{backbone.name} weights: {path} is not there; docs/DATA.md says how to make or fetch it")
        check_sha256(path, backbone.weights.sha256, "remove it and put the file there that the protocol means")
        return path
    name = FILES[backbone.name, backbone.pretrained]
    path = root / "weights" / name
    if not path.is_file():
        fetch(f"{backbone.name} weights", root, lambda: download(name, path), f"Fetch {URL}{name} and put it at {path}.")
    check_sha256(path, SHA256[name], f"remove it, or fetch it again from {URL}{name}")
    return path


def check_sha256(path: Path, wanted: str, mend: str) -> None:
    """Raises DataError if the file has another SHA-256, or StorageError if it cannot be read. `mend` says what to do."""
    try:
        found = sha256_file(path)
    except OSError as error:
        raise StorageError.of(path, error, "read") from None
    if found != wanted:
        raise DataError(f"{path}: its SHA-256 is not {wanted}; {mend}")


def download(name: str, path: Path) -> None:
    from torch.hub import download_url_to_file

    if path.is_file():  # another process has downloaded it meanwhile
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    download_url_to_file(URL + name, str(path), hash_prefix=SHA256[name], progress=False)
