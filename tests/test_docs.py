"""The documents' code runs as it stands."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.planning.studies import study_runs
from methods.contract import FeatureMethod, MethodContext
from methods.contract.context import TrainImages
from methods.contract.hooks import Hooks
from protocols import load_protocol, protocol_names
from protocols.backbones import SIZES
from protocols.schema import Augment, Protocol
from protocols.study import load_study
from tests.benchmarks.reading import table_after
from tests.conftest import TINY
from tests.trust.harness import one_by_one, places

ROOT = Path(__file__).resolve().parent.parent
CODE = ("benchmarks", "methods", "protocols", "run_all.py")


def block(document: str, language: str, number: int = 0) -> str:
    """The first fenced block of that language, or the one of that number, from 0."""
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert len(found) > number, f"{document} has {len(found)} {language} blocks"
    return str(found[number])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The suite's code in another folder, so that a file can be added to methods/."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def test_the_example_method_appears_beside_the_others_and_changes_none(copy: Path, data_root: Path) -> None:
    example = block("docs/ADDING_A_METHOD.md", "python")
    (copy / "methods" / "shrunk_proto.py").write_text(example)
    assert len([line for line in example.splitlines() if line.strip()]) <= 35
    methods = "base_only,proto,shrunk_proto,shrunk_proto:strong"
    line = [*places(copy / "beside", data_root), "--seeds", "0", "--workers", "1", "--methods", methods]
    done = subprocess.run([sys.executable, "run_all.py", *line], cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    table = (copy / "beside" / "tiny.md").read_text()
    assert "| ShrunkProto (mild)" in table
    assert "| ShrunkProto (strong)" in table
    alone = one_by_one(copy / "alone", data_root, ("base_only", "proto"), (0,))
    records = [name for name in alone if name.endswith("/seed00.json")]
    assert len(records) == 2
    for name in records:
        assert (copy / "beside" / name).read_bytes() == alone[name]


def test_the_example_base_kind_serves_its_method_and_others(tmp_path: Path, data_root: Path) -> None:
    """Outside the checkout, as `fscil-bench` runs where it is installed: ./methods holds the user's own."""
    kind, method = (block("docs/ADDING_A_METHOD.md", "python", number) for number in (1, 2))
    assert len([line for line in (kind + method).splitlines() if line.strip()]) <= 40
    (tmp_path / "methods" / "bases").mkdir(parents=True)
    (tmp_path / "methods" / "bases" / "smooth.py").write_text(kind)
    (tmp_path / "methods" / "smooth_proto.py").write_text(method)
    (tmp_path / "methods" / "median.py").write_text(block("README.md", "python"))
    installed = [sys.executable, "-c", "import sys; from benchmarks.cli.main import command; sys.exit(command())"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    compared = "smooth_proto,proto,median"
    runs = {}
    for folder, share, asked in (("a", "0.1", f"{compared},proto@smooth,base_only,smooth_proto@linear"), ("b", "0.3", compared)):
        line = [*places(tmp_path / folder, data_root), "--methods", asked, "--seeds", "0", "--workers", "1"]
        line += ["--set", f"smooth.share={share}"]
        done = subprocess.run([*installed, *line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        records = [json.loads(path.read_text()) for path in (tmp_path / folder / "records").rglob("seed00.json")]
        assert all(json.loads(path.read_text())["sources"] for path in (tmp_path / folder / "records").rglob("*.cost.json"))
        runs[folder] = {(r["identity"]["method"], r["identity"]["base"]): r["predictions_sha256"] for r in records}
    a, b = runs["a"], runs["b"]
    assert a["median", "linear"] == b["median", "linear"] not in (a["proto", "linear"], a["base_only", "linear"])
    assert a["smooth_proto", "smooth"] == a["proto", "smooth"] != a["proto", "linear"] == a["smooth_proto", "linear"]
    assert a["proto", "linear"] == b["proto", "linear"] and a["smooth_proto", "smooth"] != b["smooth_proto", "smooth"]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As a notebook would, in this process; on the tiny protocol instead of the digits."""
    code = block("docs/PYTHON.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('"digits"', repr(str(TINY))), "docs/PYTHON.md", "exec"), {})
    printed, shown = capsys.readouterr().out.splitlines(), block("docs/PYTHON.md", "text").splitlines()
    assert len(printed) == len(shown)
    assert [line.partition("  ")[0] for line in printed[2:6]] == [line.partition("  ")[0] for line in shown[2:6]]
    assert (
        re.fullmatch(r"BaseOnly, seed 0: \d+\.\d\d %, 0 images kept", printed[-1]) and printed[-1].split(":")[0] == shown[-1].split(":")[0]
    )
    assert {path.name for path in tmp_path.iterdir()} == {"notebook", "data"}


def test_the_example_protocol_is_valid() -> None:
    protocol = Protocol.model_validate(yaml.safe_load(block("docs/DATA.md", "yaml")))
    assert protocol.data.source == "folder"


def test_the_example_study_is_valid(tmp_path: Path) -> None:
    (tmp_path / "my_study.yaml").write_text(block("docs/STUDIES.md", "yaml"))
    study = load_study(str(tmp_path / "my_study.yaml"))
    assert len(study_runs(load_protocol("digits"), [study], None, None, None).runs) == 30


CLAIMS = "docs/REPRODUCTION.md"


def claims() -> list[list[str]]:
    """Cells of the table of claims."""
    text = (ROOT / CLAIMS).read_text(encoding="utf-8").partition("## Claim by claim")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_measured_figure_of_a_claim_stands_in_the_page_it_links_to() -> None:
    """A figure in a document came out of a run: of the column `Measured here`, each number with decimals is looked for."""
    rows = claims()
    assert len(rows) >= 10
    for row in rows:
        measured = row[2]
        pages = [ROOT / "docs" / link for link in re.findall(r"\]\(([^)]+)\)", measured)]
        assert pages, row[0]
        there = "\n".join(page.read_text(encoding="utf-8") for page in pages)
        for number in re.findall(r"[+−-]?\d+\.\d+", re.sub(r"\]\([^)]+\)", "", measured)):
            assert number.replace("−", "-") in there, f"{row[0]}: {number} stands in none of {[page.name for page in pages]}"
        figures = re.findall(r"[+−]?\d+\.\d+(?: ± \d+\.\d+)?(?:, p <?\d?\.\d+)?", re.sub(r"\]\([^)]+\)|\(\.\d+, \.\d+\)", "", measured))
        assert 0 <= len(figures) <= 3, f"{row[0]}: {len(figures)} figures in one cell; one row a claim and data set keeps it readable"


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" not in link:
            assert ((ROOT / document).parent / link).exists(), link


def test_the_readmes_top_lines_stand_in_the_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What was measured")[2].partition("\n## ")[0]
    there = (ROOT / "results" / "cifar100.md").read_text(encoding="utf-8")
    numbers = [number for line in text.splitlines() if line.startswith("| ") for number in re.findall(r"\d+\.\d+(?: ± \d+\.\d+)?", line)]
    assert len(numbers) >= 15
    for number in numbers:
        assert number in there, number


def bullets(document: str, heading: str) -> list[str]:
    """The points of a section's lists, each with its continued lines."""
    section = (ROOT / document).read_text(encoding="utf-8").partition(heading)[2].partition("\n#")[0]
    return [re.sub(r"\s+", " ", point) for point in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)]


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("README.md", "\n## What was measured\n"),
        (CLAIMS, "\n### What this means\n"),
        (CLAIMS, "\n### What could not be reproduced, and why\n"),
    ],
)
def test_every_figure_of_a_point_stands_in_a_page_it_links_to(document: str, heading: str) -> None:
    """Two decimals mean a measurement, or a printed value, which stands in the tables of papers."""
    printed = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "protocols" / "published").rglob("*.yaml")))
    points = bullets(document, heading)
    assert len(points) >= 5
    for point in points:
        links = [(ROOT / document).parent / link for link in re.findall(r"\]\(([^)#]+)\)", point)]
        there = printed + "\n".join(link.read_text(encoding="utf-8") for link in links)
        for number in re.findall(r"\d+\.\d\d(?: ± \d+\.\d\d)?(?!\d)", re.sub(r"\]\([^)]+\)", "", point)):
            assert number in there, f"{number} stands in no page that this point links to: {point[:80]}"


