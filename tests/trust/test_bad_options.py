"""Every parameter of every method and every option of the command line: wrong in every way, and answered in one line."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import pytest

from benchmarks.cli.options import parser
from benchmarks.planning.validation import effective
from benchmarks.system.errors import UsageError
from benchmarks.tools import search
from methods.contract.loading import load_method
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import SHIPPED
from tests.trust.asking import ask
from tests.trust.bad_protocols import LONG

# Methods' parameters ----------------------------------------------------------------------------------------------------

NEVER = {"10**12": 10**12, "1e30": 1e30, "-1e30": -1e30, "nan": math.nan, "inf": math.inf, "huge": 2**8000, "list of lists": [[1]]}
NEVER |= {
    "mapping": {"a": 1},
    "long": LONG,
    "words": "some words",
    "NUL": "a\0b",
    "empty": "",
    "bytes": b"x",
    "list of bool": [True],
    "list of huge": [10**12],
    "list of negative": [-1],
}
MAY_BE_NEGATIVE = {"tau_init", "lowest", "highest"}  # the last two are powers of ten
FIELDS = [(name, field) for name in SHIPPED for field in load_method(name).Config.model_fields]


@pytest.mark.parametrize("method", SHIPPED)
def test_every_parameter_of_every_method(method: str, tiny: Protocol) -> None:
    cls = load_method(method)
    preset = next(iter(cls.presets))
    for field in cls.Config.model_fields:
        values = dict(NEVER) if field in MAY_BE_NEGATIVE else {**NEVER, "negative": -1, "small negative": -1e-9}
        for what, value in values.items():
            if field == "options" and isinstance(value, dict):  # what a stock strategy takes is its own affair
                continue
            with pytest.raises(UsageError) as caught:
                effective(tiny, "fast", method, preset, {field: value})
            message = str(caught.value)
            assert message.isprintable() and len(message) < 400, what
            assert re.search(rf"--set: (unknown key .)?{field}", message), message
    with pytest.raises(UsageError, match="unknown key"):
        effective(tiny, "fast", method, preset, {"zzz": 1})


@pytest.mark.parametrize(("method", "field"), random.Random(0).sample(FIELDS, 6))
@pytest.mark.parametrize(
    "value", [".nan", "1e30", "-1", "2024-13-45", '!!int ""', "[" * 1000, "&a [*a]", "{a: b", LONG, "!!python/name:os.system"]
)
def test_parameters_on_the_command_line(method: str, field: str, value: str, tmp_path: Path) -> None:
    answer = ask("--methods", method, "--set", f"{method}.{field}={value}", "--plan", "--results", str(tmp_path))
    assert answer.fault(field, "--set") == "" or (field in MAY_BE_NEGATIVE and value == "-1")


# Options ----------------------------------------------------------------------------------------------------------------

STRINGS = [
    "",
    " ",
    LONG,
    "naïve",
    "a\nb",
    "\x1b[31m",
    "../x",
    "/etc/passwd",
    "~",
    "-1",
    "0",
    "1e30",
    "nan",
    "9" * 5000,
    "null",
    ":",
    ",",
    "=",
    ".",
]
OPTIONS = ["--protocol", "--methods", "--seeds", "--recipe", "--split", "--set", "--workers", "--device", "--threads", "--study"]
OPTIONS += ["--precision"]
OPTION_SENSIBLE = {("--seeds", "0")}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("value", STRINGS, ids=lambda value: repr(value[:12]))
def test_every_option_with_every_string(option: str, value: str, tmp_path: Path) -> None:
    answer = ask(f"{option}={value}", "--plan", "--results", str(tmp_path))
    assert answer.fault(option, option.strip("-").rstrip("s")) == "" or (answer.status == 0 and (option, value) in OPTION_SENSIBLE)


@pytest.mark.parametrize("mode", ["--verify", "--report-only"])
@pytest.mark.parametrize("option", ["--protocol", "--methods", "--study"])
def test_an_empty_word_is_not_the_default(mode: str, option: str, tmp_path: Path) -> None:
    assert ask(f"{option}=", mode, "--results", str(tmp_path)).fault(option, option.strip("-")) == ""


@pytest.mark.parametrize("value", STRINGS, ids=lambda value: repr(value[:12]))
def test_an_option_of_export_and_compare_with_every_string(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder, which is also the home: `.` would be the suite with all of its results, `~` whatever somebody has at home."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    assert ask(f"--export={value}", "--protocol", str(TINY), "--results", str(tmp_path)).fault("--export") == ""
    assert ask("--compare", str(tmp_path), value).fault("--compare", "no records to compare") == ""


@pytest.mark.parametrize("option", ["--results", "--data-root"])
@pytest.mark.parametrize("value", ["", "a\nb", "\x1b[31m", "\0"], ids=repr)
def test_folders_that_are_none(option: str, value: str) -> None:
    assert ask(f"{option}={value}", "--plan").fault(option) == ""


def test_folders_that_are_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for option in ("--results", "--bases"):
        answer = ask(option, str(tmp_path / "a" / "x"), "--plan", "--protocol", str(TINY))
        assert answer.status == 0 or answer.fault(option) == ""
    assert ask("--compare", str(tmp_path / "a"), str(tmp_path)).fault("--compare") == ""


def test_a_variable_that_is_empty_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSCIL_DATA", "")
    assert parser().parse_args([]).data_root == Path("data")


@pytest.mark.parametrize("number", ["1025", "1000000000000"])
@pytest.mark.parametrize("option", ["--threads", "--workers"])
def test_absurd_numbers_of_processes(option: str, number: str) -> None:
    assert ask(option, number, "--plan").fault(option) == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--reproduce", "0"], "--reproduce must be at least 1"),
        (["--reproduce", "-1"], "--reproduce must be at least 1"),
        (["--reproduce", "1", "--force"], "--reproduce takes runs that are done"),
        (["--methods", "proto,"], "--methods 'proto,': a name is empty"),
        (["--methods", "proto,,base_only"], "a name is empty"),
        (["--study", "gamma,"], "--study 'gamma,': a name is empty"),
        (["--methods", "lecnet", "--set", "lecnet.gamma=1", "--set", "lecnet.gamma=2"], "'lecnet.gamma' is set twice"),
    ],
)
def test_what_was_not_meant(line: list[str], said: str, tmp_path: Path) -> None:
    answer = ask("--protocol", str(TINY), "--results", str(tmp_path), "--plan" if "--reproduce" not in line else "--workers=1", *line)
    assert answer.status == 2 and said in answer.err


@pytest.mark.parametrize("device", ["meta", "mps", "cpu:x", "cuda:999", "cuda:-1"])
def test_devices_that_are_not_for_training(device: str) -> None:
    assert ask("--device", device, "--plan", "--workers", "1").fault("--device") == ""


@pytest.mark.parametrize("seeds", ["0-999999", ",".join(f"{n}000-{n}999" for n in range(20)), "٣", "1--2", "-1"])
def test_absurd_seeds(seeds: str) -> None:
    assert ask(f"--seeds={seeds}", "--plan").fault("seeds") == ""


@pytest.mark.parametrize(
    ("grid", "named"),
    [
        (["epochs"], "FIELD=VALUE"),
        (["epochs="], "FIELD=VALUE"),
        (["epochs=[1"], "is not a value"),
        (["epochs=2024-13-45"], "is not a value"),
        (["epochs=" + "[" * 1000], "is not a value"),
        (["lr=1", "lr=2"], "stands twice"),
        ([f"{key}=1,2,3,4,5,6,7,8,9,10" for key in "abcdefghij"], "10,000,000,000 points"),
        (["zzz=1"], "unknown key"),
        (["lr=nan"], "lr"),
        (["lr=1e30"], "lr"),
        (["epochs=-1"], "epochs"),
    ],
    ids=str,
)
def test_grids_of_the_search(grid: list[str], named: str, data_root: Path, tmp_path: Path) -> None:
    places = ("--results", str(tmp_path), "--data-root", str(data_root), "--device", "cpu", "--seeds", "0")
    answer = ask("--protocol", str(TINY), "--method", "ft_cnn", *places, "--grid", *grid, command=search.main)
    assert answer.status == 2
    assert len(answer.err.splitlines()) == 1, answer.err
    assert named in answer.err
