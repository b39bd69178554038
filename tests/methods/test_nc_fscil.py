"""NC-FSCIL's simplex, loss and data by hand, and what its sessions train."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from methods.bases import etf
from methods.bases.etf import Etf, Neck
from methods.nc_fscil import NcFscil
from methods.parts.mixing import box
from methods.parts.projected import ProjectedHead
from methods.parts.targets import dot_regression, simplex
from tests.methods.by_hand import plain, rows_of, step_of
from tests.methods.conftest import Enter
from tests.methods.runs import train_all


def test_the_simplex_and_that_it_needs_room() -> None:
    """Four unit vectors whose cosines are all -1/3: the number of classes must be known."""
    torch.manual_seed(0)
    gram = simplex(4, 5) @ simplex(4, 5).T
    assert not torch.allclose(gram.diagonal(), torch.ones(4)), "drawn anew each time"
    one = simplex(4, 5)
    assert torch.allclose(one @ one.T, (4 * torch.eye(4) - 1) / 3, atol=1e-6)
    with pytest.raises(ValueError, match=r"9 classes need a width of 9 or more, and etf\.width is 5"):
        simplex(9, 5)
    assert Etf.knows_all_classes


def test_dot_regression_by_hand() -> None:
    """Cosines .6 and 1 to their targets: half the mean of .16 and 0. A length of 2 counts four times."""
    x, targets = torch.tensor([[3.0, 4.0], [0.0, 9.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(dot_regression(x, targets)) == pytest.approx(0.04)
    assert float(dot_regression(x, targets, torch.tensor([2.0, 1.0]))) == pytest.approx(0.16)


def test_the_neck_has_the_sources_number_of_parameters() -> None:
    assert sum(p.numel() for p in Neck(640, 512, 1280).parameters()) == 3_448_320


def network_of(rows: torch.Tensor) -> Any:
    return SimpleNamespace(head=ProjectedHead(2, torch.nn.Identity(), rows), embed=lambda images: images.flatten(1)[:, :2])


def test_the_released_code_counts_the_first_label_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixture, with share .75 of an image at (1, 0) and .25 of one at (0, 1): trap (a), the loss on the first label is added in full."""
    monkeypatch.setattr(etf, "beta", lambda *_: torch.tensor([0.75]))
    monkeypatch.setattr(torch, "randperm", lambda count, generator: torch.tensor([1, 0]))
    network, images = network_of(torch.eye(2)), torch.eye(2).reshape(2, 1, 1, 2)
    first = 10 * 0.5 * (0.75 / math.hypot(0.75, 0.25) - 1) ** 2
    other = 10 * 0.5 * (0.25 / math.hypot(0.75, 0.25) - 1) ** 2
    for doubled in (False, True):
        kind = Etf(Etf.Config(mix=True, mixup_share=1.0, cutmix_share=0.0, first_label_too=doubled))
        loss = float(kind.loss(network, [images], torch.tensor([0, 1]), step_of(kind, network, [images])))
        assert loss == pytest.approx(0.75 * first + 0.25 * other + doubled * first)


def test_cutmix_says_what_is_left() -> None:
    kept, share = box(torch.ones(8, 8), 0.75, torch.Generator().manual_seed(0))
    assert float(kept.mean()) == pytest.approx(share)
    assert 0.75 <= share < 1


