"""DER: without its buffer plain fine-tuning; with it a uniform reservoir whose logits stay with their images."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.base.features import state_sha256
from benchmarks.running.runner import Contender
from methods.contract.memory import Memory
from methods.der import Der
from tests.methods.by_hand import label_loss_of, plain
from tests.methods.runs import Enter, Start, after_loss, train_all, train_under


def plain_logits(contender: Contender, model: Any, rows: Tensor) -> Tensor:
    """What a model in evaluation mode gives un-augmented training images, one by one, past all of the suite's plumbing."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(plain(contender, rows))


def test_without_a_buffer_it_is_fine_tuning_to_the_byte(enter: Enter) -> None:
    """LEC-Net's DER* (docs/methods.md 6.10): no replay term, no draw from any stream, the same weights after every session."""
    settings_of_both = ("epochs=3", "lr=0.05", "new_row_std=0.001")
    ft, der, replaying = (enter(variant, *settings_of_both) for variant in ("ft_cnn", "der:no_buffer", "der:buffer200"))
    for session in range(3):
        hashes = []
        for contender in (ft, der, replaying):
            contender.train(session, 0)
            hashes.append(state_sha256(contender.strategy.model))
        assert hashes[0] == hashes[1] != hashes[2]
    assert len(der.memory.indices) == 0
    assert len(replaying.memory.indices) == 200


@pytest.mark.parametrize("buffer", [0, 1, 30, 5000])
def test_buffer_is_within_its_declared_budget(buffer: int, enter: Enter) -> None:
    """Trap 8. As full as it can be, and of images seen so far only."""
    contender = enter("der", f"buffer={buffer}")
    assert contender.memory.budget == buffer
    seen = 0
    for session in range(3):
        contender.train(session, 0)
        seen += len(contender.seed_context.split.train[session])
        assert len(contender.memory.indices) == min(buffer, seen)
        so_far = torch.cat([torch.from_numpy(rows) for rows in contender.seed_context.split.train[: session + 1]])
        assert bool(torch.isin(contender.memory.indices, so_far).all())
        if buffer:
            assert contender.strategy.model.stored_logits.shape == (min(buffer, seen), 6 + 2 * session)


class Reservoir(SimpleNamespace):
    """As much of a strategy as the reservoir needs; logits of row r are r itself."""

    def buffer_logits(self, rows: Tensor) -> Tensor:
        return rows[:, None].float()


def sampled(sizes: tuple[int, ...], buffer: int) -> Tensor:
    """Rows in the buffer after sessions of these sizes; rows are numbered through in order of arrival."""
    memory = Memory(buffer)
    fake = Reservoir(config=SimpleNamespace(buffer=buffer), context=SimpleNamespace(memory=memory), images_seen=0)
    fake.model = SimpleNamespace(stored_logits=torch.empty(0, 0))
    first = 0
    for size in sizes:
        fake.own_indices = torch.arange(first, first + size)
        memory.open(fake.own_indices)
        Der.after_session(fake)  # type: ignore[arg-type]
        assert fake.model.stored_logits.squeeze(1).tolist() == memory.indices.tolist(), "logits have lost their images"
        first += size
    return memory.indices


@pytest.mark.parametrize("sizes", [(40,), (24, 8, 8), (4, 12, 24)])
def test_reservoir_is_uniform_over_all_images_whatever_the_sessions(sizes: tuple[int, ...]) -> None:
    """Every image of 40 stands in a buffer of 8 with chance 1/5; the third case fills the buffer in its second session."""
    torch.manual_seed(0)
    draws, chance = 1500, 8 / 40
    counts = torch.zeros(40)
    for _ in range(draws):
        rows = sampled(sizes, 8)
        assert len(rows) == len(set(rows.tolist())) == 8
        counts[rows] += 1
    deviation = (counts / draws - chance) / (chance * (1 - chance) / draws) ** 0.5
    assert float(deviation.abs().max()) < 4.5
    # no session is favoured as a whole either
    for part in counts.split(list(sizes)):
        assert part.mean().item() / draws == pytest.approx(chance, abs=0.012)


