"""RayPool: segment workers as actors of a Ray cluster, behind the interface that all pools have.

An actor is never restarted by Ray: a lost one is replaced by a new one, and its task comes back as WorkerDied, so that
tries are counted and reasons kept in one place. Where the cluster may grow, actors that wait for a place ask its
autoscaler for nodes; they work as soon as they have one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from vidswap.graph import Pipeline, VidswapError, halo
from vidswap.graph.specification import PipelineSpecification

from .cluster_actors import Answer, ClusterWorker
from .cluster_owners import Listing, OwnerPool, Share
from .cluster_places import Home, Place
from .order import PartTask, Task, WorkOrder
from .pool import Limits, Reply, WorkerDied
from .store import Tables, nbytes

POLL_S = 0.5
LOOK_AROUND_S = 2.0
ENDING_S = 10.0
STARTS_THAT_FAIL = 30
STRAGGLES, STRAGGLES_S = 3.0, 30.0  # times the median, and seconds: hard segments take twice as long as others
STARTING_S = 600.0
STORE_SHARE = 0.5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Size:
    """How large a pool may be: workers at most, what one takes (memory in bytes), and whether nodes may join.

    `capacity` says how many workers the cluster's nodes hold at present.
    """

    most: int
    cpus: float
    gpus: float
    memory: int
    grows: bool
    capacity: Callable[[], int]


@dataclass
class _Worker:
    number: int
    actor: Any
    starting: Any
    place: Place | None = None
    task: Task | None = None
    answer: Any = None
    made: Any = None
    asked: Any = None
    asked_s: float = 0.0
    heard_s: float = 0.0
    began_s: float = 0.0
    knows: int = -1
    second: bool = False

    @property
    def is_idle(self) -> bool:
        return self.place is not None and self.task is None

    @property
    def host(self) -> str:
        return self.place.host if self.place else "a node"


@dataclass
class _Seam:
    """Tables that a segment's part has stored: a reference, where it was made, and the segments that will read it."""

    reference: Any
    maker: int
    bytes: int
    readers: set[int] = field(default_factory=set)


