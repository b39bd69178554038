"""Pseudo-sessions: made of base classes and training images alone (docs/methods.md 1.7)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli import main as cli
from benchmarks.data.images import load_images
from benchmarks.data.pseudo import pseudo_images
from benchmarks.data.splits import make_split
from benchmarks.planning.plan import make_request
from benchmarks.records import store as store_module
from benchmarks.records.costs import costs_of
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.running.runner import Runner
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.files import locked
from benchmarks.system.settings import Settings
from benchmarks.tools.search import main, parse_grid, search
from protocols import load_protocol
from protocols.pseudo import find_protocol, is_of, pseudo_origin, pseudo_protocol, pseudo_sessions
from protocols.reading import ProtocolError
from protocols.schema import Sessions
from tests.trust.asking import ask

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "base", "count"),
    [("cifar100", 40, 4), ("cub200", 60, 4), ("miniimagenet", 40, 4), ("omniglot", 60, 4), ("digits", 3, 3)],
)
def test_at_most_half_of_the_base_becomes_pseudo_novel(name: str, base: int, count: int) -> None:
    """docs/methods.md 1.7 gives 40 + 4x5 of CIFAR's 60."""
    whole = load_protocol(name).sessions
    assert pseudo_sessions(whole) == Sessions(base=base, way=whole.way, count=count, shots=whole.shots)


def test_a_base_too_small_is_refused() -> None:
    with pytest.raises(ProtocolError, match="too few"):
        pseudo_sessions(load_protocol("seqmnist").sessions)


def test_a_name_leads_back_to_the_protocol_whose_base_classes_are_used() -> None:
    """Records say no more than the name."""
    for split in ("paper", "canonical-order"):
        pseudo = pseudo_protocol(load_protocol("digits"), split)
        assert pseudo_origin(pseudo.name) == (load_protocol("digits"), split)
        assert find_protocol(pseudo.name) == pseudo
    assert find_protocol("digits") == load_protocol("digits")
    for name in ("digits", "digits-pseudo", "digits-nowhere-pseudo", "gone-paper-pseudo"):
        assert pseudo_origin(name) is None
    own = load_protocol("digits").model_copy(update={"name": "mine"})
    assert pseudo_origin("mine-paper-pseudo") is None
    assert pseudo_origin("mine-paper-pseudo", own) == (own, "paper")
    assert find_protocol("mine-paper-pseudo", own) == pseudo_protocol(own, "paper")
    named_so = own.model_copy(update={"name": "digits-paper-pseudo"})
    assert pseudo_origin("digits-paper-pseudo", named_so) is None
    assert [is_of(name, own) for name in ("mine", "mine-paper-pseudo", "digits", "digits-paper-pseudo")] == [True, True, False, False]


@pytest.mark.parametrize("seed", [0, 3])
def test_no_novel_class_and_no_test_image_takes_part(seed: int, data_root: Path) -> None:
    protocol = load_protocol("digits")
    images = load_images(protocol.data, data_root)
    pseudo = pseudo_images(protocol, images, "paper", seed)
    split = make_split(protocol, "paper", seed, images.train_classes, images.test_classes, None)
    base = images.train[np.isin(images.train_classes, split.order[:6])]
    pool = {image.tobytes() for image in base}
    used = [image.tobytes() for image in (*pseudo.train, *pseudo.test)]
    assert len(used) == len(base)
    assert set(used) == pool
    for label, number in enumerate(split.order[:6]):
        of_label = {image.tobytes() for image in pseudo.train[pseudo.train_classes == label]}
        assert of_label <= {image.tobytes() for image in images.train[images.train_classes == number]}
        held_out = int((pseudo.test_classes == label).sum())
        assert held_out == round(0.1 * (held_out + int((pseudo.train_classes == label).sum())))


def test_what_is_searched_on_is_part_of_the_identity(data_root: Path) -> None:
    """Another split or seed has other base classes; records of one must not pass for the other's."""
    protocol = load_protocol("digits")
    images = load_images(protocol.data, data_root)
    hashes = {pseudo_images(protocol, images, split, seed).sha256 for split in ("paper", "canonical-order") for seed in (0, 1)}
    assert len(hashes) == 4
    assert pseudo_protocol(protocol, "paper").name != pseudo_protocol(protocol, "canonical-order").name


