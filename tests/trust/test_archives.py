"""Nothing is written or read outside its folder: archives, names in lists, folders of images."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.images import load_images
from benchmarks.data.sources import archives, cifar100, cub200, locate, mnist, omniglot
from benchmarks.system.errors import DataError
from tests.benchmarks.data.conftest import data_of
from tests.trust.asking import time_limit

# Archives ---------------------------------------------------------------------------------------------------------------


def tar_of(name: str, *members: tarfile.TarInfo) -> bytes:
    """A good file of the folder `name`, then these."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        good = tarfile.TarInfo(f"{name}/good")
        good.size = 2
        archive.addfile(good, io.BytesIO(b"ok"))
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


EVIL_TARS = {
    "parent": [member("../evil")],
    "deep parent": [member("CUB_200_2011/../../evil")],
    "link out": [member("CUB_200_2011/a", tarfile.SYMTYPE, "../../evil")],
    "absolute link": [member("CUB_200_2011/a", tarfile.SYMTYPE, "/etc/passwd")],
    "hard link out": [member("CUB_200_2011/a", tarfile.LNKTYPE, "../../evil")],
    "through a link": [member("CUB_200_2011/a", tarfile.SYMTYPE, ".."), member("CUB_200_2011/a/../../evil")],
    "device": [member("CUB_200_2011/a", tarfile.CHRTYPE)],
    "pipe": [member("CUB_200_2011/a", tarfile.FIFOTYPE)],
}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", no_network)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", no_network)


