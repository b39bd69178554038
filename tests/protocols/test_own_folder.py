"""The user's own folder of methods: found beside the suite's, in any working directory, and never in the place of the suite's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.base.key import OURS, base_key
from benchmarks.cli.listing import listing
from benchmarks.records.identity import BaseStage
from benchmarks.records.source_hash import source_hash
from benchmarks.records.stated import stated_version
from methods.contract.loading import load_base_kind, load_method
from methods.contract.registry import MethodError, base_kind_names, method_names, read_entry
from methods.parts.own_files import forget_own_files
from protocols import ProtocolError, load_protocol
from protocols.own_folder import SHIPPED, own_folder, take_own_folder
from tests.conftest import TINY
from tests.trust.asking import ask

MINE = '''"""Mine: a method of the user's own."""
from methods._helper import TWO
from methods.contract import MethodConfig, SessionStrategy


class Mine(SessionStrategy):
    title = "Mine"
    version = TWO and 2
    Config = MethodConfig
'''
SOFT = '''"""A base kind."""
from methods.contract import BaseKind


class Soft(BaseKind):
    version = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """./methods of a user who works in another folder than the suite's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "methods" / "bases").mkdir(parents=True)
    yield tmp_path / "methods"
    forget_own_files()
    monkeypatch.undo()
    take_own_folder(None)
    assert own_folder() is None


def filled(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE)
    (folder / "_helper.py").write_text("TWO = 2\n")
    (folder / "bases" / "soft.py").write_text(SOFT)


@pytest.mark.parametrize("asked", [None, Path("methods")])
def test_own_methods_and_kinds_stand_beside_the_shipped(asked: Path | None, folder: Path) -> None:
    filled(folder)
    before = len(method_names())
    assert take_own_folder(asked) == folder
    assert len(method_names()) == before + 1
    assert {"mine", "lecnet"} <= set(method_names())
    assert {"soft", "linear"} <= set(base_kind_names())
    assert read_entry("mine").summary == "Mine: a method of the user's own."
    assert "  mine " in listing()
    assert load_method("mine").version == 2
    assert load_base_kind("soft").version == 3


def test_the_source_hash_covers_own_files(folder: Path) -> None:
    filled(folder)
    take_own_folder(None)
    hashes = [source_hash("mine", "soft")]
    for name in ("mine.py", "_helper.py", "bases/soft.py"):
        (folder / name).write_text((folder / name).read_text() + "\nMORE = 1\n")
        os.utime(folder / name, (0, len(hashes)))
        hashes.append(source_hash("mine", "soft"))
    assert None not in hashes and len(set(hashes)) == 4
    assert stated_version("mine") is None, "it is no literal"


def test_the_source_hash_covers_the_kinds_of_earlier_base_sessions(folder: Path) -> None:
    """A kind names its `parent` and need not import it: an edit of the parent alone mixed two bases in one row, unnoticed. A parent that is
    imported counts once, so that the hashes of the suite's own kinds stay."""
    filled(folder)
    (folder / "bases" / "child.py").write_text(SOFT.replace("version = 3", 'parent = "soft"'))
    take_own_folder(None)
    with_parent, alone = source_hash("mine", "child", ("soft",)), source_hash("mine", "child")
    assert None not in (with_parent, alone) and with_parent != alone
    (folder / "bases" / "soft.py").write_text(SOFT + "    views = 2\n")
    os.utime(folder / "bases" / "soft.py", (0, 1))
    assert source_hash("mine", "child", ("soft",)) not in (with_parent, None) and source_hash("mine", "child") == alone
    assert source_hash("mine", "child", ("gone",)) is None
    assert source_hash("concm", "structure", ("contrast",)) == source_hash("concm", "structure"), "it imports its parent"


def test_an_own_kinds_sources_are_part_of_its_base_model(folder: Path) -> None:
    """An author edits without raising a version: the model trained before must not be taken for the edited kind's. The suite's kinds have
    versions, and keep the models that are stored."""
    filled(folder)
    take_own_folder(None)
    tiny = load_protocol(str(TINY))

    def stem(base: str) -> str:
        return base_key(tiny, tiny.recipes["fast"].shared, BaseStage(base=base), 0, "images", "rows", {}).stem

    before, shipped = stem("soft"), stem("cosine")
    (folder / "bases" / "soft.py").write_text(SOFT + "\n    views = 2\n")
    os.utime(folder / "bases" / "soft.py", (0, 0))
    assert stem("soft") == before, "this process has imported the file as it was, and would train that"
    forget_own_files()
    assert stem("soft") != before and stem("cosine") == shipped
    assert set(base_kind_names()) - {"soft"} == OURS


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    def los(self, network, views, labels, step): ...", "Soft.los is no hook. Did you mean 'loss'?"),
        ("    def dray(self, network, shape, step): ...", "Soft.dray is no hook. Did you mean 'draw'?"),
        (
            "    def loss(self, network, views, labels): ...",
            "Soft.loss must take (self, network, views, labels, step), as it is called with",
        ),
        ("    view = 2", "Soft.view is no hook. Did you mean 'views'?"),
        ("    views = '2'", "views of Soft must be a whole number, at least 1 (got '2')"),
        ("    version = 0", "version of Soft must be a whole number, at least 1 (got 0)"),
        ("    class Config(KindConfig):\n        share: float", "Config.share of Soft needs a default"),
        ("    class Config(KindConfig):\n        of: set[int] = {1}", "Config.of of Soft must not be a set"),
        ("    class Config(KindConfig):\n        lr: float = 1.0", "lr is a setting of every recipe"),
        ("    Config = MethodConfig", "Config of Soft must be a class that derives from KindConfig"),
        ("    class Config(KindConfig):\n        augment: dict = {'pad': 1}", "Config.augment of Soft must be an Augment"),
        ("    added = ('part')", "added of Soft must be a tuple of names of network.parts (got 'part')"),
        ("    drop = ('part', 3)", "drop of Soft must be a tuple of names of network.parts (got ('part', 3))"),
        ("    knows_all_classes = 'no'", "knows_all_classes of Soft must be one of False, True (got 'no')"),
        ("    capturable = 0", "capturable of Soft must be one of False, True (got 0)"),
        ("    def changes_images(self): return False", "changes_images of Soft must be one of False, True (got <function"),
        ("    parent = ('cosine',)", "parent of Soft must be the name of a base kind, or None (got ('cosine',))"),
        ("    bases = {'cosin': {'scale': 8.0}}", "bases of Soft: no base kind named 'cosin'. Did you mean 'cosine'?"),
        ("    bases = {'cosine': 3}", "bases of Soft must be a mapping of base kinds to values of their Config (got {'cosine': 3})"),
        ("    migrations = {1: 2}", "migrations of Soft must be a mapping of versions to functions (got {1: 2})"),
    ],
)
def test_a_mistake_in_a_kind_is_one_line(body: str, said: str, folder: Path) -> None:
    filled(folder)
    (folder / "bases" / "soft.py").write_text(
        f'"A kind."\nfrom methods.contract import BaseKind, KindConfig, MethodConfig\n\n\nclass Soft(BaseKind):\n{body}\n'
    )
    take_own_folder(None)
    with pytest.raises(MethodError) as error:
        load_base_kind("soft")
    assert said in str(error.value) and str(error.value).startswith(f"{folder}/bases/soft.py: ")


