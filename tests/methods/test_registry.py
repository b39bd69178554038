"""A file in methods/ is a method, found by being there and read without being run."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.listing import listing
from benchmarks.planning.plan import identities, make_request
from benchmarks.system.files import SUITE_ROOT
from methods.contract import files
from methods.contract.loading import load_method
from methods.contract.registry import MethodError, method_names, parse_variant, read_entry
from protocols.schema import Protocol
from tests.methods.runs import SHIPPED

GOOD = '''"""Mine: a method of the user's own.

More words.
"""
from methods.contract import MethodConfig, SessionStrategy

class Helper:
    pass

class Mine(SessionStrategy):
    title = "Mine"
    Config = MethodConfig
    presets = {"plain": {}, "fancy": {}}
'''

Write = Callable[[str, str], Path]


@pytest.fixture
def folder(tmp_path: Path, methods_in: Callable[[Path], None]) -> Path:
    """An empty methods/ of the test's own, from which `methods.<name>` is imported too."""
    path = tmp_path / "methods"
    path.mkdir()
    methods_in(path)
    return path


@pytest.fixture
def write(folder: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return path

    return write


def refused(act: Callable[[], object], *named: str) -> None:
    """Raises MethodError, in one line that names the file."""
    with pytest.raises(MethodError) as caught:
        act()
    for text in named:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_a_method_by_being_there(write: Write) -> None:
    assert method_names() == []
    write("mine.py", GOOD)
    assert method_names() == ["mine"]
    entry = read_entry("mine")
    assert (entry.name, entry.title, entry.class_name) == ("mine", "Mine", "Mine")
    assert entry.summary == "Mine: a method of the user's own."
    assert entry.presets == ("plain", "fancy")
    assert load_method("mine").title == "Mine"


def test_reading_runs_nothing(write: Write, tmp_path: Path) -> None:
    """`--list` answers at once, and does not run a stranger's code."""
    trace = tmp_path / "ran"
    write("loud.py", GOOD + f"\nimport pathlib\npathlib.Path({str(trace)!r}).touch()\nraise RuntimeError('imported')\n")
    assert method_names() == ["loud"]
    assert read_entry("loud").presets == ("plain", "fancy")
    assert parse_variant("loud:fancy")[1] == "fancy"
    assert re.search(r"^  loud +plain, fancy +Mine: a method", listing(), re.MULTILINE)
    assert not trace.exists()
    assert "methods.loud" not in sys.modules


def test_without_presets_there_is_a_default(write: Write) -> None:
    write("mine.py", "class Mine:\n    title = 'Mine'\n")
    assert read_entry("mine").presets == ("default",)
    assert read_entry("mine").summary == ""
    assert parse_variant(" mine ")[1] == "default"


def test_annotated_attributes_count(write: Write) -> None:
    write("mine.py", "class Mine:\n    title: str = 'Mine'\n    presets: dict = {'a': {'lr': 0.1}}\n")
    assert read_entry("mine").presets == ("a",)


@pytest.mark.parametrize("name", ["_draft.py", "__init__.py", ".hidden.py", ".#mine.py", "notes.txt", "mine.py~", "mine.py.orig"])
def test_what_is_not_listed(name: str, write: Write) -> None:
    write(name, GOOD)
    assert method_names() == []


def test_an_editors_dangling_lock_breaks_nothing(folder: Path, write: Write) -> None:
    """Emacs puts a link to nowhere beside a file that is being changed."""
    write("mine.py", GOOD)
    (folder / ".#mine.py").symlink_to("user@host.1234")
    assert "Mine: a method of the user's own." in listing()


def test_what_lies_in_folders_is_no_method(folder: Path, write: Write) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "heads.py").write_text(GOOD)
    assert method_names() == []


def test_the_suites_own_methods() -> None:
    names = method_names()
    assert set(SHIPPED) <= set(names)
    for name in names:
        entry, method = read_entry(name), load_method(name)
        assert entry.title == method.title
        assert entry.presets == tuple(method.presets), "what is listed is what runs"
        assert entry.summary or name not in SHIPPED


