"""The whole way on real images: a slice of CIFAR-100 as PNG folders, through the command line, to the table."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from methods.contract.registry import method_names

ROOT = Path(__file__).resolve().parent.parent
CLASSES, TRAIN, TEST = 10, 60, 40


@pytest.fixture(scope="module")
def cifar_root(shared: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ten classes, 60 training and 40 test images each, in the folder layout that users have."""
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


def run_all(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_all.py"), "--protocol", "tests/data/cifar_slice.yaml", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_every_method_on_real_images(cifar_root: Path, tmp_path: Path) -> None:
    done = run_all("--data-root", str(cifar_root), "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "records").rglob("seed00.json")]
    assert sorted(record["identity"]["method"] for record in records) == method_names()
    table = (tmp_path / "cifar_slice.md").read_text()
    for record in records:
        first = record["sessions"][0]
        assert record["title"] in table
        assert sum(first["total"]) == 6 * TEST
        assert sum(record["sessions"][-1]["total"]) == CLASSES * TEST
        assert sum(first["correct"]) / sum(first["total"]) > 0.35, "real classes were not learnt: chance is 1 in 6"


def test_canonical_shots_are_refused_where_the_original_order_is_lost(cifar_root: Path, tmp_path: Path) -> None:
    """methods.md 1.3: PNG folders cannot give the canonical list; the mend is named before anything is trained."""
    refused = run_all("--data-root", str(cifar_root), "--results", str(tmp_path), "--split", "canonical")
    assert refused.returncode == 2
    assert "--split canonical-order" in refused.stderr
    assert not list(tmp_path.rglob("*.json"))
