"""From studies to runs, and runs that probes watch: the same bytes, seen and unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from benchmarks.planning.plan import study_request
from benchmarks.planning.studies import load_studies, studied, study_runs, variants_of
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record
from benchmarks.records.store import Store
from benchmarks.records.traces import has_traces, read_trace
from benchmarks.running.audit import TraceError
from benchmarks.running.probes import PROBES, Probe
from benchmarks.running.probes.drift import angle
from benchmarks.running.runner import Runner
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.sweep import missing_runs, sweep
from benchmarks.system.errors import RecordError, UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import verify
from methods.lecnet import LecNet
from protocols.loading import load_protocol, protocol_names
from protocols.schema import Protocol
from protocols.study import Study, load_study, study_names
from tests.methods.runs import identity_of

ALL = tuple(PROBES)


def study_of(*variants: tuple[str, str, dict[str, Any]], figures: tuple[str, ...] = ("accuracy",), **keys: Any) -> Study:
    rows = [{"label": label, "method": method, "set": changes} for label, method, changes in variants]
    content = {"name": "mine", "title": "Mine", "reference": variants[0][0], "variants": rows, "figures": figures, **keys}
    return Study.model_validate(content)


# From studies to runs


@pytest.mark.parametrize("name", study_names())
@pytest.mark.parametrize("protocol", protocol_names())
def test_every_shipped_study_fits_every_protocol(protocol: str, name: str) -> None:
    runs = study_runs(load_protocol(protocol), [load_study(name)], None, None, None).runs
    seeds = {run.seed for run in runs}
    assert len(runs) == len(load_study(name).variants) * len(seeds)
    assert seeds == ({0} if name == "tsne" else set(range(10)))


def test_studies_share_their_runs(tiny: Protocol) -> None:
    """One run for what two studies list, watched for both; seed by seed, since a seed's runs share a base."""
    first = study_of(("a", "lecnet", {}), ("b", "lecnet", {"gamma": 0.2}), figures=("drift",))
    second = study_of(("x", "lecnet:paper", {}), figures=("gates",), seeds="1")
    wanted = study_runs(tiny, [first, second], None, None, None)
    assert [(run.variant, run.seed) for run in wanted.runs] == [
        ("lecnet:paper", 0),
        ("lecnet:paper[gamma=0.2]", 0),
        ("lecnet:paper", 1),
        ("lecnet:paper[gamma=0.2]", 1),
    ]
    assert wanted.probes == {"lecnet:paper": ("drift", "epochs"), "lecnet:paper[gamma=0.2]": ("drift",)}


def test_a_variant_without_changes_is_the_methods_own_run(tiny: Protocol) -> None:
    (run,) = study_runs(tiny, [study_of(("a", "lecnet:frozen", {}))], None, None, "0").runs
    assert run == identity_of(tiny, "lecnet:frozen")


def test_the_command_lines_seeds_go_before_the_studys(tiny: Protocol) -> None:
    study = study_of(("a", "proto", {}), seeds="0")
    assert [run.seed for run in study_runs(tiny, [study], None, None, "2-3").runs] == [2, 3]


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (("b", "lecnte", {}), "study mine, 'b': no method named 'lecnte'. Did you mean 'lecnet'?"),
        (("b", "lecnet:papr", {}), "study mine, 'b': lecnet: no preset named 'papr'"),
        (("b", "lecnet", {"gama": 1}), "study mine, 'b': unknown key 'gama'. Did you mean 'gamma'?"),
        (("b", "lecnet", {"gamma": "much"}), "study mine, 'b': gamma: must be a number"),
    ],
)
def test_a_variant_that_does_not_fit_is_named(tiny: Protocol, variant: tuple[str, str, dict[str, Any]], said: str) -> None:
    with pytest.raises(UsageError) as error:
        study_request(tiny, study_of(("a", "lecnet", {}), variant), None, None, None)
    assert said in str(error.value)


def test_variants_that_are_one_are_refused_before_any_runs(tiny: Protocol) -> None:
    """By what the recipe makes of them: `fast` trains Ft-CNN for three epochs anyway."""
    for twin in (("b", "lecnet", {"gamma": 0.8}), ("b", "lecnet:paper", {})):
        with pytest.raises(UsageError, match="study mine, 'b': is the same as 'a'"):
            study_runs(tiny, [study_of(("a", "lecnet", {}), twin)], None, None, None)
    with pytest.raises(UsageError, match="study mine, 'b': is the same as 'a'"):
        study_runs(tiny, [study_of(("a", "ft_cnn", {}), ("b", "ft_cnn", {"epochs": 3}))], None, None, None)


def test_variants_may_be_one_under_the_recipe_that_is_not_run(tiny: Protocol) -> None:
    """Its default recipe has nothing to say about a study that is run, and reported, under another."""
    slow = tiny.recipes["fast"].model_copy(update={"methods": {"ft_cnn": {"epochs": 4}}})
    protocol, study = (
        tiny.model_copy(update={"recipes": {**tiny.recipes, "slow": slow}}),
        study_of(("a", "ft_cnn", {}), ("b", "ft_cnn", {"epochs": 3})),
    )
    assert len(study_runs(protocol, [study], "slow", None, "0").runs) == 2
    assert list(variants_of(protocol, study).values()) == ["a", "b"]
    with pytest.raises(UsageError, match="is the same as 'a'"):
        variants_of(protocol, study_of(("a", "ft_cnn", {"epochs": 3}), ("b", "ft_cnn", {"epochs": 3})))


