"""A study's page from records and traces alone: its rows, its tests, its figures, and what is wanting."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.planning.plan import identities
from benchmarks.planning.studies import study_request
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.identity import Identity
from benchmarks.records.reading import read_record
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report import study as pages
from benchmarks.report import write_report, write_study
from benchmarks.report.section import stem_of
from benchmarks.running.runner import Runner
from benchmarks.system.errors import RecordError
from benchmarks.system.settings import Settings
from protocols.printed import PublishedStudy
from protocols.schema import Protocol
from protocols.study import Study, load_study
from tests.command import rows

COSTS = Costs(base_seconds=0, session_seconds=(0, 0, 0), evaluation_seconds=(0, 0, 0), peak_memory_mib=1, commit="none")
STUDY = Study.model_validate(
    {
        "name": "mine",
        "title": "Rates of Ft-CNN",
        "claim": "Slow is best.",
        "reference": "0.01",
        "axis": "lr",
        "variants": [
            {"label": "0.5", "method": "ft_cnn", "set": {"lr": 0.5}},
            {"label": "0.01", "method": "ft_cnn", "set": {"lr": 0.01}},
            {"label": "nothing", "method": "base_only"},
        ],
        "figures": ["accuracy", "axis", "fit", "drift", "gates"],
    }
)
PRINTED = PublishedStudy(
    protocol="cub200",
    source="Some paper, Table 1",
    backbone="resnet18",
    split="lec",
    seeds="10",
    selection="test",
    note="read off a figure",
    values={"0.5": 12.5, "0.01": 31.96},
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """All runs of STUDY on the tiny protocol, three seeds, and one run that is no part of it."""
    from protocols import load_protocol
    from tests.conftest import TINY

    protocol, results = load_protocol(str(TINY)), tmp_path_factory.mktemp("study")
    runner, store = Runner(protocol, Settings(data_root, results, "cpu", 1)), Store(results)
    for identity in identities(study_request(protocol, STUDY, None, None, "0-2")):
        store.save(*runner.watch(identity, STUDY.probes))
    return results


@pytest.fixture
def results(swept: Path, tmp_path: Path) -> Path:
    shutil.copytree(swept / "records", tmp_path / "records")
    return tmp_path


IN_WORDS = STUDY.model_copy(update={"figures": ("drift",)})
"""Draws one figure instead of four; it looks at traces, too."""


def page(protocol: Protocol, results: Path, study: Study = IN_WORDS) -> str:
    return write_study(protocol, study, results)[0].read_text()


def test_the_page_has_the_studys_rows_in_its_order(tiny: Protocol, results: Path) -> None:
    text = page(tiny, results, STUDY)
    assert text.startswith("# Rates of Ft-CNN: tiny\n")
    assert "Slow is best." in text
    labels = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert [label for label in labels if label != "Variant"] == ["0.5", "0.01", "nothing"] * 3
    assert "**" not in text, "in a study nothing is ranked"
    last = rows(text, "0.01")[0]
    assert last[1:3] == ["Ft-CNN (topic, lr=0.01)", "3"]


def test_numbers_are_those_of_the_records(tiny: Protocol, results: Path) -> None:
    records, _, _ = Store(results).load("tiny")
    of = [record for record in records if record.identity.overrides.get("lr") == 0.5]
    mean = sum(100 * sum(record.sessions[-1].correct) / sum(record.sessions[-1].total) for record in of) / 3
    assert rows(page(tiny, results), "0.5")[0][3].startswith(f"{mean:.2f} ± ")


def test_each_is_held_against_the_reference_in_pairs(tiny: Protocol, results: Path) -> None:
    text = page(tiny, results)
    assert rows(text, "0.01")[1] == ["0.01", "reference", "reference"]
    assert ", p " in rows(text, "nothing")[1][1]
    records, _, _ = Store(results).load("tiny")
    by = {(record.identity.variant, record.identity.seed): record.sessions[-1] for record in records}

    def accuracy(variant: str, seed: int) -> float:
        return 100 * sum(by[variant, seed].correct) / sum(by[variant, seed].total)

    gaps = [accuracy("base_only:default", seed) - accuracy("ft_cnn:topic[lr=0.01]", seed) for seed in range(3)]
    assert rows(text, "nothing")[1][1].startswith(f"{sum(gaps) / 3:+.2f} ± ")


def test_an_order_among_variants_is_tested_too(tiny: Protocol, results: Path) -> None:
    """The difference of two rows, neither of which is the reference, has a table and a p of its own."""
    study = STUDY.model_copy(update={"also_against": ("nothing",)})
    text = write_study(tiny, study, results)[0].read_text()
    assert "Each variant is held against `0.01` and against `nothing`, over" in text
    assert text.splitlines()[2] == "Backbone, without heads: conv2 (64-d, 37,696 parameters)."
    assert text.index("### Against `0.01`") < text.index("### Against `nothing`")
    of_nothing = [rows(text, label)[2] for label in ("0.5", "0.01", "nothing")]
    assert of_nothing[2] == ["nothing", "reference", "reference"]
    gap, back = (float(cell.split(" ")[0]) for cell in (of_nothing[1][1], rows(text, "nothing")[1][1]))
    assert gap == -back
    assert ", p " in of_nothing[0][1]


def test_printed_figures_stand_beside_and_orders_are_compared(tiny: Protocol, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Printed" not in page(tiny, results, STUDY)
    monkeypatch.setattr(pages, "load_published_study", lambda name: PRINTED)
    text = page(tiny, results, STUDY)
    assert "Printed (cub200, all)" in text
    assert [rows(text, label)[0][-1] for label in ("0.5", "0.01", "nothing")] == ["12.50", "31.96", "–"]
    assert "Printed in Some paper, Table 1, on cub200 (resnet18; epochs chosen on: test): 0.01 > 0.5. Means measured here: " in text
    assert "read off a figure." in text
    axis = pd.read_csv(next(results.glob("figures/*.axis.csv")))
    assert set(axis[axis["source"] == "published"]["mean"]) == {12.5, 31.96}


def test_figures_are_there_with_their_numbers(tiny: Protocol, results: Path) -> None:
    written = write_study(tiny, STUDY, results)
    names = sorted(path.name for path in written[1:])
    stem = "tiny.fast.paper.mine"
    expected = [f"{stem}.{figure}.{kind}" for figure in ("accuracy", "axis", "drift", "fit") for kind in ("csv", "png", "svg")]
    assert names == expected, "no method here has gates, so there is no such figure"
    text = written[0].read_text()
    for name in names:
        assert f"figures/{name}" in text
    fit = pd.read_csv(results / "figures" / f"{stem}.fit.csv")
    shots = fit[(fit["series"] == "shots, after their own session") & (fit["label"].astype(str) == "nothing")]
    assert float(shots["mean"].iloc[0]) == 0


def test_the_same_page_and_figures_again(tiny: Protocol, results: Path) -> None:
    first = {path: path.read_bytes() for path in write_study(tiny, STUDY, results)}
    assert {path: path.read_bytes() for path in write_study(tiny, STUDY, results)} == first


def test_a_wanting_trace_is_named_and_not_drawn(tiny: Protocol, results: Path) -> None:
    (trace,) = results.glob("records/tiny/*/base_only-default-*/drift/seed01.json")
    trace.unlink()
    text = page(tiny, results, STUDY)
    assert "## Traces that are wanting, and are in no figure" in text
    assert f"- tiny/fast.paper/{trace.parts[-3]}/drift/seed01.json: no such trace; run the study again" in text
    drift = pd.read_csv(next(results.glob("figures/*.drift.csv")))
    assert set(drift[drift["label"].astype(str) == "nothing"]["seeds"]) == {2}


def test_a_variant_that_was_not_run_is_left_out(tiny: Protocol, results: Path) -> None:
    (folder,) = results.glob("records/tiny/*/ft_cnn-topic-lr=0.01*")
    shutil.rmtree(folder)
    text = page(tiny, results)
    assert "`0.01` was not run here." in text
    assert rows(text, "0.01") == []


def test_a_failed_run_is_named(tiny: Protocol, results: Path) -> None:
    (path,) = results.glob("records/tiny/*/base_only-default-*/seed02.json")
    identity = read_record(path).identity
    path.unlink()
    Store(results).save_failure(identity, Failure("struck by lightning", ""))
    text = page(tiny, results)
    assert "base_only:default seed 2 (fast.paper): struck by lightning" in text
    assert rows(text, "nothing")[0][2] == "2 of 3, 1 failed"


def test_a_study_of_which_all_runs_failed_says_so(tiny: Protocol, results: Path) -> None:
    identities_of = [record.identity for record in Store(results).load("tiny")[0]]
    shutil.rmtree(results / "records")
    for identity in identities_of:
        Store(results).save_failure(identity, Failure("struck by lightning", ""))
    assert page(tiny, results).count("struck by lightning") == len(identities_of)


def test_no_runs_yet(tiny: Protocol, tmp_path: Path) -> None:
    said = "no runs of study mine yet; run `python run_all.py --protocol tiny.yaml --study mine.yaml` first"
    with pytest.raises(RecordError, match=said):
        write_study(tiny, STUDY, tmp_path)


def forge(results: Path, path: Path, **changes: object) -> None:
    """The record at this path once more, under an identity changed so."""
    record = read_record(path)
    identity = Identity.model_validate({**record.identity.model_dump(), **changes})
    Store(results).save(Record.model_validate({**record.model_dump(), "identity": identity}), COSTS, b"")


def test_a_split_that_has_but_some_of_its_variants_is_no_section(tiny: Protocol, results: Path) -> None:
    """The protocol's own rows on another split are no study there: the reference alone, or no trace where it looks at any."""
    (reference,) = results.glob("records/tiny/*/ft_cnn-topic-lr=0.01*/seed00.json")
    forge(results, reference, split="canonical-order")
    assert "canonical-order" not in page(tiny, results)
    forge(results, next(results.glob("records/tiny/fast.paper/base_only-default-*/seed00.json")), split="canonical-order")
    assert "canonical-order" not in page(tiny, results)
    records_alone = STUDY.model_copy(update={"figures": ("accuracy",)})
    assert "split `canonical-order`" in write_study(tiny, records_alone, results)[0].read_text()
    shutil.rmtree(results / "records" / "tiny" / "fast.paper")
    assert "split `canonical-order`" in page(tiny, results), "where there is no more, what there is"


