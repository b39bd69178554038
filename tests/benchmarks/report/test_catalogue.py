"""A metric is one entry: tables, tests and legends follow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.metrics import catalogue
from benchmarks.metrics.catalogue import Column, Metric, columns, drawn, tested
from benchmarks.planning.studies import check_figures
from benchmarks.records.schema import Record
from benchmarks.report import compare, definitions, frame, tables
from benchmarks.report.compare import comparison
from benchmarks.report.definitions import definitions_legend, definitions_table
from benchmarks.report.section import Section
from benchmarks.report.tables import final_table
from benchmarks.system.errors import UsageError
from protocols.study import load_study


def test_columns_stand_in_their_order() -> None:
    assert [column.heading for _, column in columns("last")] == ["Base", "Novel", "Harmonic mean", "All", "All, class-count", "Forgetting"]
    assert tested() == {"accuracy": "Accuracy", "hm": "Harmonic mean"}


def test_names_and_places_are_unique() -> None:
    names = [entry.name for entry in catalogue.METRICS]
    assert len(set(names)) == len(names)
    for table in ("last", "study", "definitions"):
        places = [column.place for _, column in columns(table)]
        assert len(set(places)) == len(places)


def test_one_entry_is_enough(make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch) -> None:
    worst = Metric(
        "worst",
        lambda run: 100.0 * min(right / images for right, images in zip(*run.now, strict=True)),
        (Column("last", "Worst class", 9), Column("definitions", "Worst", 9, "the class that is recognised least")),
        over_sessions=True,
        bold=True,
        tested="Worst class",
    )
    monkeypatch.setattr(catalogue, "METRICS", (*catalogue.METRICS, worst))
    monkeypatch.setattr(frame, "METRICS", catalogue.METRICS)
    good, bad = ((8, 8), (7, 7, 6), (6, 6, 5, 4)), ((8, 8), (7, 7, 4), (6, 6, 3, 1))
    variants = {
        name: [make_record(name, seed, correct) for seed in range(3)] for name, correct in (("lecnet:paper", good), ("proto:raw_mean", bad))
    }
    section = Section("quick", "paper", variants)
    last = final_table(section)
    assert "Worst class" in last
    assert "40.00 ± 0.00" in last
    assert "10.00 ± 0.00" in last
    assert "Worst" in definitions_table(section)
    assert "Worst: the class that is recognised least." in definitions_legend()
    assert "Worst class − LEC-Net (paper)" in comparison(section)
    assert {compare, definitions, tables}, "these read the catalogue alone"


def test_a_tested_metric_has_a_value_after_every_session() -> None:
    with pytest.raises(ValueError, match="paired tests want a value after every session"):
        Metric("late", lambda run: 0.0, (), tested="Late")


def test_a_study_may_draw_every_metric_that_has_a_figure() -> None:
    study = load_study("components")
    check_figures(study.model_copy(update={"figures": tuple(drawn())}))
    with pytest.raises(UsageError, match=r"study components, figures: no figure named 'acuracy'\. Did you mean 'accuracy'\?"):
        check_figures(study.model_copy(update={"figures": ("acuracy",)}))
