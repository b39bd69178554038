"""From studies to runs, and runs that probes watch: the same bytes, seen and unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from benchmarks.cli.listing import plan_text
from benchmarks.cli.main import on_images
from benchmarks.cli.reporting import show_table
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.studies import study_request, study_runs
from benchmarks.records import traces as of_probes
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import VERSIONS, has_traces, read_trace, trace_bytes
from benchmarks.report.matching import labels_of, unclear, without_studied
from benchmarks.report.section import Section
from benchmarks.running.audit import TraceError
from benchmarks.running.evaluate import Known
from benchmarks.running.probes import PROBES, Probe
from benchmarks.running.probes.drift import angle
from benchmarks.running.runner import Runner
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.sweep import IN_THIS_PROCESS, sweep
from benchmarks.system.errors import RecordError, UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.verify import verify
from methods.lecnet import LecNet
from protocols.loading import load_protocol, protocol_names
from protocols.schema import Protocol
from protocols.study import Study, load_studies, load_study, study_names
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
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
    """Or those alone that have the recipe it is made for."""
    of, study = load_protocol(protocol), load_study(name)
    if study.recipe not in (None, *of.recipes):
        with pytest.raises(UsageError, match=f"{protocol}: no recipe named '{study.recipe}'"):
            study_runs(of, [study], None, None, None)
        return
    runs = study_runs(of, [study], None, None, None).runs
    assert {run.recipe for run in runs} == {study.recipe or of.recipe}
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
    study_runs(tiny, [study_of(("a", "proto@cosine", {}), ("b", "proto@cosine", {"cosine.scale": 8.0}))], None, None, None)


def test_studies_of_two_recipes_in_one_command(tiny: Protocol, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run is computed as its own recipe says, and each recipe has its table."""
    fast = tiny.recipes["fast"]
    protocol = tiny.model_copy(update={"recipes": {"fast": fast, "mine": fast.model_copy(update={"precision": "bf16"})}})
    rows: tuple[tuple[str, str, dict[str, Any]], ...] = (("a", "proto:raw_mean", {}), ("b", "base_only:default", {}))
    runs = study_runs(protocol, [study_of(*rows), study_of(*rows, name="other", recipe="mine")], None, None, "0").runs
    ledger = Ledger(Store(tmp_path))
    text = plan_text(runs, ledger, 1)
    assert "recipe fast, mine," in text and "  proto:raw_mean seed 0, recipe mine" in text
    settings = Settings(data_root, tmp_path, "cpu", 1)
    runs = on_images(protocol, runs, ledger, settings)
    assert sweep(protocol, runs, settings, IN_THIS_PROCESS, Progress(), ledger).failed == 0
    done = [record.identity for run in runs if (record := ledger.record(run)) is not None]
    assert {(run.recipe, run.precision) for run in done} == {("fast", "fp32"), ("mine", "bf16")} and len(done) == 4
    capsys.readouterr()
    show_table(runs, ledger)
    shown = capsys.readouterr().out
    assert "recipe fast, split paper" in shown and "recipe mine, split paper" in shown and shown.count("BaseOnly") == 2


def test_variants_may_be_one_under_the_recipe_that_is_not_run(tiny: Protocol) -> None:
    """Its default recipe has nothing to say about a study that is run under another."""
    slow = tiny.recipes["fast"].model_copy(update={"methods": {"ft_cnn": {"epochs": 4}}})
    protocol, study = (
        tiny.model_copy(update={"recipes": {**tiny.recipes, "slow": slow}}),
        study_of(("a", "ft_cnn", {}), ("b", "ft_cnn", {"epochs": 3})),
    )
    assert len(study_runs(protocol, [study], "slow", None, "0").runs) == 2
    with pytest.raises(UsageError, match="is the same as 'a'"):
        study_runs(protocol, [study_of(("a", "ft_cnn", {"epochs": 3}), ("b", "ft_cnn", {"epochs": 3}))], "slow", None, "0")


def test_load_studies_once_each() -> None:
    assert [study.name for study in load_studies("gamma,tau,gamma")] == ["gamma", "tau"]


# From records to studies: by method, preset and changed parameters, as records have them


THREE = study_of(("own", "lecnet", {}), ("low", "lecnet:paper", {"gamma": 0.2}), ("one", "lecnet:paper", {"gamma": 1}))


def records_of(make_record: MakeRecord, *variants: tuple[str, dict[str, Any]]) -> list[Record]:
    return [make_record(name, 0, overrides=changes) for name, changes in variants]


