"""A cluster that does not exist: workers and GPU actors that take time by a clock of their own, behind Pool.

The driver, its schedule, journal, scans and retries are the real ones (vidswap.runtime); only what a worker does with a
task is a number of seconds here. A worker streams a segment through the steps of its part in micro-batches, as many
under way at a time as real ones have: steps on its CPU one after another, requests to the actors of a GPU stage, which
serve up to a batch of frames from any workers at once.
"""

from __future__ import annotations

import heapq
import io
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from simulated_machines import Cpu, Gpu, Kill, Machines, Steps

from vidswap.runtime.asking import CHUNKS_AHEAD
from vidswap.runtime.order import Done, PartTask, SourceTask, Task, WorkOrder
from vidswap.runtime.pool import Reply, WorkerDied
from vidswap.runtime.retries import RetryPolicy
from vidswap.runtime.settings import RunSettings

CHUNK_FRAMES = 8
CHUNKS_UNDER_WAY = CHUNKS_AHEAD + 1
DETECTED_AFTER_S = 1.0


def _empty_sidecar() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"frame.frame": np.zeros(0, np.int64)})
    return file.getvalue()


class Clock:
    """Calls things at simulated times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something later."""
        heapq.heappush(self._due, (self.now + seconds, next(self._count), call))

    def step(self) -> bool:
        """Go on to what is due next; False when nothing is."""
        if not self._due:
            return False
        self.now, _, call = heapq.heappop(self._due)
        call()
        return True


class Chunk:
    """Some frames of a task on their way through its steps."""

    def __init__(self, frames: int, slow: float, home: Worker) -> None:
        self.frames, self.slow, self.home = frames, slow, home
        self.at = 0
        self.ready = True
        self.life = home.life


class Worker:
    """One segment worker: a CPU that does one thing at a time."""

    def __init__(self, pool: SimulatedPool, number: int, node: int) -> None:
        self.pool, self.number, self.node = pool, number, node
        self.alive, self.life = True, 0
        self.task: Task | None = None
        self.busy_s = 0.0
        self._working = False
        self._left: deque[int] = deque()
        self._chunks: list[Chunk] = []

    def start(self, task: Task) -> None:
        self.task, self._chunks, self._working = task, [], False
        self.began_s = self.pool.clock.now
        frames = self.pool.frames_of(task)
        self._left = deque(min(CHUNK_FRAMES, frames - at) for at in range(0, frames, CHUNK_FRAMES))
        self.steps = self.pool.steps_of(task)
        self.go_on()

    @property
    def on_wire(self) -> int:
        """Bytes of the requests that wait for their replies."""
        waiting = [(c, self.steps[c.at]) for c in self._chunks if not c.ready]
        return sum(c.frames * step.bytes for c, step in waiting if isinstance(step, Gpu))

    def go_on(self) -> None:
        """With the CPU free: the oldest chunk that can, else a new one, else wait for an actor."""
        if self._working or self.task is None:
            return
        chunk = next((c for c in self._chunks if c.ready), None)
        if chunk is None and self._left and len(self._chunks) < CHUNKS_UNDER_WAY:
            chunk = Chunk(self._left.popleft(), self.pool.slowness(self.task), self)
            self._chunks.append(chunk)
        if chunk is None:
            if not self._chunks and not self._left:
                task, self.task = self.task, None
                self.pool.finished(self, task)
            return
        step = self.steps[chunk.at]
        if isinstance(step, Gpu):
            chunk.ready = False
            self.pool.request(chunk, step)
            self.go_on()
            return
        taken = step.seconds * chunk.frames * chunk.slow * self.pool.machines.slow.get(self.node, 1.0)
        self._working = True
        self.busy_s += taken
        life = self.life
        self.pool.clock.after(taken, lambda: self.stepped(chunk, life))

    def stepped(self, chunk: Chunk, life: int) -> None:
        """A chunk is through a step."""
        if life != self.life:
            return
        if isinstance(self.steps[chunk.at], Cpu):
            self._working = False
        chunk.at, chunk.ready = chunk.at + 1, True
        if chunk.at == len(self.steps):
            self._chunks.remove(chunk)
        self.go_on()

    def lose(self) -> None:
        """The task is gone, with all that was under way."""
        self.life += 1
        task, self.task = self.task, None
        self._chunks, self._left, self._working = [], deque(), False
        if task is not None:
            self.pool.lost_s.setdefault(task, self.pool.clock.now)
            self.pool.clock.after(DETECTED_AFTER_S, lambda: self.pool.lost(task))