def test_grid_is_every_combination() -> None:
    assert parse_grid(["epochs=1,2", "gamma=0.6"]) == [{"epochs": 1, "gamma": 0.6}, {"epochs": 2, "gamma": 0.6}]
    for bad in ("epochs", "epochs=", "=1"):
        with pytest.raises(UsageError, match="--grid"):
            parse_grid([bad])


def test_a_value_of_a_grid_may_be_a_list() -> None:
    assert parse_grid(["milestones=[1,2],[],[3]"]) == [{"milestones": value} for value in ([1, 2], [], [3])]
    assert parse_grid(["augment={pad: 4, flip: true},null"]) == [{"augment": {"pad": 4, "flip": True}}, {"augment": None}]


def test_a_class_that_would_be_held_out_whole_is_named(data_root: Path) -> None:
    protocol = load_protocol("digits")
    images = load_images(protocol.data, data_root)
    rows = np.concatenate([np.flatnonzero(images.train_classes == number)[:3] for number in range(10)])
    few = replace(images, train=images.train[rows], plain=images.plain[rows], train_classes=images.train_classes[rows])
    with pytest.raises(DataError, match=r"^digits: class \d has 3 training images; 3 are held out, and none is left$"):
        pseudo_images(protocol.model_copy(update={"sessions": protocol.sessions.model_copy(update={"shots": 1})}), few, "paper", 0)


