"""ConCM's simplex, spreads and losses by hand, and what its sessions keep and train."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from methods.bases.structure import Structure, Unit
from methods.concm import ConCm
from methods.parts.features import class_spreads, likeness
from methods.parts.heads import CosineHead, unit
from methods.parts.projected import ProjectedHead
from methods.parts.targets import drawn_together, nearest_simplex
from protocols.schema import Sessions
from tests.methods.by_hand import plain, rows_of, step_of
from tests.methods.conftest import Enter

FEW = Sessions(base=2, way=1, count=1, shots=1)


def test_the_nearest_simplex_of_a_simplex_is_itself() -> None:
    """Whatever its lengths; with one mean moved, all cosines are still -1 / 2, and each target is nearest to its own mean."""
    corners = torch.tensor([[1.0, 0.0, 0.0], [-0.5, math.sqrt(0.75), 0.0], [-0.5, -math.sqrt(0.75), 0.0]])
    lengths = torch.tensor([[1.0], [3.0], [0.5]])
    assert torch.allclose(nearest_simplex(lengths * corners), corners, atol=1e-6)
    moved = corners + torch.tensor([[0.2, 0.3, 0.4], [0.0, 0.0, 0.0], [0.1, 0.0, -0.3]])
    found = nearest_simplex(moved)
    assert torch.allclose(found @ found.T, 1.5 * torch.eye(3) - 0.5, atol=1e-6)
    assert (unit(moved) @ found.T).argmax(dim=1).tolist() == [0, 1, 2]


def test_no_other_simplex_is_nearer() -> None:
    """The polar factor: no turn of the targets fits the centred means better."""
    torch.manual_seed(0)
    means = torch.randn(4, 6)
    targets = nearest_simplex(means)
    columns = unit(means) - unit(means).mean(dim=0)
    best = float((targets * columns).sum())
    for _ in range(20):
        turn, _ = torch.linalg.qr(torch.eye(6) + 0.3 * torch.randn(6, 6))
        assert float((targets @ turn * columns).sum()) < best + 1e-5


def test_more_classes_than_the_width_has_room_for_are_spread_as_far_as_it_goes() -> None:
    targets = nearest_simplex(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(targets).all() and torch.allclose(targets.norm(dim=1), torch.ones(6))


def network_of() -> Any:
    """A network whose features are its images; `calls` holds what its parts were asked for."""
    parts = torch.nn.ModuleDict({"projector": torch.nn.Identity()})
    means = torch.nn.Module()
    means.register_buffer("rows", torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    parts["means"] = means
    network: Any = SimpleNamespace(parts=parts, feature_dim=2, head=None, calls=[])
    network.eval = lambda: network.calls.append("eval")
    network.embed = lambda images: network.calls.append("embed") or images
    Structure(Structure.Config(temperature=1.0)).build(network, FEW)
    network.head.grow(2)
    return network


def test_base_targets_count_no_class_to_come_and_the_projector_gets_unit_features() -> None:
    """Two classes: opposite targets along the difference of their means."""
    network, half = network_of(), math.sqrt(0.5)
    assert torch.allclose(network.head.targets, torch.tensor([[half, -half], [-half, half]]))
    assert not Structure.knows_all_classes and Structure.parent == "contrast" and not len(network.parts)
    assert torch.equal(network.head.project(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))
    assert isinstance(network.head.project[0], Unit)


def test_the_bases_loss_by_hand() -> None:
    kind, network = Structure(Structure.Config(temperature=1.0)), network_of()
    x, labels, targets = torch.tensor([[3.0, 4.0], [4.0, -3.0]]), torch.tensor([1, 0]), network.head.targets
    expected = F.cross_entropy(x / 5 @ targets.T, labels) + drawn_together(x / 5, labels, targets, torch.tensor([0, 1]), 1.0)
    assert torch.allclose(kind.loss(network, [x], labels, step_of(kind, network, [x])), expected)
    assert network.calls == ["eval", "embed"], "evaluation mode first: the encoder is frozen (docs/modern.md 2.6, no. 3)"


def test_the_encoder_stays_as_phase_1_left_it(enter: Enter) -> None:
    """docs/modern.md 2.6, no. 3: through base alignment and all sessions, with the statistics of its batch norm."""
    left = enter("proto@contrast").strategy.model.backbone.state_dict()
    assert any(name.endswith("running_mean") and value.any() for name, value in left.items()), "phase 1 has moved them"
    contender = enter("concm", "epochs=2")
    for session in range(3):
        assert all(torch.equal(value, left[name]) for name, value in contender.strategy.model.backbone.state_dict().items())
        contender.train(session, 0)
    assert all(torch.equal(value, left[name]) for name, value in contender.strategy.model.backbone.state_dict().items())


def learner(**changes: Any) -> Any:
    made: Any = object.__new__(ConCm)
    made.config, made.session = ConCm.Config(**changes), 1
    made.context = SimpleNamespace(sessions=FEW)
    made.model = SimpleNamespace(head=ProjectedHead(3, torch.nn.Identity(), torch.eye(3)))
    made.now = SimpleNamespace()
    made.embed_batch = lambda network: made.mb_x
    return made


def test_base_and_novel_classes_have_means_of_their_own_and_novel_targets_alone_are_anchors() -> None:
    """Of three images, two of base classes; weights 2 and .05."""
    made, labels = learner(), torch.tensor([0, 2, 1])
    made.mbatch = [torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), labels]
    made.mb_output = made.forward()
    x = unit(made.mb_x)
    assert torch.allclose(made.mb_output, x), "the targets are the axes"
    each = F.cross_entropy(x, labels, reduction="none")
    pulled = 2 * each[1] + 0.05 * (each[0] + each[2]) / 2
    assert torch.allclose(made.session_loss(), pulled + drawn_together(x, labels, torch.eye(3)[2:], torch.tensor([2]), 0.07))
    made.mbatch = [made.mb_x[:1], labels[:1]]
    made.mb_output = made.forward()
    assert torch.isfinite(made.session_loss()), "a batch without a novel class"


def test_a_novel_spread_is_a_share_of_its_own_and_the_likest_base_ones() -> None:
    made = learner()
    made.means, made.spreads = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    features = torch.tensor([[1.0, 1.0], [3.0, 1.0]])
    made.learn(features, torch.tensor([2, 2]))
    weights = likeness(torch.tensor([[2.0, 1.0]]), made.means[:2], 16.0)
    assert torch.allclose(made.spreads[2], 0.6 * (torch.tensor([math.sqrt(2), 0.0]) + (weights @ made.spreads[:2])[0]))
    assert made.means[2].tolist() == [2.0, 1.0]
    assert class_spreads(features, torch.tensor([0, 1])).tolist() == [[0.0, 0.0], [0.0, 0.0]], "one vector spreads nowhere"


def test_a_sessions_targets_are_each_nearest_to_the_class_they_are_of() -> None:
    """Three classes on the axes, without spread: targets at (2, -1, -1) / sqrt(6) and so on, in the classes' order. The novel shots, at the
    third axis, come after the samples."""
    made = learner(base_samples=3, novel_samples=2)
    made.model.head = ProjectedHead(3, torch.nn.Identity(), torch.eye(3)[:2])
    made.means, made.spreads = torch.tensor([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.zeros(2, 3)
    made.session_indices = lambda: None
    made.shown = lambda indices: (torch.tensor([[0.0, 0.0, 2.0]] * 2), torch.tensor([2, 2]))
    made.before_session()
    assert made.now.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert torch.equal(made.now.samples, made.means[made.now.labels])
    assert torch.allclose(made.model.head.targets, (3 * torch.eye(3) - 1) / math.sqrt(6), atol=1e-5)


def test_statistics_are_of_augmented_copies(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three copies of each shot, drawn apart; in session 0, of one of each base image."""
    contender = enter("concm", "epochs=1", "copies=3")
    s: Any = contender.strategy
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    learn = ConCm.learn

    def watched(self: ConCm, features: torch.Tensor, labels: torch.Tensor) -> None:
        given.append((features, labels))
        learn(self, features, labels)

    monkeypatch.setattr(ConCm, "learn", watched)
    for session, label, copies in ((0, 2, 1), (1, 7, 3)):
        contender.train(session, 0)
        rows, (features, labels) = rows_of(contender, session, label), given[session]
        own, still = features[labels == label], s.model.embed(plain(contender, rows)).detach()
        assert len(own) == copies * len(rows) and torch.allclose(s.means[label], own.mean(0), atol=1e-5)
        assert len(own.unique(dim=0)) > 0.5 * len(own), "each copy is drawn anew"
        as_they_are = (own[:, None] - still).abs().amax(2).amin(1) < 1e-3
        assert as_they_are.float().mean() < 0.5, "one of nine places leaves an image where it is"


