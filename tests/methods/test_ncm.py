"""NCM, which is LUCIR: less-forget, frozen rows, margin ranking and imprinting by hand, and what a session does with them."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ncm import Ncm, margin_ranking
from methods.parts.heads import CosineHead, LinearHead
from methods.parts.losses import of_new_classes
from protocols.schema import Sessions
from tests.methods.by_hand import Rows, cosine, label_loss, label_loss_of, mean_row, plain, rows_of, unit, unit_rows
from tests.methods.runs import Enter, after_loss, gradients_beside, losses_beside, train_all


def forgotten(now: Rows, old: Rows) -> float:
    """1 - cosine between features now and before, mean over images."""
    return sum(1 - cosine(a, b) for a, b in zip(now, old, strict=True)) / len(now)


@pytest.mark.parametrize("overrides", [[], ["less_forget=3"]])
def test_topic_loss_is_cross_entropy_of_shots_and_less_forget_on_anchors(
    overrides: list[str], enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/methods.md 4.5: weight 50 whatever the session, 1 - cosine to the old features, no margin loss; from raw images, by steps."""
    contender = enter("ncm", *overrides)
    weight = 3.0 if overrides else 50.0
    shares: list[float] = []

    def expected(strategy: Any, old: Any) -> float:
        images = plain(contender, contender.memory.indices)
        with torch.no_grad():
            now, before = copy.deepcopy(strategy.model).embed(images).tolist(), old.embed(images).tolist()
        assert len(strategy.mb_y) == 10, "shots only: anchors stand beside them"
        shares.append(forgotten(now, before))
        return label_loss(strategy.mb_output.tolist(), strategy.mb_y.tolist()) + weight * shares[-1]

    seen = losses_beside(contender, monkeypatch, expected)
    assert len(seen) == 2 * 3
    assert max(shares) > 1e-3, "features do move"
    for loss, value in seen:
        assert loss == pytest.approx(value, abs=1e-4, rel=1e-4)


