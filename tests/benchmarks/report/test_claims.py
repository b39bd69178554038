"""What pages claim beside their numbers: orders, standings, printed rows, headings. Each case is one in which a page would mislead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.report.bases import gains_over, in_short
from benchmarks.report.html.pairs import standing
from benchmarks.report.paper.tables import PaperRow, PaperTable
from benchmarks.report.paper.writing import encoded
from benchmarks.report.section import Section
from benchmarks.report.settings import variant_differences
from benchmarks.report.study import order_line
from benchmarks.report.tables import escaped, printed
from protocols.printed import PublishedRow, PublishedStudy

Scores = Mapping[str, Mapping[int, float]]
PRINTED = {"source": "Paper", "backbone": "conv2", "split": "lec", "seeds": "10", "selection": "test"}


def section(rows: Scores) -> Any:
    """As much of a Section as a comparison reads; all rows are ranked."""
    return SimpleNamespace(variants=rows, ranked=list(rows), scores=lambda metric, names=None: rows)


# Orders -----------------------------------------------------------------------------------------------------------------


def order(rows: Scores) -> str:
    study = PublishedStudy.model_validate({**PRINTED, "protocol": "cub200", "values": dict.fromkeys(rows, 1.0)})
    of: Any = SimpleNamespace(rows={name: name for name in rows}, section=section(rows))
    return order_line(of, study).partition("Means measured here")[2].partition(". Which")[0]


def test_an_order_is_that_of_the_seeds_that_all_have() -> None:
    """Seeds 2 and 3 were easy, and only one variant was run on them."""
    rows = {"0.8": {0: 8.0, 1: 8.0, 2: 20.0, 3: 20.0}, "0.6": {0: 9.0, 1: 9.0}}
    assert order(rows) == " over the 2 seeds that all have: 0.6 > 0.8"
    assert order({name: {seed: row[seed] for seed in (0, 1)} for name, row in rows.items()}) == ": 0.6 > 0.8"
    assert "no seed was run with all" in order_line(
        SimpleNamespace(rows={"a": "a", "b": "b"}, section=section({"a": {0: 1.0}, "b": {1: 2.0}})),  # type: ignore[arg-type]
        PublishedStudy.model_validate({**PRINTED, "protocol": "cub200", "values": {"a": 1.0, "b": 2.0}}),
    )


def test_a_tie_is_no_order() -> None:
    assert order({"1.0": {0: 7.0}, "1.4": {0: 8.0}, "1.6": {0: 8.0}}) == ": 1.4 = 1.6 > 1.0"


# Standings --------------------------------------------------------------------------------------------------------------


def test_behind_on_every_seed_by_the_same_is_no_tie() -> None:
    """There is no spread, so no test; the page gives the difference, and no p."""
    assert standing(section({"proto": {0: 50.0, 1: 52.0, 2: 51.0}, "teen": {0: 49.6, 1: 51.6, 2: 50.6}})) == {
        "proto": "leader",
        "teen": "no test",
    }


def test_a_standing_is_corrected_for_the_number_of_rows() -> None:
    """Each of five lies behind with a raw p of .01 to .04, as in test_ranking.py; one alone would be behind."""
    rows = {"leader": dict.fromkeys(range(5), 50.0)}
    for number in range(5):
        gap = 1.3 + number / 10
        rows[f"row {number}"] = dict(enumerate([50 - gap + sign * 0.95 for sign in (1, -1, 1, -1, 0)]))
    assert set(standing(section(rows)).values()) == {"leader", "tie"}
    assert standing(section({name: rows[name] for name in ("leader", "row 0")}))["row 0"] == "behind"


def test_two_seeds_have_no_interval_beside_proto() -> None:
    rows = {"proto": {0: 50.0, 1: 52.0, 2: 51.0}, "teen": {0: 51.0, 1: 53.0}}
    assert gains_over("proto", section(rows), "accuracy") == {"teen": "+1.00 (2 seeds)"}


# Printed rows -----------------------------------------------------------------------------------------------------------


def test_a_printed_row_is_about_its_own_base_session(make_record: Callable[..., Record]) -> None:
    """CLOSER on a cosine base is not what its paper ran; Decoupled-Cosine is Proto on one."""

    def row(**changes: Any) -> PublishedRow:
        return PublishedRow.model_validate({**PRINTED, "method": "proto", "label": "x", "accuracy": [1], **changes})

    own, other = make_record("proto:raw_mean"), make_record("proto:raw_mean", asked_base="cosine", base="cosine")
    assert [printed(row(), record) for record in (own, other)] == [True, False]
    assert [printed(row(base="cosine"), record) for record in (own, other)] == [False, True]
    with pytest.raises(ValueError, match="base must be of a method"):
        row(method=None, base="cosine")


# Headings ---------------------------------------------------------------------------------------------------------------


def test_a_field_that_came_later_is_no_difference(make_identity: Callable[..., Identity]) -> None:
    older = make_identity(config={"gamma": 0.8}, defaults=[])
    newer = make_identity(config={"gamma": 0.6, "dampening": 0.0, "tau": 1.0}, defaults=["dampening"], base_config={"augment": None})
    newer = newer.model_copy(update={"base_defaults": ("augment",)})
    assert variant_differences(older, newer) == ["gamma 0.8 instead of 0.6", "tau nothing instead of 1.0"]


def test_the_overview_names_bases_in_short_and_apart(make_record: Callable[..., Record]) -> None:
    """What a recipe changes for a base is read in the section's heading; here it only tells two apart that would read alike."""

    def part(**changes: Any) -> Section:
        return Section("quick", "paper", {"fact": [make_record("fact:default", base="virtual", **changes)]})

    longer = part(base_settings={"epochs": 7, "lr": 0.5})
    assert in_short([longer, part(base_config={"weight": 0.5})]) == ["virtual", "virtual, weight 0.5"]
    assert in_short([longer, part()]) == ["virtual, trained with epochs 7, lr 0.5", "virtual"]


def test_a_name_is_no_tag() -> None:
    assert escaped("<b>x</b> | y, p <0.001") == "&lt;b>x&lt;/b> \\| y, p <0.001"


# Exports ----------------------------------------------------------------------------------------------------------------


def test_a_small_p_is_not_zero() -> None:
    cells = {"gap": (1.5, 0.25), "p of gap": (0.00001234, float("nan"))}
    table = PaperTable("pairs", "t", "l", [PaperRow("LEC-Net γ", "3", cells)], {"p of gap": 3})
    assert r"LEC-Net $\gamma$ & 3 & $1.50 \pm 0.25$ & $<0.001$ \\" in encoded(table, "latex").decode()
    assert encoded(table, "csv").decode().splitlines()[1] == "LEC-Net γ,3,1.5,0.25,1.234e-05"


def test_the_lines_of_a_frame_are_of_common_seeds() -> None:
    """A point of other seeds would give the line a peak that no seed has."""
    from benchmarks.report.figures.numbers import of_common_seeds

    line = pd.DataFrame({"label": ["a", "a", "b", "b", "b"], "seed": [0, 1, 0, 1, 2], "value": [1.0, 2, 3, 4, 50]})
    assert of_common_seeds(line, ["label"])["seed"].tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="no seed has every point"):
        of_common_seeds(line[[True, False, False, False, True]], ["label"])
