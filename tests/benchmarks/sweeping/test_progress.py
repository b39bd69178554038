"""What a user sees on stderr, with a clock that the test turns."""

from __future__ import annotations

import re

import pytest

from benchmarks.sweeping import progress
from benchmarks.sweeping.screen import INTERVAL
from tests.benchmarks.sweeping.conftest import started, told


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_says_what_there_is_to_do(clock: Clock) -> None:
    assert started()[1].getvalue() == "4 runs to do, 2 already done, 1 worker\n"
    assert started(workers=3)[1].getvalue() == "4 runs to do, 2 already done, 3 workers\n"


def test_a_line_a_finished_run(clock: Clock) -> None:
    shown, out = started()
    shown.event(told("start", "lecnet:paper", 3))
    clock.now += 20
    shown.event(told("done", "lecnet:paper", 3, "45.00 %", 12.34))
    assert out.getvalue().splitlines()[1:] == ["[1/4] lecnet:paper seed 3: 45.00 % in 12.3 s · left about 37 s"]


def test_a_run_that_is_waited_for(clock: Clock) -> None:
    """Its line says so, unless another worker of this sweep is doing it."""
    shown, out = started()
    shown.event(told("start", "lecnet:paper", 3))
    shown.event(told("progress", "lecnet:paper", 3, "base session"))
    shown.event(told("waits", "lecnet:paper", 3, "waits"))
    assert [last.text for last in shown.running.values()] == ["base session"]
    shown.event(told("later", "lecnet:paper", 3))
    assert shown.running == {}
    clock.now += 20
    shown.event(told("waits", "lecnet:paper", 3, "waits"))
    assert out.getvalue().splitlines()[-1] == "(0/4) lecnet:paper seed 3: waits · left about ?"


def test_failed_and_foreign_runs(clock: Clock) -> None:
    shown, out = started()
    shown.event(told("failed", "ft_cnn:topic", 0, "ScoreError: session 1: scores are NaN"))
    shown.event(told("elsewhere", "ft_cnn:topic", 1))
    assert out.getvalue().splitlines()[1:] == [
        "[1/4] ft_cnn:topic seed 0: FAILED: ScoreError: session 1: scores are NaN",
        "[2/4] ft_cnn:topic seed 1: done by another process",
    ]


def test_no_run_counts_twice(clock: Clock) -> None:
    """Every worker comes across a finished run in turn and says so."""
    shown, out = started(workers=3)
    shown.event(told("done", "lecnet:paper", 0, "45.00 %", 1.0))
    for _ in range(2):
        shown.event(told("elsewhere", "lecnet:paper", 0))
    shown.event(told("done", "lecnet:paper", 1, "46.00 %", 1.0))
    lines = out.getvalue().splitlines()[1:]
    assert [line[:5] for line in lines] == ["[1/4]", "[2/4]"]
    assert shown.ended == 2


def test_the_same_seed_of_another_variant_is_another_run(clock: Clock) -> None:
    shown, _ = started()
    shown.event(told("done", "lecnet:paper", 0, "45.00 %", 1.0))
    shown.event(told("done", "lecnet:code", 0, "45.00 %", 1.0))
    assert shown.ended == 2


def test_the_same_variant_and_seed_under_another_recipe_is_another_run(clock: Clock) -> None:
    """Studies of two recipes in one command: the count never came to its end, and lines of both looked alike."""
    shown, out = started(several_recipes=True)
    shown.event(told("done", "lecnet:paper", 0, "45.00 %", 1.0))
    shown.event(told("progress", "lecnet:paper", 0, "session 1/2, 45.0 %", recipe="slow"))
    assert len(shown.running) == 1
    shown.event(told("done", "lecnet:paper", 0, "46.00 %", 1.0, recipe="slow"))
    assert (shown.ended, shown.running) == (2, {})
    assert out.getvalue().splitlines()[-1].startswith("[2/4] lecnet:paper seed 0, recipe slow: 46.00 % in 1.0 s")


