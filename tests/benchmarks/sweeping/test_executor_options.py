"""What the options of --executor mean, and what they refuse."""

from __future__ import annotations

import argparse
from io import StringIO

import pytest

from benchmarks.cli.options import parser
from benchmarks.records.costs import Costs
from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors.choosing import Executor, executor_of
from benchmarks.sweeping.executors.options import minutes, parsed
from benchmarks.sweeping.progress import Progress
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import UsageError
from tests.benchmarks.conftest import MakeRecord


def asked(*arguments: str) -> argparse.Namespace:
    return parser().parse_args(list(arguments))


def test_values_may_hold_commas() -> None:
    assert parsed("--slurm", ["gres=gpu:a:1,gpu:b:1,mem_per_cpu=4G", "nodelist=n[1,2]"]) == {
        "gres": "gpu:a:1,gpu:b:1",
        "mem-per-cpu": "4G",
        "nodelist": "n[1,2]",
    }


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90:01", 91), ("1:30:00", 90), ("2-0", 2880), ("1-12:30", 2190), ("0-0:1:5", 2), ("0:30", 1)]
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, value: int) -> None:
    assert minutes(text) == value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--executor", "pbs"], "--executor 'pbs': write local, slurm or ray"),
        (["--slurm", "time=60"], "--slurm has no effect with --executor local; write --executor slurm"),
        (["--executor", "slurm"], "--executor slurm needs a time limit: --slurm time=120 "),
        (["--executor", "slurm", "--slurm", "time"], "--slurm 'time': write KEY=VALUE, such as --slurm partition=gpu,time=60"),
        (["--executor", "slurm", "--slurm", "time=soon"], "--slurm: time='soon': write minutes, HH:MM:SS or DAYS-HH:MM:SS"),
        (["--executor", "slurm", "--slurm", "time=0"], "--slurm: time='0': must be between a minute and a year"),
        (["--executor", "slurm", "--slurm", "time=1,time=2"], "--slurm: time is given twice"),
        (["--executor", "slurm", "--slurm", "time=60,array=0-5"], "--slurm: array is set by the launcher; leave it out"),
        (["--executor", "slurm", "--slurm", "time=60,seeds=none"], "--slurm: seeds must be a whole number from 1 to 1000, not 'none'"),
        (["--executor", "slurm", "--slurm", "time=60,gpus=1"], "--executor slurm with gpus: say --precision fp32 or bf16;"),
        (["--executor", "slurm", "--slurm", "time=60,gres=gpu:1"], "--executor slurm with gpus: say --precision fp32 or bf16;"),
        (
            ["--executor", "slurm", "--slurm", "time=60,gpus=1", "--device", "cpu"],
            "--executor slurm with gpus computes on them; leave --device 'cpu' out",
        ),
        (["--executor", "slurm", "--slurm", "time=60", "--reproduce", "3"], "--reproduce runs on this machine; leave --executor out"),
        (["--executor", "ray", "--ray", "gpu=1"], "--ray: there is no 'gpu'; write address, cpus, gpus, seeds or patience"),
        (["--executor", "ray", "--ray", "gpus=-1"], "--ray: gpus must be a number from 0 to 64, not '-1'"),
    ],
)
def test_bad_options_are_named(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        executor_of(asked(*arguments))
    assert str(caught.value).startswith(said), str(caught.value)


def executor(*arguments: str) -> Executor:
    found = executor_of(asked(*arguments))
    assert found is not None
    return found


def test_cores_follow_from_workers_or_workers_from_cores() -> None:
    assert executor_of(asked()) is None
    for more, expected in (
        ([], (1, 1)),
        (["--threads", "2"], (2, 1)),
        (["--workers", "3", "--threads", "2"], (6, 3)),
    ):
        found = executor("--executor", "slurm", "--slurm", "time=60", *more)
        assert (found.cpus, found.workers) == expected
    found = executor("--executor", "slurm", "--slurm", "time=60,cpus-per-task=8,seeds=5,gpus=1", "--threads", "2", "--precision", "fp32")
    assert (found.cpus, found.workers, found.seeds, found.gpus, found.limit) == (8, 4, 5, True, 60)
    for none in ("gpus=0", "gres=gpu:0", "gpus-per-node=0"):
        assert not executor("--executor", "slurm", "--slurm", f"time=60,{none}", "--device", "cpu").gpus
    found = executor("--executor", "ray", "--ray", "cpus=2,gpus=0.25", "--precision", "fp32")
    assert (found.cpus, found.workers, found.gpus, found.limit) == (2, 2, True, None)


def test_a_time_limit_below_the_longest_run_is_refused(task: Task, runs: list[Identity], make_record: MakeRecord, costs: Costs) -> None:
    """A base session goes on from its checkpoint. What a CPU took says nothing of a GPU."""
    task.store.save(make_record("lecnet:paper", 7), costs.model_copy(update={"base_seconds": 9000.0}), b"")
    task.store.save(make_record("base_only:default", 7), costs.model_copy(update={"session_seconds": (900.0, 10.0)}), b"")
    progress = Progress(StringIO())
    executor("--executor", "slurm", "--slurm", "time=16").check_limit(runs, task.ledger, progress)
    with pytest.raises(UsageError, match="time=15 minutes is shorter than a run of base_only:default, which took 15 min on a CPU"):
        executor("--executor", "slurm", "--slurm", "time=15").check_limit(runs[::2], task.ledger, progress)
    on_gpus = executor("--executor", "slurm", "--slurm", "time=15,gpus=1", "--precision", "bf16")
    on_gpus.check_limit(runs, task.ledger, progress)
    record = make_record("base_only:default", 8)
    card = record.model_copy(update={"environment": {**record.environment, "device": "a card", "cuda": "12.8"}})
    task.store.save(card, costs.model_copy(update={"session_seconds": (900.0, 10.0)}), b"")
    with pytest.raises(UsageError, match="which took 15 min on a GPU"):
        on_gpus.check_limit(runs, task.ledger, progress)


def test_a_time_limit_is_of_every_recipe(task: Task, runs: list[Identity], make_record: MakeRecord, costs: Costs) -> None:
    slow = make_record("lecnet:paper", 7, recipe="slow")
    task.store.save(slow, costs.model_copy(update={"session_seconds": (1300.0,)}), b"")
    limited, progress = executor("--executor", "slurm", "--slurm", "time=21"), Progress(StringIO())
    limited.check_limit(runs, task.ledger, progress)
    with pytest.raises(UsageError, match="shorter than a run of lecnet:paper"):
        limited.check_limit([*runs, slow.identity], task.ledger, progress)


def test_a_time_limit_that_makes_every_interruption_a_time_out_is_warned_of(task: Task, runs: list[Identity]) -> None:
    for limit, warned in (("10", True), ("11", False)):
        out = StringIO()
        executor("--executor", "slurm", "--slurm", f"time={limit}").check_limit(runs, task.ledger, Progress(out))
        assert ("less than 11 minutes" in out.getvalue()) is warned


def test_a_plan_says_what_each_element_holds_and_how_long_it_takes(
    task: Task, runs: list[Identity], make_record: MakeRecord, costs: Costs
) -> None:
    found = executor("--executor", "slurm", "--slurm", "time=60,seeds=2")
    assert "element 0: seeds 0-1, 4 runs of 2 variants: no estimate" in found.plan_text(runs, task.ledger)
    hours = costs.model_copy(update={"base_seconds": 3600.0, "session_seconds": (7200.0,), "evaluation_seconds": (0.0,)})
    task.store.save(make_record("lecnet:paper", 0), hours, b"")
    text = found.plan_text(runs, task.ledger)
    assert text.splitlines() == [
        "Slurm: 2 elements, 1 core each",
        "  element 0: seeds 0-1, 3 runs of 2 variants: about 4 h 0 min, without base_only:default",
        "  element 1: seed 2, 2 runs of 2 variants: about 3 h 0 min, without base_only:default",
        "  together 7 h 0 min; the longest 4 h 0 min, if no base session is cached",
    ]
