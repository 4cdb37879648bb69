"""Pools of segment workers behind one small interface: processes, or this very process."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from vidswap.graph import VidswapError
from vidswap.storage.fetching import kept_folder

from .blame import failure
from .child import Child, adopt_orphans, first_child
from .order import Done, PartTask, Progress, Task, WorkOrder
from .process import LOADED, OUT_OF_MEMORY, Ready
from .store import Tables
from .worker import SegmentWorker

Reply = Done | Progress | VidswapError


class WorkerDied(VidswapError):
    """A worker process ended without an answer; carries the task that it held, and the file with its output if any."""

    def __init__(self, task: Task, how: str, log: Path | None = None) -> None:
        self.task, self.how, self.log = task, how, log
        super().__init__(f"the worker for {task} {how}" + (f"; its output is in {log}" if log else ""))


@dataclass(frozen=True)
class Limits:
    """How long a worker may be silent, and how long a task may take in all, in seconds; 0 is without a limit."""

    silence_s: float
    task_s: float

    @classmethod
    def of(cls, order: WorkOrder) -> Limits:
        """Those of a work order."""
        return cls(order.stall_timeout_s, order.segment_timeout_s)

    def end_s(self, heard_s: float, began_s: float) -> float:
        """When the first limit is passed by a task begun and a worker last heard then, on the monotonic clock."""
        return min(
            heard_s + self.silence_s if self.silence_s else math.inf, began_s + self.task_s if self.task_s else math.inf
        )

    def passed(self, heard_s: float, began_s: float) -> str | None:
        """Which limit is passed, in words that follow `the worker`; None while none is."""
        now = time.monotonic()
        if self.silence_s and now - heard_s >= self.silence_s:
            return f"made no progress for {self.silence_s:g} s (--stall-timeout)"
        if self.task_s and now - began_s >= self.task_s:
            return f"was not done after {self.task_s:g} s (--segment-timeout)"
        return None


class Pool(Protocol):
    """Takes tasks, gives replies. `submit` only while `idle` says so; `close` at the end, at any moment."""

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        ...

    @property
    def size(self) -> int:
        """Workers that there are, or may be."""
        ...

    @property
    def seat(self) -> int | None:
        """The number of the worker that would take the next task; None where that is decided by the task."""
        ...

    def submit(self, task: Task) -> None:
        """Start a task."""
        ...

    def offer(self, task: PartTask, tables: Tables) -> None:
        """What the driver itself has made and stored, for pools that hand tables on."""
        ...

    def replies(self) -> list[tuple[Task, Reply]]:
        """Wait for replies, each with the task that it is about, or for a worker; may return none."""
        ...

    def close(self) -> None:
        """Stop all work at once and free what was taken."""
        ...


class InlinePool:
    """Runs every task in this process, when its replies are asked for."""

    def __init__(self, order: WorkOrder) -> None:
        self._progress: deque[Progress] = deque()
        self._worker = SegmentWorker(order, report=self._progress.append)
        self._tasks: deque[Task] = deque()

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        return not self._tasks

    @property
    def size(self) -> int:
        """One: this process."""
        return 1

    @property
    def seat(self) -> int:
        """There is but one worker."""
        return 0

    def offer(self, task: PartTask, tables: Tables) -> None:
        """Workers read what is stored."""

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def replies(self) -> list[tuple[Task, Reply]]:
        """Run the task that waits; its progress comes with its result."""
        task = self._tasks.popleft()
        result: Reply
        try:
            result = self._worker.run(task)
        except Exception as error:
            result = failure(error, task)
        told: list[tuple[Task, Reply]] = [(task, p) for p in self._progress]
        self._progress.clear()
        return [*told, (task, result)]

    def close(self) -> None:
        """Tear down the worker."""
        self._worker.close()


class ProcessPool:
    """Segment workers in processes of their own.

    A process that dies is replaced and its task comes back as WorkerDied; but where memory was short, or may have been,
    the pool goes on with one process fewer, down to one. One that passes a limit of the order (native code can wait
    for itself for ever) is killed and counts as dead. On Linux the first process loads what all need and makes the
    others as copies of itself.
    """

    def __init__(self, order: WorkOrder, workers: int) -> None:
        self._order = order
        self._workers = workers
        self._started = self._numbered = 0
        self._processes: list[Child] = []
        self._copies: list[Child] = []
        self._adopts = workers > 1 and adopt_orphans(True)

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        return len(self._processes) < self._workers or any(p.task is None for p in self._processes)

    @property
    def size(self) -> int:
        """Processes that may run at a time."""
        return self._workers

    @property
    def seat(self) -> int:
        """Processes count from 0 as they are started."""
        return next((p.number for p in self._processes if p.task is None), self._numbered)

    def offer(self, task: PartTask, tables: Tables) -> None:
        """Workers read what is stored."""

    def submit(self, task: Task) -> None:
        """Hand a task to an idle process; processes start as they are needed."""
        for process in [p for p in self._processes if p.task is None and p.popen.poll() is not None]:
            self._processes.remove(process)
            process.end()
        process = next((p for p in self._processes if p.task is None), None) or self._start()
        process.give(task)

    def _start(self) -> Child:
        if self._copies:
            process = self._copies.pop(0)
        elif self._started:
            process = Child.start(self._next_log())
        else:
            process = first_child(self._next_log())
            if self._adopts:
                self._copies = [process.copy(self._next_log()) for _ in range(1, self._workers)]
        process.order, process.number = self._order, self._numbered
        self._numbered += 1
        self._processes.append(process)
        return process

    def _next_log(self) -> Path:
        self._started += 1
        return kept_folder(self._order.folder) / f"worker-{self._started - 1}.log"

    def replies(self) -> list[tuple[Task, Reply]]:
        """Wait for any process; what it said may be of no concern, and the list empty."""
        busy = [p for p in self._processes if p.task is not None]
        limits = Limits.of(self._order)
        patience = max(0.0, min(limits.end_s(*p.since) for p in busy) - time.monotonic())
        ready = set(wait([p.connection for p in busy], None if patience == math.inf else patience))
        told: list[tuple[Task, Reply]] = []
        for process in list(busy):
            # Only when nobody has anything to say is silence judged: this process itself may have been stopped for a
            # while.
            heard_s, began_s = process.since
            how = limits.passed(time.monotonic() if ready else heard_s, began_s)
            if how is not None:
                assert process.task is not None
                told.append((process.task, self._kill(process, process.task, how)))
                busy.remove(process)
        for process in [p for p in busy if p.connection in ready]:
            assert process.task is not None
            process.heard_s = time.monotonic()
            try:
                message = process.connection.recv()
            except (EOFError, OSError):
                if process.is_unborn:
                    self._replace(process, process.task)
                else:
                    told.append((process.task, self._bury(process, process.task)))
                continue
            if isinstance(message, Ready):
                process.begin(message.pid)
                continue
            if message == LOADED:
                process.loaded = True
                continue
            told.append((process.task, message))
            if not isinstance(message, Progress):
                process.task = None
        return told

    def _replace(self, unborn: Child, task: Task) -> None:
        """The first process could not be copied, or is gone: a process of its own takes the place."""
        self._processes.remove(unborn)
        unborn.end()
        self._start().give(task)

    def _kill(self, process: Child, task: Task, how: str) -> WorkerDied:
        self._processes.remove(process)
        process.popen.kill()
        process.end()
        return WorkerDied(task, how, process.log)

    def _bury(self, process: Child, task: Task) -> WorkerDied:
        self._processes.remove(process)
        code = process.end()
        if code in (-signal.SIGKILL, OUT_OF_MEMORY):
            self._workers = max(1, self._workers - 1)
        return WorkerDied(task, how_it_died(code), process.log)

    def close(self) -> None:
        """Kill all processes; files that they were writing are temporary ones."""
        for process in self._processes:
            process.popen.kill()
        for process in [*self._processes, *self._copies]:
            process.end()
        self._processes.clear()
        self._copies.clear()
        if self._adopts:
            adopt_orphans(False)


def make_pool(order: WorkOrder, workers: int) -> Pool:
    """A pool of that many processes, or an in-process one for 0."""
    return ProcessPool(order, workers) if workers else InlinePool(order)


def how_it_died(code: int) -> str:
    """An exit code of a process, in words that follow its name."""
    if code == OUT_OF_MEMORY:
        return "ran out of memory (give fewer --workers)"
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL (as systems short of memory do; give fewer --workers)"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
