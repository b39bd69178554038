"""Omniglot as its authors and as torchvision lay it out; half of it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.data.images import load_images
from benchmarks.data.sources import locate, omniglot
from tests.benchmarks.data.conftest import WriteImages, data_of, grey, refused


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
