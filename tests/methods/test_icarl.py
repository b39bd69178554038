"""iCaRL and iCaRL*: both losses by hand, the nearest mean of exemplars, and what a session does with them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.icarl import ICarl, normalised_means, sigmoid_loss
from methods.parts.losses import distillation
from tests.methods.by_hand import Rows, label_loss, label_loss_of, mean_row, plain, rows_of, soft_loss, softmax, unit, unit_rows
from tests.methods.runs import Enter, after_loss, losses_beside, train_all


def test_distillation_by_hand_without_the_square_of_the_temperature() -> None:
    """Teacher (0, 2 ln 3) at T = 2 is (1/4, 3/4): against equal logits that costs ln 2; against 2 ln 3 apart, the entropy."""
    teacher = torch.tensor([[0.0, 2 * math.log(3)]])
    assert distillation(torch.tensor([[5.0, 5.0]]), teacher, 2.0).item() == pytest.approx(math.log(2))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert distillation(teacher.clone(), teacher, 2.0).item() == pytest.approx(entropy)
    assert distillation(torch.tensor([[0.0, 0.0], [1.0, -1.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0]]), 3.0).item() == pytest.approx(
        soft_loss([[0.0, 0.0], [1.0, -1.0]], [[0.0, 1.0], [2.0, 0.0]], 3.0)
    )


def test_distillation_leaves_new_columns_alone() -> None:
    """Trap 16: a softmax over old and new would push every new row down."""
    logits = torch.tensor([[1.0, 2.0, 50.0, -3.0]], requires_grad=True)
    loss = distillation(logits, torch.tensor([[0.5, -0.5]]), 2.0)
    assert loss.item() == pytest.approx(soft_loss([[1.0, 2.0]], [[0.5, -0.5]], 2.0))
    loss.backward()
    now, target = softmax([0.5, 1.0]), softmax([0.25, -0.25])
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([(now[0] - target[0]) / 2, (now[1] - target[1]) / 2, 0.0, 0.0])


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_topic_loss_is_cross_entropy_of_shots_and_distillation_of_anchors(
    weight: float, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/methods.md 4.3: T = 2, old slice, no cross-entropy on the anchors; from raw images, step by step."""
    contender = enter("icarl", f"distill_weight={weight}")

    def expected(strategy: Any, old: Any) -> float:
        images = plain(contender, contender.memory.indices)
        with torch.no_grad():
            now, before = copy.deepcopy(strategy.model)(images).tolist(), old(images).tolist()
        assert len(before[0]) == len(now[0]) - 2
        assert len(strategy.mb_y) == 10, "shots only: anchors stand beside them"
        return label_loss(strategy.mb_output.tolist(), strategy.mb_y.tolist()) + weight * soft_loss(now, before, 2.0)

    seen = losses_beside(contender, monkeypatch, expected)
    assert len(seen) == 2 * 3
    for loss, value in seen:
        assert loss == pytest.approx(value, abs=1e-4)