def test_stored_logits_follow_the_memory_and_widen_with_the_head(enter: Enter) -> None:
    """Kept images keep the logits of their own session's end; columns of new classes are those of the rows as drawn."""
    contender = enter("der", "buffer=400", "new_row_std=0.1")
    strategy, memory = contender.strategy, contender.memory
    expected: dict[int, Tensor] = {}
    replaced = kept = 0
    for session in range(3):
        start = train_under(contender, session, Start()).network
        rows = memory.indices.tolist()
        if session:
            drawn = plain_logits(contender, start, torch.tensor(list(expected)))
            assert start.stored_logits.shape == (len(expected), 6 + 2 * session)
            for index, row in enumerate(expected):
                expected[row] = torch.cat([expected[row], drawn[index, -2:]])
        now = plain_logits(contender, strategy.model, memory.indices)
        replaced += sum(row not in rows for row in expected)
        kept += sum(row in expected for row in rows)
        expected = {row: expected[row] if row in expected else now[index] for index, row in enumerate(rows)}
        stored = strategy.model.stored_logits
        assert torch.allclose(stored, torch.stack([expected[row] for row in rows]), atol=1e-5)
    assert replaced > 0
    assert kept > 0
    assert not torch.allclose(stored, now, atol=1e-2), "the network has moved on since"


def test_replay_term_by_hand(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-entropy on the shots + alpha times the mean square over images and columns (Eq. 6); here over the whole buffer."""
    losses: list[Tensor] = []

    def observe(strategy: Der, loss: Tensor) -> None:
        rows, model = strategy.context.memory.indices, copy.deepcopy(strategy.model)
        z = model(plain(contender, rows))  # batch norm over the batch, as in training
        replay = ((z - model.stored_logits) ** 2).sum() / (len(rows) * z.shape[1])
        own = label_loss_of(strategy.mb_output, strategy.mb_y)
        assert loss.item() == pytest.approx((own + 20 * replay).item(), rel=1e-4)
        assert 20 * replay.item() > 0.01 * own.item()
        assert set(strategy.mb_y.tolist()) == set(strategy.context.sessions.span(strategy.session)), "replayed images are not in the batch"
        losses.append(loss)

    after_loss(monkeypatch, Der, observe)
    contender = enter("der", "buffer=12", "replay_batch=12", "alpha=20")
    train_all(contender)
    assert len(losses) == 2 * 3


def test_replay_trains_the_head(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less cross-entropy on the shots, the head's gradient is alpha 2 (logits - stored)ᵀ unit features / (images x columns)."""
    contender = train_all(enter("der", "buffer=12", "replay_batch=12", "alpha=20"), 1)
    least: list[float] = []

    def observe(strategy: Der, loss: Tensor) -> None:
        rows, weight = strategy.context.memory.indices, strategy.model.head.weight
        with torch.no_grad():
            features = copy.deepcopy(strategy.model).embed(plain(contender, rows))
            directions = features / features.norm(dim=1, keepdim=True)
            away = directions @ weight.T - strategy.model.stored_logits
        (found,) = torch.autograd.grad(loss - label_loss_of(strategy.mb_output, strategy.mb_y), weight, retain_graph=True)
        assert torch.allclose(found, 20 * 2 * away.T @ directions / (12 * 8), rtol=1e-3, atol=1e-5)
        least.append(float(found.norm(dim=1).min()))

    after_loss(monkeypatch, Der, observe)
    contender.train(1, 0)
    assert len(least) == 3
    assert min(least[1:]) > 1e-2


def test_each_step_replays_a_few_different_images(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    contender = enter("der", "buffer=20", "replay_batch=4", "epochs=8")
    contender.train(0, 0)
    kept, asked = set(contender.memory.indices.tolist()), []
    images = contender.strategy.context.images
    original = images.plain

    def spy(rows: Tensor) -> Tensor:
        if contender.strategy.model.training:
            asked.append(rows.tolist())
        return original(rows)

    monkeypatch.setattr(images, "plain", spy)
    contender.train(1, 0)
    assert len(asked) == 8
    assert all(len(set(rows)) == 4 and set(rows) <= kept for rows in asked)
    assert len({tuple(rows) for rows in asked}) > 1


def test_presets_are_the_two_of_table_6() -> None:
    """docs/methods.md 6.10: alpha .2 and replayed batches of 10."""
    without, with_buffer = (Der.Config.model_validate(Der.presets[name]) for name in ("no_buffer", "buffer200"))
    assert (without.buffer, with_buffer.buffer) == (0, 200)
    assert (with_buffer.alpha, with_buffer.replay_batch) == (0.2, 10)
