"""Ray: an element is a task with its share of cores and GPUs, on the cluster at `RAY_ADDRESS` or on one that is started on this machine.

Tasks end with their launcher. A task that crashes is not run again by Ray, but by the launcher, which counts.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.sweeping.executors.plans import Plan
from benchmarks.sweeping.executors.scheduler import QUEUED, Element
from benchmarks.sweeping.executors.telling import events_path
from benchmarks.system.errors import UsageError
from benchmarks.system.files import SUITE_ROOT
from benchmarks.system.surroundings import cores
from protocols.messages import first_line
from protocols.reading import short

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends statistics otherwise
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # uploads the working folder otherwise
    "RAY_task_oom_retries": "0",  # runs a task that is killed for its memory again without end otherwise
}
CONNECT_SECONDS = 5.0
MOST = 10_000


class Ray:
    """Tasks of `cpus` cores and this many GPUs, or this share of one. Raises UsageError where there is no Ray, or no node of that size."""

    name = "Ray"
    most = MOST

    def __init__(self, address: str | None, cpus: int, gpus: float) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise UsageError("--executor ray needs Ray: pip install 'ray>=2.40,<3'") from None
        self.ray, self.gpus, self.own_folder = ray, gpus, None if is_cluster(address) else Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.tasks: dict[Element, Any] = {}
        self.events: dict[Element, Path] = {}
        self.last: dict[Element, str] = {}
        try:
            if self.own_folder is None:
                ray.init(address=address, log_to_driver=False, logging_level="error")
            else:
                ray.init(
                    address="local",
                    num_cpus=cores(),
                    include_dashboard=False,
                    _temp_dir=str(self.own_folder),
                    log_to_driver=False,
                    logging_level="error",
                )
            self.refuse_too_large(cpus, gpus)
        except UsageError:
            self.close()
            raise
        except Exception as error:  # many kinds, some of them Ray's own
            self.close()
            where = f"{short(str(address))}: no cluster to be had there" if self.own_folder is None else "no cluster could be started here"
            token = "" if self.own_folder or "RAY_AUTH_MODE" in os.environ else "; where it asks for a token, set RAY_AUTH_MODE=token"
            raise UsageError(f"--executor ray: {where} ({first_line(error)}){token}") from None
        self.remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(element_task())

    def refuse_too_large(self, cpus: int, gpus: float) -> None:
        """Raises UsageError if no node can ever run an element; Ray would wait in silence."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            there = "; ".join(f"{node.get('CPU', 0):g} cores, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise UsageError(f"--executor ray: an element needs {cpus} cores and {gpus:g} GPUs, which no node has ({there})")

    def alive(self) -> Mapping[Element, str]:
        found = {}
        for element, task in list(self.tasks.items()):
            ready, _ = self.ray.wait([task], timeout=0)
            if not ready:
                found[element] = "at work" if self.events[element].exists() else f"{QUEUED} (cores)"
                continue
            try:
                status = self.ray.get(task)
                self.last[element] = "ended" if status == 0 else f"ended with status {status}"
            except Exception as error:  # the task's own, or Ray's of a worker or node that is gone
                self.last[element] = f"{type(error).__name__}"
            del self.tasks[element]
        return found

    def submit(self, folder: Path, plan: Plan) -> None:
        environment = {} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        for number in range(len(plan.groups)):
            element = (folder.name, number)
            self.tasks[element] = self.remote.remote(str(folder), number, str(SUITE_ROOT), environment)
            self.events[element] = events_path(folder, number)

    def ended(self, element: Element) -> str:
        return self.last.get(element, "of another launcher")

    def how_to_stop(self, elements: Iterable[Element]) -> str:
        return "elements end with this launcher"

    def close(self) -> None:
        with suppress(Exception):
            self.ray.shutdown()
        if self.own_folder is not None:
            shutil.rmtree(self.own_folder, ignore_errors=True)


def element_task() -> Any:
    """The function that a node runs. It is defined here, so that Ray sends its code: a node need not find this module by itself."""

    def run(plan: str, number: int, root: str, environment: dict[str, str]) -> int:
        sys.path.insert(0, root)
        from benchmarks.sweeping.executors.supervising import supervise

        return supervise(plan, number, root, environment)

    return run


def is_cluster(address: str | None) -> bool:
    """Whether the address is that of a running cluster, not of one to be started. Raises UsageError if nothing answers there.

    Ray itself would try for a minute.
    """
    if address in (None, "", "local"):
        return False
    if address == "auto":
        return True
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--executor ray: {short(address)}: write HOST:PORT, as `ray start --head` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"--executor ray: {short(address)}: nothing answers there ({error.strerror or error}); start it: ray start --head"
        ) from None
    return True
