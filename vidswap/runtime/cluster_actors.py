"""What runs on the nodes of a Ray cluster: segment workers. Imported only where Ray is installed.

A worker keeps the tables that it has made for a while, and returns them beside its answer, so that they are handed on
as objects of Ray's store; the sidecar in the job folder remains what counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray

from vidswap.graph import Batch, VidswapError

from .blame import failure
from .child import worker_environment
from .order import Done, PartTask, Progress, Task, WorkOrder
from .report import peak_memory_mb
from .store import Sidecars, Tables
from .worker import SegmentWorker

FETCH_S = 30.0
REMEMBERED = 4
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Place:
    """Where an actor lives."""

    node: str
    host: str
    process: int


@dataclass(frozen=True)
class Home:
    """Where the driver runs: a node that has these folders too finds there the modules and files that it names."""

    working_folder: str
    path: tuple[str, ...]

    @classmethod
    def of_driver(cls) -> Home:
        """That of this process."""
        return cls(str(Path.cwd()), tuple(str(Path(p).absolute()) for p in sys.path))

    def settle(self) -> None:
        """Work in the driver's folder where there is one, and look for modules where it does, after the node's own.

        Variables of the environment are set here, before libraries read them: processes that Ray has at hand will do.
        """
        environment = worker_environment()
        os.environ.update(environment)
        _keep_memory(environment)
        with contextlib.suppress(OSError):
            os.chdir(self.working_folder)
        sys.path += [p for p in self.path if p not in sys.path]


def _keep_memory(environment: Mapping[str, str]) -> None:
    """Have glibc of this process, which has read its environment, do what the variables would have it do."""
    with contextlib.suppress(Exception):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, int(environment["MALLOC_MMAP_THRESHOLD_"]))
        libc.mallopt(_M_TRIM_THRESHOLD, int(environment["MALLOC_TRIM_THRESHOLD_"]))


@dataclass(frozen=True)
class Answer:
    """What came of a task: Done, an error, or in words why this worker can do no more; and progress not yet told."""

    reply: Done | VidswapError | str
    progress: list[Progress] = field(default_factory=list)


class HandedOn(Sidecars):
    """Sidecars handed from worker to worker as objects of Ray's store, and read only where those fail."""

    def __init__(self, order: WorkOrder) -> None:
        super().__init__(order)
        self.made: Tables | None = None
        self.given: Mapping[tuple[int, int], Any] = {}
        self._recent: OrderedDict[tuple[int, int], Tables] = OrderedDict()

    def load(self, part: int, segment: int) -> Tables:
        """The tables, from here, from the store, or from the job folder."""
        key = (part, segment)
        if key in self._recent:
            return self._recent[key]
        if key in self.given:
            # Whoever made the object may be gone by now.
            with contextlib.suppress(ray.exceptions.RayError):
                tables = ray.get(self.given[key], timeout=FETCH_S)
                if tables is not None:
                    return _writable(tables)
        return super().load(part, segment)

    def save(self, part: int, segment: int, tables: Tables) -> str:
        """Store the tables and remember them."""
        self.made = self._recent[(part, segment)] = tables
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return super().save(part, segment, tables)


def _writable(tables: Tables) -> Tables:
    """Arrays of the store are read-only; those of files are not, and operators may rely on it."""
    return {name: Batch({n: np.array(v) for n, v in batch.to_dict().items()}) for name, batch in tables.items()}


class ClusterWorker:
    """An actor that runs the tasks of one work order, one at a time, and meanwhile tells of its progress."""

    def __init__(self, number: int, home: Home, order: list[Any]) -> None:
        """`order` holds one reference to a WorkOrder, which may have things in it of the modules that `home` names."""
        home.settle()
        self._number = number
        self._lock = threading.Lock()
        self._progress: list[Progress] = []
        work: WorkOrder = ray.get(order[0])
        self._sidecars = HandedOn(work)
        self._worker = SegmentWorker(
            work, report=self._note, sidecars=self._sidecars, process=number, node=socket.gethostname()
        )

    @ray.method(concurrency_group="watch")
    def where(self) -> Place:
        """Where this is; answers when the actor is up."""
        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())

    @ray.method(concurrency_group="watch")
    def poll(self) -> list[Progress]:
        """The progress since it was last asked for."""
        with self._lock:
            told, self._progress = self._progress, []
        return told

    @ray.method(num_returns=2)
    def run(self, task: Task, given: Mapping[tuple[int, int], Any]) -> tuple[Answer, Tables | None]:
        """Run a task. `given` are references to tables of parts before, by part and segment.

        Returns the answer, and the tables that the task has stored if any.
        """
        self._sidecars.given, self._sidecars.made = given, None
        reply: Done | VidswapError | str
        try:
            done = self._worker.run(task)
            reply = dataclasses.replace(done, memory_mb=peak_memory_mb())
        except MemoryError:
            reply = f"on {socket.gethostname()} ran out of memory"
        except Exception as error:
            reply = failure(error, task)
        finally:
            self._sidecars.given = {}
        made = self._sidecars.made if isinstance(reply, Done) and isinstance(task, PartTask) else None
        return Answer(reply, self.poll()), made

    def _note(self, step: Progress) -> None:
        with self._lock:
            self._progress.append(step)