def test_less_forget_trains_the_last_block(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less the shots' cross-entropy, the last block's gradient is that of 50 (1 - cosine to the old features), anchors alone."""

    def less_forget(now: Tensor, before: Tensor) -> Tensor:
        return 50 * (1 - (now * before).sum(1) / (now.norm(dim=1) * before.norm(dim=1))).mean()

    steps = gradients_beside(train_all(enter("ncm"), 1), monkeypatch, less_forget)
    assert len(steps) == 3
    for found, expected in steps:
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert min(float(found.abs().max()) for found, _ in steps[1:]) > 0.1


@pytest.mark.parametrize("variant", ["ncm", "ncm:original"])
def test_old_rows_are_frozen_bit_for_bit(variant: str, enter: Enter) -> None:
    """Trap 13: weight decay and momentum are on, and move them as soon as they are not held (`--fw` is off on miniImageNet)."""
    for frozen in (True, False):
        contender = enter(variant, f"freeze_old_rows={str(frozen).lower()}", "weight_decay=0.01")
        contender.train(0, 0)
        assert contender.strategy.config.momentum == 0.9
        for session in (1, 2):
            before = contender.strategy.model.head.weight.detach().clone()
            contender.train(session, 0)
            after = contender.strategy.model.head.weight.detach()
            same = [torch.equal(a, b) for a, b in zip(before, after[: len(before)], strict=True)]
            assert all(same) if frozen else not any(same)
            assert float(after[len(before) :].norm(dim=1).min()) > 0.01, "new rows are drawn with .001, and learn"


def test_constant_old_logits_have_no_gradient() -> None:
    """A novel image, its class's logit 1 and an old one's 2: the new one still falls short by p - 1, and nothing pushes the old one."""
    logits, labels = torch.tensor([[2.0, 1.0]], requires_grad=True), torch.tensor([1])
    loss = of_new_classes(logits, labels, 1)
    loss.backward()
    assert torch.allclose(loss, F.cross_entropy(logits, labels))
    assert logits.grad is not None and logits.grad[0].tolist() == pytest.approx([0.0, logits.softmax(1)[0, 1].item() - 1])


@pytest.mark.parametrize("variant", ["ncm", "topic"])
def test_old_logits_can_be_constant(variant: str, enter: Enter) -> None:
    rows = []
    for how in ("trained", "constant"):
        contender = train_all(enter(variant, f"old_logits={how}"), 2)
        rows.append(contender.strategy.model.head.weight.detach().clone())
    assert not torch.equal(rows[0], rows[1])


def test_freezing_old_rows_is_the_default() -> None:
    assert all(Ncm.Config(**preset).freeze_old_rows for preset in Ncm.presets.values())


@pytest.mark.parametrize(
    ("sessions", "old", "expected"),
    [(Sessions(base=60, way=5, count=8, shots=5), 60, 5 * math.sqrt(12)), (Sessions(base=100, way=10, count=10, shots=5), 190, 21.7945)],
)
def test_lambda_grows_with_the_share_of_old_classes(sessions: Sessions, old: int, expected: float) -> None:
    """LUCIR, section 3.3: 5 sqrt(|old| / |new|), 5 x 3.46 in CIFAR's first session; the adaptation's is 50 throughout."""
    context = SimpleNamespace(sessions=sessions)
    grows: Any = SimpleNamespace(config=Ncm.Config(**Ncm.presets["original"]), old_classes=old, context=context)
    fixed: Any = SimpleNamespace(config=Ncm.Config(), old_classes=old, context=context)
    assert Ncm.less_forget_weight(grows) == pytest.approx(expected)
    assert Ncm.less_forget_weight(fixed) == 50


def test_margin_ranking_by_hand() -> None:
    """Eq. 8, margin .5, two hardest new classes: .9 against .6 and .2 lacks .2 and 0; .1 against .3 and -.9 lacks .7 and 0. The
    third image is a shot, and the third new class never among the two hardest.
    """
    cosines = torch.tensor([[0.9, 0.95, 0.2, 0.6, 0.1], [0.0, 0.1, 0.3, -0.95, -0.9], [0.0, 0.0, 0.9, 0.9, 0.9]], requires_grad=True)
    loss = margin_ranking(cosines, torch.tensor([0, 1, 4]), 2, 2, 0.5)
    assert loss.item() == pytest.approx((0.2 + 0.0 + 0.7 + 0.0) / 4)
    loss.backward()
    assert cosines.grad is not None
    by_hand = [[-0.25, 0.0, 0.0, 0.25, 0.0], [0.0, -0.25, 0.25, 0.0, 0.0], [0.0] * 5]
    for row, expected in zip(cosines.grad.tolist(), by_hand, strict=True):
        assert row == pytest.approx(expected)


def test_margin_ranking_without_exemplars_or_with_few_new_classes() -> None:
    """A batch of shots costs nothing, and gradients are zeros rather than NaN; K beyond the new classes is all of them."""
    cosines = torch.tensor([[0.3, 0.2, 0.1]], requires_grad=True)
    loss = margin_ranking(cosines, torch.tensor([2]), 2, 2, 0.5)
    loss.backward()
    assert loss.item() == 0.0
    assert cosines.grad is not None and not bool(cosines.grad.any())
    assert margin_ranking(cosines, torch.tensor([1]), 2, 2, 0.5).item() == pytest.approx(0.5 - 0.2 + 0.1)


def test_original_loss_in_a_session(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-entropy and less-forget over the whole batch, margins on cosines (the scale taken out) of exemplars."""
    contender = enter("ncm:original", "margin=1.5")
    margins: list[float] = []

    def expected(strategy: Any, old: Any) -> float:
        labels, rows = strategy.mb_y.tolist(), strategy.model.head.weight.tolist()
        first_new = 4 + 2 * strategy.session
        assert strategy.mb_y.bincount().tolist() == [5] * (first_new + 2)
        features = strategy.now.features.tolist()
        cosines = [[cosine(feature, row) for row in rows] for feature in features]
        lacking = []
        for row, label in zip(cosines, labels, strict=True):
            if label < first_new:
                lacking += [max(0.0, 1.5 - row[label] + rival) for rival in sorted(row[first_new:])[-2:]]
        margins.append(sum(lacking) / len(lacking))
        with torch.no_grad():
            before = old.embed(strategy.mb_x).tolist()
        scale = float(strategy.model.head.scale)
        ce = label_loss([[scale * value for value in row] for row in cosines], labels)
        return ce + 5 * math.sqrt(first_new / 2) * forgotten(features, before) + margins[-1]

    seen = losses_beside(contender, monkeypatch, expected)
    assert len(seen) == 2 * 3
    assert min(margins) > 0
    for loss, value in seen:
        assert loss == pytest.approx(value, abs=1e-4, rel=1e-4)


def test_margins_reach_the_logits(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 8 where all pairs lack (margin 2.5): less cross-entropy, an exemplar's two rivals get weight / (scale x pairs), its own
    class minus that for each of them, and shots nothing.
    """
    contender = enter("ncm:original", "less_forget=0", "margin=2.5", "margin_weight=3")
    steps: list[int] = []

    def observe(strategy: Any, loss: Tensor) -> None:
        logits, labels, first_new = strategy.mb_output, strategy.mb_y, 4 + 2 * strategy.session
        (found,) = torch.autograd.grad(loss - label_loss_of(logits, labels), logits, retain_graph=True)
        share = 3 / (float(strategy.model.head.scale) * 2 * int((labels < first_new).sum()))
        for row, label in zip(found.tolist(), labels.tolist(), strict=True):
            expected = [0.0] * first_new + ([share, share] if label < first_new else [0.0, 0.0])
            expected[label] -= 2 * share if label < first_new else 0.0
            assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)
        steps.append(strategy.session)

    after_loss(monkeypatch, Ncm, observe)
    train_all(contender)
    assert steps == [1, 1, 1, 2, 2, 2]


def test_new_rows_are_imprinted(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean direction of the five plain images under the old network (trap 11), as long as old rows are on average."""
    contender = enter("ncm:original")
    grown: list[Tensor] = []
    original = Ncm.head_grown

    def head_grown(self: Ncm) -> None:
        original(self)
        grown.append(self.model.head.weight.detach().clone())

    monkeypatch.setattr(Ncm, "head_grown", head_grown)
    for session in range(3):
        old = copy.deepcopy(contender.strategy.model).eval()
        contender.train(session, 0)
        if not session:
            continue
        length = sum(math.hypot(*row) for row in old.head.weight.tolist()) / len(old.head.weight)
        assert torch.equal(grown[-1][: len(old.head.weight)], old.head.weight)
        for label in (4 + 2 * session, 5 + 2 * session):
            with torch.no_grad():
                features = old.embed(plain(contender, rows_of(contender, session, label))).tolist()
            assert len(features) == 5
            direction = unit(mean_row(unit_rows(features)))
            assert grown[-1][label].tolist() == pytest.approx([length * v for v in direction], abs=1e-4)
    assert len(grown) == 2


def test_original_starts_from_a_cosine_base_whose_scale_is_frozen(enter: Enter) -> None:
    """The base learns the scale; 25 images would blow it up (docs/methods.md 4.5)."""
    contender = enter("ncm:original")
    head = contender.strategy.model.head
    assert isinstance(head, CosineHead) and head.scale.item() > 1.1
    scale = head.scale.detach().clone()
    for session in range(3):
        contender.train(session, 0)
        assert torch.equal(contender.strategy.model.head.scale, scale)
    assert isinstance(enter("ncm").strategy.model.head, LinearHead)


def test_margin_without_a_cosine_head_is_refused(enter: Enter) -> None:
    """The head comes with the base, which the preset names: the runner says what is wrong before any session."""
    with pytest.raises(ValueError, match="margin loss compares cosines, so it needs the cosine head of preset original"):
        enter("ncm", "margin_weight=1", "replay=within")
