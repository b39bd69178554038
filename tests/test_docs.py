"""The documents' code runs as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from protocols.schema import Protocol

ROOT = Path(__file__).resolve().parent.parent
CODE = ("benchmarks", "methods", "protocols", "run_all.py")


def block(document: str, language: str) -> str:
    """The first fenced block of that language."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert found, f"{document} has no {language} block"
    return found.group(1)


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


def run_all(folder: Path, data_root: Path, results: str, methods: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--protocol", str(ROOT / "tests/data/tiny.yaml"), "--seeds", "0", "--workers", "1"]
    arguments += ["--methods", methods, "--data-root", str(data_root), "--results", results]
    return subprocess.run([sys.executable, "run_all.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_example_method_appears_beside_the_others_and_changes_none(copy: Path, data_root: Path) -> None:
    alone = run_all(copy, data_root, "alone", "base_only,proto")
    assert alone.returncode == 0, alone.stderr
    example = block("docs/ADDING_A_METHOD.md", "python")
    (copy / "methods" / "shrunk_proto.py").write_text(example)
    assert len([line for line in example.splitlines() if line.strip()]) <= 35
    done = run_all(copy, data_root, "beside", "base_only,proto,shrunk_proto,shrunk_proto:strong")
    assert done.returncode == 0, done.stderr
    table = (copy / "beside" / "tiny.md").read_text()
    assert "| ShrunkProto (mild)" in table
    assert "| ShrunkProto (strong)" in table
    for record in (copy / "alone" / "records").rglob("seed00.json"):
        assert record.read_bytes() == (copy / "beside" / record.relative_to(copy / "alone")).read_bytes()


def test_the_example_protocol_is_valid() -> None:
    protocol = Protocol.model_validate(yaml.safe_load(block("docs/DATA.md", "yaml")))
    assert protocol.data.source == "folder"


def test_links_in_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"