class RayPool:
    """A pool of actors; `owners` says how many own the models of which stages.

    Raises VidswapError when workers do not start, whatever is tried.
    """

    # Who takes a task is decided by what it needs (`submit`).
    seat = None

    def __init__(self, order: WorkOrder, size: Size, owners: Mapping[str, Share]) -> None:
        self._order, self._size = order, size
        home = self._home = Home.of_driver()
        self._owners = OwnerPool(order, home, owners, order.stall_timeout_s / 2) if owners else None
        self._reference = ray.put(dataclasses.replace(order, served=tuple(owners)))
        self._parts = Pipeline(PipelineSpecification.checked(order.pipeline, "pipeline")).parts
        self._limits = Limits.of(order)
        self._workers: list[_Worker] = []
        self._seams: dict[tuple[int, int], _Seam] = {}
        self._failed_on: dict[Task, set[str]] = {}
        self._taken_s: dict[int, deque[float]] = {}
        self._leaving: set[str] = set()
        self._room = int(STORE_SHARE * ray.cluster_resources().get("object_store_memory", 0.0))
        self._numbers = 0
        self._failed_starts = 0
        self._looked_s = self._waited_s = -float("inf")
        self._capacity = 0
        self._grow()

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        return any(self._may_work(w) for w in self._workers)

    @property
    def size(self) -> int:
        """Workers that have a place."""
        return sum(w.place is not None for w in self._workers)

    @property
    def owners_lost(self) -> list[str]:
        """Which owners of models were replaced, and why."""
        return [] if self._owners is None else self._owners.lost

    def offer(self, task: PartTask, tables: Tables) -> None:
        """Hand tables that the driver has made to the workers that will need them."""
        size = nbytes(tables)
        if self._room >= size:
            self._remember(task, ray.put(tables), maker=-1, size=size)

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker: where it has not failed, and where what it needs lies."""
        self._give(task)

    def _give(self, task: Task, *, second: bool = False) -> None:
        given = self._given(task)
        worker = min((w for w in self._workers if self._may_work(w)), key=lambda w: self._aversion(w, task))
        worker.task, worker.second = task, second
        worker.began_s = worker.heard_s = worker.asked_s = time.monotonic()
        references = {k: s.reference for k, s in given.items()}
        worker.answer, worker.made = worker.actor.run.remote(task, references, self._news(worker))

    def replies(self) -> list[tuple[Task, Reply]]:
        """Wait a little for answers, progress and workers; what comes of it may be nothing."""
        self._grow()
        if self._owners is not None:
            self._owners.look_after()
        self._ask()
        self._try_stragglers_twice()
        waited: dict[Any, tuple[_Worker, str]] = {}
        for worker in self._workers:
            for kind in ("starting", "answer", "asked"):
                reference = getattr(worker, kind)
                if reference is not None:
                    waited[reference] = (worker, kind)
        if not waited:
            time.sleep(POLL_S)
            return []
        ready, _ = ray.wait(list(waited), num_returns=1, timeout=POLL_S)
        if ready and len(waited) > 1:
            ready, _ = ray.wait(list(waited), num_returns=len(waited), timeout=0)
        told: list[tuple[Task, Reply]] = []
        for reference in ready:
            worker, kind = waited[reference]
            if worker in self._workers and getattr(worker, kind) is reference:
                told += self._hear(worker, kind, reference)
        if not ready:
            told += self._judge_silence()
        return told

    def close(self) -> None:
        """Kill all actors, and wait until nothing of them can write any more."""
        running = [w.answer for w in self._workers if w.answer is not None]
        # Those that wait for a place go first: none shall begin where another ends.
        for worker in sorted(self._workers, key=lambda w: w.place is not None):
            self._kill(worker)
        self._workers.clear()
        self._seams.clear()
        if self._owners is not None:
            self._owners.close()
        if running:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.wait(running, num_returns=len(running), timeout=ENDING_S)

    def _may_work(self, worker: _Worker) -> bool:
        return worker.is_idle and worker.place is not None and worker.place.node not in self._leaving

    def _aversion(self, worker: _Worker, task: Task) -> tuple[bool, bool, bool]:
        """What speaks against giving a task to a worker, the gravest first."""
        assert worker.place is not None
        failed_here = worker.place.node in self._failed_on.get(task, ())
        if not isinstance(task, PartTask):
            return failed_here, False, False
        seam = self._seams.get((task.part - 1, task.segment))
        near = {w.number: w.place.node for w in self._workers if w.place}
        elsewhere = seam is not None and near.get(seam.maker) != worker.place.node
        return failed_here, elsewhere, seam is not None and seam.maker != worker.number

    def _given(self, task: Task) -> dict[tuple[int, int], _Seam]:
        if not isinstance(task, PartTask) or not task.part:
            return {}
        neighbours = halo(self._order.segments, task.segment, self._parts[task.part].context)
        keys = ((task.part - 1, s) for s in neighbours)
        return {key: self._seams[key] for key in keys if key in self._seams}

    def _remember(self, task: PartTask, reference: Any, maker: int, size: int) -> None:
        """Keep the reference to what a task has stored until those who read it are done; no more than the store holds.

        What is not kept is read from the job folder.
        """
        after, key = task.part + 1, (task.part, task.segment)
        if key in self._seams:
            self._room += self._seams.pop(key).bytes
        if after < len(self._parts) and not self._parts[after].ordered and self._room >= size:
            readers = set(_readers(self._order, task.segment, self._parts[after].context))
            self._seams[key] = _Seam(reference, maker, size, readers)
            self._room -= size

    def _forget_read(self, task: PartTask) -> None:
        for key in self._given(task):
            readers = self._seams[key].readers
            readers.discard(task.segment)
            if not readers:
                self._room += self._seams.pop(key).bytes

    def _hear(self, worker: _Worker, kind: str, reference: Any) -> list[tuple[Task, Reply]]:
        setattr(worker, kind, None)
        try:
            said = ray.get(reference)
        except ray.exceptions.RayError as error:
            was_lost = "creation task" not in str(error)
            return self._bury(worker, f"on {worker.host} was lost ({_in_a_line(error)})", was_lost=was_lost)
        if kind == "starting":
            worker.place, self._failed_starts = said, 0
            return []
        worker.heard_s = time.monotonic() if kind == "answer" or said else worker.heard_s
        task = worker.task
        if task is None:
            return []
        if kind == "asked":
            return [] if worker.second else [(task, step) for step in said]
        return self._take(worker, task, said)

    def _take(self, worker: _Worker, task: Task, answer: Answer) -> list[tuple[Task, Reply]]:
        told: list[tuple[Task, Reply]] = [] if worker.second else [(task, step) for step in answer.progress]
        if isinstance(answer.reply, str):
            return [*told, *self._bury(worker, answer.reply)]
        others = [w for w in self._workers if w.task == task and w is not worker]
        made, worker.task, worker.made = worker.made, None, None
        if isinstance(answer.reply, VidswapError):
            assert worker.place is not None
            self._failed_on.setdefault(task, set()).add(worker.place.node)
            return told if others else [*told, (task, answer.reply)]
        for other in others:
            other.task = None
            self._bury(other, "was not waited for")
        self._failed_on.pop(task, None)
        if isinstance(task, PartTask):
            self._taken_s.setdefault(task.part, deque(maxlen=99)).append(time.monotonic() - worker.began_s)
            self._remember(task, made, worker.number, answer.made_bytes)
            self._forget_read(task)
        return [*told, (task, answer.reply)]

    def _try_stragglers_twice(self) -> None:
        """Where workers have nothing to do, give them what takes others far longer than usual; who is first counts."""
        now = time.monotonic()
        running = [w.task for w in self._workers if w.task is not None]
        for worker in list(self._workers):
            task = worker.task
            if not isinstance(task, PartTask) or running.count(task) > 1 or not self.idle:
                continue
            usual = self._taken_s.get(task.part)
            if usual and now - worker.began_s > max(STRAGGLES_S, STRAGGLES * statistics.median(usual)):
                running.append(task)
                self._give(task, second=True)

    def _judge_silence(self) -> list[tuple[Task, Reply]]:
        told: list[tuple[Task, Reply]] = []
        for worker in [w for w in self._workers if w.task is not None]:
            how = self._limits.passed(worker.heard_s, worker.began_s)
            if how is not None:
                told += self._bury(worker, f"on {worker.host} {how}")
        return told

    def _bury(self, worker: _Worker, how: str, *, was_lost: bool = True) -> list[tuple[Task, Reply]]:
        """Replace a worker; returns what is to be said of its task."""
        self._workers.remove(worker)
        self._kill(worker)
        self._looked_s = -float("inf")
        if worker.place is None:
            # What is raised while a worker is made would be raised each time; what kills it may not.
            self._failed_starts += 1 if was_lost else STARTS_THAT_FAIL // 3
            if self._failed_starts >= STARTS_THAT_FAIL:
                raise VidswapError(f"no worker starts on the Ray cluster: the worker {how}")
            return []
        if worker.task is None:
            return []
        self._failed_on.setdefault(worker.task, set()).add(worker.place.node)
        if any(w.task == worker.task for w in self._workers):
            return []
        return [(worker.task, WorkerDied(worker.task, how))]

    def _kill(self, worker: _Worker) -> None:
        with contextlib.suppress(Exception):
            ray.kill(worker.actor, no_restart=True)

    def _ask(self) -> None:
        """Ask those who are at work for their progress."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.task is not None and worker.asked is None and now - worker.asked_s >= POLL_S:
                worker.asked_s = now
                worker.asked = worker.actor.poll.remote(self._news(worker))

    def _news(self, worker: _Worker) -> Listing | None:
        """The owners of models, if the worker does not know them yet."""
        if self._owners is None or worker.knows == self._owners.version:
            return None
        worker.knows = self._owners.version
        return self._owners.listing

    def _grow(self) -> None:
        """Start the workers that are lacking: as many as nodes hold, and where nodes may join, some to ask for them."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_AROUND_S:
            return
        self._looked_s = now
        capacity = self._size.capacity()
        if self._size.grows:
            self._leaving = _leaving_nodes()
            capacity += max(1, capacity // 2)
        for _ in range(min(self._size.most, capacity) - len(self._workers)):
            self._start()
        self._fail_without_workers(now)

    def _fail_without_workers(self, now: float) -> None:
        if self.size or self._waited_s == -float("inf"):
            self._waited_s = now
        elif now - self._waited_s > STARTING_S:
            free = ray.available_resources()
            raise VidswapError(
                f"no worker has started for {STARTING_S:g} s: each takes {self._size.cpus:g} CPUs and "
                f"{self._size.memory / 2**20:.0f} MiB, and the cluster has {free.get('CPU', 0.0):g} and "
                f"{free.get('memory', 0.0) / 2**20:.0f} free"
            )

    def _start(self) -> None:
        self._numbers += 1
        actor = _ACTOR.options(
            num_cpus=self._size.cpus,
            num_gpus=self._size.gpus,
            memory=self._size.memory or None,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        ).remote(self._numbers, self._home, [self._reference])
        self._workers.append(_Worker(self._numbers, actor, actor.where.remote()))


_ACTOR = ray.remote(concurrency_groups={"watch": 1})(ClusterWorker)


def _readers(order: WorkOrder, segment: int, context: int) -> Iterable[int]:
    """The segments whose halo holds `segment`, itself included."""
    yield segment
    for step in (-1, 1):
        other = segment + step
        while 0 <= other < len(order.segments) and segment in halo(order.segments, other, context):
            yield other
            other += step


def _leaving_nodes() -> set[str]:
    """Nodes that are being drained: what they do they may finish."""
    try:
        from ray._private import state

        return set(state.state.get_draining_nodes())
    except Exception:
        # Not part of Ray's public interface: without it a node that leaves is one that is lost.
        return set()


def _in_a_line(error: Exception) -> str:
    """What Ray says, without colours: of a failed start the exception, else the first line."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1 if "creation task" in lines[0] else 0][:200]
