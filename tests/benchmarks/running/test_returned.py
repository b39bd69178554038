"""What hooks return wrongly while a session trains is named with its hook and file, and checks leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.schema import SessionResult
from benchmarks.running.returned import CHECKS, HookError
from benchmarks.running.runner import Contender, Runner
from benchmarks.sweeping.explaining import explained
from methods.contract.loading import load_method
from protocols.schema import Protocol

WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("session_loss", lambda self: None, "one number, a tensor that trained parameters lead to, and returned None"),
    ("session_loss", lambda self: 0.5, "and returned 0.5"),
    ("session_loss", lambda self: self.mb_output.sum(1), "and returned a tensor of torch.float32"),
    ("session_loss", lambda self: self.mb_output.sum().detach(), "and returned one that is detached"),
    ("trainable", lambda self: [], "parameters of the network, each once, and returned none"),
    ("trainable", lambda self: None, "and returned None"),
    ("trainable", lambda self: [*self.model.parameters()] * 2, "and returned"),
    ("trainable", lambda self: [torch.nn.Parameter(torch.zeros(3))], "and returned 1 that the network does not have"),
    ("trainable", lambda self: self.model.named_parameters(), "and returned a value of type tuple among them"),
    ("session_epochs", lambda self: 2.0, "a whole number, at least 0, and returned 2.0"),
    ("session_epochs", lambda self: -1, "and returned -1"),
    ("session_epochs", lambda self: True, "and returned True"),
    ("session_epochs", lambda self: None, "and returned None"),
    ("finished", lambda self: None, "True or False, and returned None"),
    ("finished", lambda self: torch.tensor(True), "and returned a tensor of torch.bool"),
    ("session_indices", lambda self: self.own_indices.tolist(), "and returned a value of type list"),
    ("session_indices", lambda self: self.own_indices.float(), "and returned a tensor of torch.float32"),
]


@pytest.fixture
def contender(tiny: Protocol, runner: Runner) -> Contender:
    contender = runner.enter(identities(make_request(tiny, None, None, "0", "ft_cnn", []))[0])
    contender.train(0, 0)
    return contender


@pytest.mark.parametrize(("hook", "wrong", "said"), WRONG)
def test_a_hook_that_returns_something_else(
    hook: str, wrong: Callable[[Any], Any], said: str, contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_method("ft_cnn"), hook, wrong)
    with pytest.raises(HookError) as caught:
        contender.train(1, 0)
    assert str(caught.value).startswith(f"methods/ft_cnn.py: {hook}() must return ") and said in str(caught.value)
    assert not CHECKS.keys() & vars(contender.strategy).keys()


def test_sessions_that_train_need_the_parameters_of_training(tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_method("proto"), "session_epochs", lambda self: 3)
    contender = runner.enter(identities(make_request(tiny, None, None, "0", "proto", []))[0])
    contender.train(0, 0)
    with pytest.raises(HookError, match=r"session_epochs\(\) must return 0 where Config does not derive from TrainConfig, and returned 3"):
        contender.train(1, 0)


def test_a_loss_is_checked_once_a_session(contender: Contender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check in each step would cost time, and stand in a recording."""
    original, there = load_method("ft_cnn").session_loss, []

    def session_loss(self: Any) -> Any:
        there.append("session_loss" in vars(self))
        return original(self)

    monkeypatch.setattr(load_method("ft_cnn"), "session_loss", session_loss)
    contender.train(1, 0)
    assert there == [True] + [False] * (len(there) - 1) and len(there) > 1
    assert not CHECKS.keys() & vars(contender.strategy).keys()


def test_what_does_not_fit_into_a_record_is_named() -> None:
    log: Any = {"loss": "high"}
    with pytest.raises(ValidationError) as caught:
        SessionResult(correct=(1,), total=(1,), images_kept=0, parameters_added=0, log=log)
    assert explained(caught.value) == "SessionResult, log.loss: must be a number (got 'high')"


def fails(error: BaseException) -> Callable[[Any], Any]:
    def hook(self: Any) -> Any:
        if self.session:
            raise error
        return {}

    return hook


@pytest.mark.parametrize(
    ("hook", "wrong", "said"),
    [
        ("session_log", fails(KeyError("loss")), "KeyError: session 1: 'loss'"),
        ("session_log", lambda self: {"loss": "high"} if self.session else {}, "session 1: SessionResult, log.loss: must be a number"),
        ("after_session", fails(SystemExit("no licence")), "SystemExit: session 1: no licence"),
        ("after_session", fails(RuntimeError("session mean is NaN")), "RuntimeError: session 1: session mean is NaN"),
        ("after_session", fails(RuntimeError("session 1: mine")), "RuntimeError: session 1: mine"),
    ],
)
def test_a_failed_run_says_in_which_session(
    hook: str, wrong: Callable[[Any], Any], said: str, tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_method("proto"), hook, wrong)
    [run] = identities(make_request(tiny, None, None, "0", "proto", []))
    with pytest.raises((Exception, SystemExit)) as caught:
        runner.run(run)
    assert explained(caught.value).startswith(said)
