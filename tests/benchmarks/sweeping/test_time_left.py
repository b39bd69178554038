"""How long a sweep is said to take still."""

from __future__ import annotations

import pytest

from benchmarks.planning.costs import Seconds
from benchmarks.planning.plan import identities, make_request
from benchmarks.sweeping.estimate import AtWork, Estimate, readable, share_of
from protocols.schema import Protocol
from tests.benchmarks.sweeping.conftest import started, told


def test_time_left_is_by_what_each_variant_took() -> None:
    """A seed's first run trains the base: one of 900 s says nothing of the nine that follow it."""
    shown, _ = started(["base_only:default", "proto:raw_mean", "lecnet:paper"] * 2)
    assert shown.time_left() == "?"
    shown.event(told("done", "base_only:default", 0, "", 900.0))
    shown.event(told("done", "proto:raw_mean", 0, "", 10.0))
    assert shown.time_left() == readable(900 + 10 + 2 * 455)  # LEC-Net is unknown: the median of those known
    shown.event(told("done", "lecnet:paper", 0, "", 40.0))
    assert shown.time_left() == readable(900 + 10 + 40)
    shown.event(told("failed", "base_only:default", 1, ""))
    shown.event(told("elsewhere", "proto:raw_mean", 1))
    assert shown.time_left() == "40 s"
    shown.event(told("done", "lecnet:paper", 1, "", 60.0))
    assert shown.time_left() == "0 s"


def test_time_left_is_shared_among_the_workers_that_still_have_a_run() -> None:
    shown, _ = started(workers=3)
    shown.event(told("done", "lecnet:paper", 0, "", 30.0))
    assert shown.time_left() == "30 s"
    shown.event(told("done", "lecnet:paper", 1, "", 30.0))
    assert shown.time_left() == "30 s"  # two runs, and two of the three at work


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42.4, "42 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (420, "7 min"),
        (5300, "88 min"),
        (5400, "1 h 30 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_readable(seconds: float, text: str) -> None:
    assert readable(seconds) == text


# Estimates --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("base session", 0),
        ("base session, epoch 3/30, loss 0.123", 0.1),
        ("session 0/8, 70.0 %", 0),
        ("session 3/8, epoch 35/70, 70.0 %", 2.5 / 8),
        ("session 3/8, 70.0 %", 3 / 8),
        ("session 8/8, 70.0 %", 1),
        ("waits for another process", 0),
    ],
)
def test_how_far_a_progress_text_says_a_run_is(text: str, share: float) -> None:
    assert share_of(text) == pytest.approx(share)


def test_a_long_run_that_is_left_decides_when_the_sweep_ends() -> None:
    """Nine short runs are done; the tenth has gone a third of its way in 30 s. The others' 2 s say nothing of it."""
    estimate = Estimate()
    estimate.took["base_only:default"] += [2.0] * 9
    joint = AtWork("joint_cnn:topic", 0.0)
    joint.told("session 0/6, 70.0 %", 0.0)
    joint.told("session 2/6, 60.0 %", 30.0)
    assert estimate.left([joint], [], 2, 30.0) == pytest.approx(60)
    assert estimate.left([joint], ["base_only:default"], 2, 30.0) == pytest.approx(60), "the other worker does it meanwhile"
    assert estimate.left([joint], ["base_only:default"], 1, 30.0) == pytest.approx(62)


def test_the_first_run_says_what_the_others_will_take() -> None:
    first = AtWork("lecnet:paper", 0.0)
    assert Estimate().left([first], ["lecnet:paper"], 1, 10.0) is None
    first.told("session 0/2, 70.0 %", 10.0)
    first.told("session 1/2, 60.0 %", 20.0)
    assert Estimate().left([first], ["lecnet:paper", "proto:raw_mean"], 1, 20.0) == pytest.approx(10 + 30 + 30)


def test_a_run_that_takes_longer_than_expected_is_not_called_nearly_done() -> None:
    late = AtWork("lecnet:paper", 0.0)
    assert late.left(10.0, 40.0) == 30
    assert late.left(80.0, 40.0) == 40
    assert late.left(10.0, None) is None
    late.told("base session, epoch 5/10", 50.0)
    assert late.left(50.0, 60.0) == pytest.approx(50), "half of the base took 50 s"
    group = AtWork("lecnet:paper", 0.0)
    group.told("3 seeds together: base session, epoch 5/10, loss 1.0", 50.0)
    assert group.left(50.0, 60.0) == pytest.approx(50), "of seeds that train together, too"


def test_earlier_sweeps_say_what_to_expect() -> None:
    estimate = Estimate({"lecnet:paper": 100.0, "proto:raw_mean": 1.0})
    assert estimate.left([], ["lecnet:paper"] * 4, 2, 0.0) == 200
    estimate.took["lecnet:paper"].append(50.0)
    assert estimate.left([], ["lecnet:paper"] * 4, 2, 0.0) == 100
    assert Estimate().left([], ["lecnet:paper"], 1, 0.0) is None


def test_a_plan_counts_each_base_session_once(tiny: Protocol) -> None:
    """Two seeds of three variants; two stand on one base session, the third on one of the same kind with another scale."""
    asked = [("teen", []), ("teen", ["cosine.scale=8"]), ("fecam", [])]
    runs = [run for methods, sets in asked for run in identities(make_request(tiny, None, None, "0-1", methods, sets))]
    assert Seconds({"teen:default": 1.0}, 100.0).of(runs) == 2 + 4 * 100
