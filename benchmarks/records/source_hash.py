"""Hash of a method's sources: its file and what it imports from methods/, without comments, docstrings, annotations and file names.

Sources are parsed, but not imported or run, so that a report can use this, too. Moving a file does not change the hash; changing its
code does. The hash is None if a file cannot be read or parsed; it is then not compared.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path

from protocols.imports import Imported, names_of
from protocols.own_folder import own_folder
from protocols.reading import read_yaml
from protocols.unchanged import kept_unchanged

PACKAGE = "methods"
EQUAL = Path(__file__).with_name("equal_sources.yaml")
"""Source changes that are proved to give the same bytes: method -> version -> lists of equal hashes (docs/ADDING_A_METHOD.md)."""
DIGITS = 16


def source_hash(method: str, base: str, parents: tuple[str, ...] = ()) -> str | None:
    """Hash of the present sources of this method, of its base kind, and of the kinds of the base sessions before; None if they cannot be
    read. A parent that the kind imports is part of the kind's hash."""
    if own_folder() is not None:  # it may be large
        return hash_now(method, base, parents)
    return hash_in(state_of_files(), method, base, parents)


def state_of_files() -> tuple[tuple[Path, int, int], ...]:
    """Every file of methods/ with its time and size: equal as long as no source changes."""
    files = (path for folder in package_folders() for path in sorted(folder.rglob("*.py")))
    return tuple((path, facts.st_mtime_ns, facts.st_size) for path in files if path.is_file() and (facts := path.stat()))


@lru_cache(maxsize=1024)
def hash_in(state: tuple[tuple[Path, int, int], ...], method: str, base: str, parents: tuple[str, ...]) -> str | None:
    """`source_hash` while files are in this `state`."""
    return hash_now(method, base, parents)


def kind_hash(base: str) -> str | None:
    """Hash of the present sources of a base kind; None if they cannot be read."""
    return hash_of(f"{PACKAGE}.bases.{base}", {})


def hash_of(module: str, known: dict[Path, str | None]) -> str | None:
    path = module_path(module)
    return None if path is None else hash_of_file(path, known)


def hash_now(method: str, base: str, parents: tuple[str, ...]) -> str | None:
    known: dict[Path, str | None] = {}
    hashes = [hash_of(module, known) for module in (f"{PACKAGE}.{method}", f"{PACKAGE}.bases.{base}")]
    modules = (f"{PACKAGE}.bases.{kind}" for kind in parents)
    hashes += [hash_of(module, known) for module in modules if module_path(module) not in known]
    return None if None in hashes else hashlib.sha256(" ".join(map(str, hashes)).encode()).hexdigest()[:DIGITS]


def same_sources(method: str, version: int, one: str, other: str) -> bool:
    """Whether two hashes are equal or listed as equal under this version."""
    if one == other:
        return True
    groups = equal_groups(EQUAL).get(method, {}).get(version, [])
    return any(one in group and other in group for group in groups)


@kept_unchanged
def equal_groups(path: Path) -> dict[str, dict[int, list[list[str]]]]:
    return read_yaml(path) or {}


def module_path(name: str) -> Path | None:
    """The file of a module of methods/, for a package its __init__.py; None if there is none."""
    relative = Path(*name.split(".")[1:])
    for folder in package_folders() if relative.parts else []:
        for path in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if path.is_file():
                return path
    return None


def package_folders() -> list[Path]:
    """Folders of the package methods/, the user's own last, found without importing anything."""
    loaded, own = sys.modules.get(PACKAGE), own_folder()
    spec = importlib.util.find_spec(PACKAGE) if loaded is None else None
    found = loaded.__path__ if loaded is not None else (spec.submodule_search_locations or [] if spec else [])
    return list(dict.fromkeys([*map(Path, found), *([] if own is None else [own])]))


def hash_of_file(path: Path, known: dict[Path, str | None]) -> str | None:
    """Hash of one file and all it imports from methods/. `known` caches hashes by file; in an import cycle they are ''."""
    if path in known:
        return known[path]
    known[path] = ""
    known[path] = hash_of_content(path, known)
    return known[path]


def hash_of_content(path: Path, known: dict[Path, str | None]) -> str | None:
    try:
        body, imports = parsed(path)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    parts = []
    for imported, name, local in imports:
        found = file_of(imported, name)
        inner = imported if found is None else hash_of_file(found, known)
        if inner is None:
            return None
        parts.append(f"{inner} {name} {local}")
    return hashlib.sha256("\n".join([body, *sorted(parts)]).encode()).hexdigest()[:DIGITS]


@kept_unchanged
def parsed(path: Path) -> tuple[str, tuple[Imported, ...]]:
    """Dump of a file's syntax tree without imports, and its imports."""
    module, package = Bare().visit(ast.parse(path.read_bytes())), package_of(path)
    imports = tuple(names for node in ast.walk(module) for names in names_of(node, package))
    return ast.dump(WithoutImports().visit(module)), imports


def file_of(imported: str, name: str | None) -> Path | None:
    """The file of methods/ that an import refers to; None for an import from elsewhere."""
    if imported.partition(".")[0] != PACKAGE:
        return None
    found = (module_path(f"{imported}.{name}") if name else None) or module_path(imported)
    if found is not None and found.name == "__init__.py" and name is not None:
        return home_of(found, name) or found
    return found


def home_of(package: Path, name: str) -> Path | None:
    """The file from which a package's __init__.py imports this name; None if it does not."""
    for node in ast.walk(ast.parse(package.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return module_path(node.module)
    return None


def package_of(path: Path) -> list[str]:
    """Names of the package that a file of methods/ is in, the outermost first."""
    folder = next((folder for folder in package_folders() if path.is_relative_to(folder)), path.parent)
    return [PACKAGE, *path.parent.relative_to(folder).parts]


class WithoutImports(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None


class Bare(ast.NodeTransformer):
    """Removes code that computes nothing: docstrings, annotations of functions, and imports for the type checker.

    Annotations in a class stay, since they define the fields of a Config.
    """

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)
