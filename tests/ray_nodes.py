"""A Ray cluster of several nodes on this machine, and its processes, for tests that kill them."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# By default half a minute, which is not always enough where many tests run at a time. Read when Ray is imported.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")


# Nobody asks the clusters of tests what they have done, and processes are dear: none starts ahead, and those that have
# looked at a node wait for the next run.
LEAN = {
    "enable_metrics_collection": False,
    "event_stats": False,
    "idle_worker_killing_time_threshold_ms": 600_000,
    "num_workers_soft_limit": 8,
    "prestart_worker_first_driver": False,
    "task_events_report_interval_ms": 0,
}


class Nodes:
    """A head that takes no work unless it is given CPUs, and nodes of two CPUs that come and go. Cores are logical."""

    def __init__(self, count: int, cpus: int = 2, head_cpus: int = 0, **resources) -> None:
        from ray.cluster_utils import Cluster

        self._cpus, self._resources = cpus, resources
        self._folder = tempfile.mkdtemp(prefix="vidswap-test-ray-", dir="/tmp")
        # Ray makes the folder again for the next cluster of the process.
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        # Ray notes there which cluster was started last, and takes for granted that the folder is there.
        Path("/tmp/ray").mkdir(exist_ok=True)
        head = {"num_cpus": head_cpus, "object_store_memory": 80 << 20, "_system_config": LEAN, **resources}
        head |= {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        with _signals_kept():
            self.cluster = Cluster(initialize_head=True, head_node_args={**head, "temp_dir": self._folder})
        self.working = [self.add() for _ in range(count)]

    @property
    def address(self) -> str:
        return self.cluster.address

    def connect(self) -> None:
        """Make this process a driver of the cluster, as long as `ray.shutdown` is not called."""
        import ray

        with _signals_kept():
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")

    def add(self):
        with _signals_kept():
            return self.cluster.add_node(num_cpus=self._cpus, object_store_memory=80 << 20, **self._resources)

    def keep(self, count: int) -> None:
        """Have so many working nodes that live."""
        self.working = [n for n in self.working if n in self.cluster.worker_nodes]
        while len(self.working) < count:
            self.working.append(self.add())

    def remove(self, node) -> None:
        """Kill a node and all that runs on it, without notice."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.working.remove(node)

    def actors(self, name: str, node=None) -> list[int]:
        """Processes of the actors of a class, on one node or on all."""
        raylets = {p.process.pid for n in ([node] if node else self.working) for p in n.all_processes["raylet"]}
        return [p for p in _children(raylets) if f"ray::{name}" in _command(p)]

    def close(self) -> None:
        self.cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def _signals_kept():
    """Ray takes SIGTERM for itself, and would keep it when its tests are over."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(parents: set[int]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                status = (folder / "stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) in parents:
                found.append(int(folder.name))
    return found


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
