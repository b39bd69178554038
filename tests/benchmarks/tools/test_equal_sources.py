"""A change that computes the same bytes is listed as equal for what stands in records, and for nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.records.edited import Present, Sources, Versions
from benchmarks.records.source_hash import EQUAL, equal_groups
from benchmarks.tools.equal_sources import PACKAGES, as_text, changed, with_pairs

ROOT = Path(__file__).resolve().parents[3]
AS_SOMEBODY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The suite in a repository of its own, with one commit and no records."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "results").mkdir()
    for command in (["init", "--quiet"], ["add", "."], [*AS_SOMEBODY, "commit", "--quiet", "-m", "before"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def asked(folder: Path, commit: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.tools.equal_sources", commit]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def equal_now(folder: Path) -> str:
    return (folder / EQUAL.relative_to(ROOT)).read_text()


def test_an_edited_method_is_listed_and_an_edited_version_is_not(copy: Path) -> None:
    before = equal_now(copy)
    done = asked(copy, "HEAD")
    assert done.stdout == "0 changed sources of 0 methods listed as equal\n", done.stderr
    assert equal_now(copy) == before, "the list is in the form in which it is written"
    lwf, proto = copy / "methods" / "lwf.py", copy / "methods" / "proto.py"
    lwf.write_text(lwf.read_text() + "\nTWO = 2\n")
    proto.write_text(proto.read_text().replace('    title = "Proto"', '    version = 99\n    title = "Proto"'))
    assert "version = 99" in proto.read_text()
    assert asked(copy, "HEAD").stdout == "1 changed sources of 1 methods listed as equal\n"
    (copy / "before.yaml").write_text(before)
    old, new = equal_groups(copy / "before.yaml"), equal_groups(copy / EQUAL.relative_to(ROOT))
    assert {method for method in new if new[method] != old.get(method)} == {"lwf"}
    edited = copy / "benchmarks" / "records" / "edited.py"
    text = edited.read_text()
    edited.write_text(text.replace("def present(", "def not_yet_there("))
    subprocess.run(["git", *AS_SOMEBODY, "commit", "--quiet", "--message", "older", str(edited)], cwd=copy, check=True)
    edited.write_text(text)
    assert asked(copy, "HEAD").stdout == "1 changed sources of 1 methods listed as equal\n", "of a commit from before `present`, too"
    assert asked(copy, "nowhere").returncode == 2
    for broken in ("", before[: len(before) // 2] + '["'):
        (copy / EQUAL.relative_to(ROOT)).write_text(broken)
        done = asked(copy, "HEAD")
        assert done.returncode == 2 and done.stderr.startswith("equal_sources: ") and "Traceback" not in done.stderr
        assert equal_now(copy) == broken


def test_equal_to_equal_is_equal() -> None:
    listing = {"mine": {1: [["a", "b"], ["c", "d"], ["e", "f"]]}}
    assert with_pairs(listing, [("mine", 1, "b", "x"), ("mine", 1, "c", "x")]) == {"mine": {1: [["a", "b", "c", "d", "x"], ["e", "f"]]}}
    assert with_pairs({}, [("new", 2, "b", "a")]) == {"new": {2: [["a", "b"]]}}
    assert json.loads(as_text({"mine": {1: [["a"]]}}).partition("1: ")[2]) == [["a"]]


def test_only_what_changed_under_one_version_counts() -> None:
    names = ("same", "edited", "raised", "kind raised", "parent raised", "gone", "unread")
    sources: list[Sources] = [(name, "linear", ("cosine",)) for name in names]
    one: Versions = (1, 1, (1,))
    before: list[Present] = [(one, "a"), (one, "b"), (one, "c"), (one, "d"), (one, "e"), (one, "f"), ((None, 1, (1,)), None)]
    now: list[Present] = [
        (one, "a"),
        (one, "x"),
        ((2, 1, (1,)), "y"),
        ((1, 2, (1,)), "y"),
        ((1, 1, (2,)), "y"),
        ((None, 1, (1,)), None),
        (one, "g"),
    ]
    assert changed(sources, before, now) == [("edited", 1, "b", "x")]