def test_what_a_method_may_call_is_there() -> None:
    """The table of calls names members of the contract, and helpers that can be imported."""
    rows = {row["Call"]: row["Gives"] for row in table_after((ROOT / "docs" / "ADDING_A_METHOD.md").read_text(), "## What you are handed")}
    of_self = {name for call in rows for name in re.findall(r"`self\.(\w+)", call)}
    assert {"own_indices", "rows", "add_rows", "context", "now"} <= of_self
    assert all(hasattr(FeatureMethod, name) or name in Hooks.__annotations__ for name in of_self)
    of_context = {name for call in rows for name in re.findall(r"`self\.context\.(\w+)", call)}
    assert of_context <= set(MethodContext.__annotations__)
    for name in re.findall(r"`(\w+)\(", rows["`self.context.images`"]):
        assert hasattr(TrainImages, name), name
    named = re.findall(r"`(\w+)\.(\w+)\(([^)]*)\)`", rows["`methods.parts`"])
    assert len(named) >= 8
    for module, name, given in named:
        helper = getattr(importlib.import_module(f"methods.parts.{module}"), name)
        assert ", ".join(inspect.signature(helper).parameters).startswith(given), (module, name)


def test_every_field_of_augment_is_explained() -> None:
    section = (ROOT / "docs" / "DATA.md").read_text().partition("\n## Augmentation\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(Augment.model_fields)


def test_every_backbone_and_recipe_is_explained() -> None:
    networks = table_after((ROOT / "docs" / "DATA.md").read_text(), "\n## Networks\n")
    named = [name for row in networks for name in re.findall(r"`(\w+)`", row["Name"])]
    assert set(SIZES) | {"identity"} <= set(named)
    recipes = {row["Recipe"]: row["Of"] for row in table_after((ROOT / "docs" / "USING.md").read_text(), "\n## Recipes\n")}
    assert {name.strip("`") for name in recipes} == {recipe for name in protocol_names() for recipe in load_protocol(name).recipes}
    for recipe, where in recipes.items():
        having = {name for name in protocol_names() if recipe.strip("`") in load_protocol(name).recipes}
        if not where.startswith("all but"):
            assert set(re.findall(r"`([\w-]+)`", where)) == having, recipe
