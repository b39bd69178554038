"""What each source finds under the data root, in which order, and what it says where something is missing."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.data.images import load_images
from benchmarks.data.sources import cifar100, cub200, locate, mnist, omniglot
from benchmarks.data.sources.raw import RawSet
from benchmarks.data.splits import make_split
from benchmarks.system.errors import DataError
from protocols import load_protocol
from protocols.schema import Data

WriteImages = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
Shared = Callable[[str], Path]
MNIST_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


def data_of(source: str, **changes: Any) -> Data:
    return Data.model_validate({"source": source, "size": 8, "channels": 1, "mean": [0.5], "std": [0.5], **changes})


def grey(value: int, side: int = 8) -> NDArray[np.uint8]:
    return np.full((side, side), value, dtype=np.uint8)


def read(data: Data, root: Path) -> RawSet:
    return locate(data, root).read()


@contextmanager
def refused(*named: object) -> Iterator[None]:
    """A DataError of one line, in which all of these appear."""
    with pytest.raises(DataError) as caught:
        yield
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert all(str(name) in message for name in named), message


def tree(*names: str, each: int = 2, suffix: str = "png") -> dict[str, NDArray[np.uint8]]:
    """Images of these classes in train/ and test/; each image has a grey level of its own."""
    files = [f"{part}/{name}/{i}.{suffix}" for part in ("train", "test") for name in names for i in range(each)]
    return {file: grey(10 + index) for index, file in enumerate(files)}


# A folder of one's own


def test_folder_tree(write_images: WriteImages, tmp_path: Path) -> None:
    """Classes and files in sorted order, whatever order the file system gives them; other files are passed over."""
    images = tree("b", "a10", "a9")
    write_images(tmp_path / "my" / "birds", dict(reversed(images.items())))
    (tmp_path / "my" / "birds" / "train" / "a9" / "notes.txt").write_text("not an image")
    (tmp_path / "my" / "birds" / "train" / "README.md").write_text("not a class")
    raw = read(data_of("folder", path="my/birds"), tmp_path)
    assert raw.class_names == ("a10", "a9", "b")
    assert [str(file.relative_to(tmp_path / "my" / "birds")) for file in raw.train.images if isinstance(file, Path)] == [
        f"train/{name}/{i}.png" for name in ("a10", "a9", "b") for i in (0, 1)
    ]
    assert raw.train.classes.tolist() == raw.test.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert raw.keys is None  # the original order of the files is not known


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "JPEG", "bmp", "webp", "gif", "tif", "pgm"])
def test_folder_tree_of_other_formats(suffix: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", tree("a", "b", suffix=suffix))
    loaded = load_images(data_of("folder", path="mine"), tmp_path)
    levels = loaded.train.reshape(4, -1).astype(int)
    assert np.abs(levels - [[10], [11], [12], [13]]).max() <= 2  # jpg and webp are not exact


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("test", "train")])
def test_class_in_only_one_part(part: str, other: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", {**tree("a", "b"), f"{part}/wren/0.png": grey(0)})
    with refused("mine", f"class 'wren' is in {part} and not in {other}"):
        locate(data_of("folder", path="mine"), tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_class_without_images(part: str, write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "mine", tree("a", "b"))
    shutil.rmtree(tmp_path / "mine" / part / "b")
    (tmp_path / "mine" / part / "b").mkdir()
    (tmp_path / "mine" / part / "b" / "list.txt").write_text("")
    with refused("mine", tmp_path / "mine" / part / "b", "no image"):
        locate(data_of("folder", path="mine"), tmp_path)


@pytest.mark.parametrize("there", [[], ["mine"], ["mine/train"], ["mine/test/a"]])
def test_folder_that_is_not_there(there: list[str], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    with refused("mine", tmp_path / "mine", "train/<class>/<images>", "test/<class>/<images>"):
        locate(data_of("folder", path="mine"), tmp_path)


def test_folder_without_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    with refused("mine", tmp_path / "mine" / "train", "no class folders"):
        locate(data_of("folder", path="mine"), tmp_path)


def test_fingerprint_changes_with_the_files(write_images: WriteImages, tmp_path: Path) -> None:
    data = data_of("folder", path="mine")
    write_images(tmp_path / "mine", tree("a", "b"))
    first = locate(data, tmp_path).fingerprint
    assert locate(data, tmp_path).fingerprint == first
    (tmp_path / "mine/train/a/0.png").rename(tmp_path / "mine/train/a/00.png")
    second = locate(data, tmp_path).fingerprint
    write_images(tmp_path / "mine", {"test/b/0.png": grey(0, side=90)})
    assert len({first, second, locate(data, tmp_path).fingerprint}) == 3


# Nothing there, and no network


@pytest.mark.parametrize(
    ("source", "module", "function", "fetched"),
    [
        ("cifar100", cifar100, "download", "cifar-100-python.tar.gz"),
        ("cub200", cub200, "download", "CUB_200_2011.tgz"),
        ("mnist", mnist, "download", "train-images-idx3-ubyte"),
        ("omniglot", omniglot, "download", "images_background.zip"),
    ],
)
@pytest.mark.parametrize("error", [URLError("no route\nto host"), OSError(28, "No space left on device"), RuntimeError()], ids=repr)
def test_failed_download_says_what_to_fetch_and_where_to_put_it(
    source: str, module: Any, function: str, fetched: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, function, fail)
    with refused(source, fetched, tmp_path, str(error).split("\n")[0] or type(error).__name__):
        locate(data_of(source), tmp_path)


def test_miniimagenet_cannot_be_downloaded(tmp_path: Path) -> None:
    with refused("miniimagenet", tmp_path / "miniimagenet", "split/train.csv", "train/<wnid>/"):
        locate(data_of("miniimagenet"), tmp_path)


@pytest.mark.parametrize("source", ["cifar100", "cub200", "mnist"])
def test_a_class_folder_tree_serves_where_the_archive_is_not_there(source: str, write_images: WriteImages, tmp_path: Path) -> None:
    """Without keys: the original order is lost, so the canonical shots are refused rather than wrong."""
    write_images(tmp_path / source, tree("a", "b"))
    raw = read(data_of(source), tmp_path)
    assert (raw.class_names, raw.keys) == (("a", "b"), None)


def test_canonical_shots_are_refused_on_a_cifar_tree(write_images: WriteImages, tmp_path: Path) -> None:
    write_images(tmp_path / "cifar100", tree(*(f"{n:02}" for n in range(100)), each=1))
    raw = read(data_of("cifar100"), tmp_path)
    with refused("canonical-order"):
        make_split(load_protocol("cifar100"), "canonical", 0, raw.train.classes, raw.test.classes, raw.keys)


def test_damaged_cifar_archive(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"half")
    with refused("cifar100", tmp_path):
        load_images(data_of("cifar100"), tmp_path)


# miniImageNet

WNIDS = ("n01532829", "n01558993", "n13133613")


def write_lists(folder: Path, files: dict[str, list[tuple[str, str]]]) -> None:
    for part, rows in files.items():
        (folder / "split").mkdir(parents=True, exist_ok=True)
        (folder / "split" / f"{part}.csv").write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))


@pytest.fixture
def mini(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with three classes of miniImageNet as the CEC family packs it: one folder of images, two lists."""
    files = {part: [(f"{wnid}0000{at + i}.jpg", wnid) for wnid in WNIDS for i in range(2)] for part, at in (("train", 1), ("test", 5))}
    write_lists(tmp_path / "miniimagenet", files)
    names = [name for rows in files.values() for name, _ in rows]
    write_images(tmp_path / "miniimagenet", {f"images/{name}": grey(20 * index) for index, name in enumerate(names)})
    return tmp_path


