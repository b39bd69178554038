"""From studies to runs, and from records to studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.listing import bases_apart, plan_text
from benchmarks.cli.main import on_images
from benchmarks.cli.reporting import show_table
from benchmarks.planning.ledger import Ledger
from benchmarks.planning.studies import study_request, study_runs
from benchmarks.records.costs import Costs
from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.records.traces import trace_bytes
from benchmarks.report.matching import labels_of, unclear, without_studied
from benchmarks.report.section import Section
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.sweep import IN_THIS_PROCESS, sweep
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from protocols.loading import load_protocol, protocol_names
from protocols.schema import Protocol
from protocols.study import Study, load_studies, load_study, study_names
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.methods.runs import identity_of


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


def test_studies_share_their_runs(tiny: Protocol, tmp_path: Path) -> None:
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
    probes = Ledger(Store(tmp_path), wanted.probes).probes_of
    assert [probes(run) for run in wanted.runs] == [("drift", "epochs"), ("drift",)] * 2


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
    """Each run is computed and watched as its own recipe's study says, told as a run of its own, and each recipe has its table."""
    fast = tiny.recipes["fast"]
    protocol = tiny.model_copy(update={"recipes": {"fast": fast, "mine": fast.model_copy(update={"precision": "bf16"})}})
    rows: tuple[tuple[str, str, dict[str, Any]], ...] = (("a", "proto:raw_mean", {}), ("b", "base_only:default", {}))
    studies = [study_of(*rows), study_of(*rows, name="other", recipe="mine", figures=("drift",))]
    wanted = study_runs(protocol, studies, None, None, "0")
    runs, ledger, progress = wanted.runs, Ledger(Store(tmp_path), wanted.probes), Progress()
    assert [ledger.probes_of(run) for run in runs] == [("drift",) if run.recipe == "mine" else () for run in runs]
    text = plan_text(runs, ledger, 1)
    assert "recipe fast, mine," in text and "  proto:raw_mean seed 0, recipe mine" in text
    settings = Settings(data_root, tmp_path, "cpu", 1)
    runs = on_images(protocol, runs, ledger, settings)
    assert sweep(protocol, runs, settings, IN_THIS_PROCESS, progress, ledger).failed == 0
    assert progress.ended == 4 and "[4/4]" in capsys.readouterr().err
    assert {path.parent.parent.parent.name for path in tmp_path.rglob("drift/*.json")} == {"mine.paper"}
    done = [record.identity for record in ledger.records(runs)]
    assert {(run.recipe, run.precision) for run in done} == {("fast", "fp32"), ("mine", "bf16")} and len(done) == 4
    capsys.readouterr()
    show_table(runs, ledger)
    shown = capsys.readouterr().out
    assert "recipe fast, split paper" in shown and "recipe mine, split paper" in shown and shown.count("BaseOnly") == 2


def test_a_table_is_of_one_precision(make_record: MakeRecord, costs: Costs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mean over fp32 and bf16 stood there as two seeds of one row."""
    ledger = Ledger(Store(tmp_path))
    several = [make_record("proto:raw_mean", seed, precision=precision) for seed, precision in enumerate(("fp32", "bf16"))]
    for record in several:
        ledger.store.save(record, costs, b"")
    missing = make_record("icarl:topic").identity
    show_table([*(record.identity for record in several), missing], ledger)
    shown = capsys.readouterr().out
    assert "split paper, fp32: " in shown and "split paper, bf16: " in shown and shown.count("1 of 2") == 2
    assert "no run succeeded of icarl:topic\n" in shown


def test_two_settings_of_one_base_kind_are_told(tiny: Protocol) -> None:
    """An author's method says bases = {"cosine": ...}, and the control @cosine has the kind's defaults: the gap is of two bases."""
    alike = study_runs(tiny, [study_of(("a", "teen", {}), ("b", "proto@cosine", {}))], None, None, "0-1").runs
    assert bases_apart(alike) == []
    [line] = bases_apart([*alike, *study_runs(tiny, [study_of(("c", "warp", {}), ("d", "proto", {}))], None, None, "0").runs])
    assert line.startswith("base kind cosine has several settings here, and so as many base models: teen:default, proto:raw_mean@cosine on")
    assert line.endswith("warp:default on cosine, rule dot")


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
