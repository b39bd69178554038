"""TOPIC: neural gas, anchor loss and min-max loss by hand, and what a session does with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.parts.neural_gas import NeuralGas, fit
from methods.topic import Topic, anchor_factors, anchor_loss, max_loss, min_loss
from tests.methods.by_hand import Rows, label_loss, mean_row, plain, rows_of, unit_rows
from tests.methods.runs import Enter, Optimizers, batch_features, losses_beside, train_all, train_under


def column(*values: float) -> Tensor:
    """Points on a line, [n, 1]."""
    return torch.tensor(values)[:, None]


def test_nodes_move_by_rank() -> None:
    """Rank i moves by eta exp(-i / alpha) of its way; an edge joins the two nearest, here the outer ones."""
    start = column(4.0, 10.0, -2.0)
    nodes, edges = fit(column(0.0), start, 0.5, 2.0, 200)
    assert nodes[:, 0].tolist() == pytest.approx([4 - 0.5 * math.exp(-0.5) * 4, 10 - 0.5 * math.exp(-1) * 10, -2 + 0.5 * 2])
    assert edges.tolist() == [[0, 2]]
    assert start[:, 0].tolist() == [4.0, 10.0, -2.0], "where they started is the caller's"


def test_far_ranks_stay() -> None:
    """Ranks are truncated where the step is below a thousandth: at seven alphas, here from the third node on."""
    nodes, _ = fit(column(0.0), column(1.0, 2.0, 3.0, 4.0), 0.5, 0.2, 200)
    assert nodes[:, 0].tolist() == pytest.approx([0.5, 2 - 0.5 * math.exp(-5) * 2, 3.0, 4.0])
    assert float(nodes[2]) == 3.0


def written_gas(features: Rows, start: Rows, eta: float, alpha: float, longest: int) -> tuple[Rows, list[list[int]]]:
    """Martinetz and Schulten with loops: nodes, edges."""
    nodes = [list(node) for node in start]
    ages: dict[tuple[int, int], int] = {}
    for f in features:
        order = sorted(range(len(nodes)), key=lambda i: math.dist(nodes[i], f))
        for rank, i in enumerate(order):
            nodes[i] = [v + eta * math.exp(-rank / alpha) * (x - v) for v, x in zip(nodes[i], f, strict=True)]
        ages = {pair: age + (order[0] in pair) for pair, age in ages.items()}
        ages = {pair: age for pair, age in ages.items() if age <= longest}
        ages[min(order[:2]), max(order[:2])] = 0
    return nodes, sorted(list(pair) for pair in ages)


@pytest.mark.parametrize("longest", [1, 3, 200])
def test_gas_is_the_written_algorithm(longest: int) -> None:
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(longest))
    nodes, edges = fit(points, points[:7], 0.1, 3.0, longest)
    expected, pairs = written_gas(points.tolist(), points[:7].tolist(), 0.1, 3.0, longest)
    assert torch.allclose(nodes, torch.tensor(expected), atol=1e-5)
    assert edges.tolist() == pairs


def test_edges_age_with_their_winner_and_go() -> None:
    """Nodes at 0, 1, 9 that hardly move. 6 joins 9 and 1; each .4 that 0 wins joins 0 and 1 and ages no edge of 1 and 9."""

    def edges(*features: float) -> list[list[int]]:
        return fit(column(*features), column(0.0, 1.0, 9.0), 1e-6, 1.0, 2)[1].tolist()

    assert edges(6.0, *[0.6] * 2) == [[0, 1], [1, 2]]
    assert edges(6.0, *[0.6] * 3) == [[0, 1]], "won by 1 three times: the edge with 9 is older than 2"
    assert edges(6.0, *[0.4] * 9) == [[0, 1], [1, 2]], "won by 0"
    assert edges(6.0, 0.6, 0.6, 6.0, 0.6, 0.6) == [[0, 1], [1, 2]], "renewed: its age is 0 again"


def test_a_node_keeps_variance_majority_label_and_an_image_of_that_label() -> None:
    """The image nearest to the first node is of another class, so it does not stand for it; the second has no feature."""
    gas = NeuralGas(2)
    features = torch.tensor([[0.1, 0.0], [1.0, 0.0], [0.0, 3.0], [9.0, 9.0], [10.0, 9.0]])
    labels, rows = torch.tensor([1, 0, 0, 2, 2]), torch.tensor([50, 40, 30, 20, 10])
    assert gas.add(torch.tensor([[0.0, 0.0], [100.0, 100.0], [9.9, 9.0]]), features, labels, rows) == [0, 2]
    assert gas.centroids.tolist() == [[0.0, 0.0], pytest.approx([9.9, 9.0])]
    assert gas.labels.tolist() == [0, 2]
    assert gas.indices.tolist() == [40, 10]
    mean = 1.1 / 3
    variance = ((0.1 - mean) ** 2 + (1 - mean) ** 2 + mean**2) / 3
    assert gas.variances[0].tolist() == pytest.approx([variance, 2.0])
    assert gas.variances[1].tolist() == pytest.approx([0.25, 0.0])
    assert gas.add(torch.tensor([[5.0, 5.0]]), torch.tensor([[4.0, 4.0]]), torch.tensor([7]), torch.tensor([70])) == [0]
    assert gas.indices.tolist() == [40, 10, 70], "new nodes stand at the end"


def test_links_and_rivals() -> None:
    """Features link their two nearest nodes, once; rivals are links of a new node with a node of another class, old or new."""
    gas = NeuralGas(1)
    for place, label in ((0.0, 0), (1.0, 1), (2.1, 5), (3.3, 6), (4.6, 6)):
        gas.add(column(place), column(place), torch.tensor([label]), torch.tensor([label]))
    gas.connect(column(0.1, 0.2, 1.4))
    assert gas.edges.tolist() == [[0, 1], [1, 2]]
    gas.connect(column(2.2, 3.5, 3.6, 4.5, 0.1))  # the nodes nearest to 2.2 are 2.1 and 3.3
    assert gas.edges.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert gas.rivals(2).tolist() == [[1, 2], [2, 3]]
    assert gas.rivals(3).tolist() == [[2, 3]]


def test_anchor_factors_and_anchor_loss_by_hand() -> None:
    """Scripts: .9 above a variance of .5, else 1. Paper: its inverse, with a floor. Mean over all, or the sum; pulled back."""
    variances = torch.tensor([[0.6, 0.5, 0.25, 0.0]])
    assert anchor_factors(variances, "script", 0.9)[0].tolist() == pytest.approx([0.9, 1.0, 1.0, 1.0])
    assert anchor_factors(variances, "inverse", 0.9)[0].tolist() == pytest.approx([1 / 0.6, 2.0, 4.0, 1000.0])
    now = torch.tensor([[1.0, 2.0], [0.0, -1.0]], requires_grad=True)
    old, factors = torch.tensor([[0.0, 2.0], [0.5, 1.0]]), torch.tensor([[0.9, 1.0], [4.0, 2.0]])
    assert anchor_loss(now, old, factors, "inverse").item() == pytest.approx(0.9 * 1 + 0 + 4 * 0.25 + 2 * 4), "the paper's sum"
    loss = anchor_loss(now, old, factors, "script")
    assert loss.item() == pytest.approx((0.9 * 1 + 0 + 4 * 0.25 + 2 * 4) / 4)
    loss.backward()
    assert now.grad is not None
    assert now.grad.flatten().tolist() == pytest.approx([2 * 0.9 / 4, 0.0, -2 * 4 * 0.5 / 4, -2 * 2 * 2 / 4])


def test_min_loss_by_hand() -> None:
    """Squared distance to the nearest node of its own class, though another's is nearer; either comes to the other."""
    features, nodes = column(1.0, 8.0).requires_grad_(), column(0.5, 4.0, -2.0, 9.0).requires_grad_()
    loss = min_loss(features, torch.tensor([7, 8]), nodes, torch.tensor([8, 7, 7, 8]))
    assert loss.item() == pytest.approx(((1 - 4) ** 2 / 2 + (8 - 9) ** 2 / 2), rel=1e-5)
    loss.backward()
    assert features.grad is not None and nodes.grad is not None
    assert features.grad[:, 0].tolist() == pytest.approx([-3.0, -1.0], rel=1e-4)
    assert nodes.grad[:, 0].tolist() == pytest.approx([0.0, 3.0, 0.0, 1.0], rel=1e-4)