def learner(**changes: Any) -> Any:
    made: Any = object.__new__(NcFscil)
    made.config, made.session = NcFscil.Config(**changes), 2
    made.context = SimpleNamespace(sessions=SimpleNamespace(base=2, span=lambda session: range(2, 4)))
    made.model = SimpleNamespace(
        head=ProjectedHead(2, torch.nn.Identity(), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    )
    made.means = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    return made


def test_an_old_class_has_one_vector_and_a_novel_one_as_many_as_the_source_copies() -> None:
    assert learner().session_vectors()[1].tolist() == [0, 1, 2]
    vectors, labels = learner(copies=True).session_vectors()
    assert labels.tolist() == [0, 1, 2, 2]
    assert torch.equal(vectors, learner().means[labels])


def test_rare_classes_have_longer_targets_and_mixtures_both_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch of labels 0, 0, 0, 1: two classes, so squared lengths are 4 / 2 / 3 and 4 / 2 / 1. All at (1, 1): cosine 1/sqrt(2)."""
    made = learner(mix=0.0)
    made.mbatch, made.now = [None, torch.tensor([0, 0, 0, 1])], SimpleNamespace(features=torch.ones(4, 2))
    off = (math.sqrt(0.5) - 1) ** 2
    assert float(made.session_loss()) == pytest.approx(5 * off * (3 * 2 / 3 + 2) / 4)
    made.config = NcFscil.Config(mix=0.0, balance_lengths=False)
    assert float(made.session_loss()) == pytest.approx(5 * off)
    made.config = NcFscil.Config(mix=1.0, balance_lengths=False)
    made.mbatch, made.now = [None, torch.tensor([0, 1])], SimpleNamespace(features=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor([1, 0]))
    assert float(made.session_loss()) == pytest.approx(5 * off), "half and half, the mixed loss alone"


def test_a_mixture_has_the_lengths_of_both_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels 0, 0, 0, 1, mixed with 1, 0, 0, 0: squared lengths 2/3 of class 0, 2 of class 1. All at (3, 4), off by .4 and .2: either half
    is .5 (3 * .16 * 2/3 + .04 * 2) / 4 = .05. With the first classes' lengths the other half would be .07."""
    made = learner(mix=1.0)
    made.mbatch, made.now = [None, torch.tensor([0, 0, 0, 1])], SimpleNamespace(features=torch.tensor([[3.0, 4.0]] * 4))
    monkeypatch.setattr(torch, "randperm", lambda count: torch.tensor([3, 0, 1, 2]))
    assert float(made.session_loss()) == pytest.approx(10 * 0.5 * (0.05 + 0.05))


def test_stored_means_are_of_features_as_they_are(enter: Enter) -> None:
    """Under the test transform, not scaled to length one first."""
    contender = train_all(enter("nc_fscil"), sessions=2)
    s: Any = contender.strategy
    s.model.eval()
    for session, label in ((0, 2), (1, 7)):
        features = s.model.embed(plain(contender, rows_of(contender, session, label)))
        assert torch.allclose(s.means[label], features.mean(0), atol=1e-5)


def test_only_the_neck_trains_from_where_it_was_and_targets_never_move(enter: Enter) -> None:
    contender = enter("nc_fscil")
    s: Any = contender.strategy
    before = {name: value.clone() for name, value in s.model.state_dict().items()}
    train_all(contender, sessions=2)
    first = s.model.head.project.skip.weight.detach().clone()
    assert not torch.equal(first, before["head.project.skip.weight"])
    after = s.model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items() if name.startswith("backbone") or name == "head.targets")
    seen: list[torch.Tensor] = []
    s.head_grown = lambda: seen.append(s.model.head.project.skip.weight.detach().clone())
    contender.train(2, 0)
    assert torch.equal(seen[0], first), "a session goes on with the neck of the last one"
    assert s.means.shape == (10, s.model.feature_dim)
    assert len(contender.test(2).predictions) > 0


def test_a_session_has_the_sources_number_of_steps(enter: Enter) -> None:
    """10 shots and 6 means, one batch of 64: 7 steps in the first session, and 9 in all later ones."""
    contender = enter("nc_fscil", "steps=[7, 9]")
    contender.train(0, 0)
    for session, steps in ((1, 7), (2, 9)):
        contender.train(session, 0)
        assert contender.strategy.epochs_chosen == steps


@pytest.mark.parametrize(("batch", "steps"), [(64, 1), (3, 6)])
def test_the_warm_up_is_five_steps_whatever_an_epoch_has(batch: int, steps: int, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 vectors of 10 shots and 6 means. From a tenth of the rate, linearly, on a cosine that has begun with it."""
    contender, rates = enter("nc_fscil", "steps=[12]", f"batch={batch}"), []
    monkeypatch.setattr(NcFscil, "before_update", lambda self: rates.append(self.optimizer.param_groups[0]["lr"]))
    contender.train(0, 0)
    contender.train(1, 0)
    whole = [0.25 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / 12)) / 2) for step in range(12)]
    assert rates == pytest.approx([rate * min(1, 0.1 + 0.9 * step / 5) for step, rate in enumerate(whole)])


def test_records_of_a_warm_up_in_epochs_are_other_settings() -> None:
    assert NcFscil.migrations[1]({"ramp_epochs": 2.5, "lr": 0.1}) == {"ramp_epochs": 2.5, "lr": 0.1, "ramp_steps": 0}


def test_a_base_without_targets_is_refused(enter: Enter) -> None:
    with pytest.raises(ValueError, match="its base must have a neck and fixed targets"):
        enter("nc_fscil@linear")
