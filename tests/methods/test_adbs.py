"""ADBS's loss and logits by hand, and what its sessions train."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from pydantic import ValidationError

from methods.adbs import Adbs
from methods.bases.cosine import FIXED_16, Cosine
from methods.parts.heads import MarginHead
from tests.methods.by_hand import plain, rows_of
from tests.methods.conftest import Enter
from tests.methods.runs import train_under


def head_by_hand() -> MarginHead:
    """Rows (2, 0) and (3, 4): unit rows (1, 0) and (.6, .8), so their cosine is .6."""
    head = MarginHead(2, scale=16.0, learns=False)
    head.weight = torch.nn.Parameter(torch.tensor([[2.0, 0.0], [3.0, 4.0]]))
    head.margin = torch.nn.Parameter(torch.tensor([1.0, -1.5]))
    return head


def test_logits_by_hand() -> None:
    """16 |m_c| cos: 16 * 1 * 1 and 16 * 1.5 * .6 for the feature (5, 0)."""
    assert head_by_hand()(torch.tensor([[5.0, 0.0]])).tolist()[0] == pytest.approx([16.0, 14.4])


def test_separation_by_hand() -> None:
    """D_ij = (1 - c_ij) - (m_j - m_i c_ij) with c = .6 and margins 1 and -1.5: D_00 = D_11 = 0, D_01 = .4 - (-1.5 - .6) = 2.5,
    D_10 = .4 - (1 + .9) = -1.5, which the ReLU stops; the mean over four pairs is .625."""
    assert float(head_by_hand().separation().detach()) == pytest.approx(0.625)


def test_a_sessions_loss_by_hand() -> None:
    """-log softmax of 16 against 14.4, and the separation's .625, a hundredth or half of it."""
    made: Any = object.__new__(Adbs)
    made.model, made.mbatch = SimpleNamespace(head=head_by_hand()), [torch.tensor([[5.0, 0.0]]), torch.tensor([0])]
    made.mb_output = made.model.head(made.mb_x)
    for changes, share in (({}, 0.01), ({"separation": 0.5}, 0.5)):
        made.config = Adbs.Config(**changes)
        assert float(made.session_loss().detach()) == pytest.approx(math.log(1 + math.exp(-1.6)) + share * 0.625)


def test_new_margins_start_at_the_mean_of_all_earlier_ones(enter: Enter) -> None:
    """In session 2 those of session 1 count, too."""
    contender = enter("adbs", "epochs=5", "lr=0.5")
    s: Any = contender.strategy
    contender.train(0, 0)
    for session, old in ((1, 6), (2, 8)):
        begun: list[list[float]] = []
        s.before_epoch = lambda epoch, begun=begun: begun.append(s.model.head.margin.tolist())
        earlier = s.model.head.margin.tolist()
        contender.train(session, 0)
        assert len(earlier) == old and begun[0] == pytest.approx([*earlier, *2 * [sum(earlier) / old]])
        assert begun[-1][:old] == earlier and not any(a == pytest.approx(b) for a, b in zip(begun[0][old:], begun[-1][old:], strict=True))
    assert sum(earlier) / 8 != pytest.approx(sum(earlier[:6]) / 6), "or the base margins alone would do"


def test_only_the_new_margins_train_and_rows_are_means(enter: Enter) -> None:
    contender = enter("adbs", "epochs=5", "lr=0.5")
    contender.train(0, 0)
    head = contender.strategy.model.head
    rows, margins = head.weight.detach().clone(), head.margin.detach().clone()
    backbone = {name: value.clone() for name, value in contender.strategy.model.backbone.state_dict().items()}
    contender.train(1, 0)
    head = contender.strategy.model.head
    assert torch.equal(head.weight[:6], rows) and torch.equal(head.margin[:6], margins)
    own = torch.from_numpy(contender.seed_context.split.train[1])
    features, labels = contender.strategy.embed_indices(own), contender.images.labels(own)
    for label in (6, 7):
        assert torch.allclose(head.weight[label], features[labels == label].mean(0), atol=1e-6)
    assert all(torch.equal(value, backbone[name]) for name, value in contender.strategy.model.backbone.state_dict().items())


class Shown(SupervisedPlugin):
    """The batches of each epoch: here features of what the session shows, as no layer of the backbone trains."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[torch.Tensor] = []

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.epochs.append(strategy.mb_x.detach().clone())


def test_augmented_shots_train_the_margins_while_plain_ones_make_the_rows(enter: Enter) -> None:
    """Trap, docs/modern.md 2.5, no. 4. The tiny protocol pads by one, so that one place of nine leaves a shot where it is. One full-batch
    step an epoch (no. 1)."""
    for overrides, plain_shots in (([], False), (["augment={pad: 0}"], True)):
        contender = enter("adbs", "epochs=4", *overrides)
        contender.train(0, 0)
        shown = train_under(contender, 1, Shown()).epochs
        s, labels = contender.strategy, (6, 7)
        still = {label: s.model.embed(plain(contender, rows_of(contender, 1, label))).detach() for label in labels}
        assert all(torch.allclose(s.model.head.weight[label], still[label].mean(0), atol=1e-5) for label in labels)
        of_plain = torch.cat(list(still.values()))
        assert [len(batch) for batch in shown] == [len(of_plain)] * 4
        as_they_are = torch.stack([(batch[:, None] - of_plain).abs().amax(2).amin(1) < 1e-4 for batch in shown])
        assert bool(as_they_are.all()) if plain_shots else as_they_are.float().mean() < 0.5
        if not plain_shots:
            assert not any(torch.allclose(one.sort(0)[0], shown[0].sort(0)[0]) for one in shown[1:]), "drawn anew in every epoch"


def test_margins_of_the_base_train(enter: Enter) -> None:
    margin = enter("adbs").strategy.model.head.margin.detach()
    assert len(margin) == 6 and not torch.equal(margin, torch.ones(6))


def test_margins_of_the_base_have_a_rate_of_their_own(enter: Enter) -> None:
    network = enter("adbs").strategy.model
    network.head = head_by_hand()
    others, (margin,) = (group["params"] for group in Cosine(Cosine.Config(margins=True, margin_rate=0.5)).groups(network))
    assert margin is network.head.margin
    assert len(others) == len(list(network.parameters())) - 1
    assert [group.get("rate", 1.0) for group in Cosine(Cosine.Config(margins=True, margin_rate=0.5)).groups(network)] == [1.0, 0.5]


def test_a_base_without_margins_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="its base must have margins"):
        enter("adbs@linear")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rule": "dot", "scale_learns": False}, "rule dot has neither scale nor margins; set scale_learns=true, as it is by default"),
        ({"rule": "dot", **FIXED_16}, "rule dot has neither scale nor margins; set scale=1.0, scale_learns=true, as it is by default"),
        ({"rule": "dot", "margins": True}, "rule dot has neither scale nor margins; set margins=false, as it is by default"),
        ({"margin_rate": 0.5}, "without margins, their rate and separation have no effect; set margin_rate=1.0"),
        ({"separation": 0.5}, "without margins, their rate and separation have no effect; set separation=0.01"),
    ],
)
def test_a_setting_of_the_base_without_effect_is_refused(settings: dict[str, object], said: str) -> None:
    """It would train the same base model once more, under another key."""
    with pytest.raises(ValidationError, match=said):
        Cosine.Config.model_validate(settings)
