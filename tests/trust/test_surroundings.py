"""The suite in other people's surroundings: no user name or home, a notebook's screen, an ASCII terminal, macOS, YAML as people type it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks.cli import main as cli
from benchmarks.cli.main import main
from benchmarks.data.sources.archives import unpack
from benchmarks.running.measuring import peak_memory_mib
from benchmarks.system.errors import DataError
from benchmarks.system.files import SUITE_ROOT

TINY = SUITE_ROOT / "tests" / "data" / "tiny.yaml"
NOBODY = """
import pwd, sys

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
from benchmarks.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_a_user_name_a_home_or_a_screen_and_with_an_ascii_terminal(data_root: Path, tmp_path: Path) -> None:
    """`docker run --user 12345` from a notebook, into a folder that the terminal cannot print."""
    home, results = tmp_path / "home", tmp_path / "résultats"
    home.mkdir()
    surroundings = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONIOENCODING": "ascii",
        "OMP_NUM_THREADS": "1",
    }
    places = ["--results", str(results), "--data-root", str(data_root), "--device", "cpu"]
    command = [sys.executable, "-c", NOBODY, "--protocol", str(TINY), "--methods", "proto", "--seeds", "0", *places]
    done = subprocess.run(command, cwd=SUITE_ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "r\\xe9sultats/tiny.md" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (home / ".avalanche").exists(), "no folder that was not asked for"


def test_clean_names_any_folder_on_an_ascii_terminal(tmp_path: Path) -> None:
    """It has a parser of its own, and does not go the way of the other commands."""
    note = tmp_path / "résultats" / "records" / "tiny" / "quick.paper" / "proto-01234567" / "seed00.failed.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    surroundings = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "run_all.py", "clean", "--failures", "--dry-run", "--results", str(tmp_path / "résultats")]
    done = subprocess.run(command, cwd=SUITE_ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "r\\xe9sultats" in done.stdout


TOOLS = [path for path in (SUITE_ROOT / "benchmarks" / "tools").rglob("*.py") if '__name__ == "__main__"' in path.read_text()]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_every_tool_settles_before_it_imports_what_warns_and_writes(path: Path, tmp_path: Path) -> None:
    name = ".".join(path.relative_to(SUITE_ROOT).with_suffix("").parts)
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", name, "--help"]
    done = subprocess.run(command, cwd=SUITE_ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "usage:" in done.stdout
    assert not list(tmp_path.iterdir())
    assert "settle()" in path.read_text(), "an ASCII terminal can be anybody's"


@pytest.mark.parametrize("option", [True, False], ids=["option", "variable"])
def test_a_tilde_is_the_home_folder(option: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if not option:
        monkeypatch.setenv("FSCIL_DATA", "~/images")
    options = cli.parser().parse_args(["--data-root=~/images"] if option else [])
    assert options.data_root == tmp_path / "images"


def test_a_home_that_nobody_has_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["--data-root", "~nobody-of-this-name/x"])
    assert status.value.code == 2
    assert "there is no such home folder" in capsys.readouterr().err


def test_macos_counts_cores_and_memory_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    here = peak_memory_mib(torch.device("cpu"))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory_mib(torch.device("cpu")) == pytest.approx(here / 1024, rel=0.2), "bytes there, KiB here"
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cli.cores() == os.cpu_count()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("epochs: 010", "'010' is an octal number; write 10"),
        ("epochs: 1:30", "'1:30' is a number to the base 60"),
        ("epochs: 0x1F", "is a number to another base"),
        ("epochs: 1_000", "write 1000"),
        ("name: NO", "'NO' would be read as true or false"),
        ("flip: yes", "would be read as true or false"),
        ("title: 2024-01-01", "would be read as a date; put it in quotes"),
        ("title: My\u00a0set", "line 1: not valid YAML ('My\\xa0set': character 3 is NO-BREAK SPACE (U+00A0); write a plain space)"),
        ("name: my\u200bset", "character 3 is ZERO WIDTH SPACE (U+200B); remove it"),
        ("\u3000seeds: 0-1", "character 1 is IDEOGRAPHIC SPACE (U+3000); write a plain space"),
        ("title:\u00a0Mine\nname: mine", "line 1: character 7 is NO-BREAK SPACE (U+00A0); write a plain space"),
    ],
)
def test_what_yaml_reads_otherwise_is_refused(typed: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{typed}\n", encoding="utf-8")
    assert main(["--protocol", str(path), "--plan"]) == 2
    assert said in capsys.readouterr().err


def test_an_octal_parameter_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--protocol", str(TINY), "--methods", "ft_cnn", "--set", "ft_cnn.epochs=010", "--plan"]) == 2
    assert "write 10" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert main(["--protocol", str(path), "--methods", "proto", "--seeds", "0", "--plan", "--results", str(tmp_path)]) == 0


def test_a_reader_who_has_seen_enough_hears_no_complaint() -> None:
    command = f"{sys.executable} run_all.py --list | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=SUITE_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Protocol ") and done.stdout.count("\n") == 1


def test_a_python_without_safe_unpacking_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12 has Python 3.11.2."""
    archive = tmp_path / "images.tar"
    with tarfile.open(archive, "w") as tape:
        tape.add(TINY, "images/tiny.yaml")
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DataError, match=r"Python 3\.11\.4 and later can"):
        unpack(archive, "images", tmp_path)
