"""What a user sees on stderr, with a clock that the test turns."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest

from benchmarks.planning.costs import Seconds
from benchmarks.planning.plan import identities, make_request
from benchmarks.sweeping import progress
from benchmarks.sweeping.estimate import AtWork, Estimate, readable, share_of
from benchmarks.sweeping.progress import Event, Progress
from benchmarks.sweeping.screen import INTERVAL
from protocols.schema import Protocol


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FOUR = ("lecnet:paper",) * 4


def started(variants: Sequence[str] = FOUR, workers: int = 1, terminal: bool = False) -> tuple[Progress, io.StringIO]:
    out = Terminal() if terminal else io.StringIO()
    shown = Progress(out)
    shown.start(variants, 2, workers)
    return shown, out


def test_says_what_there_is_to_do(clock: Clock) -> None:
    assert started()[1].getvalue() == "4 runs to do, 2 already done, 1 worker\n"
    assert started(workers=3)[1].getvalue() == "4 runs to do, 2 already done, 3 workers\n"


def test_a_line_a_finished_run(clock: Clock) -> None:
    shown, out = started()
    shown.event(Event("start", "lecnet:paper", 3))
    clock.now += 20
    shown.event(Event("done", "lecnet:paper", 3, "45.00 %", 12.34))
    assert out.getvalue().splitlines()[1:] == ["[1/4] lecnet:paper seed 3: 45.00 % in 12.3 s · left about 37 s"]


def test_a_run_that_is_waited_for(clock: Clock) -> None:
    """Its line says so, unless another worker of this sweep is doing it."""
    shown, out = started()
    shown.event(Event("start", "lecnet:paper", 3))
    shown.event(Event("progress", "lecnet:paper", 3, "base session"))
    shown.event(Event("waits", "lecnet:paper", 3, "waits"))
    assert shown.running == {("lecnet:paper", 3): "base session"}
    shown.event(Event("later", "lecnet:paper", 3))
    assert shown.running == {}
    clock.now += 20
    shown.event(Event("waits", "lecnet:paper", 3, "waits"))
    assert out.getvalue().splitlines()[-1] == "(0/4) lecnet:paper seed 3: waits · left about ?"


def test_failed_and_foreign_runs(clock: Clock) -> None:
    shown, out = started()
    shown.event(Event("failed", "ft_cnn:topic", 0, "ScoreError: session 1: scores are NaN"))
    shown.event(Event("elsewhere", "ft_cnn:topic", 1))
    assert out.getvalue().splitlines()[1:] == [
        "[1/4] ft_cnn:topic seed 0: FAILED: ScoreError: session 1: scores are NaN",
        "[2/4] ft_cnn:topic seed 1: done by another process",
    ]


def test_no_run_counts_twice(clock: Clock) -> None:
    """Every worker comes across a finished run in turn and says so."""
    shown, out = started(workers=3)
    shown.event(Event("done", "lecnet:paper", 0, "45.00 %", 1.0))
    for _ in range(2):
        shown.event(Event("elsewhere", "lecnet:paper", 0))
    shown.event(Event("done", "lecnet:paper", 1, "46.00 %", 1.0))
    lines = out.getvalue().splitlines()[1:]
    assert [line[:5] for line in lines] == ["[1/4]", "[2/4]"]
    assert shown.ended == 2


def test_the_same_seed_of_another_variant_is_another_run(clock: Clock) -> None:
    shown, _ = started()
    shown.event(Event("done", "lecnet:paper", 0, "45.00 %", 1.0))
    shown.event(Event("done", "lecnet:code", 0, "45.00 %", 1.0))
    assert shown.ended == 2


@pytest.mark.parametrize("late", ["progress", "done"])
def test_a_late_word_does_not_bring_a_finished_run_back(late: str, clock: Clock) -> None:
    """Workers report through a queue: B may say that A's run is done before A's own last words arrive."""
    shown, out = started(workers=2)
    shown.event(Event("start", "lecnet:paper", 0))
    shown.event(Event("elsewhere", "lecnet:paper", 0))
    shown.event(Event("progress", "lecnet:paper", 0, "session 2/2, 45.0 %"))
    if late == "done":
        shown.event(Event("done", "lecnet:paper", 0, "45.00 %", 1.0))
    clock.now += 100
    shown.event(Event("progress", "base_only:default", 0, "session 1/2, 45.0 %"))
    assert "lecnet:paper" not in out.getvalue().splitlines()[-1]
    assert shown.ended == 1


def test_time_left_is_by_what_each_variant_took() -> None:
    """A seed's first run trains the base: one of 900 s says nothing of the nine that follow it."""
    shown, _ = started(["base_only:default", "proto:raw_mean", "lecnet:paper"] * 2)
    assert shown.time_left() == "?"
    shown.event(Event("done", "base_only:default", 0, "", 900.0))
    shown.event(Event("done", "proto:raw_mean", 0, "", 10.0))
    assert shown.time_left() == readable(900 + 10 + 2 * 455)  # LEC-Net is unknown: the median of those known
    shown.event(Event("done", "lecnet:paper", 0, "", 40.0))
    assert shown.time_left() == readable(900 + 10 + 40)
    shown.event(Event("failed", "base_only:default", 1, ""))
    shown.event(Event("elsewhere", "proto:raw_mean", 1))
    assert shown.time_left() == "40 s"
    shown.event(Event("done", "lecnet:paper", 1, "", 60.0))
    assert shown.time_left() == "0 s"