def test_miniimagenet_is_the_same_in_both_layouts(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("tree")
    for part in ("train", "test"):
        for line in (mini / "miniimagenet" / "split" / f"{part}.csv").read_text().splitlines()[1:]:
            name, label = line.split(",")
            folder = other / "miniimagenet" / part / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(mini / "miniimagenet" / "images" / name, folder)
    one, two = (load_images(data_of("miniimagenet"), root) for root in (mini, other))
    assert one.class_names == two.class_names == WNIDS
    assert one.keys == two.keys == [f"{wnid}/{wnid}0000{i}.jpg" for wnid in WNIDS for i in (1, 2)]
    for name in ("train", "plain", "test", "train_classes", "test_classes"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert len({image.tobytes() for image in [*one.train, *one.test]}) == 12


def test_miniimagenet_keeps_the_order_of_its_list(mini: Path) -> None:
    rows = [(f"{wnid}0000{i}.jpg", wnid) for i in (2, 1) for wnid in reversed(WNIDS)]
    write_lists(mini / "miniimagenet", {"train": rows})
    raw = read(data_of("miniimagenet"), mini)
    assert raw.keys == [f"{wnid}/{name}" for name, wnid in rows]
    assert raw.train.classes.tolist() == [2, 1, 0, 2, 1, 0]  # numbers follow the sorted wnids all the same


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "sub/x.jpg", "..", ""])
def test_miniimagenet_list_cannot_leave_its_folder(name: str, mini: Path) -> None:
    (mini / "secret.jpg").write_bytes(b"")
    write_lists(mini / "miniimagenet", {"test": [(name, wnid) for wnid in WNIDS]})
    with refused(mini / "miniimagenet"):
        locate(data_of("miniimagenet"), mini)


