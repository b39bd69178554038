"""The folder of the user's own methods and base kinds (--methods-dir), used beside the suite's.

It stands here because both methods/ and the report ask for it, and the report loads no method. It holds `<name>.py` for a method,
`bases/<name>.py` for a base kind; files that begin with `_` are helpers, which the others import as `methods._helper`. A file that
defines a function `backbone` is the network `module:<name>` of a protocol, and no method.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from pathlib import Path

from protocols.class_facts import assigned
from protocols.imports import names_of
from protocols.reading import ProtocolError, plain
from protocols.unchanged import kept_unchanged

DEFAULT = Path("methods")
"""Folder that is taken without being asked for, if it holds a method."""
SHIPPED = Path(__file__).resolve().parent.parent / "methods"

_taken: list[Path] = []


def own_folder() -> Path | None:
    """The folder of the user's own methods; None if there is none."""
    return _taken[0] if _taken else None


def take_own_folder(asked: Path | None) -> Path | None:
    """Uses this folder of methods from now on in this process; None stands for ./methods where that holds a method. Returns the folder.

    Raises ProtocolError if it is no folder, holds no method, or holds one under a name that the suite uses.
    """
    _taken.clear()
    folder = (DEFAULT if asked is None else asked).absolute()
    found = methods_in(folder)
    if asked is None and not any(is_method(path) or is_backbone(path) for path in found):
        return None
    if not folder.is_dir():
        raise ProtocolError(f"--methods-dir {plain(str(asked))}: no such folder")
    own = [path for path in found if not is_shipped(path, SHIPPED / path.name)]
    kinds = [path for path in methods_in(folder / "bases") if not is_shipped(path, SHIPPED / "bases" / path.name)]
    if asked is None and (folder / "contract").is_dir() and any((SHIPPED / path.name).exists() for path in own):
        raise ProtocolError(f"{folder}: of another release of the suite; call python run_all.py there, or name your own with --methods-dir")
    for path in own:
        if (SHIPPED / path.name).exists() or (SHIPPED / path.stem).is_dir():
            raise ProtocolError(f"{path}: the suite has methods/{path.stem} already; give the file another name")
    for path in kinds:
        if (SHIPPED / "bases" / path.name).exists():
            raise ProtocolError(f"{path}: the suite has a base kind {path.stem} already; give the file another name")
    if not found and not kinds:
        raise ProtocolError(f"--methods-dir {plain(str(asked))}: holds neither a method (NAME.py) nor a base kind (bases/NAME.py)")
    if own or kinds:
        _taken.append(folder)
    return own_folder()


def methods_in(folder: Path) -> list[Path]:
    """Files of methods (or of base kinds) in a folder, sorted; empty if there is no such folder."""
    try:
        with os.scandir(folder) as entries:  # planning asks very often; a sorted glob takes ten times as long
            names = sorted(entry.name for entry in entries)
    except OSError:
        return []
    return [folder / name for name in names if name.endswith(".py") and not name.startswith(("_", "."))]


def is_backbone(path: Path) -> bool:
    """Whether a file defines a function `backbone`. The file is read, not run."""
    try:
        return defines_backbone(path)
    except OSError:
        return False


@kept_unchanged
def defines_backbone(path: Path) -> bool:
    """`is_backbone` of a file that is there. Raises OSError."""
    return re.search(rb"^def backbone\(", path.read_bytes(), re.M) is not None


def backbone_file(name: str) -> Path | None:
    """The file behind `module:<name>`, in the user's folder or beside the suite's methods; None if there is none."""
    places = [folder / f"{name}.py" for folder in (own_folder(), SHIPPED) if folder is not None]
    return next((path for path in places if is_backbone(path)), None)


def source_of(path: Path, known: frozenset[Path] = frozenset()) -> str:
    """SHA-256 of a file and of those beside it that it imports, or names with a `_` that they begin with. Raises OSError."""
    content = path.read_bytes()
    named = {path.with_name(f"{name.decode()}.py") for name in re.findall(rb"\b(_[A-Za-z0-9_]+)", content)}
    helpers = [helper for helper in sorted(named | imported_beside(path, content)) if helper not in known and helper.is_file()]
    parts = [source_of(helper, known | {path, *helpers}) for helper in helpers]
    return hashlib.sha256("\n".join([hashlib.sha256(content).hexdigest(), *parts]).encode()).hexdigest()


def imported_beside(path: Path, content: bytes) -> set[Path]:
    """Files, there or not, that the imports of a file of a folder of methods may lead to: as `methods.X`, or relative to it."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):  # it will not be imported either
        return set()
    own = own_folder()
    root = own if own is not None and path.is_relative_to(own) else SHIPPED if path.is_relative_to(SHIPPED) else path.parent
    package = ["methods", *path.parent.relative_to(root).parts]
    imports = [names for node in nodes for names in names_of(node, package)]
    dotted = {".".join(filter(None, parts)) for module, name, _ in imports for parts in ((module,), (module, name))}
    found: set[Path] = set()
    for parts in (name.split(".")[1:] for name in dotted if name.partition(".")[0] == "methods"):
        if root == SHIPPED and len(parts) > 1:  # what lies deeper there is the suite's
            continue
        found |= {root.joinpath(*parts[:count]).with_suffix(".py") for count in range(1, len(parts) + 1)}
        found |= {root.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)}
    return found if root != SHIPPED else {file for file in found if file.name != "__init__.py"}


def is_shipped(path: Path, shipped: Path) -> bool:
    """Whether this is the suite's own file or an equal copy of it, as in a checkout beside an installation."""
    return shipped.is_file() and shipped.read_bytes() == path.read_bytes()


def is_method(path: Path) -> bool:
    """Whether a file defines a class with a title, or is meant to: it names the contract, but has a fault. It is parsed, not run."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if b"methods.contract" in content:
        return True
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return any("title" in assigned(node) for node in module.body if isinstance(node, ast.ClassDef))
