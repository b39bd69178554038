"""Archives from the net: verified by their MD5 before anything is taken out, unpacked aside, and put in place in one step.

torchvision's own extractor lets a tar write anywhere, and leaves half a folder where it is killed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.system.errors import DataError
from benchmarks.system.files import write_atomic


def fetch_archive(urls: Sequence[str], md5: str, folder: Path) -> Path:
    """The archive in `folder`, downloaded from the first address that answers unless it is there whole. Raises whatever that raises."""
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / urls[0].rsplit("/", 1)[1]
    for number, url in enumerate(urls):
        try:
            download_url(url, str(folder), archive.name, md5)
            break
        except (OSError, RuntimeError):  # no answer, or other bytes
            if number == len(urls) - 1:
                raise
    verify(archive, md5)
    return archive


def verify(file: Path, md5: str) -> None:
    """Raises DataError unless the file's MD5 is the published one."""
    with file.open("rb") as source:
        found = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DataError(f"{file}: its MD5 is {found} instead of {md5}; remove it")


def unpack(archive: Path, name: str, into: Path) -> None:
    """Put the folder `name` of a verified archive into `into`, whole or not at all.

    Raises tarfile.FilterError for names and links that leave the folder and for devices; in a zip, there is no writing outside.
    """
    with tempfile.TemporaryDirectory(dir=into, prefix=f".{name}.") as scratch:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as pack:
                pack.extractall(scratch)
        else:
            with tarfile.open(archive) as tape:
                tape.extractall(scratch, filter="data")
        if (into / name).is_dir():  # half of it, from before this was done in one step
            shutil.rmtree(into / name)
        os.replace(Path(scratch) / name, into / name)


def unzip_file(archive: Path, file: Path) -> None:
    """Write what a verified .gz holds. Raises StorageError."""
    write_atomic(file, gzip.decompress(archive.read_bytes()))
