"""Nothing finished is ever lost: what makes two runs different makes two paths, and a failure removes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.records.reading import read_record, seal, to_json
from benchmarks.records.store import Store
from protocols import load_protocol
from tests.benchmarks.records.older import as_written_by
from tests.trust.nothing_lost.conftest import Run, edit, records


def test_an_edited_recipe_leaves_its_records_and_both_stand_on_the_page(run: Run, yaml: Path, results: Path) -> None:
    assert run() == 0
    before = records(results)
    edit(yaml, "lr: 0.1", "lr: 0.05")
    assert run() == 0
    after = records(results)
    assert len(after) == 2
    assert before.items() <= after.items()
    page = (results / "tiny.md").read_text()
    main_part, _, other = page.partition("## Other settings")
    assert main_part.count("\n## ") == 1
    assert "recipe lr 0.1 instead of 0.05" in other
    assert "| Proto (raw_mean) |" in main_part
    assert "| Proto (raw_mean) |" in other
    edit(yaml, "lr: 0.05", "lr: 0.1")
    assert run() == 0
    assert records(results) == after, "what was done before is done again, without a second run"
    assert "recipe lr 0.05 instead of 0.1" in (results / "tiny.md").read_text().partition("## Other settings")[2]


def test_a_run_that_diverges_removes_nothing(run: Run, yaml: Path, results: Path) -> None:
    assert run() == 0
    before = records(results)
    edit(yaml, "lr: 0.1", "lr: 100000")
    assert run() == 1
    assert records(results) == before
    page = (results / "tiny.md").read_text()
    assert "Runs that failed" in page
    assert "| Proto (raw_mean) |" in page.partition("## Other settings")[2]
    edit(yaml, "lr: 100000", "lr: 0.1")
    assert run() == 0
    assert records(results) == before


def test_two_precisions_live_side_by_side(run: Run, yaml: Path, results: Path) -> None:
    edit(yaml, "    lr: 0.1\n", "    lr: 0.1\n    precision: auto\n")
    assert run("proto", "--precision", "fp32") == 0
    before = records(results)
    assert run("proto", "--precision", "bf16") == 0
    after = records(results)
    assert len(after) == 2
    assert before.items() <= after.items()
    assert {json.loads(content)["identity"]["precision"] for content in after.values()} == {"fp32", "bf16"}
    assert run() == 0
    assert records(results) == after, "whoever leaves the precision open takes what is there"
    page = (results / "tiny.md").read_text()
    assert "computed in bf16" in page
    assert "computed in fp32" in page


def test_one_changed_pixel_is_another_data_set(
    results: Path, tmp_path: Path, write_images: Callable[[Path, dict[str, NDArray[np.uint8]]], None], run: Run, yaml: Path, data_root: Path
) -> None:
    generator = np.random.default_rng(0)
    pictures = {
        f"{part}/class{c:02d}/{i}.png": generator.integers(0, 255, (8, 8), dtype=np.uint8)
        for part in ("train", "test")
        for c in range(10)
        for i in range(6)
    }
    root = tmp_path / "own"
    write_images(root / "tree", pictures)
    edit(yaml, "{source: digits, size: 8,", "{source: folder, path: tree, size: 8,")

    def again() -> int:
        return run("proto", "--data-root", str(root))

    assert again() == 0
    before = records(results)
    pictures["train/class03/2.png"][4, 4] ^= 1
    write_images(root / "tree", {"train/class03/2.png": pictures["train/class03/2.png"]})
    assert again() == 0
    after = records(results)
    assert len(after) == 2
    assert before.items() <= after.items()
    assert "on images" in (results / "tiny.md").read_text()


def test_a_record_of_a_later_release_is_named_and_left_alone(run: Run, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    [path] = [results / "records" / name for name in records(results)]
    content = json.loads(path.read_bytes())
    del content["seal"]
    content |= {"schema_version": 99, "novelty": 1}
    later = to_json({**content, "seal": seal(content)})
    path.write_bytes(later)
    assert run() == 1
    assert path.read_bytes() == later
    said = capsys.readouterr()
    assert "holds a record of a later release, which is left alone" in said.err
    assert "schema 99, of a later release" in (results / "tiny.md").read_text()


def test_an_old_path_is_never_written_again(run: Run, results: Path) -> None:
    """A record of schema 2 is found where it is; run again by force, the new one has a path of its own and replaces it in the table."""
    assert run() == 0
    [name] = records(results)
    new = read_record(results / "records" / name)
    place = results / "records" / "tiny" / "fast.paper" / "proto-raw_mean" / "seed00.json"
    place.parent.mkdir()
    for suffix in (".npz", ".cost.json"):
        shutil.copy(new.beside(suffix), place.with_suffix(suffix))
    shutil.rmtree(new.path.parent)
    place.write_bytes(as_written_by(2, new))
    before = records(results)
    assert run() == 0
    assert records(results) == before, "done"
    page = (results / "tiny.md").read_text()
    assert run("proto", "--force") == 0
    assert records(results).keys() == {name, "tiny/fast.paper/proto-raw_mean/seed00.json"}
    assert before.items() <= records(results).items()
    loaded, faults, _ = Store(results).load("tiny")
    assert [(record.schema_version, faults) for record in loaded] == [(3, [])]
    assert (results / "tiny.md").read_text() == page


def test_two_files_of_one_name_share_a_folder(run: Run, yaml: Path, results: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "tiny.yaml"
    other.parent.mkdir()
    other.write_text(yaml.read_text().replace("lr: 0.1", "lr: 0.02", 1))
    assert run() == run(protocol=other) == run() == 0
    assert len(records(results)) == 2
    assert load_protocol(str(other)).name == load_protocol(str(yaml)).name