def test_a_helper_of_four_letters_is_no_slip(folder: Path) -> None:
    """`crop` is one letter from `drop`, which is no function."""
    filled(folder)
    (folder / "bases" / "soft.py").write_text(f"{SOFT}\n    def crop(self, images): ...\n    lots = 3\n")
    take_own_folder(None)
    assert load_base_kind("soft")


def test_a_part_that_is_dropped_must_be_there(folder: Path) -> None:
    """Said before anything is trained; it ended the trained base session in a KeyError."""
    filled(folder)
    text = (
        SOFT + '\n    drop = ("projektor",)\n\n    def build(self, network, sessions):\n        network.parts["projector"] = network.head\n'
    )
    (folder / "bases" / "soft.py").write_text(text)
    answer = ask("--methods", "proto@soft", "--protocol", str(TINY), "--plan", "--results", str(folder / "results"))
    assert (
        answer.fault("`drop` of its base kind must name parts that build() makes: no part named 'projektor'. Did you mean 'projector'?")
        == ""
    )


def test_an_edited_file_is_read_anew(folder: Path) -> None:
    filled(folder)
    take_own_folder(None)
    assert load_method("mine").title == "Mine"
    (folder / "mine.py").write_text(MINE.replace('"Mine"', '"Other"'))
    forget_own_files()
    assert load_method("mine").title == "Other"
    assert sys.modules["methods"].__path__[0] == str(SHIPPED)


def test_a_failing_import_names_the_file_and_the_line(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE)
    take_own_folder(None)
    with pytest.raises(MethodError, match=rf"{folder}/mine.py cannot be imported: ModuleNotFoundError: .*_helper.* \(line 2\)"):
        load_method("mine")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lecnet.py", "lecnet.py: the suite has methods/lecnet already; give the file another name"),
        ("parts.py", "parts.py: the suite has methods/parts already"),
        ("bases/cosine.py", "cosine.py: the suite has a base kind cosine already"),
    ],
)
def test_a_name_that_exists_is_refused(name: str, said: str, folder: Path) -> None:
    filled(folder)
    (folder / name).write_text(MINE)
    for asked in (None, folder):
        with pytest.raises(ProtocolError) as caught:
            take_own_folder(asked)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert own_folder() is None


def test_a_checkout_of_another_release_is_not_mixed_in_unasked(folder: Path) -> None:
    (folder / "contract").mkdir()
    (folder / "lecnet.py").write_text(MINE)
    with pytest.raises(ProtocolError, match=r"of another release of the suite; call python run_all\.py there"):
        take_own_folder(None)


def test_a_copy_of_the_suites_own_file_is_the_suites(folder: Path) -> None:
    (folder / "proto.py").write_bytes((SHIPPED / "proto.py").read_bytes())
    assert take_own_folder(None) is None
    filled(folder)
    assert take_own_folder(None) == folder
    assert method_names().count("proto") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(MINE.replace('title = "Mine"', 'title = "Mine'), "mine.py"), (MINE.replace('    title = "Mine"\n', ""), "title")],
)
def test_a_method_with_a_fault_is_named_and_not_passed_over(content: str, said: str, folder: Path) -> None:
    (folder / "_helper.py").write_text("TWO = 2\n")
    (folder / "mine.py").write_text(content)
    assert take_own_folder(None) == folder
    with pytest.raises(MethodError, match=said):
        load_method(read_entry("mine").name)


def test_a_folder_of_other_code_is_not_taken_unasked(folder: Path) -> None:
    (folder / "tools.py").write_text("def grind() -> None: ...\n")
    assert take_own_folder(None) is None
    with pytest.raises(ProtocolError, match="no such folder"):
        take_own_folder(folder / "nowhere")
    (folder / "tools.py").unlink()
    with pytest.raises(ProtocolError, match="holds neither a method"):
        take_own_folder(folder)