@pytest.mark.parametrize(("facts", "named"), [("", "presets"), ("    presets = {'plain': {}, 'fancy': {}}\n", "what it needs")])
def test_what_is_inherited_must_be_written_out(facts: str, named: str, write: Write) -> None:
    """A list is made without importing anything, so that it cannot see what a class has from another."""
    write("mine.py", GOOD + "    needs = 'network'\n")
    write("child.py", f"from methods.mine import Mine\n\nclass Child(Mine):\n    title = 'Child'\n{facts}")
    refused(lambda: load_method("child"), "child.py", "Child must write out", named)


# Files that are no methods ----------------------------------------------------------------------------------------------


def test_syntax_error(write: Write) -> None:
    write("mine.py", "class Mine(\n")
    refused(lambda: read_entry("mine"), "mine.py", "not valid Python")
    assert "not valid Python" in listing(1000), "the others are still listed"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"title = 'a\x00b'\n"], ids=["not text", "null byte"])
def test_not_text(content: bytes, folder: Path) -> None:
    (folder / "mine.py").write_bytes(content)
    refused(lambda: read_entry("mine"), "mine.py", "not valid Python")


@pytest.mark.parametrize("text", ["", "x = 1\n", "class Mine:\n    name = 'mine'\n", "title = 'Mine'\n"])
def test_no_title(text: str, write: Write) -> None:
    write("mine.py", text)
    refused(lambda: read_entry("mine"), "mine.py", "title")


def test_one_file_holds_one_method(write: Write) -> None:
    write("mine.py", "class Mine:\n    title = 'Mine'\n\nclass Other:\n    title = 'Other'\n")
    refused(lambda: read_entry("mine"), "mine.py", "2 classes with a title (Mine, Other)")


@pytest.mark.parametrize("presets", ["{}", "[]", "'paper'", "dict(paper={})", "{name: {} for name in ('a', 'b')}", "{[]: 1}"])
def test_presets_that_cannot_be_read(presets: str, write: Write) -> None:
    write("mine.py", f"class Mine:\n    title = 'Mine'\n    presets = {presets}\n")
    refused(lambda: read_entry("mine"), "mine.py", "presets")


def test_not_a_strategy(write: Write) -> None:
    write("mine.py", "class Mine:\n    title = 'Mine'\n")
    refused(lambda: load_method("mine"), "mine.py", "SessionStrategy")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("import no_such_package", "no_such_package"),
        ("raise RuntimeError('first\\nsecond')", "first"),
        ("1 / 0", "division by zero"),
        ("del Mine", "Mine"),
    ],
)
def test_import_error(line: str, named: str, write: Write) -> None:
    write("mine.py", f"{GOOD}\n{line}\n")
    refused(lambda: load_method("mine"), "mine.py", named)


def test_wrong_names_are_answered_with_the_nearest(write: Write) -> None:
    write("mine.py", GOOD)
    refused(lambda: read_entry("mien"), "'mien'", "Did you mean 'mine'?", "There are: mine.")
    refused(lambda: parse_variant("mine:fanci"), "'fanci'", "Did you mean 'fancy'?", "plain, fancy")


@pytest.mark.parametrize("name", ["../mine", "/etc/passwd", "parts/heads", "mine.py", ""])
def test_a_name_is_no_path(name: str, write: Write) -> None:
    write("mine.py", GOOD)
    refused(lambda: read_entry(name), "no method named")


def test_a_method_built_on_another_keeps_its_presets_or_says_why_not(write: Write, tiny: Protocol) -> None:
    """The natural way to change one thing: derive from LEC-Net and set a title."""
    write("mine.py", '"""Mine."""\nfrom methods.lecnet import LecNet\n\nclass Mine(LecNet):\n    title = "Mine"\n')
    (Path(files.FOLDER) / "lecnet.py").symlink_to(SUITE_ROOT / "methods" / "lecnet.py")
    recipe = tiny.recipes["fast"].model_copy(update={"methods": {}})
    plain = tiny.model_copy(update={"recipes": {"fast": recipe}})
    try:
        (run,) = identities(make_request(plain, None, None, "0", "mine", []))
    except MethodError as error:
        assert "mine.py" in str(error)
        assert "presets" in str(error)
    else:
        assert run.preset == "paper"
        assert run.config["gamma"] == 0.8
