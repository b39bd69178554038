"""CUB and miniImageNet, whose images are not all to be had here: the shipped protocols, cut to what there is, through the command line.

CUB is ten classes of real photographs, miniImageNet a small tree in the original layout. A protocol is the shipped file with fewer
classes, smaller images, shorter trainings and no pretrained weights; all else stays. CUB's split `lec` permutes all 200 classes, so it
is left out. The command line is asked in this process, for one run at a time: tests/test_real_cifar.py has a sweep of its own.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from tests.command import ROOT, record_files, rows
from tests.trust.asking import Answer, ask

BASE, WAY, COUNT = 6, 2, 2
CLASSES = BASE + WAY * COUNT
SMALL: dict[str, Any] = {"sessions": {"base": BASE, "way": WAY, "count": COUNT, "shots": 5}, "canonical": None}
SHORT = {"epochs": 8, "batch": 32, "lr": 0.05}
CUB: dict[str, dict[str, Any]] = {"data": {"classes": CLASSES, "size": 32, "train_size": 40}, "backbone": {"pretrained": None}}
LABELS = {"base_only": "BaseOnly", "proto": "Proto (raw_mean)", "ft_cnn": "Ft-CNN (topic)", "lecnet": "LEC-Net (paper)"}
"""Of each method's row."""
PATIENCE = 600
"""Seconds that a command may take on a busy machine."""


def offline(*arguments: str) -> Answer:
    """The command on the CPU, with a proxy where nobody listens, so that every download fails at once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("https_proxy", "http://127.0.0.1:9")
        patched.setenv("no_proxy", "")
        return ask(*arguments, "--device", "cpu", seconds=PATIENCE)


@dataclass(frozen=True)
class Place:
    """A protocol file, the data root that it is run on, and a folder for its results."""

    protocol: Path
    data_root: Path
    results: Path

    @property
    def where(self) -> tuple[str, ...]:
        return ("--protocol", str(self.protocol), "--data-root", str(self.data_root), "--results", str(self.results))

    def run(self, *arguments: str, methods: str = ",".join(LABELS)) -> Answer:
        return offline(*self.where, "--methods", methods, "--recipe", "quick", "--seeds", "0", "--workers", "1", *arguments)

    def records(self, split: str) -> dict[str, Record]:
        """By method."""
        records, faults, failures = Store(self.results).load(self.protocol.stem)
        assert faults == failures == []
        return {record.identity.method: record for record in records if record.identity.split == split}

    def bytes(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in [*record_files(self.results), *self.results.glob("*.md")] if "costs" not in path.name}


def cut(shipped: str, folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """The shipped protocol with fewer classes, a shorter quick recipe and these changes, as a file in the folder."""
    protocol = yaml.safe_load((ROOT / "protocols" / f"{shipped}.yaml").read_text(encoding="utf-8"))
    protocol |= SMALL | {"name": f"{shipped}_cut", "splits": [split for split in protocol["splits"] if split != "lec"]}
    protocol["recipes"]["quick"] |= SHORT
    protocol["recipes"]["quick"]["methods"]["lecnet"] = {"epochs": 10}
    protocol["recipes"]["quick"]["methods"]["ft_cnn:topic"] = {"lr": 0.01, "epochs": 10}
    for key, values in changes.items():
        protocol[key] |= values
    path = folder / f"{shipped}_cut.yaml"
    path.write_text(yaml.safe_dump(protocol), encoding="utf-8")
    return path


def column(folder: Path, name: str) -> list[str]:
    return [line.split()[1] for line in (folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def cub_root(shared: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lists of all 200 classes, and the photographs of the first ten."""
    root = tmp_path_factory.mktemp("cub")
    wanted = tuple(f"images/{number:03}." for number in range(1, CLASSES + 1))
    with tarfile.open(shared("cub200_first50.tar")) as photographs, tarfile.open(shared("cub200_metadata.tar")) as lists:
        members = [member for member in photographs if member.name.startswith(wanted)]
        photographs.extractall(root / "CUB_200_2011", members, filter="data")
        lists.extractall(root / "CUB_200_2011", filter="data")
    return root