def test_time_left_is_shared_among_the_workers_that_still_have_a_run() -> None:
    shown, _ = started(workers=3)
    shown.event(Event("done", "lecnet:paper", 0, "", 30.0))
    assert shown.time_left() == "30 s"
    shown.event(Event("done", "lecnet:paper", 1, "", 30.0))
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


def test_without_a_terminal_the_status_comes_now_and_then(clock: Clock) -> None:
    shown, out = started()
    shown.event(Event("start", "lecnet:paper", 0))
    for number in range(14):
        clock.now += 1
        shown.event(Event("progress", "lecnet:paper", 0, f"session {number}"))
        shown.tick()
    assert out.getvalue().count("\n") == 1, "nothing but the first line within fifteen seconds"
    clock.now += 1
    shown.tick()
    shown.tick()
    clock.now += 14
    shown.tick()
    assert out.getvalue().splitlines()[1:] == ["(0/4) lecnet:paper seed 0: session 13 · left about ?"]
    clock.now += 1
    shown.tick()
    assert out.getvalue().count("\n") == 3
    assert "\r" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_long_first_base_says_how_long_at_least(clock: Clock) -> None:
    """How long sessions will take nobody knows before any has gone on; the base session's own pace is known."""
    shown, out = started()
    shown.event(Event("start", "lecnet:paper", 0))
    clock.now += 300
    shown.event(Event("progress", "lecnet:paper", 0, "base session, epoch 3/15, loss 2.443"))
    assert out.getvalue().splitlines()[-1].endswith("epoch 3/15, loss 2.443 · left more than 20 min")
    clock.now += 1200
    shown.event(Event("progress", "lecnet:paper", 0, "session 0/2, 70.0 %"))
    assert out.getvalue().splitlines()[-1].endswith("session 0/2, 70.0 % · left about ?")
    clock.now += 100
    shown.event(Event("progress", "lecnet:paper", 0, "session 1/2, 60.0 %"))
    assert "left more" not in out.getvalue().splitlines()[-1]


def test_nothing_runs_nothing_shows(clock: Clock) -> None:
    shown, out = started()
    clock.now += 1000
    shown.tick()
    shown.stop()
    assert out.getvalue().count("\n") == 1


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> int:
    """Columns of the terminal."""
    for name, value in {"COLUMNS": "60", "LINES": "20", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    return 60


def frames(text: str) -> list[list[str]]:
    """Lines of each picture that a terminal showed, without its codes."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\0", text)
    return [[line.replace("\0", "") for line in part.split("\n")] for part in re.split(r"\r\0", plain)]


def test_on_a_terminal_a_bar_and_a_line_a_run(clock: Clock, wide: int) -> None:
    shown, out = started(terminal=True)
    shown.event(Event("start", "lecnet:paper", 0))
    clock.now += 1
    shown.event(Event("progress", "lecnet:paper", 0, "session 1/2, 63.3 %"))
    last = frames(out.getvalue())[-1]
    assert [line.split() for line in last[-2:]] == [
        ["━" * 30, "0/4", "runs", "left", "about", "?"],
        ["lecnet:paper", "seed", "0", "session", "1/2,", "63.3", "%"],
    ]
    clock.now += 1
    shown.event(Event("done", "lecnet:paper", 0, "45.00 %", 1.0))
    assert "[1/4] lecnet:paper seed 0: 45.00 % in 1.0 s" in out.getvalue()
    assert "1/4 runs" in frames(out.getvalue())[-1][-1], "its line is gone"
    shown.stop()
    assert out.getvalue().endswith("\x1b[2K")


def test_no_line_is_wider_than_the_terminal(clock: Clock, wide: int) -> None:
    shown, out = started(["a_method_with_a_long_name:and_a_preset"] * 4, terminal=True, workers=3)
    for seed in range(3):
        clock.now += 1
        shown.event(Event("progress", "a_method_with_a_long_name:and_a_preset", seed, "session 1/2, epoch 3/70, 63.3 %" * 3))
    shown.event(Event("failed", "a_method_with_a_long_name:and_a_preset", 1, "KeyError: [red]" + "word " * 30, more=("x" * 100,)))
    lines = [line for frame in frames(out.getvalue()) for line in frame]
    assert max(map(len, lines)) <= wide
    assert "[red]" in out.getvalue(), "it is text, no markup"


def test_a_frame_that_has_not_changed_is_not_drawn_again(clock: Clock, wide: int) -> None:
    shown, out = started(terminal=True)
    shown.event(Event("start", "lecnet:paper", 0))
    before = out.getvalue()
    for _ in range(9):
        clock.now += INTERVAL
        shown.tick()
    assert out.getvalue() == before
    for number in range(9):
        clock.now += INTERVAL / 10
        shown.event(Event("progress", "lecnet:paper", 0, f"session 1/2, epoch {number}/9"))
    assert len(frames(out.getvalue())) <= len(frames(before)) + 6, "at most one in an interval"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown, out = started(terminal=True)
    shown.event(Event("start", "lecnet:paper", 0))
    assert "\x1b" not in out.getvalue()
    assert out.getvalue() == "4 runs to do, 2 already done, 1 worker\n"


def test_a_failure_says_where(clock: Clock) -> None:
    shown, out = started()
    shown.event(Event("failed", "ft_cnn:topic", 0, "KeyError: 'x'", more=("methods/x.py, line 2, in scores: a[x]", "traceback: there.txt")))
    assert out.getvalue().splitlines()[1:] == [
        "[1/4] ft_cnn:topic seed 0: FAILED: KeyError: 'x'",
        "    methods/x.py, line 2, in scores: a[x]",
        "    traceback: there.txt",
    ]


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
