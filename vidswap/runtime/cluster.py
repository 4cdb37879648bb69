"""The Ray executor: the local one's schedule, journal and workers, with the workers on the nodes of a Ray cluster.

Nothing of the repository is sent: nodes import the vidswap that is installed there. Videos, portraits, weights and the
job folder go by path, and must lie where every node sees them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vidswap.graph import InputError, Pipeline

from .executors import Needs
from .order import WorkOrder
from .pool import Pool
from .report import Listener
from .retries import RetryPolicy
from .settings import RunSettings, available_cores

if TYPE_CHECKING:
    from .cluster_owners import Share
    from .cluster_pool import RayPool

BACKOFF_S = 0.5
DRAIN_S = 20.0
REACH_S = 5.0
STARTS_IN_S = "120"
STORE_BYTES = 1 << 30
NO_TOKEN = "it asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or put the token into ~/.ray/auth_token"
# Of a Ray that is there for one run nobody asks what it has done, and workers that it starts ahead only cost.
UNASKED = ("task_events_report_interval_ms", "enable_metrics_collection", "event_stats", "prestart_worker_first_driver")


class RayExecutor:
    """Connects to a cluster, or starts Ray on this machine; what it has started it stops.

    Raises InputError when Ray is not installed, the cluster cannot be reached or is of other versions.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self.retry = RetryPolicy(settings.tries, BACKOFF_S, errors=True)
        self.drain_s = DRAIN_S if settings.drain_s is None else settings.drain_s
        self._folder: str | None = None
        self._shares: dict[str, Share] = {}
        self._worker_gpus = 0.0
        self._worker_memory = 0
        self._pool: RayPool | None = None
        self.address = settings.ray_address or os.environ.get("RAY_ADDRESS") or None
        if self.address is None and "ray" not in sys.modules:
            # Ray reads such variables once, when it is imported.
            os.environ.setdefault("RAY_raylet_start_wait_time_s", STARTS_IN_S)
            lock()
        self._ray = _imported()
        self._ending = contextlib.ExitStack()
        self._ours = not self._ray.is_initialized()
        self.grows = self.address is not None or not self._ours
        if self._ours:
            self._connect()

    def check(self, pipeline: Pipeline, needs: Needs) -> list[str]:
        """Raise InputError for what the cluster lacks or its nodes do not see."""
        from .cluster_checks import check_nodes, check_resources, gpus, held
        from .cluster_owners import shares

        warnings = check_resources(self._settings)
        self._shares = shares(pipeline, self._settings, gpus(), held())
        own = [s.make().resources.gpus for s in pipeline.stages if s.name not in self._shares]
        self._worker_gpus = sum(own) if gpus() and self._settings.device != "cpu" else 0.0
        if self.grows:
            warnings += check_nodes(needs, [(s.name, s.use, s.options) for s in pipeline.specification.stages])
        return warnings if self.grows else []

    def workers(self, tasks: int) -> int:
        """As many as the cluster's CPUs hold, no more than tasks, or as the settings say."""
        most = self._settings.workers or tasks
        return max(1, min(most, tasks, self._capacity()))

    def threads(self, workers: int) -> int:
        """The cores of a worker."""
        return max(1, int(self._settings.ray_worker_cpus))

    def pool(self, order: WorkOrder, workers: int) -> Pool:
        """The pool of actors."""
        from .cluster_checks import check_folder, worker_memory
        from .cluster_pool import RayPool, Size

        if self.grows:
            check_folder(order.folder)

        most = min(self._settings.workers or len(order.segments), max(1, len(order.segments)))
        self._worker_memory = worker_memory(self._settings.ray_worker_memory_mb, order.video.width, order.video.height)
        cpus, gpus = self._settings.ray_worker_cpus, self._worker_gpus
        size = Size(most, cpus, gpus, self._worker_memory, self.grows, self._capacity)
        self._pool = RayPool(order, size, self._shares)
        return self._pool

    def owners_lost(self) -> list[str]:
        """Owners that died, hung or lost their node."""
        return self._pool.owners_lost if self._pool is not None else []

    def listener(self, run: str) -> Listener | None:
        """Who keeps the metrics that a cluster's nodes serve."""
        from .cluster_metrics import ClusterMetrics

        return ClusterMetrics(run) if self.address is not None else None

    def close(self) -> None:
        """Leave the cluster; stop it, if it was started here."""
        if self._ours:
            self._ray.shutdown()
            self._ending.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _capacity(self) -> int:
        from .cluster_checks import places

        return max(1, places(self._settings.ray_worker_cpus, self._worker_memory))

    def _connect(self) -> None:
        given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if self.address is not None:
            _check_reachable(self.address)
            given = {"address": self.address, "log_to_driver": False, "logging_level": logging.ERROR}
        else:
            # Paths of its sockets have a length that they must not pass: hence not beside the job.
            self._folder = tempfile.mkdtemp(prefix="vidswap-ray-", dir="/tmp")
            cpus = max(available_cores(), int((self._settings.workers or 0) * self._settings.ray_worker_cpus + 0.999))
            given |= {"num_cpus": cpus, "_temp_dir": self._folder, "object_store_memory": _store_bytes()}
        self._ending.enter_context(_silenced())
        settings = {} if self.address is not None else {f"RAY_{name}": "0" for name in UNASKED}
        # Ray takes the signals that end a run for itself.
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        said: list[str] = []
        try:
            with _environment(settings), _heard(said):
                self._ray.init(**given)
        except Exception as error:
            # Ray raises whatever it likes here, bare exceptions among them.
            self.close()
            where = f"the Ray cluster at {self.address}" if self.address else "Ray on this machine"
            told = NO_TOKEN if any("InvalidAuthToken" in line for line in said) else _in_a_line(error)
            raise InputError(f"cannot use {where}: {told}") from None
        except BaseException:
            self.close()
            raise
        finally:
            for number, handler in before.items():
                _set_handler(number, handler)


def lock() -> None:
    """A token that nobody else knows for what is started here: Ray listens to the network, and would obey anybody."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("--executor ray needs Ray, which is not installed: pip install 'vidswap[ray]'") from None
    return ray


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """With these variables where they are not set, as long as this lasts; processes that are started keep them."""
    ours = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextlib.contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Ray's native part tells each attempt to connect on the standard error of the process: it goes into `said`."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said += file.read().decode(errors="replace").splitlines()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Ray prints what befalls its processes to standard output, also where logs are not wanted; the run tells it."""
    from ray._private import worker

    before = getattr(worker, "print_to_stdstream", None)
    if before is not None:
        worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        if before is not None:
            worker.print_to_stdstream = before


def _check_reachable(address: str) -> None:
    """Raise InputError where nobody listens; Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise InputError(
            f"{address}: vidswap runs on a node of the cluster, not through Ray Client; use vidswap submit, or give "
            "--ray-address auto on a node"
        )
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"--ray-address {address!r} is neither auto nor HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        told = error.strerror or str(error) or type(error).__name__
        raise InputError(f"no Ray cluster at {address}: {told.lower()}; is `ray start --head` running there?") from None


def _store_bytes() -> int:
    """A small store: frames do not travel."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return STORE_BYTES
    return max(80 << 20, min(STORE_BYTES, free // 2))


def _set_handler(number: int, handler: Any) -> None:
    try:
        signal.signal(number, handler)
    except (ValueError, TypeError):
        # Off the main thread nothing was changed, and a handler that is not Python's cannot be set.
        return


def _in_a_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:400] or type(error).__name__
