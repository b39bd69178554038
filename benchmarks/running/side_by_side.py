"""Runs of several seeds in one process, whose training steps are done together: on a GPU, as one recording with a stream for each.

Each run has a thread, but only one thread is ever awake: it runs until its next training step or its end, then the next one does. When all
wait for a step, all steps are done at once. What a run finds in the process, random generators and blocked folders, is its own.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.running import guard
from methods.parts.capture import Batch, Branch, Recorder, Steps, steps_with

T = TypeVar("T")


class Surroundings:
    """The global generators and the blocked folders at the time when it is made."""

    def __init__(self) -> None:
        self.torch = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        self.python, self.numpy = random.getstate(), np.random.get_state()
        self.places = guard.blocked_now()

    def put_back(self) -> None:
        torch.set_rng_state(self.torch)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        guard.block(self.places)


class Seat:
    """One run: its thread, and the training step for which it waits."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.go, self.back = threading.Semaphore(0), threading.Semaphore(0)
        self.step: tuple[Branch, Batch] | None = None
        self.loss: Tensor | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.failed: Exception | None = None
        self.found = Surroundings()
        self.thread = threading.Thread(target=self._main, daemon=True)

    @property
    def ident(self) -> int:
        assert self.thread.ident is not None
        return self.thread.ident

    @property
    def over(self) -> bool:
        return self.step is None

    def _main(self) -> None:
        self.go.acquire()
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error
        self.step = None
        self.back.release()

    def wait_for(self, branch: Branch, batch: Batch) -> Tensor:
        """Called in the run's thread: lets the others go on until the step is done. Returns its loss."""
        self.step = branch, batch
        self.back.release()
        self.go.acquire()
        if self.loss is None:
            raise RuntimeError(f"a step of several runs failed: {self.failed}") from self.failed
        return self.loss

    def go_on(self) -> None:
        """Called by the scheduler: lets the run go on until its next step or its end."""
        self.found.put_back()
        self.go.release()
        self.back.acquire()
        self.found = Surroundings()


_seats: dict[int, Seat] = {}
"""The runs that go on side by side in this process, by thread. No object leads here, since what a method holds must not lead to images."""


class Together:
    """The steps of a run that others go on beside. Called in its thread, with its own branch."""

    reason = ""

    def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]:
        [branch], [batch] = branches, batches
        return [_seats[threading.get_ident()].wait_for(branch, batch)]


def session_steps(recorder: Recorder | None) -> Steps:
    """What does a session's steps: together with those of the runs beside it, where steps are recorded."""
    return Together() if recorder is not None and threading.get_ident() in _seats else steps_with(recorder)


def runs_beside() -> int:
    """How many runs share this process's time, the caller's included."""
    return max(1, len(_seats))


def side_by_side(works: Sequence[Callable[[], T]], steps: Steps) -> list[T]:
    """Does all this work, and by `steps` the training steps in it. Returns the results, in order.

    Raises the first error of a work, after all have ended. The caller's thread waits, and does the steps.
    """
    outside = Surroundings()
    seats = [Seat(work) for work in works]
    try:
        for seat in seats:
            seat.thread.start()
            _seats[seat.ident] = seat
        live = seats
        while live:
            for seat in live:
                seat.go_on()
            live = [seat for seat in live if not seat.over]
            do_step(live, steps)
    finally:
        _seats.clear()
        outside.put_back()
    for seat in seats:
        if seat.error is not None:
            raise seat.error
    return [seat.result for seat in seats]


def do_step(live: Sequence[Seat], steps: Steps) -> None:
    """Does the step for which each waits, with their folders blocked. If it fails, all of them get the error."""
    waiting = [seat.step for seat in live if seat.step is not None]
    if not waiting:
        return
    guard.block(live[0].found.places)
    try:
        losses = steps([branch for branch, _ in waiting], [batch for _, batch in waiting])
        for seat, loss in zip(live, losses, strict=True):
            seat.loss = loss
    except Exception as error:
        for seat in live:
            seat.loss, seat.failed = None, error