def test_missing_miniimagenet_image_is_named(mini: Path) -> None:
    file = mini / "miniimagenet" / "images" / "n0155899300005.jpg"
    file.unlink()
    with refused("miniimagenet", file):
        locate(data_of("miniimagenet"), mini)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,class\nn0153282900005.jpg,n01532829\n", "filename,label"),
        ("", "filename,label"),
        ("filename,label\nn0153282900005.jpg,n01532829\n", "'n01558993' is in train and not in test"),
        ("filename,label\nn0153282900005.jpg\n", "test.csv"),
        ("filename,label\n", "test.csv"),
    ],
    ids=["other columns", "empty", "class missing", "column missing", "no rows"],
)
def test_bad_miniimagenet_list(text: str, named: str, mini: Path) -> None:
    (mini / "miniimagenet" / "split" / "test.csv").write_text(text)
    with refused(mini / "miniimagenet" / "split" / "test.csv", named):
        locate(data_of("miniimagenet"), mini)


# Omniglot


def drawings(character: str, count: int = 20) -> dict[str, NDArray[np.uint8]]:
    """Black ink on white paper; drawing n, from 1, has n black pixels."""
    images = {}
    for number in range(1, count + 1):
        pixels = grey(255)
        pixels.flat[:number] = 0
        images[f"{character}/0000_{number:02}.png"] = pixels
    return images


@pytest.fixture
def characters(write_images: WriteImages, tmp_path: Path) -> Path:
    names = ["images_evaluation/Angelic/character01", "images_background/Tagalog/character02", "images_background/Tagalog/character01"]
    for name in names:
        write_images(tmp_path / "omniglot", drawings(name))
    return tmp_path


def test_omniglot(characters: Path) -> None:
    """Background characters come first; drawings 1-10 train, 11-20 test; ink is light on dark, as zero padding is."""
    loaded = load_images(data_of("omniglot"), characters)
    assert loaded.class_names == ("Tagalog/character01", "Tagalog/character02", "Angelic/character01")
    assert loaded.train_classes.tolist() == loaded.test_classes.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    for images, numbers in ((loaded.train, range(1, 11)), (loaded.test, range(11, 21))):
        assert [int((image == 255).sum()) for image in images] == list(numbers) * 3
        assert set(np.unique(images).tolist()) == {0, 255}
    assert loaded.keys is None


