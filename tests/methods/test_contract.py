"""What every method must keep to, whatever it does: one test a promise, run for every file in methods/.

On a method's first preset; on all of them with `--all-presets` (make test-all). The checks of benchmarks/tools/contract.py ask what the
contract says, so that an honest new method passes them. What is asked of the suite's own methods beyond it follows.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.records.identity import Identity
from benchmarks.running.runner import Runner
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.check import check
from benchmarks.tools.contract import CHECKS, Bench, BrokenError, Bytes, batch_norm_state
from methods.contract import SessionStrategy, TrainConfig
from methods.contract.hooks import Hooks
from methods.contract.loading import load_method
from methods.parts.own_files import forget_own_files
from protocols.own_folder import take_own_folder
from protocols.schema import Protocol
from tests.methods.runs import SHIPPED, Enter, identity_of, train_all

MakeBench = Callable[[str], Bench]


@pytest.fixture(scope="module")
def done() -> dict[str, Bytes]:
    """What `alone` has run, by variant."""
    return {}


@pytest.fixture
def bench(tiny: Protocol, runner: Runner, tmp_path: Path, done: dict[str, Bytes]) -> MakeBench:
    """bench(variant): that method on the tiny protocol."""

    def bench(variant: str) -> Bench:
        return Bench(tiny, variant, lambda of, seed: identity_of(tiny, of, seed=seed), runner, tmp_path, done)

    return bench


@pytest.mark.parametrize("promise", CHECKS.values(), ids=list(CHECKS))
def test_promise(promise: Callable[[Bench], None], each_method: str, bench: MakeBench) -> None:
    promise(bench(each_method))


def test_a_run_has_every_session_and_its_costs(bench: MakeBench) -> None:
    of_one = bench("lecnet:paper")
    record, costs, _ = of_one.runner.run(of_one.identity)
    assert [len(s.correct) for s in record.sessions] == [6, 8, 10]
    assert len(costs.session_seconds) == len(costs.evaluation_seconds) == 3


def test_another_seed_is_another_run(each_method: str, bench: MakeBench) -> None:
    of_one = bench(each_method)
    first, second = json.loads(of_one.alone[0]), json.loads(of_one.bytes_of(of_one.runner, seed=1)[0])
    assert first["order"] != second["order"]
    assert first["sessions"] != second["sessions"]


def own(variant: str) -> bool:
    return variant.partition(":")[0] in SHIPPED


def test_batch_norm_moves_where_the_suites_own_methods_say_so(each_method: str, bench: MakeBench) -> None:
    """Trap 1, the other way round."""
    of_one = bench(each_method)
    if own(each_method) and of_one.identity.config.get("batch_norm", "eval") != "eval":
        states = [batch_norm_state(contender.strategy.model) for _, contender in of_one.through_sessions()]
        assert states[0], "the tiny network has batch norm"
        assert not all(torch.equal(a, b) for a, b in zip(states[0], states[-1], strict=True))


def tensors_within(value: Any, depth: int = 4) -> Iterator[Tensor]:
    """Tensors that an object holds, in attributes, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from tensors_within(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors_within(item, depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type):
        yield from tensors_within(vars(value), depth - 1)


def test_keeps_no_image_but_in_its_memory(each_method: str, bench: MakeBench) -> None:
    if not own(each_method):
        return
    for _, contender in bench(each_method).through_sessions():
        held = {name: value for name, value in vars(contender.strategy).items() if name != "context"}
        images = [t for t in tensors_within(held) if t.shape[1:] == (1, 8, 8)]
        assert not images, "a batch of images outlives its session"


def test_frozen_parameters_are_bit_equal_and_trained_ones_move(each_method: str, bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 13: weight decay or momentum on parameters that are declared frozen. Over whole sessions, hooks and all."""
    if not own(each_method):
        return
    identity = bench(each_method).identity
    before: dict[str, Tensor] = {}
    chosen: dict[int, tuple[nn.Parameter, Tensor]] = {}  # and what they were, before anything trained
    trainable = load_method(identity.method).trainable

    def note(strategy: SessionStrategy) -> list[nn.Parameter]:
        """What the method declares, in every phase of the session: it may depend on what a session has at hand."""
        parameters = list(trainable(strategy))
        for p in parameters:
            chosen.setdefault(id(p), (p, p.detach().clone()))
        return parameters

    monkeypatch.setattr(load_method(identity.method), "trainable", note)
    for session, contender in bench(each_method).through_sessions():
        model = contender.strategy.model
        now = {name: p.detach().clone() for name, p in model.named_parameters()}
        if session and before:
            for name, parameter in model.named_parameters():
                if name in before and id(parameter) not in chosen:
                    old = before[name]
                    assert torch.equal(old, grown_from(old, now[name])), f"{name} moved in session {session}"
            moved = [p for p, start in chosen.values() if not torch.equal(p, start)]
            assert bool(moved) == trains(identity)
        before = now
        chosen.clear()


def trains(identity: Identity) -> bool:
    return issubclass(load_method(identity.method).Config, TrainConfig)


def grown_from(old: Tensor, new: Tensor) -> Tensor:
    """The part of `new` that stands where `old` stood: heads grow at the end."""
    return new[: len(old)] if old.dim() else new


@pytest.mark.parametrize("name", SHIPPED)
def test_docstring_names_a_source(name: str) -> None:
    """Of the methods that come with the suite; a user's own may come from anywhere."""
    doc = importlib.import_module(f"methods.{name}").__doc__ or ""
    assert "docs/methods.md" in doc or "docs/modern.md" in doc, "say where the method comes from"


# Methods that do not keep to it ------------------------------------------------------------------------------------------

HONEST = '''"""An honest method of the user's own: no docstring that names a page, a preset of no epochs, another's preset that trains."""
from methods.contract import SessionStrategy


class Honest(SessionStrategy):
    title = "Honest"
    presets = {"nothing": {"epochs": 0, "milestones": []}, "some": {"epochs": 2, "milestones": []}}
'''


@pytest.fixture
def small(tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str, str], tuple[bool, str]]]:
    """small(name, source): what --check says of a method in a folder of the user's own."""
    folder = tmp_path / "own"
    folder.mkdir()

    def small(name: str, source: str) -> tuple[bool, str]:
        (folder / "honest.py").write_text(source)
        forget_own_files()
        take_own_folder(folder)
        return check(name, Settings(data_root, tmp_path / "results", "cpu", 1)), capsys.readouterr().out

    yield small
    forget_own_files()
    take_own_folder(None)