class Actor:
    """One actor of a GPU stage: serves what waits, a batch at a time."""

    def __init__(self, pool: SimulatedPool, stage: str, node: int) -> None:
        self.pool, self.stage, self.node = pool, stage, node
        self.alive, self.life, self.busy_s, self.frames = True, 0, 0.0, 0
        self._waiting: deque[tuple[Chunk, Gpu]] = deque()
        self._serving: list[Chunk] = []
        self._timer = False

    @property
    def load(self) -> int:
        return sum(c.frames for c, _ in self._waiting) + sum(c.frames for c in self._serving)

    def take(self, chunk: Chunk, step: Gpu) -> None:
        self._waiting.append((chunk, step))
        self._serve(due=False)

    def _serve(self, *, due: bool) -> None:
        if self._serving or not self._waiting or not self.alive:
            return
        step = self._waiting[0][1]
        if sum(c.frames for c, _ in self._waiting) < step.batch and not due:
            if not self._timer:
                self._timer = True
                life = self.life
                self.pool.clock.after(step.wait_s, lambda: self._wake(life))
            return
        frames = 0
        while self._waiting and frames + self._waiting[0][0].frames <= max(step.batch, CHUNK_FRAMES):
            chunk, _ = self._waiting.popleft()
            self._serving.append(chunk)
            frames += chunk.frames
        slow = self.pool.machines.slow.get(self.node, 1.0)
        taken = slow * (step.per_batch_s + step.seconds * sum(c.frames * c.slow for c in self._serving))
        self.busy_s += taken
        self.frames += frames
        life = self.life
        self.pool.clock.after(taken, lambda: self._reply(step, life))

    def _wake(self, life: int) -> None:
        if life == self.life:
            self._timer = False
            self._serve(due=True)

    def _reply(self, step: Gpu, life: int) -> None:
        if life != self.life:
            return
        served, self._serving = self._serving, []
        for chunk in served:
            self.pool.reply(self, chunk, step)
        # What waits has waited for a whole batch already.
        self._serve(due=True)

    def die(self) -> list[Chunk]:
        """The chunks that go down with it."""
        self.alive, self.life, self._timer = False, self.life + 1, False
        lost = [*self._serving, *(c for c, _ in self._waiting)]
        self._serving, self._waiting = [], deque()
        return lost


