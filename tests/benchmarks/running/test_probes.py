"""Runs that probes watch: the same bytes, seen and unseen; what probes note, and their traces beside records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from benchmarks.planning.ledger import Ledger, but_for_seed
from benchmarks.records import traces as of_probes
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import VERSIONS, has_traces, read_trace
from benchmarks.running.audit import TraceError
from benchmarks.running.evaluate import Known
from benchmarks.running.probes import PROBES, Probe
from benchmarks.running.probes.drift import angle
from benchmarks.running.runner import Runner
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.sweep import sweep
from benchmarks.system.errors import RecordError
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import verify
from methods.lecnet import LecNet
from protocols.schema import Protocol
from tests.methods.runs import identity_of

ALL = tuple(PROBES)


# Watching a run

LOOKED_AT = ("lecnet:paper", "lecnet:ne", "lecnet:baseline", "base_only:default", "proto:raw_mean", "icarl:original", "ft_cnn:topic")


@pytest.mark.parametrize("variant", LOOKED_AT)
def test_a_run_is_the_same_bytes_seen_and_unseen(tiny: Protocol, runner: Runner, variant: str) -> None:
    identity = identity_of(tiny, variant)
    record, _, predictions = runner.run(identity)
    seen, _, same, traces = runner.watch(identity, ALL)
    assert (seen, same) == (record, predictions)
    assert list(traces) == list(ALL)


def test_traces_repeat(tiny: Protocol, runner: Runner) -> None:
    identity = identity_of(tiny, "lecnet:paper")
    assert runner.watch(identity, ALL)[3] == runner.watch(identity, ALL)[3]


def numbers(tiny: Protocol, runner: Runner, probe: str, variant: str, *overrides: str) -> dict[str, Any]:
    _, _, _, traces = runner.watch(identity_of(tiny, variant, *overrides), [probe])
    found: dict[str, Any] = json.loads(traces[probe])["numbers"]
    return found


def test_nothing_drifts_where_nothing_is_trained(tiny: Protocol, runner: Runner) -> None:
    assert numbers(tiny, runner, "drift", "base_only") == {"final": [0.0] * 3, "backbone": [0.0] * 3}
    frozen = numbers(tiny, runner, "drift", "lecnet:frozen")
    assert frozen == {"final": [0.0] * 3, "backbone": [0.0] * 3}


def test_what_is_trained_drifts_in_its_own_layer(tiny: Protocol, runner: Runner) -> None:
    """LEC-Net's F1 turns while its backbone stands still; with `train_backbone`, and in Ft-CNN, both do."""
    lecnet = numbers(tiny, runner, "drift", "lecnet:paper", "lr=0.1")
    assert lecnet["backbone"] == [0.0] * 3
    assert 0 == lecnet["final"][0] < lecnet["final"][1]
    for variant, overrides in (("lecnet:baseline", ("train_backbone=true",)), ("ft_cnn", ())):
        moved = numbers(tiny, runner, "drift", variant, *overrides)
        assert moved["backbone"][0] == 0 < moved["backbone"][1]
        assert moved["final"][2] > 0


def test_angles_by_hand() -> None:
    """Lengths do not matter; small angles are not rounded away, as an arccosine in float32 would do."""
    first = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    assert angle(first, torch.tensor([[0.0, 5.0], [0.0, 1.0], [1.0, 1.0]])) == pytest.approx((90 + 0 + 45) / 3)
    assert angle(first, -first) == pytest.approx(180)
    tiny_turn = torch.tensor([[1.0, 1e-6]])
    assert angle(torch.tensor([[1.0, 0.0]]), tiny_turn) == pytest.approx(np.rad2deg(1e-6), rel=1e-3)


def test_fit_is_the_shots_own_accuracy(tiny: Protocol, runner: Runner) -> None:
    """Ft-CNN at a high rate knows the shots it has just seen and nothing else; BaseOnly knows none of them."""
    assert numbers(tiny, runner, "fit", "base_only") == {"train": [0.0, 0.0]}
    learned = numbers(tiny, runner, "fit", "ft_cnn", "epochs=30", "lr=0.03")["train"]
    assert min(learned) >= 90
    assert all(share * 10 / 100 == pytest.approx(round(share * 10 / 100)) for share in learned), "a share of ten shots"


def test_epochs_hear_lec_nets_gates(tiny: Protocol, runner: Runner) -> None:
    record, _, _, traces = runner.watch(identity_of(tiny, "lecnet:paper"), ["epochs"])
    heard = json.loads(traces["epochs"])["numbers"]
    assert heard["names"] == ["mean", "open", "saturated", *(f"b{n}" for n in range(10)), "tau"]
    assert [len(epochs) for epochs in heard["sessions"]] == [3, 3]  # epochs of the tiny recipe
    for session, epochs in enumerate(heard["sessions"], start=1):
        for epoch in epochs:
            assert sum(epoch[3:13]) == pytest.approx(1, abs=1e-3)
        log = record.sessions[session].log
        assert epochs[-1][0] == pytest.approx(log["gate_mean"], abs=1e-4)
        assert epochs[-1][-1] == pytest.approx(log["tau"], abs=1e-4)


def test_epochs_of_a_method_that_says_nothing(tiny: Protocol, runner: Runner) -> None:
    assert numbers(tiny, runner, "epochs", "ft_cnn") == {"names": [], "sessions": [[[]] * 3] * 2}
    assert numbers(tiny, runner, "epochs", "proto") == {"names": [], "sessions": [[], []]}