@pytest.mark.parametrize("members", EVIL_TARS.values(), ids=EVIL_TARS.keys())
def test_a_tar_cannot_leave_its_folder(members: list[tarfile.TarInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one whose checksum is right; nothing of it stays."""
    root = tmp_path / "root"
    root.mkdir()
    content = tar_of("CUB_200_2011", *members)
    (root / cub200.ARCHIVE).write_bytes(content)
    monkeypatch.setattr(cub200, "MD5", hashlib.md5(content).hexdigest())
    with pytest.raises(tarfile.FilterError):
        cub200.download(root)
    assert [path.name for path in root.iterdir()] == [cub200.ARCHIVE]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_names_from_the_root_are_put_below_it(tmp_path: Path) -> None:
    """As the data filter does: /etc/x becomes etc/x, and is not of the folder that is wanted."""
    outside = tmp_path / "evil"
    archive = tmp_path / "a.tgz"
    archive.write_bytes(tar_of("mine", member(str(outside))))
    archives.unpack(archive, "mine", tmp_path)
    assert (tmp_path / "mine" / "good").read_bytes() == b"ok"
    assert not outside.exists()


@pytest.mark.parametrize("name", ["../evil", "images_background/../../evil", "/evil", "C:\\evil"])
def test_a_zip_cannot_leave_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    from torchvision.datasets import Omniglot

    folder = tmp_path / "root" / "omniglot-py"
    folder.mkdir(parents=True)
    sums = {}
    for part in Omniglot.zips_md5:
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            archive.writestr(f"{part}/good", "ok")
            archive.writestr(name, "evil")
        sums[part] = hashlib.md5((folder / f"{part}.zip").read_bytes()).hexdigest()
    monkeypatch.setattr(Omniglot, "zips_md5", sums)
    omniglot.download(tmp_path / "root")
    assert {path.name for path in folder.iterdir()} == {*sums, *(f"{part}.zip" for part in sums)}
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert not Path("/evil").exists()


@pytest.mark.parametrize("source", ["cifar100", "cub200", "omniglot", "mnist"])
def test_an_archive_with_another_checksum_is_not_opened(
    source: str, tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies there under the right name; the network is asked for another, and does not answer."""
    names = {
        "cifar100": ["cifar-100-python.tar.gz"],
        "cub200": [cub200.ARCHIVE],
        "omniglot": ["omniglot-py/images_background.zip", "omniglot-py/images_evaluation.zip"],
        "mnist": [f"MNIST/raw/{name}.gz" for name in mnist.FILES],
    }[source]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(tar_of("CUB_200_2011"))

    def opened(*arguments: object, **named: object) -> None:
        raise AssertionError("opened")

    for opener in ("tarfile.open", "zipfile.ZipFile", "gzip.decompress", "gzip.open"):
        monkeypatch.setattr(opener, opened)
    with pytest.raises(DataError, match="download failed"):
        locate(data_of(source), tmp_path)
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there - {path for path in there if path.startswith(".cache/")} == {*names}


def test_a_download_that_is_another_file_is_refused_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torchvision checks or not."""
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda url, root, name, md5: (Path(root) / name).write_bytes(b"x"))
    with pytest.raises(DataError, match="its MD5 is"):
        cifar100.download(tmp_path)
    assert not (tmp_path / "cifar-100-python").exists()


def test_whole_archives_are_unpacked_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    """Put there by the user, and half of a folder from an unpacking that was killed is taken away."""
    from torchvision.datasets import CIFAR100

    content = tar_of("cifar-100-python")
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(content)
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(content).hexdigest())
    cifar100.download(tmp_path)
    assert [path.name for path in (tmp_path / "cifar-100-python").iterdir()] == ["good"]


# Names in lists, and what folders hold ----------------------------------------------------------------------------------


def cub(root: Path, name: str) -> None:
    """Two birds, and a third one of this name."""
    folder = root / "CUB_200_2011"
    (folder / "images" / "001.A").mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "images" / "001.A" / f"{number}.jpg")
    lists = {"classes": "1 001.A\n", "images": f"1 001.A/1.jpg\n2 001.A/2.jpg\n3 {name}\n"}
    lists |= {"image_class_labels": "1 1\n2 1\n3 1\n", "train_test_split": "1 1\n2 0\n3 1\n"}
    for file, text in lists.items():
        (folder / f"{file}.txt").write_text(text)


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "001.A/../../../secret.jpg", "..", "001.A/\0.jpg"])
def test_cubs_list_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"")
    cub(tmp_path, name)
    with pytest.raises(DataError, match=r"images\.txt names .* outside"):
        locate(data_of("cub200"), tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("images.txt", b"1 \xff\n"),
        ("images.txt", b"1 001.A/1.jpg\n1 001.A/2.jpg\n"),
        ("image_class_labels.txt", b"1 0\n2 1\n3 1\n"),
        ("image_class_labels.txt", b"1 " + b"9" * 5000 + b"\n2 1\n3 1\n"),
        ("image_class_labels.txt", "1 ١\n2 1\n3 1\n".encode()),
        ("classes.txt", b"\x00"),
    ],
)
def test_cub_lists_that_are_no_lists(file: str, text: bytes, tmp_path: Path) -> None:
    cub(tmp_path, "001.A/1.jpg")
    (tmp_path / "CUB_200_2011" / file).write_bytes(text)
    with pytest.raises(DataError, match="unpack"):
        locate(data_of("cub200"), tmp_path)


@pytest.mark.parametrize(
    "text", [b"filename,label\n\xff,a\n", b"label,filename\na\n", b"filename,label\n" + b"x" * 200_000 + b",a\n", b"filename,label\n..,a\n"]
)
def test_miniimagenet_lists_that_are_no_lists(text: bytes, tmp_path: Path) -> None:
    for part in ("train", "test"):
        file = tmp_path / "miniimagenet" / "split" / f"{part}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    (tmp_path / "miniimagenet" / "images").mkdir()
    with pytest.raises(DataError, match=r"train\.csv: "):
        locate(data_of("miniimagenet"), tmp_path)


def tree(folder: Path) -> None:
    for part in ("train", "test"):
        for name in "ab":
            (folder / part / name).mkdir(parents=True)
            Image.fromarray(np.full((8, 8), 7, np.uint8)).save(folder / part / name / "0.png")


def test_a_users_own_link_to_a_bigger_disk_is_followed(tmp_path: Path) -> None:
    """The whole data set, or one class of it (docs/DATA.md)."""
    tree(tmp_path / "disk")
    (tmp_path / "root" / "mine" / "train").mkdir(parents=True)
    (tmp_path / "root" / "mine" / "test").symlink_to(tmp_path / "disk" / "test")
    for name in "ab":
        (tmp_path / "root" / "mine" / "train" / name).symlink_to(tmp_path / "disk" / "train" / name)
    (tmp_path / "root" / "other").symlink_to(tmp_path / "disk")
    for path in ("mine", "other"):
        assert len(load_images(data_of("folder", path=path), tmp_path / "root").train) == 2


def test_a_pipe_among_images_is_not_waited_for(tmp_path: Path) -> None:
    tree(tmp_path / "mine")
    os.mkfifo(tmp_path / "mine" / "train" / "a" / "pipe.png")
    with time_limit(10), pytest.raises(DataError, match=r"pipe\.png: is not a file"):
        load_images(data_of("folder", path="mine"), tmp_path)
