"""What a card does: base sessions of one seed and of ten in the suite, beside a bare loop of recorded steps and matrix products.

In at most four minutes; rows that found no time are left empty. Images are random: only the wall time of a table needs a data set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.base.network import build_network, kind_of
from benchmarks.base.training import BaseTraining, train_together
from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Transform
from benchmarks.report.tables import markdown
from benchmarks.system.compiling import find_compiler, keep_compiled, on_all_cores
from benchmarks.system.device import allow_tf32, has_tf32
from benchmarks.tools.timing.bare import BareNet, bare_net
from benchmarks.tools.timing.ours import Unkept
from benchmarks.tools.timing.paired import wait_for
from benchmarks.tools.timing.phases import table_by_phases
from benchmarks.tools.timing.sections import Bench
from methods.parts.capture import Eager, Recorder, recorder_for, steps_with
from protocols import load_protocol
from protocols.schema import Protocol

LIMIT = 240.0  # seconds
FOR_RATES = 110.0  # seconds of these for the rates; the rest is for the table
SEEDS = 10
EPOCHS = 3  # of which the first records and compiles, and is not counted
IMAGES = 30_000  # as many as CIFAR-100's base session has, so that an epoch ends with a smaller batch
NONE = "There is no card here, so nothing was measured: `--device cuda` names one."


@dataclass(frozen=True)
class Case:
    """One measurement of the table. `bare`: without the suite's data path, checkpoints and reports."""

    name: str
    seeds: int
    precision: str = "bf16"
    compiled: bool = False
    recorded: bool = True
    bare: bool = False


ROWS = (
    Case("bare loop, compiled, recorded, ten seeds", SEEDS, compiled=True, bare=True),
    Case("suite, compiled, recorded, ten seeds", SEEDS, compiled=True),
    Case("suite, compiled, recorded, one seed", 1, compiled=True),
    Case("suite, recorded, ten seeds", SEEDS),
    Case("suite, recorded, one seed", 1),
    Case("suite, step by step, one seed", 1, recorded=False),
)
PRECISIONS = ("bf16", "fp32", "tf32")


def card(bench: Bench) -> str:
    """The table of a card; on a CPU, a line that says that there is none."""
    device = bench.device
    recorder = recorder_for(device)
    if recorder is None:
        return NONE
    started = time.monotonic()
    keep_compiled(bench.settings.data_root, device)
    compiler = find_compiler(str(device)) if bench.settings.compile else None
    precisions = [precision for precision in PRECISIONS if precision != "tf32" or has_tf32(device)]
    cases = [replace(row, precision=one) for one in precisions for row in ROWS if compiler or not row.compiled]
    protocol = load_protocol("cifar100")
    rates = measured(cases, protocol, device, recorder, started + FOR_RATES)
    product = f"A bf16 matrix product of 8192 reaches {matrix_rate(device):,.0f} TFLOP/s; {free_of(device)}."
    rate = next((rate for case, rate in rates.items() if case.seeds == SEEDS and not case.bare), None)
    table = table_by_phases(protocol, "paper", bench.settings, SEEDS, rate, started + LIMIT - time.monotonic())
    return f"{table_of(rates, precisions)}\n\n{product}\n\n{table}"


def measured(cases: Sequence[Case], protocol: Protocol, device: torch.device, recorder: Recorder, until: float) -> dict[Case, float]:
    """Images per second of every case that was reached in time, all seeds together."""
    found: dict[Case, float] = {}
    for case in cases:
        if time.monotonic() > until:
            break
        allow_tf32(case.precision)
        work = bare_rate if case.bare else suite_rate
        found[case] = work(case, protocol, device, recorder)
    allow_tf32("fp32")
    return found


def table_of(rates: dict[Case, float], precisions: Sequence[str]) -> str:
    by_row = {(case.name, case.precision): rate for case, rate in rates.items()}
    rows = [[row.name, *(f"{by_row[row.name, one]:,.0f}" if (row.name, one) in by_row else "–" for one in precisions)] for row in ROWS]
    return markdown(rows, ["Images/s, ResNet-20, batches of 128", *precisions])


def random_images(protocol: Protocol, count: int, device: torch.device) -> Tensor:
    side = protocol.data.train_size or protocol.data.size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, protocol.data.channels, side, side), dtype=torch.uint8, generator=generator).to(device)


def suite_rate(case: Case, protocol: Protocol, device: torch.device, recorder: Recorder, count: int = IMAGES) -> float:
    """Base sessions of `case.seeds` seeds as a sweep trains them: augmented batches of the suite, schedules, reports."""
    kind, images = kind_of("linear"), random_images(protocol, count, device)
    labels = (torch.arange(count) % protocol.sessions.base).to(device)
    recipe = protocol.recipes[protocol.recipe].model_copy(update={"epochs": EPOCHS, "lr": 0.01, "schedule": "onecycle", "milestones": ()})
    ended: list[float] = []

    def report(epoch: int, loss: float) -> None:
        ended.append(time.perf_counter())  # the loss was read, so the device has done the epoch

    trainings = []
    for seed in range(case.seeds):
        network = build_network(protocol, kind, case.precision, seed, None, 1.0)
        network.compiled_batch, network.recorded = recipe.batch if case.compiled else 0, case.recorded
        batches = Batches(images, labels, torch.arange(count), Transform(protocol.data, protocol.augment), recipe.batch, seed, "base")
        trainings.append(BaseTraining(network, kind, batches, recipe, Unkept(), report if seed == case.seeds - 1 else silent))
    with on_all_cores(device):
        train_together(trainings, device, steps_with(recorder) if case.recorded else Eager())
    return case.seeds * count * (EPOCHS - 1) / (ended[-1] - ended[0])


def silent(epoch: int, loss: float) -> None:
    """For the seeds whose epochs are not timed."""


def bare_rate(case: Case, protocol: Protocol, device: torch.device, recorder: Recorder, seconds: float = 2.0) -> float:
    """The same steps on one fixed batch, without augmentation or schedule: what a recording of them can reach."""
    recipe, steps = protocol.recipes[protocol.recipe], []
    for seed in range(case.seeds):
        torch.manual_seed(seed)
        net = bare_net(protocol, protocol.sessions.base, device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        x = torch.randn(recipe.batch, protocol.data.channels, protocol.data.size, protocol.data.size, device=device)
        y = torch.randint(0, protocol.sessions.base, (recipe.batch,), device=device)
        steps.append(bare_step(net, x.contiguous(memory_format=torch.channels_last), y, case))
    with on_all_cores(device):
        for _ in range(2):
            recorder.warm_up(steps)
    recording = recorder.record(steps)
    recording.replay()
    wait_for(device)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            recording.replay()
        wait_for(device)
        done += 10
    return done * case.seeds * recipe.batch / (time.perf_counter() - started)


def bare_step(net: BareNet, x: Tensor, y: Tensor, case: Case) -> Callable[[], Tensor]:
    fused = True if x.device.type == "cuda" else None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=fused)
    forward: Callable[[Tensor], Tensor] = torch.compile(net, dynamic=False) if case.compiled else net

    def step() -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=case.precision == "bf16"):
            logits = forward(x)
        loss = F.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def matrix_rate(device: torch.device, side: int = 8192, times: int = 20) -> float:
    """TFLOP/s of a bf16 product of two square matrices."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    a @ a
    wait_for(device)
    started = time.perf_counter()
    for _ in range(times):
        a @ a
    wait_for(device)
    return times * 2 * side**3 / (time.perf_counter() - started) / 1e12


def free_of(device: torch.device) -> str:
    return f"at most {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the card's memory were in use"
