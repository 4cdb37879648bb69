"""The driver's side of worker processes: how one is started, spoken to and ended. Imports little: it begins early.

Loading Python's packages, mediapipe and compiled loops takes a worker more than a second of processor time. So the
first worker of a pool loads them and then, on Linux, forks the others; and a command that knows that it will run
something starts that first worker before it has looked at its own options. Copies are forked twice: as orphans they
fall to the driver, which waits for them and with which they die, as with those that it has started itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .process import Begin, Expect

if TYPE_CHECKING:
    from .order import Task, WorkOrder

ENDING_S = 10.0
POLL_S = 0.01
# Loops over pixels may have to be compiled, once on a machine.
LOADING_S = 600.0
_SET_CHILD_SUBREAPER = 36

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


class _Handle(Protocol):
    """What of subprocess.Popen is used."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class _Orphan:
    """A copy of another worker, of which this process has become the parent. Its pid is known when it is up."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and self.pid is not None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it: a caller of this library who waits for all children.
                pid, status = self.pid, signal.SIGKILL
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self) -> None:
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self.pid is None:
            return 0
        limit = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if limit is not None and time.monotonic() > limit:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
            time.sleep(POLL_S)
        assert self._code is not None
        return self._code


class Child:
    """A worker process, or one that the first worker is about to make of itself (`place` is then its connection)."""

    def __init__(self, log: Path, connection: Any, popen: _Handle, place: socket.socket | None = None) -> None:
        self.log, self.connection, self.popen = log, connection, popen
        self._place = place
        self._copies: list[Child] = []
        self.order: WorkOrder | None = None
        self.number = 0
        self.ready = False
        self.loaded = isinstance(popen, _Orphan)
        self.task: Task | None = None
        self.heard_s = self.began_s = time.monotonic()

    @classmethod
    def start(cls, log: Path) -> Child:
        """A new process, which writes what it has to say into the log."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            told = [str(theirs.fileno()), json.dumps(sys.path), str(os.getpid())]
            with log.open("ab") as file:
                popen = subprocess.Popen(
                    [sys.executable, "-c", START, *told],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    env={**os.environ, **worker_environment()},
                    start_new_session=True,
                )
            return cls(log, Connection(ours.detach()), popen)

    def copy(self, log: Path) -> Child:
        """A copy of this process, made when it begins; its connection is closed where that cannot be."""
        ours, theirs = socket.socketpair()
        made = Child(log, Connection(ours.detach()), _Orphan(), theirs)
        self._copies.append(made)
        return made

    @property
    def is_unborn(self) -> bool:
        """Whether this is a copy that has not come up."""
        return isinstance(self.popen, _Orphan) and not self.ready

    @property
    def since(self) -> tuple[float, float]:
        """When it was last heard and when its task began, on the monotonic clock; while it loads, later than that."""
        grace_s = 0.0 if self.loaded else LOADING_S
        return self.heard_s + grace_s, self.began_s + grace_s

    def give(self, task: Task) -> None:
        """Hand over a task; a process that is not yet up gets it when it is."""
        self.task = task
        self.heard_s = self.began_s = time.monotonic()
        if self.ready:
            self._send(task)

    def begin(self, pid: int) -> None:
        """The process is up and listens: only now does it get what may be too large for a pipe that nobody reads."""
        self.ready = True
        if isinstance(self.popen, _Orphan):
            self.popen.pid = pid
            self._send(self.task)
            return
        assert self.order is not None
        self._send(Begin(self.order, self.log, tuple(c.log for c in self._copies)))
        with contextlib.suppress(OSError):
            for copy in self._copies:
                assert copy._place is not None
                send_handle(self.connection, copy._place.fileno(), pid)
        self._let_go()
        self._send(self.task)

    def expect(self, pipeline: str) -> None:
        """Tell a process that has yet to begin which pipeline will probably be run."""
        self._send(Expect(pipeline))

    def _send(self, message: object) -> None:
        # A process that has died is found when its answer is waited for; its task is then reported as lost.
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def _let_go(self) -> None:
        for copy in self._copies:
            if copy._place is not None:
                copy._place.close()
        self._copies.clear()

    def end(self) -> int:
        """Wait until it has ended, and see to it that it does; returns the exit code."""
        self._let_go()
        self.connection.close()
        try:
            return self.popen.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


def adopt_orphans(wanted: bool) -> bool:
    """Have the kernel make this process the parent of orphans among its descendants, or no longer; whether it does."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(Exception):
        return ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0 and wanted
    return False


_early: list[Child] = []


@contextlib.contextmanager
def started_early(pipeline: str | None) -> Iterator[None]:
    """While this lasts, a first worker loads what a pipeline needs (or what any needs), for the first pool to take."""
    child = Child.start(Path(os.devnull))
    _early.append(child)
    if pipeline is not None:
        child.expect(pipeline)
    try:
        yield
    finally:
        if child in _early:
            _early.remove(child)
            child.popen.kill()
            child.end()


def first_child(log: Path) -> Child:
    """The process that was started early, if there is one that lives, or a new one."""
    while _early:
        child = _early.pop()
        if child.popen.poll() is None:
            child.log = log
            child.heard_s = time.monotonic()
            return child
        child.end()
    return Child.start(log)


def worker_environment() -> dict[str, str]:
    """Variables of the environment that a worker's process shall have."""
    # Workers already fill the cores; libraries that start a thread per core in each would only fight.
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")
    # By its defaults glibc gives blocks back at once, and the kernel clears them anew for the next frame.
    kept = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
    kept = {name: os.environ.get(name, value) for name, value in kept.items()}
    return {**kept, **alone, "GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}
