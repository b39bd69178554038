"""Files that are whole or not there, and locks that die with their owner."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.files import locked, sha256_file, write_atomic

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from benchmarks.files import locked
with locked(Path(sys.argv[1]), wait=False) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that asks for the lock, says whether it got it, and keeps it until its standard input closes."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def answer(other: subprocess.Popen[str]) -> str:
    assert other.stdout is not None
    return other.stdout.readline().strip()


def test_written_file_holds_the_content_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "record.json"
    write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomic(path, b"")
    assert path.read_bytes() == b""
    assert list(path.parent.iterdir()) == [path]


def test_whoever_reads_meets_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The file is replaced, not overwritten: one who has it open goes on reading the old one."""
    path = tmp_path / "record.json"
    write_atomic(path, b"old" * 1000)
    with path.open("rb") as reader:
        start = reader.read(3)
        write_atomic(path, b"new")
        assert start + reader.read() == b"old" * 1000
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_it_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush, fsync, replace: in another order a power cut leaves an empty file under the right name."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        steps.append(f"fsync of {os.fstat(handle).st_size} bytes")
        fsync(handle)

    def watched_replace(source: str, target: Path) -> None:
        steps.append("replace")
        assert Path(source).parent == target.parent  # another folder may be another disk
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomic(tmp_path / "record.json", b"12345")
    assert steps[:2] == ["fsync of 5 bytes", "replace"]


def test_lock_is_held_against_another_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.lock"
    with locked(path, wait=False) as mine:
        assert mine
        with holder(path) as other:
            assert answer(other) == "False"
    with holder(path) as other:
        assert answer(other) == "True"
        with locked(path, wait=False) as mine:
            assert not mine


def test_lock_is_free_once_its_owner_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as other:
        assert answer(other) == "True"
        other.kill()
        other.wait()
        with locked(path, wait=False) as mine:
            assert mine


def test_waiting_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with holder(path) as other:
        assert answer(other) == "True"
        assert other.stdin is not None
        threading.Timer(0.2, other.stdin.close).start()  # then it lets go
        with locked(path, wait=True) as mine:
            assert mine
            assert other.stdin.closed


def test_lock_is_free_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with pytest.raises(ZeroDivisionError), locked(path, wait=False):
        _ = 1 / 0
    with locked(path, wait=False) as mine:
        assert mine


def test_locks_of_other_names_do_not_meet(tmp_path: Path) -> None:
    with locked(tmp_path / "a.lock", wait=False) as one, locked(tmp_path / "b.lock", wait=False) as other:
        assert one
        assert other


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()
