"""What runs on the nodes of a Ray cluster: segment workers. Imported only where Ray is installed.

A worker keeps the tables that it has made for a while, and returns them beside its answer, so that they are handed on
as objects of Ray's store; the sidecar in the job folder remains what counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import socket
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from vidswap.graph import VidswapError

from .blame import failure
from .cluster_owners import ClusterOwners, Listing
from .cluster_places import Home, Place, writable
from .order import Done, PartTask, Progress, Task, WorkOrder
from .process import preload
from .report import peak_memory_mb
from .store import Sidecars, Tables, nbytes
from .worker import SegmentWorker

FETCH_S = 30.0
REMEMBERED = 4
PATIENCE_S = 3600.0


@dataclass(frozen=True)
class Answer:
    """What came of a task: Done, an error, or in words why this worker can do no more; and progress not yet told.

    `made_bytes` is what the tables take that come with it.
    """

    reply: Done | VidswapError | str
    progress: list[Progress] = field(default_factory=list)
    made_bytes: int = 0


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
                    return {name: writable(batch) for name, batch in tables.items()}
        return super().load(part, segment)

    def save(self, part: int, segment: int, tables: Tables) -> str:
        """Store the tables and remember them."""
        self.made = self._recent[(part, segment)] = tables
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return super().save(part, segment, tables)


class ClusterWorker:
    """An actor that runs the tasks of one work order, one at a time, and meanwhile tells of its progress."""

    def __init__(self, number: int, home: Home, order: list[Any]) -> None:
        """`order` holds one reference to a WorkOrder, which may have things in it of the modules that `home` names."""
        home.settle()
        self._number = number
        self._lock = threading.Lock()
        self._progress: list[Progress] = []
        work: WorkOrder = ray.get(order[0])
        gc.disable()
        preload(work.pipeline)
        # What is loaded stays: the collector need not look through it again and again.
        gc.freeze()
        gc.enable()
        self._sidecars = HandedOn(work)
        self._owners = ClusterOwners(Place.here().node, work.stall_timeout_s / 2 or PATIENCE_S)
        self._worker = SegmentWorker(
            *(work, self._note),
            sidecars=self._sidecars,
            process=number,
            node=socket.gethostname(),
            owners=self._owners if work.served else None,
        )

    @ray.method(concurrency_group="watch")
    def where(self) -> Place:
        """Where this is; answers when the actor is up."""
        return Place.here()

    @ray.method(concurrency_group="watch")
    def poll(self, owners: Listing | None = None) -> list[Progress]:
        """The progress since it was last asked for; `owners` are those of models, where they have changed."""
        if owners is not None:
            self._owners.learn(owners)
        with self._lock:
            told, self._progress = self._progress, []
        return told

    @ray.method(num_returns=2)
    def run(
        self, task: Task, given: Mapping[tuple[int, int], Any], owners: Listing | None = None
    ) -> tuple[Answer, Tables | None]:
        """Run a task. `given` are references to tables of parts before, by part and segment.

        Returns the answer, and the tables that the task has stored if any.
        """
        if owners is not None:
            self._owners.learn(owners)
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
        return Answer(reply, self.poll(), nbytes(made) if made else 0), made

    def _note(self, step: Progress) -> None:
        with self._lock:
            self._progress.append(step)
