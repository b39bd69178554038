"""The shape of the house: imports run one way, a file does one job, the report reads records alone, citations resolve."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ORDER = ("cli", "tools", "report", "sweeping", "running", "planning", "base", "data", "records", "metrics", "system")
"""Rooms of benchmarks/ from top to bottom: a file imports from its own room and from those after it. methods/ stands beside `system`,
protocols/ below all."""
METHODS = ("bases", "families", "contract", "parts")
"""The same for methods/; the methods themselves stand on top."""
LONGEST = 250
SOURCES = sorted(path for room in ("benchmarks", "methods", "protocols") for path in (ROOT / room).rglob("*.py"))
REPORT_SEES = {"report", "records", "metrics", "system"}


def imports(path: Path) -> Iterator[str]:
    """What a file imports of the suite, also inside functions: a module, or `module.name`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in ("benchmarks", "methods", "protocols"))


def place(name: str) -> tuple[str, str]:
    """Package and room of a module."""
    parts = name.split(".")
    return parts[0], parts[1] if len(parts) > 2 else ""


def test_imports_run_one_way() -> None:
    wrong = []
    for path in SOURCES:
        package, room = place(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in imports(path):
            there, other = place(name)
            if package == "protocols":
                allowed = there == "protocols"
            elif package == "methods":
                down = other in METHODS and (not room or METHODS.index(other) >= METHODS.index(room))
                allowed = there == "protocols" or (there == "methods" and (not other or down))
            else:
                allowed = there != "benchmarks" or not other or not room or ORDER.index(other) >= ORDER.index(room)
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """A package is its `__init__.py`: what takes a name from it that is no module of it imports that file."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    edges = {module: {name if name in modules else name.rpartition(".")[0] for name in imports(path)} for module, path in modules.items()}
    assert set.union(*edges.values()) <= modules.keys()
    TopologicalSorter(edges).prepare()  # its CycleError names the circle


def test_the_report_imports_records_alone() -> None:
    for path in (ROOT / "benchmarks" / "report").rglob("*.py"):
        for name in imports(path):
            package, room = place(name)
            assert package == "protocols" or (package == "benchmarks" and (not room or room in REPORT_SEES)), f"{path.name}: {name}"


def test_a_report_loads_neither_torch_nor_a_method(tmp_path: Path) -> None:
    code = (
        "import sys; from benchmarks.cli.main import main; import benchmarks.report.write, benchmarks.report.study;"
        f"main(['--report-only', '--protocol', 'cub200', '--results', {str(tmp_path)!r}]);"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'avalanche', 'methods'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_methods_holds_methods_only() -> None:
    others = [path.name for path in (ROOT / "methods").glob("*.py") if "title = " not in path.read_text()]
    assert others == ["__init__.py"]


def test_every_file_is_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_tests_are_in_the_rooms_of_what_they_test() -> None:
    tests = [path for path in (ROOT / "tests" / "benchmarks").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert tests and {path.name for path in tests} <= {path.name for path in (ROOT / "benchmarks").iterdir()}


def test_an_installation_holds_every_file() -> None:
    """`pip install .`: pyproject.toml lists packages and data files by hand."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]
    assert sorted(listed["packages"]) == sorted({".".join(path.relative_to(ROOT).parent.parts) for path in SOURCES})
    assert listed["py-modules"] == ["run_all"]
    packed = {
        path
        for package, globs in listed["package-data"].items()
        for glob in globs
        for path in ROOT.joinpath(*package.split(".")).glob(glob)
    }
    data = {path for room in ("benchmarks", "methods", "protocols") for path in (ROOT / room).rglob("*") if path.is_file()}
    assert {path for path in data if path.suffix not in (".py", ".pyc")} == packed
    module, _, name = project["project"]["scripts"]["fscil-bench"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def headings(page: str) -> set[str]:
    """Numbers of a page's sections."""
    return set(re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE))


def test_citations_resolve() -> None:
    """`docs/methods.md 5.5` names a section that is there, and every page that is named after `docs/` is there."""
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    numbers = {page: headings(page) for page in ("methods.md", "modern.md")}
    assert all(numbers.values())
    listed = subprocess.run(["git", "ls-files", "-c", "-o", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    dead, cited = [], 0
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix not in (".py", ".md", ".yaml") or name.startswith("results/"):
            continue
        text = path.read_text(encoding="utf-8")
        if re.search(r"(?<![/\w])\w+\.md(?:'s|,? (?:sections? )?\d)", text) and not name.startswith("docs/m"):
            dead.append(f"{name} cites a page without docs/")
        dead += [f"{name}: docs/{page}" for page in re.findall(r"docs/(\w+\.md)", text) if page not in pages]
        for page, number in re.findall(r"docs/(methods\.md|modern\.md),? (?:sections? )?(\d+(?:\.\d+)*)", text):
            cited += 1
            if number not in numbers[page]:
                dead.append(f"{name}: docs/{page} {number}")
    assert cited > 50
    assert dead == []
