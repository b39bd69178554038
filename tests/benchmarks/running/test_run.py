"""Where a run's numbers come from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.running import measuring
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from protocols.schema import Protocol


@pytest.mark.parametrize(("status", "expected"), [("", "abc"), (" M methods/proto.py", "abc+changes"), (None, "unknown")])
def test_commit_says_whether_the_code_was_changed(status: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record made by uncommitted code must not name a commit that did not make it."""

    def git(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if status is None:
            raise subprocess.CalledProcessError(128, command)
        return subprocess.CompletedProcess(command, 0, stdout=status if command[1] == "status" else "abc\n")

    monkeypatch.setattr(subprocess, "run", git)
    measuring.git_commit.cache_clear()
    assert measuring.git_commit() == expected
    measuring.git_commit.cache_clear()


def test_the_commit_of_another_project_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed suite lies in an environment, which may lie in any repository."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    installed = tmp_path / "environment"
    installed.mkdir()
    (installed / "run_all.py").write_text("")
    monkeypatch.setattr(measuring, "SUITE_ROOT", installed)
    measuring.git_commit.cache_clear()
    assert measuring.git_commit() == "unknown"
    subprocess.run([*git, "add", "environment"], cwd=tmp_path, check=True)
    measuring.git_commit.cache_clear()
    assert len(measuring.git_commit().removesuffix("+changes")) == 40, "a copy of the suite that the project holds"
    measuring.git_commit.cache_clear()


def identity_of(protocol: Protocol, variant: str, *overrides: str) -> Identity:
    return identities(make_request(protocol, None, None, "0", variant, overrides))[0]


def with_bases(protocol: Protocol, **bases: dict[str, Any]) -> Protocol:
    recipe = protocol.recipes["fast"].model_copy(update={"bases": bases})
    return protocol.model_copy(update={"recipes": {"fast": recipe}})


def test_a_bases_own_settings_train_it_and_no_other(tiny: Protocol, settings: Settings) -> None:
    """Recipe.bases: the cache must give neither the shared base to who changed it, nor the changed one to the others."""
    said: list[str] = []

    def enter(protocol: Protocol, variant: str) -> bool:
        """Whether the base was trained for it."""
        said.clear()
        return Runner(protocol, settings).enter(identity_of(protocol, variant), said.append).base_seconds > 0

    changed = with_bases(tiny, projected={"epochs": 1})
    assert enter(tiny, "base_only")
    assert enter(tiny, "lecnet:code")
    assert said[-1].startswith("base session, epoch 2/2")
    assert enter(changed, "lecnet:code"), "another recipe is another base"
    assert said[-1].startswith("base session, epoch 1/1")
    assert not enter(changed, "base_only"), "the shared base is the same as before"
    assert not enter(tiny, "lecnet:code")


@pytest.mark.parametrize("setting", [{"head_gain": 5.0}, {"lr": 0.05}, {"momentum": 0.5}, {"milestones": (1,)}], ids=str)
def test_every_setting_of_a_base_has_its_effect(setting: dict[str, Any], tiny: Protocol, settings: Settings) -> None:
    """A setting that is taken, recorded and without effect would be a false record."""
    plain = Runner(tiny, settings).enter(identity_of(tiny, "lecnet:code"))
    changed = with_bases(tiny, projected=setting)
    contender = Runner(changed, settings).enter(identity_of(changed, "lecnet:code"))
    before, after = plain.strategy.context.network.state_dict(), contender.strategy.context.network.state_dict()
    assert any(not bool((before[name] == after[name]).all()) for name in before)


@pytest.mark.parametrize(("override", "budget"), [("buffer=7", 7), ("buffer=0", 0)])
def test_the_budget_in_the_record_is_that_of_the_parameters(override: str, budget: int, tiny: Protocol, settings: Settings) -> None:
    """Trap 8: the class's own figure says nothing where a parameter sets it."""
    record, _, _ = Runner(tiny, settings).run(identity_of(tiny, "der:buffer200", f"der.{override}"))
    assert record.memory_budget == budget
    assert [session.images_kept for session in record.sessions] == [budget] * 3


def test_budgets_depend_on_the_protocol_too(tiny: Protocol, settings: Settings) -> None:
    """40 base images and one for each of 2 x 2 novel classes (tests/data/tiny.yaml)."""
    record, _, _ = Runner(tiny, settings).run(identity_of(tiny, "icarl:topic"))
    assert record.memory_budget == 44
    assert [session.images_kept for session in record.sessions] == [40, 42, 44]


@pytest.mark.parametrize("variant", ["ft_cnn", "lecnet:paper", "base_only"])
def test_test_images_are_granted_to_nobody_who_does_not_say_so(variant: str, tiny: Protocol, settings: Settings) -> None:
    contender = Runner(tiny, settings).enter(identity_of(tiny, variant))
    assert contender.strategy.context.oracle is None
    with pytest.raises(RuntimeError, match="oracle_test only"):
        contender.strategy.measured()


def test_a_record_says_what_chose_its_epochs(tiny: Protocol, settings: Settings) -> None:
    runner = Runner(tiny, settings)
    assert runner.run(identity_of(tiny, "ft_cnn"))[0].selection == "last"
    assert runner.run(identity_of(tiny, "ft_cnn", "ft_cnn.selection=oracle_test"))[0].selection == "oracle_test"
    assert runner.run(identity_of(tiny, "base_only"))[0].selection == "last"


def test_the_untrained_network_is_the_one_before_its_base_session(tiny: Protocol, settings: Settings) -> None:
    """Methods that start over need it with the head gain of their own base."""
    plain = Runner(tiny, settings).enter(identity_of(tiny, "base_only")).strategy.context
    network = plain.untrained_network()
    assert not bool((network.head.weight == plain.network.head.weight).all())
    assert bool((network.head.weight == plain.untrained_network().head.weight).all()), "the seed's, every time"
    changed = with_bases(tiny, linear={"head_gain": 2.0})
    gained = Runner(changed, settings).enter(identity_of(changed, "base_only")).strategy.context.untrained_network()
    assert bool((gained.head.weight == 2 * network.head.weight).all())
