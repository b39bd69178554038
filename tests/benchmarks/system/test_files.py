"""Files that are whole or not there, and locks that die with their owner."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.system.errors import StorageError, storage_error
from benchmarks.system.files import has_locks, locked, read_bytes, remove, scratch_of, sha256_file, time_of, write_atomic

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from pathlib import Path
from benchmarks.system.files import locked
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
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    """More of it than there is now, too."""
    path = tmp_path / "record.json"
    scratch_of(path).write_bytes(b"half of much more")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def written_and_read(path: Path, content: bytes) -> bytes:
    write_atomic(path, content)
    return path.read_bytes()


def test_those_who_write_one_file_at_once_do_not_mix(tmp_path: Path) -> None:
    """Each content is whole, though all go through one temporary file."""
    path, contents = tmp_path / "record.json", [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for content in pool.map(lambda number: written_and_read(path, contents[number % 8]), range(200)):
            assert content in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_removed_with_what_a_killed_writer_of_it_left(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"whole")
    scratch_of(path).write_bytes(b"ha")
    remove(path)
    remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        (errno.ENOSPC, "free room"),
        (errno.EDQUOT, "free room"),
        (errno.EROFS, "make it writable"),
        (errno.EIO, "see to the disk"),
        (errno.EACCES, "give yourself access to it"),
        (errno.EDEADLK, "see to it"),
    ],
)
def test_a_disk_that_refuses_is_named_with_its_mend(code: int, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(code, "whatever")

    path = tmp_path / "record.json"
    expected = rf"^{path}: cannot be written \({os.strerror(code)}\); {mend}, then run the same command again: it goes on"
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match=expected):
        write_atomic(path, b"new")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=expected.replace("written", "locked")), locked(path, wait=True):
        pass
    with pytest.raises(StorageError, match=f"{tmp_path}: cannot be removed"):
        remove(tmp_path)


@pytest.mark.parametrize("how", ["as it is", "raised from", "raised in its place", "as torch raises it"])
def test_a_refusing_disk_is_found_behind_any_error(how: str) -> None:
    from torch._inductor.exc import InductorError

    refused = OSError(errno.ENOSPC, "No space left on device", "/tmp/kernel.cpp")
    try:
        try:
            raise refused
        except OSError as error:
            if how == "raised from":
                raise RuntimeError("in vain") from error
            if how == "raised in its place":
                raise RuntimeError("in vain") from None
            if how == "as torch raises it":
                raise InductorError(error, None) from None
            raise
    except Exception as error:
        assert str(storage_error(error)).startswith("/tmp/kernel.cpp: cannot be written (No space left on device); free room")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("disk full"), FileNotFoundError(errno.ENOENT, "gone"), KeyError(28)])
def test_other_errors_are_not_the_disks(error: Exception) -> None:
    assert storage_error(error) is None


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


# File systems that nodes share ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_files_are_whole_all_the_same(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writer has a temporary file of its own, and the last one to rename it wins."""

    def refuse(*arguments: object) -> None:
        raise OSError(code, "no locks")

    assert has_locks(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not has_locks(tmp_path)
    with locked(tmp_path / "run.lock", wait=False) as mine, locked(tmp_path / "run.lock", wait=False) as also_mine:
        assert mine and also_mine
    path, contents = tmp_path / "record.json", [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for content in pool.map(lambda number: written_and_read(path, contents[number % 8]), range(100)):
            assert content in contents
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["record.json", "run.lock"]


def test_a_stale_handle_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS says ESTALE to the reader of a file that another node has replaced; any other error is one."""
    path, answers = tmp_path / "record.json", [errno.ESTALE, errno.ESTALE]
    path.write_bytes(b"new")
    read = Path.read_bytes

    def stale(self: Path) -> bytes:
        if answers:
            raise OSError(answers.pop(), "stale")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", stale)
    assert read_bytes(path) == b"new"
    for codes in ([errno.EIO], [errno.ESTALE] * 3):
        answers[:] = codes
        with pytest.raises(OSError, match="stale"):
            read_bytes(path)
        assert answers == []


def test_the_time_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    """A failure's note is dated by the file system, whose clock may be another machine's."""
    before = time_of(tmp_path)
    (tmp_path / "note").touch()
    assert before <= (tmp_path / "note").stat().st_mtime <= time_of(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["note"]