@pytest.mark.parametrize("late", ["progress", "done"])
def test_a_late_word_does_not_bring_a_finished_run_back(late: str, clock: Clock) -> None:
    """Workers report through a queue: B may say that A's run is done before A's own last words arrive."""
    shown, out = started(workers=2)
    shown.event(told("start", "lecnet:paper", 0))
    shown.event(told("elsewhere", "lecnet:paper", 0))
    shown.event(told("progress", "lecnet:paper", 0, "session 2/2, 45.0 %"))
    if late == "done":
        shown.event(told("done", "lecnet:paper", 0, "45.00 %", 1.0))
    clock.now += 100
    shown.event(told("progress", "base_only:default", 0, "session 1/2, 45.0 %"))
    assert "lecnet:paper" not in out.getvalue().splitlines()[-1]
    assert shown.ended == 1


def test_without_a_terminal_the_status_comes_now_and_then(clock: Clock) -> None:
    shown, out = started()
    shown.event(told("start", "lecnet:paper", 0))
    for number in range(14):
        clock.now += 1
        shown.event(told("progress", "lecnet:paper", 0, f"session {number}"))
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
    shown.event(told("start", "lecnet:paper", 0))
    clock.now += 300
    shown.event(told("progress", "lecnet:paper", 0, "base session, epoch 3/15, loss 2.443"))
    assert out.getvalue().splitlines()[-1].endswith("epoch 3/15, loss 2.443 · left more than 20 min")
    clock.now += 1200
    shown.event(told("progress", "lecnet:paper", 0, "session 0/2, 70.0 %"))
    assert out.getvalue().splitlines()[-1].endswith("session 0/2, 70.0 % · left about ?")
    clock.now += 100
    shown.event(told("progress", "lecnet:paper", 0, "session 1/2, 60.0 %"))
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
    shown.event(told("start", "lecnet:paper", 0))
    clock.now += 1
    shown.event(told("progress", "lecnet:paper", 0, "session 1/2, 63.3 %"))
    last = frames(out.getvalue())[-1]
    assert [line.split() for line in last[-2:]] == [
        ["━" * 30, "0/4", "runs", "left", "about", "?"],
        ["lecnet:paper", "seed", "0", "session", "1/2,", "63.3", "%"],
    ]
    clock.now += 1
    shown.event(told("done", "lecnet:paper", 0, "45.00 %", 1.0))
    assert "[1/4] lecnet:paper seed 0: 45.00 % in 1.0 s" in out.getvalue()
    assert "1/4 runs" in frames(out.getvalue())[-1][-1], "its line is gone"
    shown.stop()
    assert out.getvalue().endswith("\x1b[2K")


def test_no_line_is_wider_than_the_terminal(clock: Clock, wide: int) -> None:
    shown, out = started(["a_method_with_a_long_name:and_a_preset"] * 4, terminal=True, workers=3)
    for seed in range(3):
        clock.now += 1
        shown.event(told("progress", "a_method_with_a_long_name:and_a_preset", seed, "session 1/2, epoch 3/70, 63.3 %" * 3))
    shown.event(told("failed", "a_method_with_a_long_name:and_a_preset", 1, "KeyError: [red]" + "word " * 30, more=("x" * 100,)))
    lines = [line for frame in frames(out.getvalue()) for line in frame]
    assert max(map(len, lines)) <= wide
    assert "[red]" in out.getvalue(), "it is text, no markup"


def test_a_frame_that_has_not_changed_is_not_drawn_again(clock: Clock, wide: int) -> None:
    shown, out = started(terminal=True)
    shown.event(told("start", "lecnet:paper", 0))
    before = out.getvalue()
    for _ in range(9):
        clock.now += INTERVAL
        shown.tick()
    assert out.getvalue() == before
    for number in range(9):
        clock.now += INTERVAL / 10
        shown.event(told("progress", "lecnet:paper", 0, f"session 1/2, epoch {number}/9"))
    assert len(frames(out.getvalue())) <= len(frames(before)) + 6, "at most one in an interval"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown, out = started(terminal=True)
    shown.event(told("start", "lecnet:paper", 0))
    assert "\x1b" not in out.getvalue()
    assert out.getvalue() == "4 runs to do, 2 already done, 1 worker\n"


def test_a_failure_says_where(clock: Clock) -> None:
    shown, out = started()
    shown.event(told("failed", "ft_cnn:topic", 0, "KeyError: 'x'", more=("methods/x.py, line 2, in scores: a[x]", "traceback: there.txt")))
    assert out.getvalue().splitlines()[1:] == [
        "[1/4] ft_cnn:topic seed 0: FAILED: KeyError: 'x'",
        "    methods/x.py, line 2, in scores: a[x]",
        "    traceback: there.txt",
    ]