def test_an_honest_method_passes(small: Callable[[str, str], tuple[bool, str]]) -> None:
    passed, said = small("honest", HONEST)
    assert passed, said
    assert f"{len(CHECKS)} of {len(CHECKS)} checks passed" in said


def test_a_rule_under_a_name_that_nothing_calls_is_noted(small: Callable[[str, str], tuple[bool, str]]) -> None:
    """Such a method gave Proto's own figure, as an honest row."""
    source = HONEST.replace("SessionStrategy", "FeatureMethod").partition("    presets")[0]
    passed, said = small("honest", f"{source}\n    def fit(self, features, labels):\n        raise RuntimeError\n")
    assert passed and "  note  Honest overrides no hook: it computes what Proto does on its base" in said
    assert "  note  " not in small("honest", f"{source}\n    def add_rows(self, rows):\n        super().add_rows(rows - rows.mean(0))\n")[1]


def test_a_method_that_digits_cannot_check_says_what_it_needs(small: Callable[[str, str], tuple[bool, str]]) -> None:
    with pytest.raises(UsageError, match="--check honest: it needs text vectors"):
        small("honest", HONEST + "\n    needs = 'texts'\n")


def test_a_method_that_loses_the_base_is_told_what_to_do(small: Callable[[str, str], tuple[bool, str]]) -> None:
    source = HONEST + "\n    def adopt(self, network):\n        for rows in network.head.class_tensors():\n            rows.data.zero_()\n"
    passed, said = small("honest", source)
    assert not passed
    assert "FAIL  runs through all sessions" in said and "adopt() should preserve its accuracy" in said


