"""A Ray cluster of two nodes on this machine, started by Ray's own test utilities."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import ASKED, RUNS, Start, wait_for
from tests.trust.harness import Command, Ended, Tree, assert_finished

pytest.importorskip("ray")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head of one core; `RAY_ADDRESS` is its address."""
    os.environ.update(QUIET)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    yield cluster
    del os.environ["RAY_ADDRESS"]
    cluster.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """The second node, which a test may remove."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def command(results: Path, data_root: Path, ray: str = "patience=3", *more: str) -> Command:
    return Command(results, data_root, (*ASKED, "--executor", "ray", "--ray", ray, *more))


def begun(results: Path) -> int:
    """How many elements have begun a run."""
    return sum('"start"' in path.read_text() for path in results.glob(".cluster/*/*.events"))


def assert_done(results: Path, ended: Ended, alone: Tree) -> None:
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err
    assert_finished(results, alone)
    assert list((results / ".cluster").glob("*/")) == []


def test_two_nodes_give_the_bytes_of_one_process(second: Any, start: Start, tmp_path: Path, data_root: Path, alone: Tree) -> None:
    running = start(command(tmp_path / "results", data_root))
    wait_for(lambda: begun(tmp_path / "results") >= 2, "both nodes are at work")
    ended = running.end()
    assert len(ended.done) == RUNS
    assert_done(tmp_path / "results", ended, alone)


def test_a_node_goes_and_the_launcher_too(cluster: Any, second: Any, start: Start, tmp_path: Path, data_root: Path, alone: Tree) -> None:
    """What the node had goes to the other; what the killed launcher had ends with it, and the next launcher begins with the rest."""
    results = tmp_path / "results"
    same = command(results, data_root)
    first = start(same)
    wait_for(lambda: begun(results) >= 2, "both nodes are at work")
    cluster.remove_node(second, allow_graceful=False)
    wait_for(lambda: "submitted again, 1 of 3" in first.err.read_text(), "the lost element is submitted again")
    first.kill()
    assert_done(results, same.run(), alone)


@pytest.mark.parametrize(
    ("ray", "more", "said"),
    [
        ("address=127.0.0.1:9", (), "--executor ray: '127.0.0.1:9': nothing answers there"),
        ("cpus=64", (), "--executor ray: an element needs 64 cores and 0 GPUs, which no node has"),
        ("gpus=1", ("--precision", "fp32"), "--executor ray: an element needs 1 cores and 1 GPUs, which no node has"),
    ],
)
def test_what_can_never_run_is_said_at_once(
    cluster: Any, ray: str, more: tuple[str, ...], said: str, tmp_path: Path, data_root: Path
) -> None:
    """Ray itself waits for a minute, or for ever."""
    begun = time.monotonic()
    ended = command(tmp_path / "results", data_root, ray, *more).run()
    assert ended.status == 2, ended.err
    assert said in ended.err.splitlines()[-1]
    assert not list((tmp_path / "results").glob(".cluster/*/"))
    assert time.monotonic() - begun < 120, "with the import of torch on a busy machine"


def test_without_an_address_a_cluster_is_started_here(
    tmp_path: Path, data_root: Path, alone: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ended = command(tmp_path / "results", data_root).run()
    assert_done(tmp_path / "results", ended, alone)
