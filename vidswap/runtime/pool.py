"""Pools of segment workers behind one small interface: processes, or this very process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from vidswap.graph import VidswapError

from .blame import failure
from .order import Done, Progress, Task, WorkOrder
from .process import OUT_OF_MEMORY, READY
from .worker import SegmentWorker

Reply = Done | Progress | VidswapError
ENDING_S = 10.0

# The package comes from where the driver has it: the working folder may hold a checkout of another vidswap, which `-m`,
# or an editable install's late import hook, would prefer.
START = """
import json, os, sys
path = json.loads(sys.argv[2])
sys.path[:] = [p for p in path if p not in ("", os.getcwd())]
try:
    import vidswap
except ImportError:
    pass
sys.path[:] = path
from vidswap.runtime.process import main
main(descriptor=int(sys.argv[1]), parent=int(sys.argv[3]))
"""


class WorkerDied(VidswapError):
    """A worker process ended without an answer; carries the task that it held."""

    def __init__(self, task: Task, how: str, log: Path) -> None:
        self.task, self.how, self.log = task, how, log
        super().__init__(f"the worker for {task} {how}; its output is in {log}")


class Pool(Protocol):
    """Takes tasks, gives replies. `submit` only while `idle` says so; `close` at the end, at any moment."""

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Start a task."""
        ...

    def replies(self) -> list[tuple[Task, Reply]]:
        """Wait for at least one reply; each with the task that it is about."""
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


class _Process:
    def __init__(self, number: int, order: WorkOrder) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.log = order.folder / f"worker-{number}.log"
            told = [str(theirs.fileno()), json.dumps(sys.path), str(os.getpid())]
            with self.log.open("ab") as log:
                self.popen = subprocess.Popen(
                    [sys.executable, "-c", START, *told],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    start_new_session=True,
                )
            self.connection: Any = Connection(ours.detach())
        self.order = order
        self.ready = False
        self.task: Task | None = None
        self.heard_s = time.monotonic()

    def give(self, task: Task) -> None:
        self.task = task
        self.heard_s = time.monotonic()
        if self.ready:
            self._send(task)

    def begin(self) -> None:
        """The process is up and listens: only now does it get what may be too large for a pipe that nobody reads."""
        self.ready = True
        self._send(self.order, self.task)

    def _send(self, *messages: object) -> None:
        # A process that has died is found when its answer is waited for; its task is then reported as lost.
        with contextlib.suppress(OSError):
            for message in messages:
                self.connection.send(message)

    def end(self) -> int:
        """Wait until it has ended, and see to it that it does; returns the exit code."""
        self.connection.close()
        try:
            return self.popen.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class ProcessPool:
    """Segment workers in processes of their own.

    A process that dies is replaced and its task comes back as WorkerDied; but where memory was short, or may have been,
    the pool goes on with one process fewer, down to one. One that says nothing for the order's `stall_timeout_s`
    (native code can wait for itself for ever) is killed and counts as dead.
    """

    def __init__(self, order: WorkOrder, workers: int) -> None:
        self._order = order
        self._workers = workers
        self._started = 0
        self._processes: list[_Process] = []

    @property
    def idle(self) -> bool:
        """Whether another task may be submitted now."""
        return len(self._processes) < self._workers or any(p.task is None for p in self._processes)

    def submit(self, task: Task) -> None:
        """Hand a task to an idle process; processes start as they are needed."""
        for process in [p for p in self._processes if p.task is None and p.popen.poll() is not None]:
            self._processes.remove(process)
            process.end()
        process = next((p for p in self._processes if p.task is None), None) or self._start()
        process.give(task)

    def _start(self) -> _Process:
        process = _Process(self._started, self._order)
        self._started += 1
        self._processes.append(process)
        return process

    def replies(self) -> list[tuple[Task, Reply]]:
        """Wait for any process; what it said may be of no concern, and the list empty."""
        busy = [p for p in self._processes if p.task is not None]
        limit = self._order.stall_timeout_s
        patience = max(0.0, min(p.heard_s for p in busy) + limit - time.monotonic()) if limit else None
        ready = set(wait([p.connection for p in busy], patience))
        told: list[tuple[Task, Reply]] = []
        # Only when nobody has anything to say is silence judged: this process itself may have been stopped for a while.
        for process in [] if ready or not limit else [p for p in busy if time.monotonic() - p.heard_s >= limit]:
            assert process.task is not None
            told.append((process.task, self._give_up(process, process.task, limit)))
        for process in [p for p in busy if p.connection in ready]:
            assert process.task is not None
            process.heard_s = time.monotonic()
            try:
                message = process.connection.recv()
            except (EOFError, OSError):
                told.append((process.task, self._bury(process, process.task)))
                continue
            if message == READY:
                process.begin()
                continue
            told.append((process.task, message))
            if not isinstance(message, Progress):
                process.task = None
        return told

    def _give_up(self, process: _Process, task: Task, limit_s: float) -> WorkerDied:
        self._processes.remove(process)
        process.popen.kill()
        process.end()
        return WorkerDied(task, f"made no progress for {limit_s:g} s (--stall-timeout)", process.log)

    def _bury(self, process: _Process, task: Task) -> WorkerDied:
        self._processes.remove(process)
        code = process.end()
        if code in (-signal.SIGKILL, OUT_OF_MEMORY):
            self._workers = max(1, self._workers - 1)
        return WorkerDied(task, _how_it_died(code), process.log)

    def close(self) -> None:
        """Kill all processes; files that they were writing are temporary ones."""
        for process in self._processes:
            process.popen.kill()
        for process in self._processes:
            process.end()
        self._processes.clear()


def make_pool(order: WorkOrder, workers: int) -> Pool:
    """A pool of that many processes, or an in-process one for 0."""
    return ProcessPool(order, workers) if workers else InlinePool(order)


MakePool = Callable[[WorkOrder, int], Pool]


def _environment() -> dict[str, str]:
    # Workers already fill the cores; libraries that start a thread per core in each would only fight.
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")
    # By its defaults glibc gives blocks back at once, and the kernel clears them anew for the next frame.
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}
    return {**kept, **os.environ, **alone, "GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}


def _how_it_died(code: int) -> str:
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
