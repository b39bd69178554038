"""Stock strategies of Avalanche: run as they come, on the pixels and exemplars that the contract grants, beside all others."""

from __future__ import annotations

from typing import Any

import pytest
from avalanche.core import SupervisedPlugin

from methods.contract.registry import MethodError, parse_variant
from tests.methods.runs import Enter, Run


class Batches(SupervisedPlugin):
    """Shape, labels and loss of every batch that the stock strategy trains on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], set[int], float]] = []

    def after_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        self.seen.append((tuple(strategy.mb_x.shape), set(strategy.mb_y.tolist()), float(strategy.loss.detach())))


def test_a_stock_strategy_learns_on_pixels_and_is_its_own(enter: Enter) -> None:
    """EWC's importances are those of the base session that it did not train: a strong penalty holds the network where it was."""
    moved = {}
    for variant, options in (("avalanche:Naive", "{}"), ("avalanche:EWC", "{ewc_lambda: 1.0e+6}")):
        contender = enter(variant, f"options={options}", "epochs=10", "lr=0.001")
        contender.train(0, 0)
        spy = Batches()
        contender.strategy.stock.plugins.append(spy)
        before = contender.strategy.model.backbone.blocks[0].weight.detach().clone()
        contender.train(1, 0)
        contender.strategy.stock.plugins.remove(spy)
        assert [(shape, labels) for shape, labels, _ in spy.seen] == [((10, 1, 8, 8), {6, 7})] * 10
        assert variant == "avalanche:EWC" or spy.seen[-1][2] < spy.seen[0][2]
        moved[variant] = float((contender.strategy.model.backbone.blocks[0].weight.detach() - before).norm())
    assert 0 < moved["avalanche:EWC"] < moved["avalanche:Naive"]


def test_what_replay_keeps_is_counted_within_its_budget(run: Run) -> None:
    record = run("avalanche:Replay", "options={mem_size: 30}", "epochs=2")
    assert record.memory_budget == 30
    assert record.title == "Stock Avalanche"
    kept = [session.images_kept for session in record.sessions]
    assert kept[0] == 30
    assert all(10 <= count <= 30 for count in kept[1:])


def test_wrong_names_and_options_are_told_in_one_line(enter: Enter) -> None:
    said = r"avalanche: no preset named 'EWCC'\. Did you mean 'EWC'\? There are: Naive, EWC, LwF, Replay, GDumb\."
    with pytest.raises(MethodError, match=said):
        parse_variant("avalanche:EWCC")
    with pytest.raises(ValueError, match=r"avalanche:Naive: options \{'ewc_lambda': 1\} do not suit it \(.*unexpected keyword"):
        enter("avalanche:Naive", "options={ewc_lambda: 1}")
    with pytest.raises(ValueError, match="avalanche:Naive: schedule has no effect on a stock strategy"):
        enter("avalanche:Naive", "schedule=cosine")
