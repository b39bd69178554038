"""Downloaded archives. They are verified by MD5, unpacked into a temporary folder, and then moved into place in one step.

torchvision's own extractor lets a tar write anywhere, and leaves an incomplete folder if it is killed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.system.errors import DataError
from benchmarks.system.files import write_atomic


def fetch_archive(urls: Sequence[str], md5: str, folder: Path) -> Path:
    """Path of the archive in `folder`, downloaded from the first working URL unless present. Raises DataError, OSError or RuntimeError."""
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / urls[0].rsplit("/", 1)[1]
    for number, url in enumerate(urls):
        try:
            download_url(url, str(folder), archive.name, md5)
            break
        except (OSError, RuntimeError):  # no answer, or a wrong MD5
            if number == len(urls) - 1:
                raise
    verify(archive, md5)
    return archive


def fetch_folder(urls: Sequence[str], md5: str, name: str, into: Path) -> None:
    """Puts the folder `name` of an archive into `into`, unless it is there, as when another process has downloaded it meanwhile. Raises
    as fetch_archive and unpack do."""
    if not (into / name).is_dir():
        unpack(fetch_archive(urls, md5, into), name, into)


def verify(file: Path, md5: str) -> None:
    """Raises DataError unless the file has this MD5."""
    with file.open("rb") as source:
        found = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DataError(f"{file}: its MD5 is {found} instead of {md5}; remove it")


def unpack(archive: Path, name: str, into: Path) -> None:
    """Unpack the folder `name` of a verified archive into `into`, completely or not at all.

    Raises tarfile.FilterError for names and links that leave the folder and for devices. zipfile never writes outside it.
    """
    with tempfile.TemporaryDirectory(dir=into, prefix=f".{name}.") as scratch:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as pack:
                pack.extractall(scratch)
        else:
            if not hasattr(tarfile, "data_filter"):
                raise DataError(f"{archive}: Python {platform.python_version()} cannot unpack it safely; Python 3.11.4 and later can")
            with tarfile.open(archive) as tape:
                tape.extractall(scratch, filter="data")
        if (into / name).is_dir():  # incomplete, from an unpacking by other means
            shutil.rmtree(into / name)
        os.replace(Path(scratch) / name, into / name)


def unzip_file(archive: Path, file: Path) -> None:
    """Decompress a verified .gz archive into `file`. Raises StorageError."""
    write_atomic(file, gzip.decompress(archive.read_bytes()))