def test_what_a_mac_leaves_beside_a_drawing_is_no_image(characters: Path) -> None:
    expected = load_images(data_of("omniglot"), characters).sha256
    drawing = next(characters.rglob("*.png"))
    (drawing.parent / f"._{drawing.name}").write_bytes(b"Mac OS X")
    assert load_images(data_of("omniglot"), characters).sha256 == expected


def test_torchvisions_omniglot_folder_serves_too(characters: Path) -> None:
    expected = load_images(data_of("omniglot"), characters).sha256
    (characters / "omniglot").rename(characters / "omniglot-py")
    assert load_images(data_of("omniglot"), characters).sha256 == expected


@pytest.mark.parametrize("count", [0, 19, 21])
def test_omniglot_character_without_twenty_drawings(count: int, characters: Path, write_images: WriteImages) -> None:
    folder = characters / "omniglot" / "images_background" / "Tagalog" / "character02"
    shutil.rmtree(folder)
    folder.mkdir()
    write_images(characters / "omniglot", drawings("images_background/Tagalog/character02", count))
    with refused("omniglot", folder, f"{count} drawings instead of 20"):
        locate(data_of("omniglot"), characters)


@pytest.mark.parametrize("part", ["images_background", "images_evaluation"])
def test_half_of_omniglot_is_not_omniglot(part: str, characters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer characters are another permutation of classes under every seed: other results under the same name."""

    def fail(root: Path) -> None:
        raise URLError("no network")

    monkeypatch.setattr(omniglot, "download", fail)
    shutil.rmtree(characters / "omniglot" / part)
    with refused("omniglot", f"{part}.zip"):
        locate(data_of("omniglot"), characters)


def test_a_download_that_broke_off_is_not_taken_for_omniglot(
    write_images: WriteImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision unpacks the background characters before it asks for the others."""

    def break_off(root: Path) -> None:
        write_images(root / "omniglot-py", drawings("images_background/Tagalog/character01"))
        raise URLError("connection reset")

    monkeypatch.setattr(omniglot, "download", break_off)
    for _ in range(2):
        with refused("omniglot", "images_evaluation.zip"):
            locate(data_of("omniglot"), tmp_path)


# CUB-200-2011


@pytest.fixture
def cub(write_images: WriteImages, tmp_path: Path) -> Path:
    """A data root with three classes of four images in CUB's own layout; its lists are not sorted by name."""
    names = ["001.Albatross", "002.Auklet", "003.Wren"]
    files = [f"{name}/{name[4:]}_{i:04}_{91 - i}.jpg" for name in names for i in (3, 1, 4, 2)]
    folder = tmp_path / "CUB_200_2011"
    write_images(folder / "images", {file: grey(10 * index) for index, file in enumerate(files)})
    lists = {
        "classes.txt": [f"{number} {name}" for number, name in enumerate(names, 1)],
        "images.txt": [f"{number} {file}" for number, file in enumerate(files, 1)],
        "image_class_labels.txt": [f"{number} {int(file[:3])}" for number, file in enumerate(files, 1)],
        "train_test_split.txt": [f"{number} {int(number % 4 != 2)}" for number in range(1, 13)],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_cub(cub: Path) -> None:
    """The official split, in the order of images.txt, class 001 as number 0."""
    raw = read(data_of("cub200"), cub)
    assert raw.class_names == ("001.Albatross", "002.Auklet", "003.Wren")
    assert raw.train.classes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert raw.test.classes.tolist() == [0, 1, 2]
    assert raw.keys is not None
    assert raw.keys[:3] == [
        "001.Albatross/Albatross_0003_88.jpg",
        "001.Albatross/Albatross_0004_87.jpg",
        "001.Albatross/Albatross_0002_89.jpg",
    ]
    assert list(raw.train.images) == [cub / "CUB_200_2011" / "images" / key for key in raw.keys]
    assert str(raw.test.images[2]).endswith("003.Wren/Wren_0001_90.jpg")


def test_first_classes_of_cub_need_no_other_images(cub: Path) -> None:
    shutil.rmtree(cub / "CUB_200_2011" / "images" / "003.Wren")
    raw = read(data_of("cub200", classes=2), cub)
    assert raw.class_names == ("001.Albatross", "002.Auklet")
    assert raw.train.classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert raw.keys is not None
    assert len(raw.keys) == 6
    with refused("cub200", cub / "CUB_200_2011" / "images" / "003.Wren"):
        locate(data_of("cub200"), cub)


def test_missing_cub_image_is_named(cub: Path) -> None:
    file = cub / "CUB_200_2011" / "images" / "002.Auklet" / "Auklet_0004_87.jpg"
    file.unlink()
    with refused("cub200", file, "CUB_200_2011.tgz"):
        locate(data_of("cub200"), cub)


@pytest.mark.parametrize("name", ["classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt"])
def test_missing_cub_list_is_named(name: str, cub: Path) -> None:
    (cub / "CUB_200_2011" / name).unlink()
    with refused("cub200", cub / "CUB_200_2011" / name, "CUB_200_2011.tgz"):
        locate(data_of("cub200"), cub)


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "train_test_split.txt"])
@pytest.mark.parametrize(
    "damage",
    [lambda text: text[: len(text) // 2], lambda text: text + "13\n", lambda text: text.replace("\n", " \x00\n"), lambda text: ""],
    ids=["cut", "column missing", "stray bytes", "empty"],
)
def test_damaged_cub_list(name: str, damage: Callable[[str], str], cub: Path) -> None:
    path = cub / "CUB_200_2011" / name
    path.write_text(damage(path.read_text()))
    with refused("cub200", cub / "CUB_200_2011"):
        read(data_of("cub200"), cub)


def test_more_classes_than_cub_lists(cub: Path) -> None:
    with refused("cub200", "3 of the 4 classes"):
        locate(data_of("cub200", classes=4), cub)


def test_real_cub(shared: Shared, tmp_path: Path) -> None:
    """The lists of all 200 classes with the photographs of the first 50."""
    for name in ("cub200_first50.tar", "cub200_metadata.tar"):  # the first has lists of its own, of 50 classes
        with tarfile.open(shared(name)) as archive:
            archive.extractall(tmp_path / "CUB_200_2011", filter="data")
    raw = read(data_of("cub200", classes=50), tmp_path)
    assert (len(raw.train.classes), len(raw.test.classes), len(raw.class_names)) == (1500, 1389, 50)
    assert np.bincount(raw.train.classes).tolist() == [30] * 50
    assert raw.keys is not None
    assert raw.keys[0] == "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg"
    with refused("cub200", tmp_path / "CUB_200_2011" / "images" / "051.Horned_Grebe"):
        locate(data_of("cub200"), tmp_path)
    loaded = load_images(data_of("cub200", classes=2, channels=3, mean=[0.5] * 3, std=[0.5] * 3, train_size=10), tmp_path)
    assert (loaded.train.shape, loaded.plain.shape) == ((60, 3, 10, 10), (60, 3, 8, 8))
    assert 60 < loaded.plain.mean() < 190  # photographs: neither black nor white


# MNIST


@pytest.fixture(scope="module")
def mnist_root(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the real idx files, unpacked."""
    root = tmp_path_factory.mktemp("mnist")
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / name).write_bytes(gzip.decompress((shared("mnist") / f"{name}.gz").read_bytes()))
    return root


@pytest.fixture
def mnist_copy(mnist_root: Path, tmp_path: Path) -> Path:
    """MNIST/raw of a data root of this test's own, whose files are links to the real ones."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / name).hardlink_to(mnist_root / "MNIST" / "raw" / name)
    return folder


def test_real_mnist(mnist_root: Path) -> None:
    raw = read(data_of("mnist"), mnist_root)
    assert raw.class_names == tuple("0123456789")
    assert isinstance(raw.train.images, np.ndarray)
    assert (raw.train.images.shape, len(raw.test.images)) == ((60000, 28, 28), 10000)
    idx = (mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes()
    assert raw.train.images.tobytes() == idx[16:]
    labels = (mnist_root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes()
    assert raw.test.classes.tolist() == list(labels[8:])
    assert raw.keys == [str(row) for row in range(60000)]


def test_first_digits_of_mnist(mnist_root: Path) -> None:
    loaded = load_images(data_of("mnist", classes=2, size=28), mnist_root)
    assert loaded.class_names == ("0", "1")
    assert loaded.train.shape == (5923 + 6742, 1, 28, 28)  # zeros and ones of the training labels, as its authors count them
    assert set(loaded.test_classes.tolist()) == {0, 1}
    raw = read(data_of("mnist"), mnist_root)
    assert isinstance(raw.train.images, np.ndarray)
    assert np.array_equal(loaded.train[:, 0], raw.train.images[raw.train.classes < 2])
    assert loaded.keys is not None
    assert [int(key) for key in loaded.keys] == np.flatnonzero(raw.train.classes < 2).tolist()


@pytest.mark.parametrize("name", MNIST_FILES)
def test_mnist_with_a_file_missing(name: str, mnist_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    (mnist_copy / name).unlink()
    with refused("mnist", mnist_copy):
        read(data_of("mnist"), mnist_copy.parents[1])


@pytest.mark.parametrize("name", MNIST_FILES)
@pytest.mark.parametrize("kept", [0, 5000])
def test_truncated_mnist_file(name: str, kept: int, mnist_copy: Path) -> None:
    content = (mnist_copy / name).read_bytes()
    (mnist_copy / name).unlink()
    (mnist_copy / name).write_bytes(content[:kept])
    with refused("mnist", mnist_copy):
        read(data_of("mnist"), mnist_copy.parents[1])


def test_mnist_as_it_is_distributed(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files come as .gz: put there so, they are either read or one is told to unpack them."""

    def no_network(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", no_network)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (folder / f"{name}.gz").symlink_to(shared("mnist") / f"{name}.gz")
    try:
        assert len(read(data_of("mnist"), tmp_path).train.classes) == 60000
    except DataError as error:
        assert str(folder) in str(error)


# Digits


def test_digits(tmp_path: Path) -> None:
    """1,797 images, every third one for testing; 17 grey levels spread over 0..255."""
    loaded = load_images(data_of("digits"), tmp_path)
    assert (loaded.train.shape, loaded.test.shape) == ((1198, 1, 8, 8), (599, 1, 8, 8))
    assert loaded.class_names == tuple("0123456789")
    assert (loaded.train.min(), loaded.train.max(), len(np.unique(loaded.train))) == (0, 255, 17)
    digits = load_digits()
    assert loaded.test_classes.tolist() == digits.target[2::3].tolist()
    assert np.abs(loaded.test[:, 0] / 255 - digits.images[2::3] / 16).max() < 0.5 / 255 + 1e-9


@pytest.mark.parametrize("inside", ["CUB_200_2011/images.txt", "../escaped.txt"])
def test_a_cub_archive_is_unpacked_whole_or_not_at_all(inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leaves the folder is refused, and nothing of such an archive stays."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "list").write_text("1 a.jpg")
    with tarfile.open(root / cub200.ARCHIVE, "w:gz") as archive:
        archive.add(tmp_path / "list", "CUB_200_2011/classes.txt")
        archive.add(tmp_path / "list", inside)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda *arguments: None)
    monkeypatch.setattr(cub200, "MD5", hashlib.md5((root / cub200.ARCHIVE).read_bytes()).hexdigest())
    if inside.startswith(".."):
        with pytest.raises(tarfile.FilterError):
            cub200.download(root)
        assert [path.name for path in root.iterdir()] == [cub200.ARCHIVE]
        assert not (tmp_path / "escaped.txt").exists()
    else:
        cub200.download(root)
        assert (root / inside).read_text() == "1 a.jpg"
