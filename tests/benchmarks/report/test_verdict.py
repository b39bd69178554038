"""The rule that says whether a printed row was reproduced: every branch, its borders, and what must not change it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.records.schema import Record
from benchmarks.report.verdict import BASE_LEVEL, LOOSEST, WORDS, by_numbers, judge, other_base, other_network
from protocols.printed import PublishedRow
from tests.benchmarks.conftest import MakeRecord

NAN = float("nan")
LECNET = [((8, 8), (7, 7, 4), (6, 6, 3, 1)), ((8, 9), (8, 7, 4), (7, 6, 3, 2)), ((9, 9), (8, 8, 4), (7, 7, 4, 2))]
"""First 80, 85, 90; last 40, 45, 50: Student's interval ± 12.42 of three seeds, ± 31.77 of two."""
STEADY = [((8, 9), (8, 7, 4), (7, 6, 3, 2))] * 3  # 85 and 45, always


def row(*accuracy: float | None, **changes: Any) -> PublishedRow:
    fields: dict[str, Any] = {"method": "lecnet", "label": "LEC", "source": "Paper", "accuracy": accuracy, "backbone": "conv2"}
    return PublishedRow.model_validate({**fields, "split": "paper", "seeds": "1", "selection": "last", **changes})


@pytest.fixture
def measured(make_record: MakeRecord) -> Callable[..., list[Record]]:
    def make(counts: Sequence[Any] = STEADY, **changes: Any) -> list[Record]:
        return [make_record("lecnet:paper", seed, correct, **changes) for seed, correct in enumerate(counts)]

    return make


Measured = Callable[..., list[Record]]


# Not comparable ---------------------------------------------------------------------------------------------------------


def test_another_network_is_not_comparable_however_near(measured: Measured) -> None:
    verdict = judge(row(85, 63, 45, backbone="resnet12", tolerance=5), measured())
    assert verdict.word == "not comparable"
    assert verdict.reason.startswith("resnet12, here conv2")


@pytest.mark.parametrize(
    ("printed", "here", "reason"),
    [("imagenet", None, "from imagenet, here from scratch"), (None, "imagenet", "from scratch, here imagenet")],
)
def test_another_start_is_not_comparable(printed: str | None, here: str | None, reason: str, measured: Measured) -> None:
    records = measured(backbone={"name": "conv2", "pretrained": here})
    verdict = judge(row(85, 63, 45, pretrained=printed, tolerance=5), records)
    assert (verdict.word, verdict.reason.partition(";")[0]) == ("not comparable", reason)
    assert other_network(row(85, 63, 45, pretrained=here), records[0].identity.backbone) == ""


def test_another_base_level_is_not_comparable_and_says_what_is_kept_above_doing_nothing(measured: Measured) -> None:
    """A_0 of 95 keeps 47.5 of four classes by doing nothing, one of 85 keeps 42.5: docs/methods.md 8.6's conditional gap."""
    verdict = judge(row(95, 63, 45, tolerance=5), measured())
    assert str(verdict) == "not comparable: base 95.00, here 85.00; above doing nothing -2.50, here +2.50"
    assert verdict.gap == 0


@pytest.mark.parametrize(("base", "word"), [(88, "reproduced"), (82, "reproduced"), (88.01, "not comparable"), (81.99, "not comparable")])
def test_the_border_of_a_base_level(base: float, word: str, measured: Measured) -> None:
    """85 here; three points belong to the level."""
    assert BASE_LEVEL == 3
    assert judge(row(base, 63, 45), measured()).word == word


def test_the_base_level_is_of_the_mean_over_seeds(measured: Measured) -> None:
    """80, 85, 90: one seed alone would be too far."""
    assert judge(row(87, 63, 45, tolerance=1), measured(LECNET)).word == "reproduced"
    assert judge(row(87, 63, 40, tolerance=1), measured(LECNET[:1])).word == "not comparable"


def test_a_base_that_is_not_printed_may_be_of_any_level(measured: Measured) -> None:
    """CLOSER's rows: its last accuracy alone. Where all sessions bring all images (seqmnist), no row lives on its base."""
    records = measured()
    assert str(judge(row(None, None, 45), records)) == "not comparable: base not printed, here 85.00"
    few = records[0].identity.sessions
    assert other_base(row(None, None, 45), 1.0, few.model_copy(update={"shots": "all"})) == ""


def test_two_seeds_have_no_interval_here_either(measured: Measured) -> None:
    """As in every table: 40 and 45 would have ± 31.77, which no gap could leave."""
    assert str(judge(row(85, 63, 36), measured(LECNET[:2]))) == "differs: +6.50, beyond any tolerance (± 5.0); two seeds"
    assert str(judge(row(85, 63, 40), measured(LECNET[:2]))) == "undecided: +2.50, neither an interval nor a stated tolerance; two seeds"