@pytest.fixture(scope="module")
def cub(cub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished sweep over the canonical order of the real classes."""
    folder = tmp_path_factory.mktemp("cub_sweep")
    place = Place(cut("cub200", folder, CUB), cub_root, folder / "results")
    finish(place, "canonical-order")
    return place


WNIDS = [f"n{1532829 + 1000 * number:08}" for number in range(CLASSES)]
TRAIN, TEST = 20, 10


@pytest.fixture(scope="module")
def mini_root(write_images: Callable[[Path, dict[str, NDArray[np.uint8]]], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """miniImageNet's original layout; each class is a colour of its own under much noise, in images of different shapes."""
    root = tmp_path_factory.mktemp("mini")
    folder, draw = root / "miniimagenet", np.random.default_rng(0)
    colours = draw.permutation([(r, g, b) for r in (50, 120, 190) for g in (50, 120, 190) for b in (50, 120, 190)])
    (folder / "split").mkdir(parents=True)
    for part, numbers in (("train", range(1, TRAIN + 1)), ("test", range(TRAIN + 1, TRAIN + TEST + 1))):
        lines = [(f"{wnid}{number:08}.jpg", wnid) for wnid in WNIDS for number in numbers]
        images = {}
        for name, wnid in lines:
            shape = (*draw.integers(60, 120, 2), 3)
            noisy = colours[WNIDS.index(wnid)] + draw.normal(0, 30, shape)
            images[f"images/{name}"] = noisy.clip(0, 255).astype(np.uint8)
        write_images(folder, images)
        with (folder / "split" / f"{part}.csv").open("w", newline="") as target:
            csv.writer(target).writerows([("filename", "label"), *lines])
    return root


@pytest.fixture(scope="module")
def mini(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished sweep over an order drawn from the seed."""
    folder = tmp_path_factory.mktemp("mini_sweep")
    place = Place(cut("miniimagenet-32", folder, {}), mini_root, folder / "results")
    finish(place, "paper")
    return place


def finish(place: Place, split: str, methods: Sequence[str] = tuple(LABELS)) -> None:
    for method in methods:
        answer = place.run("--split", split, methods=method)
        assert answer.status == 0, answer.err
        assert answer.out.splitlines()[-1] == "1 runs done, 0 were there already, 0 failed"


def assert_whole(place: Place, split: str, images: list[int]) -> None:
    """Every method has its row, and every session counts these test images of the classes seen, each of which has a number."""
    records = place.records(split)
    text = place.results.joinpath(f"{place.protocol.stem}.md").read_text(encoding="utf-8")
    assert records.keys() == LABELS.keys()
    for method, record in records.items():
        seeds, *accuracies = rows(text, LABELS[method])[0][1 : COUNT + 3]
        assert seeds == "1"
        for number, (session, printed) in enumerate(zip(record.sessions, accuracies, strict=True)):
            seen = record.order[: BASE + WAY * number]
            assert list(session.total) == [images[classes] for classes in seen]
            assert float(printed.strip("*")) == pytest.approx(100 * sum(session.correct) / sum(session.total), abs=0.006)


def assert_repeats_nothing(place: Place, split: str) -> None:
    before, answer = place.bytes(), place.run("--split", split)
    assert answer.status == 0, answer.err
    assert answer.out.splitlines()[-1] == "0 runs done, 4 were there already, 0 failed"
    assert place.bytes() == before


# CUB: real photographs


def test_cub_has_the_official_test_images_of_every_class(cub: Place) -> None:
    folder = cub.data_root / "CUB_200_2011"
    numbers = zip(column(folder, "image_class_labels.txt"), column(folder, "train_test_split.txt"), strict=True)
    counts = np.bincount([int(number) - 1 for number, train in numbers if train == "0"])
    assert (len(counts), counts.sum()) == (200, 5794)
    assert_whole(cub, "canonical-order", counts.tolist())
    for record in cub.records("canonical-order").values():
        assert record.order == tuple(range(CLASSES))


def test_cub_birds_are_learnt(cub: Place) -> None:
    first = cub.records("canonical-order")["base_only"].sessions[0]
    assert sum(first.correct) / sum(first.total) > 0.25, "chance is 1 in 6"


def test_cub_again_repeats_nothing(cub: Place) -> None:
    assert_repeats_nothing(cub, "canonical-order")


def test_cub_records_are_verified_against_the_photographs(cub: Place) -> None:
    answer = offline(*cub.where, "--verify")
    assert answer.status == 0, answer.out
    assert f"{len(LABELS)} compared with the split of their seed\n" in answer.out


def test_cub_canonical_shots_stand_on_the_same_base(cub: Place) -> None:
    """The photographs are read in the order of images.txt, so the shots that everybody reports can be taken from them."""
    finish(cub, "canonical", ("base_only", "proto"))
    drawn, shared = cub.records("canonical-order"), cub.records("canonical")
    assert shared["base_only"].sessions[0] == drawn["base_only"].sessions[0]
    assert shared["proto"].rows_sha256 != drawn["proto"].rows_sha256


# miniImageNet: a tree in its layout


def test_mini_counts_its_test_images(mini: Place) -> None:
    assert_whole(mini, "paper", [TEST] * CLASSES)
    orders = {record.order for record in mini.records("paper").values()}
    assert len(orders) == 1
    assert sorted(*orders) == list(range(CLASSES))


def test_mini_colours_are_learnt(mini: Place) -> None:
    proto = mini.records("paper")["proto"].sessions
    assert sum(proto[0].correct) / sum(proto[0].total) > 0.4, "chance is 1 in 6"
    assert sum(proto[-1].correct[BASE:]) > 0, "no new class was met"


def test_mini_again_repeats_nothing(mini: Place) -> None:
    assert_repeats_nothing(mini, "paper")


# The published commands, and what is missing here


def refused(*arguments: str, results: Path) -> str:
    """The one line that a command ends with before anything is trained."""
    answer = offline(*arguments, "--results", str(results))
    assert answer.status == 2, answer.err
    assert len(answer.err.splitlines()) == 1, answer.err
    assert answer.out == ""
    assert [path for path in results.rglob("*") if path.is_file()] == [], "nothing is trained or written"
    return answer.err.splitlines()[0]


def test_cub_is_not_there_and_no_network(tmp_path: Path) -> None:
    """miniImageNet, which nobody may fetch: tests/test_cli_answers.py."""
    line = refused("--protocol", "cub200", "--data-root", str(tmp_path / "data"), results=tmp_path / "results")
    assert "CUB_200_2011.tgz (md5 97eceeb196236b17998738112f37df78) from https://data.caltech.edu/" in line
    assert line.endswith(f"and unpack it in {tmp_path / 'data'}.")


def test_cub_with_photographs_missing(cub_root: Path, tmp_path: Path) -> None:
    """The whole protocol on what is here: the first photograph that is not is named."""
    line = refused("--protocol", "cub200", "--data-root", str(cub_root), results=tmp_path / "results")
    missing = next(name for name in column(cub_root / "CUB_200_2011", "images.txt") if name.startswith(f"{CLASSES + 1:03}."))
    assert f"{cub_root / 'CUB_200_2011' / 'images' / missing} is missing; unpack CUB_200_2011.tgz anew" in line


def test_cub_without_the_pretrained_weights(cub_root: Path, tmp_path: Path) -> None:
    """All photographs are there, ImageNet's weights, which the shipped protocol starts from, are not."""
    protocol = cut("cub200", tmp_path, CUB | {"backbone": {"pretrained": "imagenet"}})
    line = refused("--protocol", str(protocol), "--data-root", str(cub_root), results=tmp_path / "results")
    name = "resnet18-f37072fd.pth"
    assert f"Fetch https://download.pytorch.org/models/{name} and put it at {cub_root / 'weights' / name}." in line
