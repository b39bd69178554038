"""What the command line answers at once: help, lists, and what it refuses in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.cli.listing import listing
from tests.command import ROOT, Answer, Here, call


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_import_no_torch(option: str) -> None:
    answer = call(option, python=("-X", "importtime"))
    assert answer.status == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in answer.lines if line.startswith("import time:")}
    assert "benchmarks.cli.main" in imported, "else this test sees nothing"
    heavy = {"torch", "torchvision", "avalanche", "pandas", "scipy", "sklearn"}
    assert not {name.partition(".")[0] for name in imported} & heavy


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_start_at_once(option: str) -> None:
    answer = call(option)
    assert answer.status == 0
    assert answer.err == ""
    assert answer.user_seconds < 2


def test_help_names_every_option_of_the_design(here: Here) -> None:
    text = here("--help").out
    options = "protocol methods study seeds recipe split set device workers data-root results report-only plan list"
    for option in options.split():
        assert f"--{option}" in text


def test_list_names_protocols_and_methods(here: Here) -> None:
    text = listing(400)
    assert here("--list").out.split()[0] == text.split()[0]
    for protocol in (ROOT / "protocols").glob("*.yaml"):
        assert f"  {protocol.stem} " in text
    for study in (ROOT / "protocols" / "studies").glob("*.yaml"):
        assert f"  {study.stem} " in text
    listed = {"base_only": "default", "lecnet": "paper, code, frozen, baseline, ne, nc, oracle", "proto": "raw_mean, norm_mean"}
    for name, presets in listed.items():
        assert re.search(rf"^  {name} +{presets} ", text, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100])
def test_the_list_is_no_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, listing(width).splitlines())) <= width


# Bad usage: status 2, one line, nothing done ----------------------------------------------------------------------------

BAD = {
    "protocol": (["--protocol", "cub20"], "Did you mean 'cub200'"),
    "protocol file": (["--protocol", "no/such/file.yaml"], "no/such/file.yaml"),
    "method": (["--methods", "lecnt"], "Did you mean 'lecnet'"),
    "preset": (["--methods", "lecnet:papr"], "Did you mean 'paper'"),
    "seeds backwards": (["--seeds", "3-1"], "3-1 runs backwards"),
    "seeds in words": (["--seeds", "ten"], "0-9 or 0,2,5-7"),
    "recipe": (["--protocol", "omniglot", "--recipe", "quik"], "Did you mean 'quick'"),
    "split": (["--split", "canonical-ordr"], "Did you mean 'canonical-order'"),
    "split of another protocol": (["--split", "lec"], "paper, canonical-order"),
    "set without value": (["--set", "lecnet.gamma"], "METHOD.FIELD=VALUE"),
    "set of a method": (["--set", "lecnt.gamma=0.6"], "Did you mean 'lecnet"),
    "no workers": (["--workers", "0"], "at least 1"),
    "no threads": (["--threads", "0"], "at least 1"),
    "study": (["--study", "gama"], "Did you mean 'gamma'"),
    "study file": (["--study", "no/such/study.yaml"], "no/such/study.yaml"),
    "study and methods": (["--study", "gamma", "--methods", "lecnet"], "leave --methods and --set out"),
    "study and set": (["--study", "gamma", "--set", "lecnet.gamma=1"], "leave --methods and --set out"),
    "no study to report": (["--study", "gamma", "--report-only", "--protocol", "digits"], "no runs of study gamma yet"),
    "study of no protocol to report": (["--study", "gamma", "--report-only"], "the protocol must be named"),
    "nothing to report": (["--report-only", "--protocol", "digits"], "no records yet"),
    "nothing at all to report": (["--report-only"], "no records"),
    "nothing to verify": (["--verify"], "no records to verify"),
    "report of one split": (["--report-only", "--split", "lec", "--methods", "x"], "leave --methods and --split out"),
    "verify one study": (["--verify", "--study", "gamma"], "leave --study out"),
    "list of one recipe": (["--list", "--recipe", "quick"], "leave --recipe out"),
    "set of a field": (["--methods", "lecnet", "--set", "lecnet.gama=0.6"], "Did you mean 'gamma'"),
    "device": (["--methods", "base_only", "--device", "gpu"], "--device gpu"),
}


def refused(answer: Answer, named: str, folder: Path) -> None:
    assert answer.status == 2, answer.err
    assert len(answer.lines) == 1, answer.err
    assert named in answer.err
    assert answer.out == ""
    assert [path for path in folder.rglob("*") if path.is_file()] == [], "nothing is trained or written"


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_bad_usage(arguments: list[str], named: str, here: Here, tmp_path: Path) -> None:
    refused(here(*arguments, "--data-root", str(tmp_path / "data"), "--results", str(tmp_path / "results")), named, tmp_path)


@pytest.mark.parametrize("what", ["protocol", "device"])
def test_bad_usage_in_a_process_of_its_own(what: str, tmp_path: Path) -> None:
    arguments, named = BAD[what]
    refused(call(*arguments, "--data-root", str(tmp_path / "data"), "--results", str(tmp_path / "results")), named, tmp_path)


@pytest.mark.parametrize("arguments", [["--protcol", "cub200"], ["--workers", "two"], ["--plan", "--list"], ["cub200"]])
def test_options_that_are_not_there(arguments: list[str], here: Here) -> None:
    answer = here(*arguments)
    assert answer.status == 2
    assert answer.lines[-1].startswith("run_all.py: error: ")


def test_missing_data_says_what_to_put_where(here: Here, tmp_path: Path) -> None:
    data, results = tmp_path / "data", tmp_path / "results"
    answer = here("--protocol", "miniimagenet", "--data-root", str(data), "--results", str(results), "--device", "cpu")
    refused(answer, str(data / "miniimagenet"), results)
    assert "train.csv" in answer.err
    assert "redistribute" in answer.err