def test_max_loss_by_hand() -> None:
    """Linked nodes nearer than the margin are pushed apart; those beyond it, and unlinked ones, cost nothing."""
    nodes = torch.tensor([[0.0, 0.0], [0.3, 0.0], [2.0, 0.0], [0.3, 0.4]], requires_grad=True)
    loss = max_loss(nodes, torch.tensor([[0, 1], [0, 2], [1, 3]]), 0.5)
    assert loss.item() == pytest.approx(0.2 + 0.0 + 0.1)
    loss.backward()
    assert nodes.grad is not None
    downhill = (-nodes.grad).tolist()
    for direction, expected in zip(downhill, [[-1.0, 0.0], [1.0, -1.0], [0.0, 0.0], [0.0, 1.0]], strict=True):
        assert direction == pytest.approx(expected)
    assert max_loss(nodes, torch.empty(0, 2, dtype=torch.int64), 0.5).item() == 0


@pytest.mark.parametrize(("variant", "form"), [("topic", "script"), ("topic", "inverse"), ("topic:al", "script")])
def test_loss_in_a_session(variant: str, form: str, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """CE + 350 AL + .3 min + 1e-4 max (docs/methods.md 4.6), from raw images; `al` ends with the second. Factors meet their own images."""
    weight = 0.5 if form == "inverse" else 350
    contender = enter(
        variant,
        f"anchor_form={form}",
        f"anchor_weight={weight}",
        "max_margin=1.5",
        *([] if variant == "topic:al" else ["max_weight=0.02"]),
        "lr=0.01",
    )
    parts: list[tuple[float, float, float]] = []
    centres: list[Tensor] = []

    def expected(strategy: Any, before: Any) -> float:
        gas, first = strategy.model.gas, strategy.first_new
        images = plain(contender, contender.memory.indices)
        with torch.no_grad():
            now = unit_rows(strategy.model.embed(images).tolist())
            old = unit_rows(before.embed(images).tolist())
            shots = unit_rows(batch_features(strategy.model, strategy).tolist())
        variance = dict(zip(gas.indices.tolist(), gas.variances.tolist(), strict=True))
        anchor, share = 0.0, 1 if form == "inverse" else 64 * len(now)
        for row, a, b in zip(contender.memory.indices.tolist(), now, old, strict=True):
            for x, y, v in zip(a, b, variance[row], strict=True):
                anchor += (1 / max(v, 1e-3) if form == "inverse" else 0.9 if v > 0.5 else 1.0) * (x - y) ** 2 / share
        nodes = [*gas.centroids[:first].tolist(), *strategy.model.gas.centres.tolist()]
        near, far = 0.0, 0.0
        for feature, label in zip(shots, strategy.mb_y.tolist(), strict=True):
            own = [nodes[i] for i in range(first, len(nodes)) if int(gas.labels[i]) == label]
            near += min(math.dist(feature, node) for node in own) ** 2 / len(shots)
        for i, j in gas.edges.tolist():
            if j >= first and int(gas.labels[i]) != int(gas.labels[j]):
                far += max(0.0, 1.5 - math.dist(nodes[i], nodes[j]))
        value = label_loss(strategy.mb_output.tolist(), strategy.mb_y.tolist()) + weight * anchor
        parts.append((weight * anchor, 0.3 * near, 0.02 * far))
        centres.append(strategy.model.gas.centres.detach().clone())
        return value + (0.0 if variant == "topic:al" else parts[-1][1] + parts[-1][2])

    seen = losses_beside(contender, monkeypatch, expected, sessions=2)
    assert len(seen) == 3
    assert min(map(max, zip(*parts, strict=True))) > 0.01, "every part counts"
    for loss, value in seen:
        assert loss == pytest.approx(value, rel=1e-3)
    assert torch.equal(centres[0], centres[-1]) == (variant == "topic:al"), "AL alone has no new nodes in its loss"
    if variant == "topic:al":
        assert torch.equal(contender.strategy.model.gas.centroids[-2:], centres[0])


def test_weights_are_the_scripts() -> None:
    """docs/methods.md 4.6, CIFAR: AL 350, min .3 with centre rate .1, max 1e-4 with margin .5; --fix-conv --fw --wo-bn."""
    c: Any = Topic.Config()
    assert (c.anchor_weight, c.min_weight, c.centre_lr, c.max_weight, c.max_margin) == (350, 0.3, 0.1, 1e-4, 0.5)
    assert (c.train, c.freeze_old_rows, c.batch_norm, c.variance_factor, c.gas_alpha) == ("last_block", True, "eval", 0.9, 10)


def test_gas_through_the_sessions(enter: Enter) -> None:
    """The memory is the nodes' images, within 40 + 1 a class; old nodes, old rows and batch norm stay bit-equal (traps 1, 8, 13)."""
    contender = enter("topic")
    labels, statistics = contender.seed_context.tensors.labels, []
    for session in range(3):
        gas = contender.strategy.model.gas
        old, count = gas.centroids.clone(), len(gas.indices)
        head = contender.strategy.model.head.weight.detach().clone()
        contender.train(session, 0)
        assert contender.memory.indices.tolist() == sorted(gas.indices.tolist())
        assert len(set(gas.indices.tolist())) == len(gas.indices) == len(gas.centroids) == len(gas.variances)
        assert torch.equal(labels[gas.indices], gas.labels)
        assert torch.equal(gas.centroids[:count], old)
        assert set(gas.labels.tolist()) == set(range(6 + 2 * session)), "every class has a node"
        if session:
            assert gas.labels[count:].tolist() == [4 + 2 * session, 5 + 2 * session]
            assert torch.equal(contender.strategy.model.head.weight[: len(head)], head)
            assert not torch.equal(contender.strategy.model.head.weight[len(head) :], torch.zeros(2, 64))
        else:
            assert 30 <= len(gas.indices) <= 40
        buffers = contender.strategy.model.backbone.named_buffers()
        statistics.append(torch.cat([value.flatten().float() for _, value in buffers]))
    assert torch.equal(statistics[0], statistics[2])
    assert contender.memory.budget == 44


def test_new_nodes_start_at_class_means_and_follow_their_images(enter: Enter) -> None:
    """Zero epochs leave them there; their rate is their own, without weight decay."""
    still, moved = enter("topic", "epochs=0"), enter("topic", "centre_lr=0.07")
    train_all(still, 2)
    spy = train_under(train_all(moved, 1), 1, Optimizers())
    for node, label in ((-2, 6), (-1, 7)):
        with torch.no_grad():
            own = unit_rows(still.strategy.model.embed(plain(still, rows_of(still, 1, label))).tolist())
        assert len(own) == 5
        assert still.strategy.model.gas.centroids[node].tolist() == pytest.approx(mean_row(own), abs=1e-5)
    assert not torch.equal(still.strategy.model.gas.centroids[-2:], moved.strategy.model.gas.centroids[-2:])
    group = spy.last.param_groups[-1]
    assert (group["lr"], group["weight_decay"], [len(p) for p in group["params"]]) == (0.07, 0.0, [2])


def test_shots_that_are_alike_make_one_node(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two nodes at one place, the second is nearest to no shot, and its mean would be no number."""
    contender = train_all(enter("topic", "novel_exemplars=2"), 1)
    embed = Topic.embed_indices
    monkeypatch.setattr(Topic, "embed_indices", lambda self, indices: embed(self, indices)[:1].expand(len(indices), -1))
    contender.train(1, 0)
    gas = contender.strategy.model.gas
    assert bool(gas.centroids.isfinite().all())
    assert gas.labels[-3:].tolist()[1:] == [6, 7] and int(gas.labels[-3]) < 6


def test_base_nodes_keep_the_edges_that_ageing_leaves(enter: Enter) -> None:
    """A short life leaves fewer edges; both ends of each are nodes that were kept."""
    counts = []
    for age in (1, 200):
        contender = enter("topic", f"gas_age={age}")
        contender.train(0, 0)
        gas = contender.strategy.model.gas
        assert int(gas.edges.max()) < len(gas.indices)
        counts.append(len(gas.edges))
    assert 0 < counts[0] < counts[1]