def test_a_session_keeps_shots_and_statistics_and_draws_anew(enter: Enter) -> None:
    """The projector goes on from where it is, targets are as many as classes seen, and a novel class counts half a base one."""
    contender = enter("concm", "epochs=2", "base_samples=8", "novel_samples=4")
    s: Any = contender.strategy
    drawn: list[str] = []  # text, as numbers would count as kept
    before_epoch = s.before_epoch

    def watched(epoch: int) -> None:
        before_epoch(epoch)
        drawn.append(f"{len(s.now.samples)} {s.now.samples.sum()}")

    s.before_epoch = watched
    for session, (kept, classes) in enumerate(((0, 6), (10, 8), (20, 10))):
        begun = {name: value.clone() for name, value in s.model.head.project.state_dict().items()}
        contender.train(session, 0)
        assert len(contender.memory.indices) == kept
        assert s.model.head.targets.shape == (classes, 16) and len(s.means) == len(s.spreads) == classes
        cosines = s.model.head.targets @ s.model.head.targets.T
        assert torch.allclose(cosines[~torch.eye(classes, dtype=torch.bool)], torch.tensor(-1 / (classes - 1)), atol=1e-4)
        moved = not all(torch.equal(value, begun[name]) for name, value in s.model.head.project.state_dict().items())
        assert moved == bool(session)
    assert [said.split()[0] for said in drawn] == ["56", "56", "64", "64"] and len(set(drawn)) == 4
    assert contender.budget == 20 and ConCm.most_numbers(s.config, s.context.sessions, 64) == 2 * 10 * 64


@pytest.mark.parametrize("trained", [False, True])
def test_a_base_without_fixed_targets_is_refused(trained: bool) -> None:
    head = ProjectedHead(3, torch.nn.Identity(), torch.eye(3), learns=True) if trained else CosineHead(3)
    made: Any = object.__new__(ConCm)
    made.config = ConCm.Config()
    with pytest.raises(ValueError, match="a projector and fixed targets"):
        made.adopt(SimpleNamespace(head=head, feature_dim=3))