def test_tsne_draws_as_many_novel_as_base_images(tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.running.probes.tsne.IMAGES", 60)
    plane = numbers(tiny, runner, "tsne", "lecnet:paper")
    assert len(plane["x"]) == len(plane["y"]) == len(plane["session"]) == 120
    assert sum(session == 0 for session in plane["session"]) == 60
    assert set(plane["session"]) == {0, 1, 2}
    assert np.std(plane["x"]) > 0


def test_what_lec_nets_heads_read(tiny: Protocol, runner: Runner) -> None:
    """Their logits are those of what `represent` says they read."""
    contender = runner.enter(identity_of(tiny, "lecnet:paper"))
    for session in range(3):
        contender.train(session, 0)
    strategy = contender.strategy
    features = contender.seed_context.evaluator.features(strategy, 0, Known())[:7]
    read = strategy.represent(features)
    logits = torch.cat([head(part) for head, part in zip(strategy.model.head.heads, read, strict=True)], dim=1)
    assert len(read) == 3
    assert torch.equal(logits, strategy.scores(features))
    assert not torch.equal(read[0], read[1])


def test_a_method_that_learns_while_it_is_looked_at_is_found_out(tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def represent(self: Any, features: torch.Tensor) -> list[torch.Tensor]:
        self.noted = features.mean()
        return [features]

    monkeypatch.setattr(LecNet, "represent", represent)
    with pytest.raises(TraceError, match="noted"):
        runner.watch(identity_of(tiny, "lecnet:paper"), ["drift"])


# Traces beside records


def test_every_probe_has_a_version() -> None:
    assert VERSIONS.keys() == PROBES.keys()


@pytest.fixture
def kept(tiny: Protocol, runner: Runner, settings: Settings) -> Record:
    """A record that was looked at for its drift."""
    store = Store(settings.results)
    store.save(*runner.watch(identity_of(tiny, "base_only"), ["drift"]))
    ((record,), _, _) = store.load("tiny")
    return record


def ledger_of(settings: Settings, run: Identity, *probes: str) -> Ledger:
    return Ledger(Store(settings.results), {but_for_seed(run): probes})


def trace_of(record: Record, probe: str) -> Path:
    return record.path.parent / probe / record.path.name


def test_a_trace_belongs_to_its_record(kept: Record, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trace_of(kept, "drift") == Store(settings.results).trace_path(kept.identity, "drift")
    assert read_trace(kept, "drift")["final"] == [0.0] * 3
    assert has_traces(kept, ["drift"])
    assert not has_traces(kept, ["drift", "fit"])
    with pytest.raises(RecordError, match="no such trace"):
        read_trace(kept, "fit")
    another = kept.model_copy(update={"predictions_sha256": "d" * 64})
    with pytest.raises(RecordError, match="another record or release"):
        read_trace(another, "drift")
    monkeypatch.setitem(of_probes.VERSIONS, "drift", VERSIONS["drift"] + 1)
    with pytest.raises(RecordError, match="another record or release"):
        read_trace(kept, "drift")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-30],
        lambda text: text.replace('"numbers"', '"nmubers"'),
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace('"drift"', '"fit"'),
    ],
)
def test_a_damaged_trace_is_made_again(kept: Record, settings: Settings, damage: Callable[[str], str]) -> None:
    path = trace_of(kept, "drift")
    path.write_text(damage(path.read_text()))
    assert not has_traces(kept, ["drift"])
    assert ledger_of(settings, kept.identity).missing([kept.identity]) == []
    assert ledger_of(settings, kept.identity, "drift").missing([kept.identity]) == [kept.identity]
    with pytest.raises(RecordError, match=r"drift/seed00.json: .*run the study again"):
        read_trace(kept, "drift")


def test_a_trace_is_no_record(kept: Record, settings: Settings) -> None:
    assert trace_of(kept, "drift").exists()
    assert Store(settings.results).load("tiny") == ([kept], [], [])


def test_a_sweep_makes_what_is_wanting_and_no_more(tiny: Protocol, kept: Record, settings: Settings) -> None:
    before = kept.path.read_bytes()
    ledger = ledger_of(settings, kept.identity, "drift", "fit")
    outcome = sweep(tiny, [kept.identity], settings, 1, Progress(), ledger)
    assert (outcome.skipped, outcome.done, outcome.failed) == (0, 1, 0)
    assert kept.path.read_bytes() == before
    assert has_traces(kept, ["drift", "fit"])
    again = sweep(tiny, [kept.identity], settings, 1, Progress(), ledger)
    assert (again.skipped, again.done) == (1, 0)


def test_a_probe_that_fails_leaves_the_record(tiny: Protocol, kept: Record, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a study could undo the protocol's table."""

    class Broken(Probe):
        name: ClassVar[str] = "fit"

        def after_test(self, session: int) -> None:
            raise RuntimeError("broken")

    monkeypatch.setitem(PROBES, "fit", Broken)
    outcome = sweep(tiny, [kept.identity], settings, 1, Progress(), ledger_of(settings, kept.identity, "fit"))
    assert outcome.failed == 1
    assert "broken" in kept.beside(".failed.json").read_text()
    assert ledger_of(settings, kept.identity).is_done(kept.identity)
    assert Store(settings.results).load("tiny")[0] == [kept]


def test_verify_reads_traces(tiny: Protocol, kept: Record, settings: Settings) -> None:
    text, faults = verify(tiny, settings)
    assert faults == 0
    assert "1 traces of studies belong to their records" in text
    path = trace_of(kept, "drift")
    path.write_text(path.read_text().replace(kept.predictions_sha256, "d" * 64))
    text, faults = verify(tiny, settings)
    assert faults == 1
    assert "FAULT " in text and "drift/seed00.json: was made with another record or release; remove it and run again" in text


def test_no_results_folder_is_needed_for_probes(tiny: Protocol, tmp_path: Path) -> None:
    run = identity_of(tiny, "base_only")
    assert Ledger(Store(tmp_path / "none"), {"base_only:default": ("fit",)}).missing([run]) == [run]
