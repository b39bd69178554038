"""DER: without its buffer plain fine-tuning; with it a uniform reservoir whose logits stay with their images."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from benchmarks.evaluate import state_sha256
from benchmarks.plan import identities, make_request
from benchmarks.run import Entrant, Runner
from benchmarks.settings import Settings
from methods.der import Der
from methods.parts.memory import Memory
from protocols.schema import Protocol


def enter(protocol: Protocol, settings: Settings, variant: str, *overrides: str) -> Entrant:
    return Runner(protocol, settings).enter(identities(make_request(protocol, None, None, "0", variant, list(overrides)))[0])


def plain_logits(entrant: Entrant, model: Any, rows: Tensor) -> Tensor:
    """What a model in evaluation mode gives un-augmented training images, one by one, past all of the suite's plumbing."""
    x = (entrant.stage.tensors.plain[rows].float() / 255 - 0.3053) / 0.3760
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(x)


class FirstEpoch(SupervisedPlugin):
    """The model as it stands when a session's head has grown and nothing is trained yet."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Any = None

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.model = self.model or copy.deepcopy(strategy.model)


def test_without_a_buffer_it_is_fine_tuning_to_the_byte(tiny: Protocol, settings: Settings) -> None:
    """LEC-Net's DER* (methods.md 6.10): no replay term, no draw from any stream, the same weights after every session."""
    settings_of_both = ("epochs=3", "lr=0.05", "new_row_std=0.001")
    ft, der, replaying = (
        enter(tiny, settings, variant, *(f"{variant.partition(':')[0]}.{s}" for s in settings_of_both))
        for variant in ("ft_cnn", "der:no_buffer", "der:buffer200")
    )
    for session in range(3):
        hashes = []
        for entrant in (ft, der, replaying):
            entrant.train(session, 0)
            hashes.append(state_sha256(entrant.strategy.model))
        assert hashes[0] == hashes[1] != hashes[2]
    assert len(der.memory.rows) == 0
    assert len(replaying.memory.rows) == 200


@pytest.mark.parametrize("buffer", [0, 1, 30, 5000])
def test_buffer_is_within_its_declared_budget(buffer: int, tiny: Protocol, settings: Settings) -> None:
    """Trap 8. As full as it can be, and of images seen so far only."""
    entrant = enter(tiny, settings, "der", f"der.buffer={buffer}")
    assert entrant.memory.budget == buffer
    seen = 0
    for session in range(3):
        entrant.train(session, 0)
        seen += len(entrant.stage.split.train[session])
        assert len(entrant.memory.rows) == min(buffer, seen)
        so_far = torch.cat([torch.from_numpy(rows) for rows in entrant.stage.split.train[: session + 1]])
        assert bool(torch.isin(entrant.memory.rows, so_far).all())
        if buffer:
            assert entrant.strategy.model.stored_logits.shape == (min(buffer, seen), 6 + 2 * session)


class Reservoir(SimpleNamespace):
    """As much of a strategy as the reservoir needs; logits of row r are r itself."""

    def buffer_logits(self, rows: Tensor) -> Tensor:
        return rows[:, None].float()


def sampled(sizes: tuple[int, ...], buffer: int) -> Tensor:
    """Rows in the buffer after sessions of these sizes; rows are numbered through in order of arrival."""
    memory = Memory(buffer)
    fake = Reservoir(config=SimpleNamespace(buffer=buffer), kit=SimpleNamespace(memory=memory), images_seen=0)
    fake.model = SimpleNamespace(stored_logits=torch.empty(0, 0))
    first = 0
    for size in sizes:
        fake.own_rows = torch.arange(first, first + size)
        memory.open(fake.own_rows)
        Der.after_session(fake)  # type: ignore[arg-type]
        assert fake.model.stored_logits.squeeze(1).tolist() == memory.rows.tolist(), "logits have lost their images"
        first += size
    return memory.rows


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