# Reproduced, differs, undecided -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "tolerance", "width", "word", "reason"),
    [
        # within the stated tolerance, whatever the interval
        (3.0, 3.0, NAN, "reproduced", "within the stated ± 3.0"),
        (-3.0, 3.0, 0.1, "reproduced", "within the stated ± 3.0"),
        (1.0, 1.5, 30.0, "reproduced", "within the stated ± 1.5"),
        # inside our interval
        (-0.52, None, 0.52, "reproduced", "inside ± 0.52"),
        (4.0, 3.0, 4.5, "reproduced", "inside ± 4.50"),
        (5.0, None, LOOSEST, "reproduced", "inside ± 5.00"),
        # which must not be so wide that it holds anything
        (5.0, None, 5.01, "undecided", "inside ± 5.01, too wide to tell"),
        (-20.0, 3.0, 31.8, "undecided", "inside ± 31.80, too wide to tell"),
        # outside
        (0.53, None, 0.52, "differs", "+0.53, outside ± 0.52"),
        (-3.01, 3.0, NAN, "differs", "-3.01, outside the stated ± 3.0"),
        (-4.0, 3.0, 2.0, "differs", "-4.00, outside ± 2.00 and the stated ± 3.0"),
        (-40.0, None, 31.8, "differs", "-40.00, outside ± 31.80"),
        # one seed, and nothing stated
        (5.01, None, NAN, "differs", "+5.01, beyond any tolerance (± 5.0)"),
        (5.0, None, NAN, "undecided", "+5.00, neither an interval nor a stated tolerance"),
        (0.0, None, NAN, "undecided", "+0.00, neither an interval nor a stated tolerance"),
        (0.0, None, 0.0, "reproduced", "inside ± 0.00"),
    ],
)
def test_the_rule_at_its_borders(gap: float, tolerance: float | None, width: float, word: str, reason: str) -> None:
    assert by_numbers(gap, tolerance, width) == (word, reason)


def test_rounding_decides_nothing() -> None:
    """In floating point 1.2 - 1.5 is a little more than 0.3."""
    assert abs(1.2 - 1.5) > 0.3
    assert by_numbers(1.2 - 1.5, 0.3, NAN)[0] == by_numbers(1.2 - 1.5, None, 0.3)[0] == "reproduced"


def test_from_records(measured: Measured) -> None:
    assert str(judge(row(85, 63, 45), measured())) == "reproduced: inside ± 0.00"
    assert str(judge(row(85, 63, 46), measured())) == "differs: -1.00, outside ± 0.00"
    assert str(judge(row(85, 63, 46, tolerance=1), measured())) == "reproduced: within the stated ± 1.0"
    assert str(judge(row(85, 63, 50.25), measured(LECNET))) == "undecided: inside ± 12.42, too wide to tell"


def test_seeds_that_are_one_run_have_no_interval(measured: Measured) -> None:
    """A canonical split on which nothing is drawn: ten equal runs are one observation."""
    same = [record.model_copy(update={"predictions_sha256": "0" * 64}) for record in measured()]
    expected = "undecided: -1.00, neither an interval nor a stated tolerance; all seeds gave the same predictions"
    assert str(judge(row(85, 63, 46), same)) == expected


def test_the_base_is_that_of_the_head_that_goes_on(measured: Measured) -> None:
    """Some rows print another classifier's accuracy in session 0."""
    assert judge(row(95, 63, 45, tolerance=5), measured()).word == "not comparable"
    assert judge(row(95, 63, 45, tolerance=5, carried=86), measured()).word == "reproduced"
    assert judge(row(95, 63, 45, carried=75), measured()).reason == "base 75.00, here 85.00; above doing nothing +7.50, here +2.50"


def test_one_seed_says_so(measured: Measured) -> None:
    one = measured(STEADY[:1])
    assert str(judge(row(85, 63, 46, tolerance=3), one)) == "reproduced: within the stated ± 3.0; one seed"
    assert str(judge(row(85, 63, 49, tolerance=3), one)) == "differs: -4.00, outside the stated ± 3.0; one seed"
    assert str(judge(row(85, 63, 46), one)) == "undecided: -1.00, neither an interval nor a stated tolerance; one seed"


def test_a_last_accuracy_that_was_not_printed(measured: Measured) -> None:
    verdict = judge(row(85, 63, None, tolerance=5), measured())
    assert (verdict.word, math.isnan(verdict.gap)) == ("undecided", True)
    assert judge(row(95, 63, None), measured()).reason == "base 95.00, here 85.00"


def test_class_order_and_choice_of_epoch_decide_nothing(measured: Measured) -> None:
    plain = judge(row(85, 63, 46, tolerance=2), measured())
    elsewhere = row(85, 63, 46, tolerance=2, split="lec", selection="test, in every session", misprint="s1")
    assert judge(elsewhere, measured(split="canonical")) == plain
    assert judge(elsewhere, [record.model_copy(update={"selection": "oracle_test"}) for record in measured()]) == plain


@given(gap=st.floats(-60, 60), tolerance=st.none() | st.floats(0.1, 10), width=st.just(NAN) | st.floats(0, 60))
def test_every_case_has_one_verdict_and_its_mirror_image_the_same(gap: float, tolerance: float | None, width: float) -> None:
    word, reason = by_numbers(gap, tolerance, width)
    assert word in WORDS
    assert "nan" not in reason
    assert by_numbers(-gap, tolerance, width)[0] == word


@given(gap=st.floats(0, 60), step=st.floats(0, 60), tolerance=st.none() | st.floats(0.1, 10), width=st.just(NAN) | st.floats(0, 60))
def test_a_wider_gap_is_never_nearer_to_reproduced(gap: float, step: float, tolerance: float | None, width: float) -> None:
    order = ["reproduced", "undecided", "differs"]
    near, far = (order.index(by_numbers(off, tolerance, width)[0]) for off in (gap, gap + step))
    assert near <= far
