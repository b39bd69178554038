"""A method of the user's own that changes loses no run, and returns no old numbers in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from benchmarks.planning.ledger import upgraded
from benchmarks.planning.plan import identities, make_request
from benchmarks.system.files import SUITE_ROOT
from methods.bases.cosine import Cosine
from protocols.schema import Protocol
from tests.trust.nothing_lost.conftest import Run, edit, records

METHOD = '''"""A method of the user's own."""

from methods.contract import MethodConfig, SessionStrategy
from methods.parts.heads import unit


class Mine(SessionStrategy):
    """Class means."""

    title = "Mine"
    presets = {"default": {}}

    class Config(MethodConfig):
        power: float = 1.0

    def after_session(self) -> None:
        labels, features = self.context.images.labels(self.own_indices), self.embed_indices(self.own_indices)
        for label in self.context.sessions.span(self.session):
            self.model.head.weight.data[label] = features[labels == label].mean(0)

    def scores(self, features):
        return unit(features) @ unit(self.model.head.weight).T * self.config.power
'''


@pytest.fixture
def mine(tmp_path: Path, methods_in: Callable[[Path], None], request: pytest.FixtureRequest) -> Path:
    """A method of the user's own beside the suite's, in a folder in place of methods/."""
    folder = tmp_path / "methods"
    folder.mkdir()
    for file in (SUITE_ROOT / "methods").glob("[a-z]*.py"):
        shutil.copy(file, folder)
    (folder / "mine.py").write_text(METHOD)
    methods_in(folder)
    return folder / "mine.py"


def forget() -> None:
    """The method is imported anew, as by the next command."""
    import sys

    sys.modules.pop("methods.mine", None)


def test_a_changed_preset_is_another_run(run: Run, mine: Path, results: Path) -> None:
    assert run("mine") == 0
    before = records(results)
    edit(mine, '{"default": {}}', '{"default": {"power": 2.0}}')
    forget()
    assert run("mine") == 0
    after = records(results)
    assert len(after) == 2
    assert before.items() <= after.items()
    assert "power" in (results / "tiny.md").read_text().partition("## Other settings")[2], "one of the two, headed by what differs"


def test_a_changed_default_without_a_new_version_is_not_taken_for_the_old_runs(run: Run, mine: Path, results: Path) -> None:
    assert run("mine") == 0
    edit(mine, "power: float = 1.0", "power: float = 3.0")
    forget()
    assert run("mine") == 0
    assert len(records(results)) == 2


def test_a_migration_keeps_the_runs_of_an_older_version(run: Run, mine: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mine") == 0
    before = records(results)
    edit(
        mine,
        '    presets = {"default": {}}\n',
        '    presets = {"default": {}}\n    version = 2\n    migrations = {1: lambda c: {"strength": c["power"]}}\n',
    )
    mine.write_text(mine.read_text().replace("power: float", "strength: float").replace("config.power", "config.strength"))
    forget()
    assert run("mine") == 0
    assert records(results) == before, "a record of version 1 stands for the same run of version 2"
    capsys.readouterr()
    assert run("mine", "--plan", seeds="0-1") == 0
    assert "\nestimate: " in capsys.readouterr().out, "and says how long the next may take"
    assert run("mine", "--set", "mine.strength=2") == 0
    assert len(records(results)) == 2


def test_a_migration_of_a_base_kind_keeps_its_runs(tiny: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the run's own kind and of a parent; where a migration is missing, or the kind is gone, the record stays what it is."""
    [old] = identities(make_request(tiny, None, None, "0", "proto@cosine", []))
    monkeypatch.setattr(Cosine, "version", 3)
    monkeypatch.setattr(Cosine, "migrations", {1: lambda c: {**c, "scale": 2 * c["scale"]}})
    assert upgraded(old) == old, "none from 2 to 3"
    monkeypatch.setattr(Cosine, "migrations", {**Cosine.migrations, 2: lambda c: {**c, "added": 1}})
    moved = upgraded(old)
    assert (moved.base_version, moved.base_config) == (3, {**old.base_config, "scale": 32.0, "added": 1})
    child = old.model_copy(update={"base": "linear", "base_config": {}, "base_parents": old.stages})
    assert upgraded(child).base_parents == moved.stages
    gone = old.model_copy(update={"base": "gone"})
    assert upgraded(gone) == gone


def test_an_edited_method_does_not_return_old_numbers_in_silence(
    run: Run, mine: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mine") == 0
    before = records(results)
    mine.write_text(METHOD.replace("Class means.", "Means of classes.").replace("def scores", "# by cosine\n    def scores"))
    forget()
    capsys.readouterr()
    assert run("mine") == 0
    assert "has changed" not in capsys.readouterr().err, "a comment and a docstring compute nothing"
    mine.write_text(METHOD.replace(".mean(0)", ".sum(0)"))
    forget()
    assert run("mine") == 0
    warned = "mine:default: its sources (methods/mine.py, bases/linear.py, or what they import) have changed since seed 0 was run"
    assert warned in capsys.readouterr().err
    assert run("mine", "--plan") == 0
    assert warned in capsys.readouterr().err, "a plan warns, too"
    assert "The sources of Mine have changed since seed 0 was run" in (results / "tiny.md").read_text()
    assert records(results) == before
    assert run("mine", "--force") == 0
    after = records(results)
    assert after.keys() == before.keys()
    assert "have changed" not in (results / "tiny.md").read_text()


def test_a_page_says_that_its_rows_are_of_an_older_version(run: Run, mine: Path, results: Path, yaml: Path) -> None:
    assert run("mine") == 0
    assert "of its method" not in (results / "tiny.md").read_text()
    mine.write_text(METHOD.replace("    title =", "    version = 2\n    title ="))
    forget()
    assert main(["--protocol", str(yaml), "--report-only", "--results", str(results)]) == 0
    assert "**Mine was run by version 1 of its method**, which is at version 2 now." in (results / "tiny.md").read_text()


def test_the_table_shows_the_version_that_the_file_states(run: Run, mine: Path, results: Path) -> None:
    """A later one was tried and taken back: its numbers stood in the table, and those of the present file under other settings."""
    assert [run("mine", seeds=seed) for seed in "01"] == [0, 0]
    table = (results / "tiny.md").read_text().partition("## About this page")[0]
    mine.write_text(METHOD.replace("    title =", "    version = 2\n    title =").replace(".mean(0)", ".sum(0) * 0"))
    forget()
    assert run("mine") == 0
    assert "version 1 instead of 2" in (results / "tiny.md").read_text().partition("## Other settings")[2]
    mine.write_text(METHOD)
    forget()
    assert run("mine", seeds="0-1") == 0
    now, _, other = (results / "tiny.md").read_text().partition("## Other settings")
    assert now.startswith(table.partition("<details>")[0]) and "version 2 instead of 1" in other
    assert "**Mine was run by version 2 of its method**, which is at version 1 now." in other


def test_force_leaves_the_record_until_the_new_one_is_whole(run: Run, mine: Path, results: Path) -> None:
    assert run("mine") == 0
    before = records(results)
    edit(mine, "        labels, features", "        raise RuntimeError('no')\n        labels, features")
    forget()
    assert run("mine", "--force") == 1
    assert records(results) == before


def test_names_that_collapse_to_one_path_stay_apart(tiny: Protocol, mine: Path) -> None:
    edit(mine, '{"default": {}}', '{"a_b": {}, "a-b": {"power": 2.0}, "a--b": {"power": 3.0}}')
    forget()
    runs = identities(make_request(tiny, None, None, "0", "mine:a_b,mine:a-b,mine:a--b", []))
    stems = {run.model_copy(update={"images": "0" * 64, "precision": "fp32"}).stem for run in runs}
    assert len(stems) == 3
