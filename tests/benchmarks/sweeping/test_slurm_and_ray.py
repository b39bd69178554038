"""Slurm and Ray where there is none. tests/cluster asks the same of a real one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.records.identity import Identity
from benchmarks.sweeping.executors.plans import Plan, groups_of
from benchmarks.sweeping.executors.ray import QUIET, Ray, is_cluster
from benchmarks.sweeping.executors.slurm import Slurm, flags, said_by_sbatch, without_slurms
from benchmarks.sweeping.executors.telling import Teller, events_path
from benchmarks.sweeping.worker import Task
from benchmarks.system.errors import UsageError
from benchmarks.system.files import SUITE_ROOT


def test_without_slurm_or_submitit_or_ray_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--executor slurm: sbatch is not found here"):
        Slurm({"time": "60"}, 1)
    for name in ("sbatch", "squeue", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--executor slurm needs submitit: pip install 'submitit>=1.5,<2'"):
        Slurm({"time": "60"}, 1)
    with pytest.raises(UsageError, match=r"--executor ray needs Ray: pip install 'ray>=2.40,<3'"):
        Ray(None, 1, 0.0)


def test_squeue_says_who_is_alive_and_keeps_its_word_while_it_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        "fscil-ab12|0|RUNNING|n1|None",
        "fscil-ab12|1|PENDING||Resources",
        "fscil-ab12|2|NODE_FAIL|n2|NodeDown",
        "fscil-cd34|N/A|COMPLETING|n3|None",
        "somebody's|0|RUNNING|n1|None",
        "not a row",
    ]
    for name, lines in (("squeue", rows), ("scontrol", ["MaxArraySize            = 1001"]), ("sbatch", []), ("srun", [])):
        (tmp_path / name).write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "submitit", sys)
    slurm = Slurm({"time": "60", "partition": "gpu"}, 1)
    assert slurm.most == 1000
    expected = {("ab12", 0): "on n1", ("ab12", 1): "queued (Resources)", ("cd34", 0): "on n3"}
    assert slurm.alive() == expected
    assert slurm.ended(("ab12", 2)) == "NODE_FAIL"
    assert slurm.ended(("ef56", 0)) == "no longer known"
    assert "scancel --name=fscil-ab12" in slurm.how_to_stop([("ab12", 0), ("ab12", 1), ("ef56", 0)])
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert slurm.alive() == expected


def test_what_another_job_left_in_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CPU_BIND", "SBATCH_PARTITION", "SQUEUE_FORMAT", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    with without_slurms():
        assert sorted(name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))) == ["SLURM_CONF"]
    assert os.environ["SLURM_CPU_BIND"] == "x"


def test_yes_is_an_option_without_a_value() -> None:
    assert flags({"exclusive": "yes", "partition": "gpu"}) == {"exclusive": True, "partition": "gpu"}


def test_the_words_of_sbatch_are_taken_out_of_submitits() -> None:
    text = (
        "Command failed\nsbatch: error: invalid partition specified: nowhere\nsbatch: error: Batch job submission failed: Invalid name\n\n"
    )
    assert said_by_sbatch(text) == "invalid partition specified: nowhere; Batch job submission failed: Invalid name"


def test_an_address_where_nothing_answers_is_named() -> None:
    assert (is_cluster(None), is_cluster("local"), is_cluster("auto")) == (False, False, True)
    for address, said in (("127.0.0.1:9", "nothing answers there"), ("nowhere", "write HOST:PORT"), ("x:99999", "write HOST:PORT")):
        with pytest.raises(UsageError, match=said):
            is_cluster(address)


class FakeRay:
    """As much of Ray as the launcher asks for: nodes of two cores and half of a cluster's tasks that crash."""

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}
        self.began: list[tuple[object, ...]] = []
        self.ready: set[int] = set()

    def init(self, **options: object) -> None:
        self.asked |= options

    def nodes(self) -> list[dict[str, object]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [dead, {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]

    def remote(self, **options: object) -> Callable[[Callable[..., int]], FakeRay]:
        self.asked |= options
        return lambda function: SimpleNamespace(remote=self.begin)  # type: ignore[return-value]

    def begin(self, *arguments: object) -> int:
        self.began.append(arguments)
        return len(self.began) - 1

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return [task for task in tasks if task in self.ready], [task for task in tasks if task not in self.ready]

    def get(self, task: int) -> int:
        if task == 1:
            raise MemoryError("killed")
        return 3

    def shutdown(self) -> None:
        self.asked["shut"] = True


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, QUIET[name])  # is put back afterwards
    return fake


def test_ray_runs_a_task_once_in_a_process_of_its_own(fake_ray: FakeRay, task: Task, runs: list[Identity]) -> None:
    """Ray's own retries are off, and without `gpus` an element sees no card. What Ray starts here is quiet."""
    scheduler = Ray(None, 2, 0.0)
    assert {key: fake_ray.asked[key] for key in ("num_cpus", "num_gpus", "max_retries", "max_calls")} == {
        "num_cpus": 2,
        "num_gpus": 0.0,
        "max_retries": 0,
        "max_calls": 1,
    }
    assert (fake_ray.asked["address"], fake_ray.asked["include_dashboard"]) == ("local", False)
    folder = Path(str(fake_ray.asked["_temp_dir"]))
    assert folder.is_dir() and len(str(folder)) < 30, "sockets need a short path"
    plan = Plan(task, tuple(map(tuple, groups_of(runs, 1))), 1, "s")
    place = plan.write()
    scheduler.submit(place, plan)
    assert [arguments[1:] for arguments in fake_ray.began] == [(n, str(SUITE_ROOT), {"CUDA_VISIBLE_DEVICES": ""}) for n in range(3)]
    Teller(events_path(place, 0))
    fake_ray.ready = {1, 2}
    name = place.name
    assert scheduler.alive() == {(name, 0): "at work"}
    assert (scheduler.ended((name, 1)), scheduler.ended((name, 2))) == ("MemoryError", "ended with status 3")
    scheduler.close()
    assert fake_ray.asked["shut"] and not folder.exists()


def test_what_no_node_of_ray_can_run_is_refused(fake_ray: FakeRay) -> None:
    """Ray would wait in silence. A node that is gone counts for nothing."""
    Ray(None, 8, 0.0).close()
    for cpus, gpus in ((9, 0.0), (4, 0.5), (1, 2.0)):
        with pytest.raises(UsageError, match=rf"an element needs {cpus} cores and {gpus:g} GPUs, which no node has \(2 cores, 1 GPUs; 8"):
            Ray(None, cpus, gpus)