def test_load_studies_once_each() -> None:
    assert [study.name for study in load_studies("gamma,tau,gamma")] == ["gamma", "tau"]


def test_the_protocols_page_leaves_a_studys_variants_to_it(tiny: Protocol) -> None:
    """Those with changed parameters alone: a preset is a row of the protocol's table, too."""
    found = studied(tiny, study_names())
    assert found["lecnet:paper[gamma=0.2]"] == "gamma"
    assert "lecnet:paper" not in found
    assert variants_of(tiny, load_study("gamma"))["lecnet:paper"] == "0.8"


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
    features = contender.seed_context.evaluator.features(strategy, 0)[:7]
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


@pytest.fixture
def kept(tiny: Protocol, runner: Runner, settings: Settings) -> tuple[Store, Identity]:
    identity, store = identity_of(tiny, "base_only"), Store(settings.results)
    store.save(*runner.watch(identity, ["drift"]))
    return store, identity


def test_a_trace_belongs_to_its_record(kept: tuple[Store, Identity]) -> None:
    store, identity = kept
    record = read_record(store.path(identity, ".json"))
    assert read_trace(store, record, "drift", Probe.version)["final"] == [0.0] * 3
    assert has_traces(store, identity, ["drift"])
    assert not has_traces(store, identity, ["drift", "fit"])
    with pytest.raises(RecordError, match="another record or release"):
        read_trace(store, record, "drift", Probe.version + 1)
    with pytest.raises(RecordError, match="another record or release"):
        read_trace(store, record.model_copy(update={"predictions_sha256": "d" * 64}), "drift", Probe.version)
    with pytest.raises(RecordError, match="no such trace"):
        read_trace(store, record, "fit", Probe.version)


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
def test_a_damaged_trace_is_made_again(kept: tuple[Store, Identity], damage: Callable[[str], str]) -> None:
    store, identity = kept
    path = store.trace_path(identity, "drift")
    path.write_text(damage(path.read_text()))
    assert not has_traces(store, identity, ["drift"])
    assert missing_runs([identity], store, None) == []
    assert missing_runs([identity], store, None, {identity.variant: ("drift",)}) == [identity]
    with pytest.raises(RecordError, match=r"drift/seed00.json: .*run the study again"):
        read_trace(store, read_record(store.path(identity, ".json")), "drift", Probe.version)


def test_a_trace_is_no_record(kept: tuple[Store, Identity]) -> None:
    store, identity = kept
    records, faults, failures = store.load(identity.protocol)
    assert (len(records), faults, failures) == (1, [], [])


def test_a_sweep_makes_what_is_wanting_and_no_more(tiny: Protocol, kept: tuple[Store, Identity], settings: Settings) -> None:
    store, identity = kept
    before = store.path(identity, ".json").read_bytes()
    probes = {identity.variant: ("drift", "fit")}
    outcome = sweep(tiny, [identity], settings, 1, None, Progress(), probes)
    assert (outcome.skipped, outcome.done, outcome.failed) == (0, 1, 0)
    assert store.path(identity, ".json").read_bytes() == before
    assert has_traces(store, identity, ["drift", "fit"])
    again = sweep(tiny, [identity], settings, 1, None, Progress(), probes)
    assert (again.skipped, again.done) == (1, 0)


def test_a_probe_that_fails_leaves_the_record(
    tiny: Protocol, kept: tuple[Store, Identity], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a study could undo the protocol's table."""

    class Broken(Probe):
        name: ClassVar[str] = "fit"

        def after_test(self, session: int) -> None:
            raise RuntimeError("broken")

    monkeypatch.setitem(PROBES, "fit", Broken)
    store, identity = kept
    outcome = sweep(tiny, [identity], settings, 1, None, Progress(), {identity.variant: ("fit",)})
    assert outcome.failed == 1
    assert "broken" in store.path(identity, ".failed.json").read_text()
    assert store.is_done(identity)


def test_verify_reads_traces(tiny: Protocol, kept: tuple[Store, Identity], settings: Settings) -> None:
    store, identity = kept
    text, faults = verify(tiny, settings)
    assert faults == 0
    assert "1 traces of studies belong to their records" in text
    path = store.trace_path(identity, "drift")
    path.write_text(path.read_text().replace(read_record(store.path(identity, ".json")).predictions_sha256, "d" * 64))
    text, faults = verify(tiny, settings)
    assert faults == 1
    assert "FAULT " in text and "drift/seed00.json: was made with another record or release; remove it and run again" in text


def test_no_results_folder_is_needed_for_probes(tiny: Protocol, tmp_path: Path) -> None:
    assert missing_runs([identity_of(tiny, "base_only")], Store(tmp_path / "none"), None, {"base_only:default": ("fit",)}) != []