def test_the_command_ranks_the_grid_and_keeps_records(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--results", str(tmp_path), "--data-root", str(data_root)]
    asked = ["--protocol", "digits", "--seeds", "0", "--method", "lecnet", "--grid", "epochs=1,12,12.0", "--threads", "1", *places]
    command = [sys.executable, "-m", "benchmarks.tools.search", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if "LEC-Net" in line]
    assert rows == ["LEC-Net (paper, epochs=12)", "LEC-Net (paper, epochs=1)"]  # one step learns nothing new
    records = list((tmp_path / "search" / "records").rglob("seed00.json"))
    assert len(records) == 2
    page = tmp_path / "search" / "digits-paper-pseudo.md"
    text = page.read_text()
    assert "epochs=12" in text and "run_all.py" not in text, "no command runs a point of it"
    before = {path: path.stat().st_mtime_ns for path in records}
    assert ask(*asked, command=main, seconds=120).out == done.stdout
    assert {path: path.stat().st_mtime_ns for path in records} == before
    page.unlink()
    assert cli.main(["--report-only", *places]) == 0
    assert page.read_text() == text
    assert cli.main(["--verify", *places]) == 0
    said = capsys.readouterr().out
    assert "digits-paper-pseudo in search/: 2 records read" in said
    assert "2 compared with the split of their seed" in said


@pytest.mark.parametrize(
    ("method", "grid", "said"),
    [
        ("ft_cnn", "epochs=1,-3", "epochs"),
        ("ft_cnn@cosface", "epochs=1", "cannot be run, leave out or change ft_cnn:topic@cosface[epochs=1]: "),
        ("lwf@etf", "warmup_epochs=0,1", "cannot be run, leave out or change lwf:mammoth@etf[warmup_epochs=1]: "),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_point_is_trained(
    method: str, grid: str, said: str, data_root: Path, tmp_path: Path
) -> None:
    asked = ["--protocol", "digits", "--method", method, "--seeds", "0", "--grid", grid]
    answer = ask(*asked, "--data-root", str(data_root), "--results", str(tmp_path), command=main, seconds=120)
    assert (answer.status, answer.out) == (2, "") and said in answer.err and "done" not in answer.err
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.base*"))


def test_a_point_that_misses_a_seed_is_not_ranked(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other seeds may be the easy ones."""
    run = Runner.watch

    def diverges(self: Runner, identity: Identity, *rest: Any) -> Any:
        if identity.seed and identity.overrides["epochs"] == 2:
            raise FloatingPointError("the loss is NaN")
        return run(self, identity, *rest)

    monkeypatch.setattr(Runner, "watch", diverges)
    asked = make_request(load_protocol("digits"), None, None, "0-1", "lecnet", [])
    said, whole = search(asked, parse_grid(["epochs=1,2"]), Settings(data_root, tmp_path, "cpu", 1))
    assert [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| LEC")] == ["LEC-Net (paper, epochs=1)"]
    assert said.endswith("Not ranked, since runs failed: LEC-Net (paper, epochs=2): 1 of 2 seeds.")
    assert not whole
    assert search(asked, parse_grid(["epochs=2"]), Settings(data_root, tmp_path, "cpu", 1))[0].startswith("Not ranked")


def test_points_of_edited_sources_are_told_and_run_again_when_asked(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mean over seeds of two sources was ranked without a word, and a method that ends the process ended the search with status 0."""
    asked = make_request(load_protocol("digits"), None, None, "0", "proto", [])
    settings = Settings(data_root, tmp_path, "cpu", 1)
    first = search(asked, [{}], settings)
    assert "changed since" not in capsys.readouterr().err
    [path] = (tmp_path / "search" / "records").rglob("seed00.cost.json")
    path.write_text(path.read_text().replace(json.loads(path.read_text())["sources"], "0" * 16))
    assert search(asked, [{}], settings) == first
    said = capsys.readouterr().err
    assert "have changed since seed 0 was run; raise the `version` of what changed, or run again with --force" in said
    assert "seed 0 done" not in said
    assert search(asked, [{}], settings, force=True) == first and "seed 0 done" in capsys.readouterr().err
    assert search(asked, [{}], settings) == first and "changed since" not in capsys.readouterr().err

    def leaves(*rest: Any) -> Any:
        raise SystemExit(0)

    monkeypatch.setattr(Runner, "watch", leaves)
    with pytest.raises(UsageError, match="no point of the grid could be run"):
        search(asked, [{}], settings, force=True)


def test_two_searches_share_the_points(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another process is doing comes last, and is not done twice. This test is that process, until the first run here."""
    asked = make_request(load_protocol("digits"), None, None, "0", "proto", [])
    settings, grid = Settings(data_root, tmp_path / "ours", "cpu", 1), parse_grid(["mean=raw,unit"])
    both = search(asked, grid, replace(settings, results=tmp_path / "theirs"))
    [theirs] = [one for one in Store(tmp_path / "theirs" / "search").load("digits-paper-pseudo")[0] if one.identity.config["mean"] == "raw"]
    costs, store, run, tried = costs_of(theirs), Store(tmp_path / "ours" / "search"), Runner.watch, list[str]()
    assert costs is not None

    def meanwhile(self: Runner, identity: Identity, *rest: Any) -> Any:
        tried.append(identity.config["mean"])
        store.save(theirs, costs, theirs.path.with_suffix(".npz").read_bytes())
        other.close()
        return run(self, identity, *rest)

    monkeypatch.setattr(Runner, "watch", meanwhile)
    capsys.readouterr()
    with ExitStack() as other:
        other.enter_context(locked(store.path(theirs.identity, ".lock"), wait=False))
        assert search(asked, grid, settings) == both
    assert tried == ["unit"]
    assert capsys.readouterr().err == 'proto:raw_mean[mean="unit"] seed 0 done\n'


def test_another_command_leaves_a_search_what_it_is_storing(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that began while a record of other predictions was replaced took what was staged for a killed process's, and removed it."""
    asked = make_request(load_protocol("digits"), None, None, "0", "proto", [])
    settings, stage, store = Settings(data_root, tmp_path, "cpu", 1), store_module.stage, Store(tmp_path / "search")
    first = search(asked, [{}], settings)
    [record] = store.load("digits-paper-pseudo")[0]
    costs, predictions = costs_of(record), record.path.with_suffix(".npz").read_bytes()
    assert costs is not None
    store.save(record.model_copy(update={"predictions_sha256": "0" * 64}), costs, b"others")

    def staged_and_looked_at(belongings: Mapping[Path, bytes]) -> None:
        stage(belongings)
        store.finish_replacing("digits-paper-pseudo")

    monkeypatch.setattr(store_module, "stage", staged_and_looked_at)
    assert search(asked, [{}], settings, force=True) == first
    assert record.path.with_suffix(".npz").read_bytes() == predictions


def test_a_wrong_recipe_is_one_line(data_root: Path) -> None:
    line = ["--protocol", "cifar100", "--method", "lecnet", "--grid", "epochs=1", "--recipe", "quik", "--data-root", str(data_root)]
    answer = ask(*line, command=main)
    said = "search: cifar100: no recipe named 'quik'. Did you mean 'quick'? There are: paper, quick, one-base, cec, quick-fp32.\n"
    assert (answer.status, answer.err) == (2, said)
