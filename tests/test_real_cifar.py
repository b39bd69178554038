"""The whole way on real images: a slice of CIFAR-100 as PNG folders, through the command line, to the table."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import ROOT, call
from tests.trust.asking import ask

CLASSES, TRAIN, TEST = 10, 40, 20


@pytest.fixture(scope="module")
def cifar_root(shared: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ten classes, 40 training and 20 test images each, in the folder layout that users have."""
    root = tmp_path_factory.mktemp("cifar")
    with zipfile.ZipFile(shared("cifar100.zip")) as archive:
        index = json.loads(archive.read("names.json"))
        for part, count in (("train", TRAIN), ("test", TEST)):
            for key in sorted(key for key in index["files"] if key.startswith(f"{part}/"))[:CLASSES]:
                mosaic = np.asarray(Image.open(io.BytesIO(archive.read(f"{key}.webp"))).convert("RGB"))
                folder = root / "cifar100" / key
                folder.mkdir(parents=True)
                for number in range(count):
                    row, column = divmod(number, index["columns"][part])
                    tile = mosaic[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                    Image.fromarray(tile).save(folder / index["files"][key][number])
    return root


PROTOCOL = ROOT / "tests" / "data" / "cifar_slice.yaml"


FAMILIES = ["base_only", "proto", "ft_cnn", "icarl", "topic", "lecnet", "lwf", "teen", "closer"]


def test_a_method_of_each_family_on_real_images(cifar_root: Path, tmp_path: Path) -> None:
    """All others run on digits, which take a tenth of the time."""
    names = FAMILIES
    line = ["--protocol", str(PROTOCOL), "--methods", ",".join(names), "--data-root", str(cifar_root), "--results", str(tmp_path)]
    done = call(*line, timeout=600)
    assert done.status == 0, done.err
    assert "Warning" not in done.err
    records = [json.loads(path.read_text()) for path in (tmp_path / "records").rglob("seed00.json")]
    assert sorted(record["identity"]["method"] for record in records) == sorted(names)
    tables = {group: (tmp_path / f"{group}cifar_slice.md").read_text() for group in ("", "modern.")}
    for record in records:
        first = record["sessions"][0]
        assert record["title"] in tables["modern." if record["group"] else ""]
        assert sum(first["total"]) == 6 * TEST
        assert sum(record["sessions"][-1]["total"]) == CLASSES * TEST
        assert sum(first["correct"]) / sum(first["total"]) > 0.35, "real classes were not learnt: chance is 1 in 6"


def test_canonical_shots_are_refused_where_the_original_order_is_lost(cifar_root: Path, tmp_path: Path) -> None:
    """docs/methods.md 1.3: PNG folders cannot give the canonical list; the mend is named before anything is trained."""
    places = ("--data-root", str(cifar_root), "--results", str(tmp_path))
    assert ask("--protocol", str(PROTOCOL), *places, "--split", "canonical").fault("--split canonical-order") == ""
    assert not list(tmp_path.rglob("*.json"))
