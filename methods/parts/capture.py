"""One step of one or several trainings at once: done eagerly, or recorded once for each shape of the batches and then replayed.

On a GPU a recording is one CUDA graph, in which every training has a stream of its own. Small networks are bound by the time that it
takes to launch their kernels; a graph launches all of them at once, and the trainings' kernels run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

Batch = Sequence[Tensor]
WARM_UPS = 2
"""Steps before a recording, in which libraries allocate what they must not allocate in it. What they change is put back."""


class CaptureError(Exception):
    """A step depends on more than tensors, so that its recording would repeat what was true once. The message says on what."""


@dataclass(frozen=True, eq=False)
class Branch:
    """One training's part in a step.

    `step(batch, recorded)` does the step and returns its loss, detached. If `recorded`, it is replayed later, so it must depend on
    tensors alone and change them in place; it raises CaptureError if it cannot. `state()` lists the tensors that a step changes.
    """

    step: Callable[[Batch, bool], Tensor]
    state: Callable[[], list[Tensor]]


class Steps(Protocol):
    """Does one step of every branch on its batch. Returns their losses, which the next call may overwrite."""

    reason: str
    """Why steps are done one by one although they could be recorded here; else ''."""

    def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]: ...


@dataclass
class Recording:
    """A recorded step: `replay` does it again on the same memory and leaves the `losses` there. `held` must live as long as it does."""

    replay: Callable[[], None]
    losses: list[Tensor]
    held: Any = None


class Recorder(Protocol):
    """Records steps on a device."""

    def warm_up(self, steps: Sequence[Callable[[], Tensor]]) -> None:
        """Does each step once, where a recording would do it."""

    def record(self, steps: Sequence[Callable[[], Tensor]]) -> Recording:
        """Records one step of each, side by side. They are not done yet."""


class Eager:
    """Does the steps one after the other."""

    reason = ""

    def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]:
        return [branch.step(batch, False) for branch, batch in zip(branches, batches, strict=True)]


@dataclass
class Captured:
    """Records a step for every new set of branches and shapes, and replays it from then on.

    A branch's first step is done eagerly, since an optimiser does it in another way than the others. Where a step cannot be recorded, all
    are done eagerly, and `reason` says why. A recording is believed once its first replay does what the step did.
    """

    recorder: Recorder
    reason: str = ""
    recordings: int = 0
    _begun: set[Branch] = field(default_factory=set)
    _branches: tuple[Branch, ...] = ()
    _known: dict[tuple[torch.Size, ...], tuple[list[list[Tensor]], Recording]] = field(default_factory=dict)
    """The recordings of the present branches, by the shapes of their batches."""

    def __call__(self, branches: Sequence[Branch], batches: Sequence[Batch]) -> list[Tensor]:
        eager = Eager()
        if self.reason or not self._begun.issuperset(branches):
            self._begun.update(branches)
            return eager(branches, batches)
        if tuple(branches) != self._branches:
            self._branches = tuple(branches)
            self._known.clear()
        key = tuple(part.shape for batch in batches for part in batch)
        if key not in self._known:
            buffers = [[part.clone() for part in batch] for batch in batches]
            try:
                self._known[key] = buffers, self._recorded(branches, buffers)
            except (CaptureError, RuntimeError) as error:
                self.reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                return eager(branches, batches)
            self.recordings += 1
        buffers, recording = self._known[key]
        for of_buffers, of_batches in zip(zip(*buffers, strict=True), zip(*batches, strict=True), strict=True):
            torch._foreach_copy_(of_buffers, of_batches)
        recording.replay()
        return recording.losses

    def _recorded(self, branches: Sequence[Branch], buffers: Sequence[Batch]) -> Recording:
        steps = [partial_step(branch, batch) for branch, batch in zip(branches, buffers, strict=True)]
        state = [tensor for branch in branches for tensor in branch.state()]
        kept = copies(state)
        try:
            for number in range(WARM_UPS):
                self.recorder.warm_up(steps)
                if not number:
                    expected = copies(state)
            for tensor in state:
                tensor.grad = None  # so that gradients lie in the recording's own memory
            recording = self.recorder.record(steps)
            put_back(state, kept)
            recording.replay()
            if not all(map(alike, state, expected)):
                raise CaptureError("a recorded step does something else than the same step done once")
            return recording
        finally:
            put_back(state, kept)


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def put_back(tensors: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
    for tensor, before in zip(tensors, kept, strict=True):
        tensor.copy_(before)


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether both are equal but for rounding: a library may choose another kernel on another stream."""
    return torch.allclose(one.detach().double(), other.double(), rtol=1e-2, atol=1e-3, equal_nan=True)


def partial_step(branch: Branch, batch: Batch) -> Callable[[], Tensor]:
    return lambda: branch.step(batch, True)


@dataclass(frozen=True)
class CudaRecorder:
    """Records CUDA graphs with a stream for each step."""

    device: torch.device

    def warm_up(self, steps: Sequence[Callable[[], Tensor]]) -> None:
        here, side = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for step in steps:
                step()
        here.wait_stream(side)
        torch.cuda.synchronize(self.device)

    def record(self, steps: Sequence[Callable[[], Tensor]]) -> Recording:
        graph, streams = torch.cuda.CUDAGraph(), [torch.cuda.Stream(self.device) for _ in steps]
        losses = []
        with torch.cuda.graph(graph):
            here = torch.cuda.current_stream(self.device)
            for step, stream in zip(steps, streams, strict=True):
                stream.wait_stream(here)
                with torch.cuda.stream(stream):
                    losses.append(step())
            for stream in streams:
                here.wait_stream(stream)
        torch.cuda.synchronize(self.device)
        return Recording(graph.replay, losses, streams)


def recorder_for(device: torch.device) -> Recorder | None:
    """What records steps on this device; None where they are done eagerly, as on a CPU."""
    return CudaRecorder(device) if device.type == "cuda" else None


def steps_with(recorder: Recorder | None) -> Steps:
    return Eager() if recorder is None else Captured(recorder)
