"""A disk that is full, read-only or broken: one line that says what to do, no run called failed, nothing lost.

The disk's refusals are put before every step of a run in this process; full and read-only disks, and a limit on the size
of files, are real ones where the machine lets us have them.
"""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest

from benchmarks.cli import main as cli
from tests.trust.harness import Command, Tree, assert_finished, assert_whole, files, one_by_one, places
from tests.trust.sabotage.saboteur import Plan, Saboteur

WRITES = ("probe *", "mkdir *", "open *", "flush *", "replace *")
RUN = ("--methods", "base_only", "--seeds", "0")
MEND = {"ENOSPC": "free room", "EROFS": "make it writable", "EIO": "see to the disk"}
GOES_ON = ", then run the same command again: it goes on where it stopped"

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def saboteur() -> Iterator[Saboteur]:
    made = Saboteur()
    yield made
    os.fsync = made.fsync


@pytest.fixture
def main(data_root: Path, capsys: pytest.CaptureFixture[str]) -> Main:
    """The command line in this process: its status, and what it said."""

    def main(results: Path, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main([*places(results, data_root), *(arguments or RUN)])
        return status, *capsys.readouterr()

    return main


@pytest.fixture(scope="module")
def undisturbed(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return one_by_one(tmp_path_factory.mktemp("undisturbed"), data_root, ("base_only",), (0,))


@contextmanager
def refusing(saboteur: Saboteur, results: Path, code: str, at: int) -> Iterator[Path]:
    """From the step of this number on; yields the log of all steps."""
    log = results.with_name("steps.log")
    log.unlink(missing_ok=True)
    match = WRITES if code == "ENOSPC" else (*WRITES, "remove *")
    saboteur.take(Plan(str(results), str(log), code, match, at))
    try:
        yield log
    finally:
        saboteur.take(None)


def refusal(err: str) -> str:
    """The one line that is no progress."""
    said = [line for line in err.splitlines() if "run_all.py: " in line]
    assert len(said) == 1, err
    assert said[0] == err.splitlines()[-1]
    assert "Traceback" not in err
    return said[0].partition("run_all.py: ")[2]


@pytest.mark.parametrize(("code", "step"), [("ENOSPC", 1), ("EROFS", 3), ("EIO", 6)])
def test_wherever_the_disk_refuses_it_is_said_and_nothing_is_lost(
    code: str, step: int, main: Main, saboteur: Saboteur, undisturbed: Tree, tmp_path: Path
) -> None:
    """A full disk at every step; the others, which are told in the same way, at some. Every third time it goes on from there."""
    reason, refused = os.strerror(getattr(errno, code)), set[str]()
    for at in itertools.count(1, step):
        results = tmp_path / str(at) / "results"
        results.parent.mkdir()
        with refusing(saboteur, results, code, at) as log:
            status, out, err = main(results)
        struck = [line.partition(" at ")[2] for line in log.read_text().splitlines() if line.startswith("!")]
        if not struck:
            break
        refused.add(struck[0])
        assert status == 2
        said = refusal(err)
        assert f" ({reason}); {MEND[code]}{GOES_ON}" in said
        assert said.startswith(str(results))
        assert_whole(results, undisturbed)
        assert not list(results.rglob("*.failed.json")), "no run is to blame"
        if list(results.glob("records/*/*/*/seed00.json")):
            assert out.splitlines()[-1] == "1 runs done, 0 were there already, 0 failed", "only the tables are missing"
        if code == "ENOSPC":
            assert not list(results.rglob("*.tmp")), "half a file only takes up room"
        if at % 3 == 1:
            assert main(results)[0] == 0
            assert_finished(results, undisturbed)
    if code == "ENOSPC":
        for place in ("probe", "mkdir", ".lock", ".safetensors", ".features", ".npz", ".cost.json", "seed00.json", "tiny.md"):
            assert any(place in event for event in refused), f"{place} was not refused, only {sorted(refused)}"


def test_what_is_done_is_answered_for_where_the_tables_cannot_be_written(
    main: Main, saboteur: Saboteur, undisturbed: Tree, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert main(results)[0] == 0
    with refusing(saboteur, results, "EROFS", 1):
        status, out, err = main(results)
        assert status == 2
        assert out.splitlines()[-1] == "0 runs done, 1 were there already, 0 failed"
        assert refusal(err).startswith(f"{results / 'tiny.md'}: cannot be written (Read-only file system); make it writable")
        status, out, err = main(results, "--report-only")
        assert (status, out) == (2, "")
        assert refusal(err).startswith(f"{results / 'tiny.md'}: ")
        assert main(results, *RUN, "--plan")[0] == 0
    assert_finished(results, undisturbed)


@pytest.mark.parametrize("suffix", ["safetensors", "features", "checkpoint", "lock"])
def test_a_folder_in_a_files_place_is_named(suffix: str, main: Main, undisturbed: Tree, tmp_path: Path) -> None:
    """Of a base, its checkpoint, its features or its lock."""
    results = tmp_path / "results"
    stem = Path(next(name for name in undisturbed if name.endswith("features" if suffix == "features" else "safetensors"))).stem
    folder = results / ".base" / f"{stem}.{suffix}"
    folder.mkdir(parents=True)
    status, _, err = main(results)
    assert status == 2
    verb = "written" if suffix == "lock" else "read"
    assert refusal(err).startswith(f"{folder}: cannot be {verb} (Is a directory); move the folder that is in its place")
    folder.rmdir()
    assert main(results)[0] == 0
    assert_finished(results, undisturbed)


def test_a_file_in_a_folders_place_is_named(main: Main, undisturbed: Tree, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "records").write_text("mine")
    status, _, err = main(results)
    assert status == 2
    assert refusal(err).startswith(str(results / "records"))
    assert "move the file that is in its folder's place" in err
    (results / "records").unlink()
    assert main(results)[0] == 0
    assert_finished(results, undisturbed)


# Real ones ----------------------------------------------------------------------------------------------------------------


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a quarter of what the run needs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_and_room_made_on_it(disk: Path, main: Main, undisturbed: Tree) -> None:
    results = disk / "results"
    for size in ("400k", "520k"):  # the base, its features, the run
        status, _, err = main(results)
        assert status == 2
        assert "(No space left on device); free room" in refusal(err)
        assert_whole(results, undisturbed)
        mount("-o", f"remount,size={size}", str(disk))
    mount("-o", "remount,size=4m", str(disk))
    assert main(results)[0] == 0
    assert_finished(results, undisturbed)


def test_a_read_only_disk(disk: Path, main: Main, undisturbed: Tree) -> None:
    mount("-o", "remount,size=4m", str(disk))
    mount("-o", "remount,ro", str(disk))
    status, out, err = main(disk / "results")
    assert (status, out) == (2, "")
    assert "(Read-only file system); make it writable" in refusal(err)
    mount("-o", "remount,rw", str(disk))
    assert main(disk / "results")[0] == 0
    mount("-o", "remount,ro", str(disk))
    status, out, err = main(disk / "results")
    assert (status, out.splitlines()[-1]) == (2, "0 runs done, 1 were there already, 0 failed")
    assert "tiny.md: cannot be written (Read-only file system)" in refusal(err)
    assert_finished(disk / "results", undisturbed)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "standard output: cannot be used (No space left on device); free room"),
        (errno.EAGAIN, "the system refused: [Errno 11]"),
    ],
)
def test_a_refusal_of_no_file(number: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk that names no file is the output's; a process that the system does not start is not."""

    def refused(columns: int) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("benchmarks.cli.listing.listing", refused)
    assert cli.main(["--list"]) == 2
    assert capsys.readouterr().err.startswith(f"run_all.py: {said}")


# The whole command, with workers ------------------------------------------------------------------------------------------


def test_a_limit_on_the_size_of_files_stops_all_workers(tmp_path: Path, data_root: Path) -> None:
    """A base has 152 KiB, its features more. The worker that meets it first says so, and the launcher ends the other."""
    command = Command(tmp_path / "results", data_root, ("--methods", "base_only,proto", "--seeds", "0-1", "--workers", "2"))
    ended = command.run(prefix=("sh", "-c", 'ulimit -f 200; exec "$@"', "sh"))  # in blocks of 512 bytes
    assert ended.status == 2
    assert "(File too large); raise the limit on the size of files (ulimit -f)" in refusal(ended.err)
    assert ended.out == ""
    assert not list(command.results.rglob("seed*.json"))
    assert not list(command.results.rglob("*.safetensors"))


def test_a_disk_that_fills_up_under_two_workers(main: Main, tmp_path: Path, data_root: Path) -> None:
    """Six of twelve files: one run at least is finished, and stays. The others are still to do, and no more."""
    line = ("--methods", "base_only,proto", "--seeds", "0-1", "--workers", "2")
    command = Command(tmp_path / "results", data_root, line)
    ended = command.run(Plan(str(command.results), str(tmp_path / "steps.log"), "ENOSPC", ("flush records/*",), at=7))
    assert ended.status == 2
    assert "(No space left on device); free room" in refusal(ended.err)
    before = files(command.results)
    assert not [name for name in before if name.endswith(".failed.json")]
    costs = {name.replace(".json", ".cost.json") for name in before if fnmatch(name, "*/seed0?.json")}
    assert costs
    assert f"4 runs, {len(costs)} done, {4 - len(costs)} to do" in main(command.results, *line, "--plan")[1]
    now = one_by_one(command.results, data_root, ("base_only", "proto"), (0, 1))
    assert {name for name, content in before.items() if name.endswith(".cost.json") and now[name] == content} >= costs, "run again"
    assert_finished(command.results, one_by_one(tmp_path / "alone", data_root, ("base_only", "proto"), (0, 1)))