def test_stored_logits_follow_the_memory_and_widen_with_the_head(tiny: Protocol, settings: Settings) -> None:
    """Kept images keep the logits of their own session's end; columns of new classes are those of the rows as drawn."""
    entrant = enter(tiny, settings, "der", "der.buffer=400", "der.new_row_std=0.1")
    strategy, memory = entrant.strategy, entrant.memory
    expected: dict[int, Tensor] = {}
    replaced = kept = 0
    for session in range(3):
        spy = FirstEpoch()
        strategy.plugins.append(spy)
        entrant.train(session, 0)
        strategy.plugins.remove(spy)
        rows = memory.rows.tolist()
        if session:
            drawn = plain_logits(entrant, spy.model, torch.tensor(list(expected)))
            assert spy.model.stored_logits.shape == (len(expected), 6 + 2 * session)
            for index, row in enumerate(expected):
                expected[row] = torch.cat([expected[row], drawn[index, -2:]])
        now = plain_logits(entrant, strategy.model, memory.rows)
        replaced += sum(row not in rows for row in expected)
        kept += sum(row in expected for row in rows)
        expected = {row: expected[row] if row in expected else now[index] for index, row in enumerate(rows)}
        stored = strategy.model.stored_logits
        assert torch.allclose(stored, torch.stack([expected[row] for row in rows]), atol=1e-5)
    assert replaced > 0
    assert kept > 0
    assert not torch.allclose(stored, now, atol=1e-2), "the network has moved on since"


def test_replay_term_by_hand(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-entropy on the shots + alpha times the mean square over images and columns (Eq. 6); here over the whole buffer."""
    losses: list[Tensor] = []
    original = Der.session_loss

    def spy(self: Der) -> Tensor:
        rows, model = self.kit.memory.rows, copy.deepcopy(self.model)
        x = (entrant.stage.tensors.plain[rows].float() / 255 - 0.3053) / 0.3760
        z = model(x)  # batch norm over the batch, as in training
        replay = ((z - model.stored_logits) ** 2).sum() / (len(rows) * z.shape[1])
        own = -self.mb_output.log_softmax(1)[torch.arange(len(self.mb_y)), self.mb_y].mean()
        loss = original(self)
        assert loss.item() == pytest.approx((own + 20 * replay).item(), rel=1e-4)
        assert 20 * replay.item() > 0.01 * own.item()
        assert set(self.mb_y.tolist()) == set(self.kit.sessions.span(self.session)), "replayed images are not in the batch"
        losses.append(loss)
        return loss

    monkeypatch.setattr(Der, "session_loss", spy)
    entrant = enter(tiny, settings, "der", "der.buffer=12", "der.replay_batch=12", "der.alpha=20")
    for session in range(3):
        entrant.train(session, 0)
    assert len(losses) == 2 * 3


def test_each_step_replays_a_few_different_images(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    entrant = enter(tiny, settings, "der", "der.buffer=20", "der.replay_batch=4", "der.epochs=8")
    entrant.train(0, 0)
    kept, asked = set(entrant.memory.rows.tolist()), []
    images = entrant.strategy.kit.images
    plain = images.plain

    def spy(rows: Tensor) -> Tensor:
        if entrant.strategy.model.training:
            asked.append(rows.tolist())
        return plain(rows)

    monkeypatch.setattr(images, "plain", spy)
    entrant.train(1, 0)
    assert len(asked) == 8
    assert all(len(set(rows)) == 4 and set(rows) <= kept for rows in asked)
    assert len({tuple(rows) for rows in asked}) > 1


def test_presets_are_the_two_of_table_6() -> None:
    """methods.md 6.10: alpha .2 and replayed batches of 10."""
    without, with_buffer = (Der.Config.model_validate(Der.presets[name]) for name in ("no_buffer", "buffer200"))
    assert (without.buffer, with_buffer.buffer) == (0, 200)
    assert (with_buffer.alpha, with_buffer.replay_batch) == (0.2, 10)