class SimulatedPool:
    """The Pool protocol over simulated machines; `steps` are those of each part."""

    def __init__(
        self, order: WorkOrder, machines: Machines, steps: Mapping[int, Steps], kills: Iterable[Kill] = ()
    ) -> None:
        self.order, self.machines, self._steps = order, machines, steps
        self.clock = Clock()
        places = [n for n in range(machines.nodes) for _ in range(machines.workers)]
        self.workers = [Worker(self, i, node) for i, node in enumerate(places)]
        self.actors = [
            Actor(self, stage, node)
            for stage, each in machines.actors.items()
            for node in range(machines.nodes)
            for _ in range(each)
        ]
        for kill in kills:
            self.clock.after(kill.at_s, lambda kill=kill: self._kill(kill))  # type: ignore[misc]
        self._told: list[tuple[Task, Reply]] = []
        self._wake = False
        self._last = max(steps)
        self._begun: set[int] = set()
        self.most_segments = 0
        self.wire_bytes = self.most_wire_bytes = 0
        self.tries: Counter[Task] = Counter()
        self.finished_s: dict[Task, float] = {}
        self.lost_s: dict[Task, float] = {}
        self._nothing = _empty_sidecar()

    @property
    def idle(self) -> bool:
        return any(w.alive and w.task is None for w in self.workers)

    @property
    def seat(self) -> None:
        return None

    @property
    def size(self) -> int:
        return sum(w.alive for w in self.workers)

    def offer(self, task: PartTask, tables: Any) -> None:
        pass

    def submit(self, task: Task) -> None:
        self.tries[task] += 1
        if isinstance(task, PartTask):
            self._begun.add(task.segment)
            self.most_segments = max(self.most_segments, len(self._begun))
        next(w for w in self.workers if w.alive and w.task is None).start(task)

    def replies(self) -> list[tuple[Task, Reply]]:
        while not self._told and not self._wake:
            if not self.clock.step():
                raise RuntimeError("nothing is due, and no task has ended")
        told, self._told, self._wake = self._told, [], False
        return told

    def close(self) -> None:
        pass

    @property
    def recovery_s(self) -> float:
        """The longest time from the loss of a task until it was done after all."""
        return max((self.finished_s[task] - lost_s for task, lost_s in self.lost_s.items()), default=0.0)

    def frames_of(self, task: Task) -> int:
        return self.order.segments[task.segment].frames if isinstance(task, PartTask) else 1

    def steps_of(self, task: Task) -> Steps:
        return self._steps[task.part] if isinstance(task, PartTask) else (Cpu(1.0),)

    def slowness(self, task: Task) -> float:
        return self.machines.slow_segments.get(task.segment, 1.0) if isinstance(task, PartTask) else 1.0

    def request(self, chunk: Chunk, step: Gpu) -> None:
        """To an actor of the worker's own node, unless another has a batch less to do."""
        there = [a for a in self.actors if a.stage == step.stage and a.alive]
        if not there:
            chunk.home.lose()
            return
        least = min(there, key=lambda a: a.load)
        near = min((a for a in there if a.node == chunk.home.node), key=lambda a: a.load, default=least)
        actor = near if near.load <= least.load + step.batch else least
        size = step.bytes * chunk.frames
        self.wire_bytes += size
        self.most_wire_bytes = max(self.most_wire_bytes, sum(w.on_wire for w in self.workers if w.task is not None))
        self.clock.after(self._travel(actor.node, chunk.home.node, size / 2), lambda: self._arrive(actor, chunk, step))

    def _arrive(self, actor: Actor, chunk: Chunk, step: Gpu) -> None:
        if actor.alive:
            actor.take(chunk, step)
        else:
            self._drop([chunk])

    def reply(self, actor: Actor, chunk: Chunk, step: Gpu) -> None:
        size = step.bytes * chunk.frames
        worker, life = chunk.home, chunk.life
        self.clock.after(self._travel(actor.node, worker.node, size / 2), lambda: worker.stepped(chunk, life))

    def _travel(self, one: int, other: int, size: float) -> float:
        return 0.0 if one == other else self.machines.latency_s + size / self.machines.bytes_per_s

    def finished(self, worker: Worker, task: Task) -> None:
        file = self._file(task)
        file.write_bytes(self._nothing)
        self.finished_s[task] = self.clock.now
        frames = self.frames_of(task)
        facts = {"frames": frames, "faces": frames, "frames_with_faces": frames}
        if isinstance(task, PartTask) and task.part == self._last:
            self._begun.discard(task.segment)
        took_s = self.clock.now - worker.began_s
        done = Done(task, file.name, facts, (), worker.number + 1, 100.0, f"node-{worker.node}", worker.began_s, took_s)
        self._told.append((task, done))

    def lost(self, task: Task) -> None:
        self._told.append((task, WorkerDied(task, "was killed")))

    def _file(self, task: Task) -> Path:
        if isinstance(task, SourceTask):
            return self.order.source_sidecar(task.source)
        last = task.part == self._last
        return self.order.encoded(task.segment, ".txt") if last else self.order.sidecar(task.part, task.segment)

    def _kill(self, kill: Kill) -> None:
        workers = [w for w in self.workers if kill == Kill("worker", w.number, kill.at_s, kill.back_s)]
        actors = [a for i, a in enumerate(self.actors) if kill.what == "actor" and i == kill.number]
        if kill.what == "node":
            workers = [w for w in self.workers if w.node == kill.number]
            actors = [a for a in self.actors if a.node == kill.number]
        for worker in workers:
            worker.alive = False
            worker.lose()
        for actor in actors:
            self._drop(actor.die())
        if kill.back_s is not None:
            self.clock.after(kill.back_s, lambda: self._revive([*workers, *actors]))

    def _drop(self, chunks: list[Chunk]) -> None:
        """The tasks of chunks that were lost on the way are lost, the dearest way that this may go."""
        for worker in {c.home for c in chunks if c.life == c.home.life}:
            worker.lose()

    def _revive(self, found: list[Any]) -> None:
        for one in found:
            one.alive = True
        self._wake = True


class SimulatedExecutor:
    """The Executor protocol, with a pool that somebody makes."""

    drain_s = 0.0

    def __init__(self, settings: RunSettings, make: Callable[[WorkOrder], SimulatedPool]) -> None:
        self._settings, self._make = settings, make
        self.retry = RetryPolicy(settings.tries)

    def check(self, pipeline: Any, needs: Any) -> list[str]:
        return []

    def workers(self, tasks: int) -> int:
        return self._settings.worker_count(tasks)

    def threads(self, workers: int) -> int:
        return 1

    def owners_lost(self) -> list[str]:
        """None: actors that die take their rows elsewhere."""
        return []

    def listener(self, run: str) -> None:
        return None

    def pool(self, order: WorkOrder, workers: int) -> SimulatedPool:
        return self._make(order)

    def close(self) -> None:
        pass