def test_new_rows_learn_from_the_shots_alone(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 16, in a session: less the shots' cross-entropy, the loss has a gradient in every old row and in no new one."""
    contender = enter("icarl")
    steps: list[tuple[float, float]] = []

    def observe(strategy: Any, loss: Tensor) -> None:
        shots, old = label_loss_of(strategy.mb_output, strategy.mb_y), strategy.old_classes
        (gradient,) = torch.autograd.grad(loss - shots, strategy.model.head.weight, retain_graph=True)
        steps.append((gradient[:old].norm(dim=1).min().item(), gradient[old:].abs().max().item()))

    after_loss(monkeypatch, ICarl, observe)
    train_all(contender, 2)
    assert all(new < 1e-6 for _, new in steps)
    assert all(old > 1e-4 for old, _ in steps[1:])  # in the first step nothing is forgotten yet


def test_topic_predicts_by_the_head(enter: Enter) -> None:
    """iCaRL* has no nearest mean: the score of a class is its row times the feature's direction."""
    contender = train_all(enter("icarl"), 2)
    feature = [0.5 * i - 3 for i in range(64)]
    length = math.hypot(*feature)
    rows = contender.strategy.model.head.weight.tolist()
    by_hand = [sum(w * f / length for w, f in zip(row, feature, strict=True)) for row in rows]
    assert contender.strategy.scores(torch.tensor([feature]))[0].tolist() == pytest.approx(by_hand, abs=1e-5)


def written_sigmoid_loss(logits: Rows, labels: list[int], old: Rows) -> float:
    """Algorithm 3 with loops: binary cross-entropies summed over classes, mean over images."""
    total = 0.0
    for row, label, before in zip(logits, labels, old, strict=True):
        for column, value in enumerate(row):
            p = 1 / (1 + math.exp(-value))
            target = 1 / (1 + math.exp(-before[column])) if column < len(before) else float(label == column)
            total -= target * math.log(p) + (1 - target) * math.log(1 - p)
    return total / len(logits)


def test_sigmoid_loss_by_hand() -> None:
    """Logits 0 cost ln 2 a class: three classes, 3 ln 2. An exemplar's own label counts for nothing, a shot's does."""
    zeros = torch.zeros(1, 3)
    for label in (0, 2):
        assert sigmoid_loss(zeros, torch.tensor([label]), torch.tensor([[3.0, -2.0]])).item() == pytest.approx(3 * math.log(2))
    logits, labels, old = [[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]], [0, 2], [[2.0, -0.5], [0.1, 1.0]]
    x = torch.tensor(logits, requires_grad=True)
    loss = sigmoid_loss(x, torch.tensor(labels), torch.tensor(old))
    assert loss.item() == pytest.approx(written_sigmoid_loss(logits, labels, old))
    loss.backward()
    targets = [[1 / (1 + math.exp(-2.0)), 1 / (1 + math.exp(0.5)), 0.0], [1 / (1 + math.exp(-0.1)), 1 / (1 + math.exp(-1.0)), 1.0]]
    assert x.grad is not None
    for row, target, gradient in zip(logits, targets, x.grad.tolist(), strict=True):
        assert gradient == pytest.approx([(1 / (1 + math.exp(-v)) - t) / 2 for v, t in zip(row, target, strict=True)])


def test_original_learns_old_sigmoids_on_exemplars_and_shots(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image of a batch, old or new, is shown to the old network as it was augmented; nothing else is in the loss."""
    contender = enter("icarl:original")

    def expected(strategy: Any, old: Any) -> float:
        assert strategy.mb_y.bincount().tolist() == [5] * (strategy.old_classes + 2)
        with torch.no_grad():
            before = old(strategy.mb_x).tolist()
        return written_sigmoid_loss(strategy.mb_output.tolist(), strategy.mb_y.tolist(), before)

    seen = losses_beside(contender, monkeypatch, expected)
    assert len(seen) == 2 * 3
    for loss, value in seen:
        assert loss == pytest.approx(value, abs=1e-4)


def test_originals_sigmoids_reach_the_logits(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Summed over classes, mean over the batch: the session's loss has the gradient (sigmoid - target) / N in every logit."""
    contender = train_all(enter("icarl:original"), 1)
    old = copy.deepcopy(contender.strategy.model).eval()
    steps: list[int] = []

    def observe(strategy: Any, loss: Tensor) -> None:
        logits, labels = strategy.mb_output, strategy.mb_y
        targets = torch.eye(8)[labels]
        with torch.no_grad():
            targets[:, :6] = 1 / (1 + (-old(strategy.mb_x)).exp())
        (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert torch.allclose(found, (1 / (1 + (-logits).exp()) - targets) / len(labels), atol=1e-6)
        steps.append(len(labels))

    after_loss(monkeypatch, ICarl, observe)
    contender.train(1, 0)
    assert steps == [40] * 3


def test_class_means_by_hand() -> None:
    """Features to length one, their mean, that to length one: (.6, .8) and (1, 0) give (.8, .4) / sqrt(.8). Lengths do not count."""
    features = torch.tensor([[3.0, 4.0], [0.0, -2.0], [70.0, 0.0], [0.0, -9.0]])
    means = normalised_means(features, torch.tensor([0, 1, 0, 1]))
    assert means[0].tolist() == pytest.approx([0.8 / math.sqrt(0.8), 0.4 / math.sqrt(0.8)])
    assert means[1].tolist() == pytest.approx([0.0, -1.0])


def test_original_keeps_herded_exemplars_and_predicts_the_nearest_of_their_means(enter: Enter) -> None:
    """Old exemplars stay, and all means are those of the network as it is now, from un-augmented images (trap 11)."""
    contender = enter("icarl:original")
    labels = contender.seed_context.tensors.labels
    for session in range(3):
        contender.train(session, 0)
        strategy, seen = contender.strategy, 6 + 2 * session
        assert labels[contender.memory.indices].bincount().tolist() == [5] * seen
        with torch.no_grad():
            exemplars = strategy.model.backbone(plain(contender, contender.memory.indices)).tolist()
            queries = strategy.model.backbone(plain(contender, torch.arange(30))) * 7
        means = []
        for label in range(seen):
            own = [row for row, kept in zip(exemplars, labels[contender.memory.indices].tolist(), strict=True) if kept == label]
            assert len(own) == 5
            means.append(unit(mean_row(unit_rows(own))))
        scores = strategy.scores(queries)
        for query, score in zip(queries.tolist(), scores.tolist(), strict=True):
            assert score == pytest.approx([-math.dist(unit(query), mean) for mean in means], abs=1e-4)


def test_original_herds_under_the_network_as_the_session_left_it(enter: Enter) -> None:
    """Of more images than are kept, the first kept is the one whose direction is nearest to the class's mean."""
    contender = enter("icarl:original", "per_class=1")
    labels = contender.seed_context.tensors.labels
    for session, classes in enumerate([range(6), range(6, 8), range(8, 10)]):
        contender.train(session, 0)
        for label in classes:
            rows = rows_of(contender, session, label)
            with torch.no_grad():
                features = contender.strategy.model.backbone(plain(contender, rows))
            directions = features / features.pow(2).sum(1, keepdim=True).sqrt()
            gaps = (directions - directions.mean(0)).pow(2).sum(1)
            kept = contender.memory.indices[labels[contender.memory.indices] == label]
            assert kept.tolist() == [int(rows[gaps.argmin()])]


def test_nearest_mean_can_be_watched_by_the_oracle(enter: Enter) -> None:
    """In mid-session the means must be of all classes seen, the new ones included."""
    contender = enter("icarl:original", "selection=oracle_test")
    for session in range(3):
        contender.train(session, 0)
        assert len(contender.strategy.model.class_means) == 6 + 2 * session