def test_a_variant_is_found_by_what_its_record_says(make_record: MakeRecord) -> None:
    """In the study's order; 1 is 1.0 in JSON, and true is neither."""
    found = records_of(
        make_record,
        ("lecnet:paper", {"gamma": 1.0}),
        ("lecnet:paper", {"gamma": 0.2}),
        ("lecnet:paper", {}),
        ("lecnet:paper", {"gamma": True}),
        ("lecnet:paper", {"gamma": 0.2, "lr": 0.1}),
        ("topic:paper", {"gamma": 0.2}),
    )
    assert labels_of(THREE, found) == {
        "lecnet:paper": "own",
        "lecnet:paper[gamma=0.2]": "low",
        "lecnet:paper[gamma=1.0]": "one",
    }


def test_a_method_without_its_preset_is_of_whichever_was_run(make_record: MakeRecord) -> None:
    """Unless there are several: then nobody can tell, and the page says so."""
    assert labels_of(THREE, records_of(make_record, ("lecnet:code", {}))) == {"lecnet:code": "own"}
    both = records_of(make_record, ("lecnet:code", {}), ("lecnet:paper", {}), ("lecnet:paper", {"gamma": 0.2}))
    assert labels_of(THREE, both) == {"lecnet:paper[gamma=0.2]": "low"}
    (line,) = unclear(THREE, both)
    assert line == "own: the study says lecnet, and there are lecnet:code, lecnet:paper; write one of them into the study"
    assert unclear(THREE, both[1:]) == []


def test_a_variant_that_has_but_failed_is_found_by_its_note(make_identity: MakeIdentity) -> None:
    identity = make_identity(overrides={"gamma": 0.2})
    notes = [FailedRun("quick.paper", identity.variant, 0, "boom", identity), FailedRun("quick.paper", "lecnet:paper", 0, "boom")]
    assert labels_of(THREE, [], notes) == {"lecnet:paper[gamma=0.2]": "low"}


def test_a_protocols_page_leaves_a_study_that_is_whole_to_its_page(make_record: MakeRecord, make_identity: MakeIdentity) -> None:
    """Those with changed parameters alone: a preset is a row of the protocol's table, too. Failures go with their variant."""
    records = records_of(
        make_record, ("lecnet:paper", {}), ("lecnet:paper", {"gamma": 0.2}), ("lecnet:paper", {"gamma": 1}), ("lecnet:paper", {"lr": 1})
    )
    failed = [FailedRun("quick.paper", name, 1, "boom", make_identity()) for name in ("lecnet:paper", "lecnet:paper[gamma=0.2]")]
    section = Section("quick", "paper", {record.identity.variant: [record] for record in records}, failures=failed)
    kept, moved = without_studied(section, [study_of(("a", "proto", {"mean": "raw"})), THREE])
    assert moved == {"mine"}
    assert list(kept.variants) == ["lecnet:paper", "lecnet:paper[lr=1]"]
    assert list(kept.failures) == failed[:1]
    part = Section("quick", "paper", {name: of for name, of in section.variants.items() if "gamma=1" not in name}, failures=failed)
    assert without_studied(part, [THREE]) == (part, set()), "until then they are rows of the table"


def test_a_study_that_looks_at_runs_shows_them_once_it_has(make_record: MakeRecord, costs: Costs, tmp_path: Path) -> None:
    """The same variants run without it, as rows of a table, are no study yet."""
    store = Store(tmp_path)
    for record in records_of(make_record, ("lecnet:paper", {}), ("lecnet:paper", {"gamma": 0.2}), ("lecnet:paper", {"gamma": 1})):
        store.save(record, costs, b"")
    section = Section("quick", "paper", {record.identity.variant: [record] for record in store.load("hand")[0]})
    study = THREE.model_copy(update={"figures": ("drift",)})
    assert without_studied(section, [study])[0].variants == section.variants
    for record in section.records:
        store.save(record, costs, b"", {"drift": trace_bytes("drift", {"final": [0.0]}, record)})
    kept, moved = without_studied(section, [study])
    assert (list(kept.variants), moved) == (["lecnet:paper"], {"mine"})


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


def ledger_of(settings: Settings, *probes: str) -> Ledger:
    return Ledger(Store(settings.results), {"base_only:default": probes})


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
    assert ledger_of(settings).missing([kept.identity]) == []
    assert ledger_of(settings, "drift").missing([kept.identity]) == [kept.identity]
    with pytest.raises(RecordError, match=r"drift/seed00.json: .*run the study again"):
        read_trace(kept, "drift")


def test_a_trace_is_no_record(kept: Record, settings: Settings) -> None:
    assert trace_of(kept, "drift").exists()
    assert Store(settings.results).load("tiny") == ([kept], [], [])


def test_a_sweep_makes_what_is_wanting_and_no_more(tiny: Protocol, kept: Record, settings: Settings) -> None:
    before = kept.path.read_bytes()
    ledger = ledger_of(settings, "drift", "fit")
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
    outcome = sweep(tiny, [kept.identity], settings, 1, Progress(), ledger_of(settings, "fit"))
    assert outcome.failed == 1
    assert "broken" in kept.beside(".failed.json").read_text()
    assert ledger_of(settings).is_done(kept.identity)
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
