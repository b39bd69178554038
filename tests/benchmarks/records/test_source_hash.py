"""The hash of a method's sources: what computes nothing changes nothing, what computes otherwise does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.records import source_hash as hashing
from benchmarks.records.source_hash import same_sources, source_hash
from benchmarks.records.stated import stated_version
from methods.contract.loading import load_method
from methods.contract.registry import method_names
from tests.methods.runs import SHIPPED

METHOD = '''"""A method."""

from methods.contract import SessionStrategy
from methods.helping import double


class Mine(SessionStrategy):
    """Does it."""

    title = "Mine"
    version = 3

    def scores(self, features):
        return double(features)
'''
HELPER = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def folder(tmp_path: Path, methods_in: Callable[[Path], None]) -> Path:
    (tmp_path / "mine.py").write_text(METHOD)
    (tmp_path / "helping.py").write_text(HELPER)
    methods_in(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Does it.", "Does it well."),
        ("        return double", "        # twice\n        return double"),
        ("def scores(self, features):", "def scores(self, features: object) -> object:"),
        ("def scores(self, features):", "def scores(\n        self,\n        features,\n    ):"),
    ],
)
def test_comments_docstrings_annotations_and_layout_change_nothing(old: str, new: str, folder: Path) -> None:
    before = source_hash("mine", "linear")
    (folder / "mine.py").write_text(METHOD.replace(old, new))
    assert source_hash("mine", "linear") == before


@pytest.mark.parametrize(("file", "old", "new"), [("mine.py", "double(features)", "features"), ("helping.py", "2 * x", "3 * x")])
def test_a_change_of_the_method_or_of_what_it_imports_is_seen(file: str, old: str, new: str, folder: Path) -> None:
    before = source_hash("mine", "linear")
    path = folder / file
    path.write_text(path.read_text().replace(old, new))
    assert source_hash("mine", "linear") != before


def test_moving_a_file_changes_nothing(folder: Path) -> None:
    before = source_hash("mine", "linear")
    (folder / "attic").mkdir()
    (folder / "helping.py").rename(folder / "attic" / "doubling.py")
    (folder / "mine.py").write_text(METHOD.replace("methods.helping", "methods.attic.doubling"))
    assert source_hash("mine", "linear") == before


def test_a_change_of_the_base_kind_is_seen(folder: Path) -> None:
    assert source_hash("mine", "linear") != source_hash("mine", "cosine")


def test_relative_imports_are_followed(folder: Path) -> None:
    (folder / "mine.py").write_text(METHOD.replace("from methods.helping", "from .helping"))
    before = source_hash("mine", "linear")
    (folder / "helping.py").write_text(HELPER.replace("2", "3"))
    assert source_hash("mine", "linear") != before


def test_nothing_is_run_and_a_broken_file_has_no_hash(folder: Path) -> None:
    (folder / "helping.py").write_text("raise SystemExit('run')\n")
    assert source_hash("mine", "linear") is not None
    (folder / "helping.py").write_text("def double(:\n")
    assert source_hash("mine", "linear") is None
    assert source_hash("nowhere", "linear") is None


def test_a_change_that_was_proved_equal_is_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "equal.yaml"
    listed.write_text("mine:\n  3: [[aaaa, bbbb]]\n")
    monkeypatch.setattr(hashing, "EQUAL", listed)
    assert same_sources("mine", 3, "aaaa", "bbbb")
    assert not same_sources("mine", 2, "aaaa", "bbbb")
    assert not same_sources("mine", 3, "aaaa", "cccc")
    assert same_sources("mine", 3, "cccc", "cccc")


def test_every_shipped_method_has_a_hash_and_states_its_version() -> None:
    """A method that imports another shared part must differ from one that does not."""
    hashes = {name: source_hash(name, "linear") for name in SHIPPED}
    assert None not in hashes.values()
    assert len(set(hashes.values())) == len(hashes)
    assert {name: stated_version(name) for name in hashes} == {name: load_method(name).version for name in hashes}


def test_the_shipped_list_names_methods_versions_and_hashes() -> None:
    for method, versions in (hashing.read_yaml(hashing.EQUAL) or {}).items():
        assert method in method_names()
        for version, groups in versions.items():
            assert isinstance(version, int)
            assert all(len(group) > 1 and all(len(one) == hashing.DIGITS for one in group) for group in groups)
