"""What makes sessions fast must not change what they compute, and must not wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from methods.contract import SessionStrategy
from methods.contract.loading import load_method
from methods.contract.memory import Memory
from protocols.schema import Protocol
from tests.methods.runs import VARIANTS, Enter, identity_of, train_all

WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal", "unique_dim", "_unique2", "unique_consecutive"}
"""Operations whose result the host must have before it can go on: each empties a GPU's queue."""


class Waits(TorchDispatchMode):
    """Names of the waiting operations, and boolean indexing, which hides one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def epochs_of(variant: str) -> tuple[str, ...]:
    return () if variant.startswith(("base_only", "proto")) else ("epochs=3",)


TRAINS = [variant for variant in VARIANTS if "epochs" in load_method(variant.partition(":")[0]).Config.model_fields]
TRAINING = [variant for variant in TRAINS if epochs_of(variant) and not variant.startswith(("lecnet:oracle", "avalanche"))]
"""The one asks for test accuracies; the other trains with a loop that is not ours."""


@pytest.mark.parametrize("variant", TRAINING)
def test_no_epoch_waits_for_the_device(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second epoch on (the first may build what the session keeps) nothing is read back from the device."""
    watched: list[Waits] = []
    plain = SessionStrategy.training_epoch

    def training_epoch(self: Any, **kwargs: Any) -> None:
        with Waits() as waits:
            plain(self, **kwargs)
        if self.clock.train_exp_epochs:
            watched.append(waits)

    monkeypatch.setattr(SessionStrategy, "training_epoch", training_epoch)
    monkeypatch.setattr(Memory, "check", lambda self, rows: rows)  # row numbers live on the host
    train_all(enter(variant, *epochs_of(variant)))
    assert len(watched) >= 4
    found = sorted({name for waits in watched for name in waits.found})
    assert not found, f"{variant} waits in {found}"


@pytest.mark.parametrize("work", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: bool((x > 0).any())])
def test_a_wait_would_be_seen(work: Callable[[Tensor], object]) -> None:
    with Waits() as waits:
        work(torch.randn(4))
    assert waits.found


@pytest.mark.parametrize("variant", ["lecnet:paper", "lecnet:code", "lecnet:nc", "icarl:topic", "eeil:topic", "ncm:topic", "topic:al_mml"])
def test_features_below_what_trains_change_nothing(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that stands still, run on many batches at once before they are used: the same network as run batch by batch."""
    ahead = train_all(enter(variant)).strategy
    assert ahead.has_frozen_part
    monkeypatch.setattr(type(ahead), "frozen_part", lambda self: None)
    contender = enter(variant)
    one_by_one = train_all(contender).strategy
    assert not one_by_one.has_frozen_part
    for name, value in one_by_one.model.state_dict().items():
        assert torch.allclose(value, ahead.model.state_dict()[name], rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("override", ["batch_norm=train", "train_backbone=true"])
def test_what_moves_does_not_stand(override: str, enter: Enter) -> None:
    assert not train_all(enter("lecnet:paper", override)).strategy.has_frozen_part


@pytest.mark.parametrize("variant", ["lecnet:paper", "icarl:topic", "ft_cnn:topic"])
def test_views_are_few_and_go_round(variant: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `views=2`, epoch 2 shows what epoch 0 did; without, all epochs differ."""
    seen: list[Tensor] = []
    plain = SessionStrategy.training_epoch

    def training_epoch(self: Any, **kwargs: Any) -> None:
        plain(self, **kwargs)
        if self.session == 1:
            seen.append(self.mb_x.detach().clone())

    monkeypatch.setattr(SessionStrategy, "training_epoch", training_epoch)
    train_all(enter(variant, "views=2", "epochs=5"), sessions=2)
    assert len(seen) == 5
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
    seen.clear()
    train_all(enter(variant, "epochs=3"), sessions=2)
    assert not torch.equal(seen[0], seen[2])


def test_views_are_part_of_a_run_only_where_they_are_asked_for(tiny: Protocol) -> None:
    """Records from before there were views are still of the same runs."""
    plain, asked = identity_of(tiny, "lecnet:paper"), identity_of(tiny, "lecnet:paper", "views=2")
    earlier, earlier_asked = (
        one.model_copy(update={"config": {key: value for key, value in one.config.items() if key != "views"}}) for one in (plain, asked)
    )
    assert plain.same_as(earlier)
    assert not asked.same_as(plain)
    assert not asked.same_as(earlier_asked)
    assert asked.config["views"] == 2
    assert asked.variant == "lecnet:paper[views=2]"
    assert identity_of(tiny, "lecnet:paper", "views=null").config == plain.config