def test_a_method_that_fails_is_told_where(small: Callable[[str, str], tuple[bool, str]]) -> None:
    passed, said = small("honest", HONEST + "\n    def before_session(self):\n        return 1 / self.session\n")
    assert not passed
    assert (
        "ZeroDivisionError: session 0: division by zero" in said
        and "honest.py, line 10, in before_session: return 1 / self.session" in said
    )
    assert said.splitlines()[-1].startswith(f"0 of {len(CHECKS)} checks passed, 1 failed, {len(CHECKS) - 1} not made in ")


def test_a_method_that_leaves_python_has_failed(small: Callable[[str, str], tuple[bool, str]]) -> None:
    passed, said = small("honest", HONEST + "\n    def before_session(self):\n        raise SystemExit\n")
    assert not passed and "SystemExit" in said and "honest.py, line 10, in before_session: raise SystemExit" in said


def test_of_a_method_that_no_run_repeats_nothing_else_is_concluded(small: Callable[[str, str], tuple[bool, str]]) -> None:
    """It was also told that it depends on what ran before, and on which images are scored together."""
    source = HONEST + "\n    def after_session(self):\n        import time\n"
    source += "        self.model.head.class_tensors()[0].data[0, 0] += time.perf_counter() % 1\n"
    passed, said = small("honest", source)
    assert not passed and "FAIL  same seed, same bytes" in said and said.count("FAIL") == 1, said
    assert said.count("not checked, since two runs differ anyway") == 3


def test_what_moves_unsaid_is_named(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that no optimiser has, changed in the loss."""
    method = load_method("ft_cnn")
    monkeypatch.setattr(method, "trainable", lambda self: self.model.head.parameters())
    loss = method.session_loss

    def session_loss(self: Any) -> Tensor:
        next(self.model.backbone.parameters()).data += 1e-3
        return loss(self)

    monkeypatch.setattr(method, "session_loss", session_loss)
    with pytest.raises(BrokenError, match=r"backbone\.\S+ in session 1 moves while the session trains, and trainable\(\) does not name it"):
        CHECKS["only what trainable() names moves in training"](bench("ft_cnn:topic"))
    assert method.trainable is not Hooks.trainable and "after_session" not in vars(method), "what was replaced is put back"


def test_a_feature_method_that_adds_no_rows_is_told(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its novel classes would be scored with rows as torch drew them, and nothing would say so. In session 0, the trained rows may stay."""
    monkeypatch.setattr(load_method("teen"), "learn", lambda self, features, labels: None)
    teen = enter("teen")
    teen.train(0, 0)
    with pytest.raises(ValueError, match=r"^learn: the rows of the new classes, .* are as they were drawn; call add_rows\(\)$"):
        teen.train(1, 0)
    monkeypatch.setattr(load_method("teen"), "after_session", lambda self: self.add_rows(self.rows[self.old_classes :] + 1))
    late = enter("teen")
    late.train(0, 0)
    late.train(1, 0)  # rows may be added in any hook


@pytest.mark.parametrize("hook", ["learn", "head_grown"])
def test_a_feature_method_that_moves_batch_norm_is_told(hook: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody trains its network, so that nobody would look for one that is another after each session."""
    method = load_method("teen")
    own = getattr(method, hook)

    def moves(self: Any, *args: Any) -> None:
        own(self, *args)
        self.model.train()
        self.embed_indices(self.own_indices)

    monkeypatch.setattr(method, hook, moves)
    teen = enter("teen")
    with pytest.raises(ValueError, match=r"^statistics of batch norm moved .* self\.model\.eval\(\); .* derives from SessionStrategy$"):
        train_all(teen)