def test_the_protocols_page_leaves_studies_to_theirs(tiny: Protocol, results: Path) -> None:
    """A study that is whole shows its changed variants itself; anybody else's `--set` is a row of the protocol's table."""
    path = next(results.glob("records/tiny/*/ft_cnn-topic-lr=0.01*/seed00.json"))
    gamma, record = load_study("gamma"), read_record(path)
    wanted = identities(study_request(tiny, gamma, None, None, "0"))
    *most, last = [run.model_copy(update={"images": record.identity.images}).model_dump() for run in wanted]
    for run in most:
        forge(results, path, **run)
    write_study(tiny, gamma, results)
    text = write_report(tiny, results)[0].read_text()
    assert "gamma=0.2" in text, "one variant is wanting: whether the study's page is there decides nothing"
    assert "tiny.study-gamma.md" not in text
    forge(results, path, **last)
    text = write_report(tiny, results)[0].read_text()
    assert "gamma=0.2" not in text
    assert "[tiny.study-gamma.md](tiny.study-gamma.md)" in text
    assert "Ft-CNN (topic, lr=0.5)" in text
    assert "| Ft-CNN (paper) " in text, "a preset is a row of both (the forged record keeps its title)"


def test_runs_of_other_settings_are_pointed_to_and_not_drawn(tiny: Protocol, results: Path) -> None:
    text, path = page(tiny, results), next(results.glob("records/tiny/*/ft_cnn-topic-lr=0.01*/seed00.json"))
    recipe = read_record(path).identity.recipe_settings.model_copy(update={"lr": 0.3})
    forge(results, path, recipe_settings=recipe.model_dump())
    beside = "## Other settings, on [tiny.md](tiny.md)"
    again = page(tiny, results)
    assert beside not in text
    assert again.partition(beside)[0].strip() == text.strip()
    assert "with recipe lr 0.3 instead of 0.1" in again.partition(beside)[2]


def test_a_method_of_two_presets_is_not_guessed(tiny: Protocol, results: Path) -> None:
    forge(results, next(results.glob("records/tiny/*/base_only-default-*/seed00.json")), preset="another")
    text = page(tiny, results)
    assert rows(text, "nothing") == []
    beneath = text.partition("## Variants that are not clear, and are in no table")[2]
    assert "nothing: the study says base_only, and there are base_only:another, base_only:default" in beneath


def test_sections_that_are_called_alike_keep_their_figures_apart(tiny: Protocol, results: Path) -> None:
    """What differs is shortened in names of files: two settings of a late digit wrote over each other's pictures."""
    [drawn] = pages.study_content(tiny, STUDY, Store(results)).sections
    taken: set[str] = set()
    alike = [replace(drawn.section, differs=f"recipe lr 0.1 instead of 0.2, momentum {value}") for value in (0.5, 0.6)]
    assert [stem_of(section, "tiny", taken, "mine").count("+") for section in alike] == [0, 1] and len(taken) == 2
