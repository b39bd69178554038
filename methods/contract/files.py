"""Where methods and base kinds are found. A file `methods/<name>.py`, or `<name>.py` in the user's own folder (protocols/own_folder.py), is
a method; one in `bases/` of either is a base kind."""

from __future__ import annotations

from pathlib import Path

from protocols.own_folder import is_backbone, methods_in, own_folder

FOLDER = Path(__file__).resolve().parent.parent
BASES = FOLDER / "bases"


def folders() -> list[Path]:
    """Folders that hold methods: the suite's, and the user's own if there is one."""
    own = own_folder()
    return [FOLDER] if own is None else [FOLDER, own]


def method_files() -> dict[str, Path]:
    """Files of all methods, by name."""
    return {path.stem: path for folder in reversed(folders()) for path in methods_in(folder) if not is_backbone(path)}


def method_file(name: str) -> Path | None:
    """The file of this method alone, of which the others need not be looked at; None if there is none."""
    found = (path for folder in folders() for path in methods_in(folder) if path.stem == name)
    return next((path for path in found if not is_backbone(path)), None)


def kind_files() -> dict[str, Path]:
    """Files of all base kinds, by name."""
    return {path.stem: path for folder in reversed(kind_folders()) for path in methods_in(folder)}


def kind_file(name: str) -> Path | None:
    """The file of this base kind; None if there is none."""
    return next((path for folder in kind_folders() for path in methods_in(folder) if path.stem == name), None)


def kind_folders() -> list[Path]:
    """Folders that hold base kinds: the suite's, and the user's own if there is one."""
    return [BASES, *(folder / "bases" for folder in folders()[1:])]


def shown(package: str, name: str) -> str:
    """The file of a method or base kind as messages name it: `methods/lecnet.py`, or the path of a user's own."""
    path = method_file(name) if package == "methods" else kind_file(name)
    return str(path) if path is not None and is_own(path) else f"{package.replace('.', '/')}/{name}.py"


def is_own(path: Path) -> bool:
    """Whether a file lies in the user's own folder."""
    own = own_folder()
    return own is not None and path.is_relative_to(own)


def there_before(name: str) -> list[str]:
    """The other methods, whose names and titles this one must leave to them; for one of the suite's, these are the suite's alone."""
    files = method_files()
    return sorted(other for other, path in files.items() if other != name and (is_own(files[name]) or not is_own(path)))
