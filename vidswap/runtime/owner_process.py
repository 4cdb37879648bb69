"""On one machine: a process that owns the models of served stages, and the line on which workers ask it.

Workers come and go; each has a line of its own to the socket at the order's `owner`. When the owner dies it is started
again, and what was asked is asked again, a few times.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from vidswap.graph import StageError, VidswapError
from vidswap.storage.fetching import kept_folder

from .asking import Question, Served
from .child import START, worker_environment
from .order import WorkOrder
from .pool import how_it_died
from .process import die_by_signal, watch

TRIES = 3
REACH_S = 120.0
LONGEST_PAUSE_S = 10.0
ENDING_S = 10.0


class OwnerProcess:
    """Starts the owner for a work order, and starts it again when it dies, until closed.

    `order` names its address; `ends` says how those that died have ended.
    """

    def __init__(self, order: WorkOrder, served: tuple[str, ...]) -> None:
        # The length of a socket's path is limited; the job folder's is not.
        self._folder = tempfile.mkdtemp(prefix="vidswap-owner-")
        self.order = replace(order, served=served, owner=str(Path(self._folder) / "owner"))
        self.ends: list[str] = []
        self._over = threading.Event()
        self._popen: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name="owner-process", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Kill the process, and wait for its end."""
        self._over.set()
        if self._popen is not None:
            self._popen.kill()
        self._thread.join(ENDING_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _supervise(self) -> None:
        pause_s = 0.2
        while not self._over.wait(pause_s if self._popen is not None else 0.0):
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                self._popen = _start(theirs.fileno(), owner_log(self.order))
                theirs.close()
                with contextlib.suppress(OSError), Connection(ours.detach()) as line:
                    line.send(replace(self.order, served=(), threads=self._threads()))
                    if self._over.is_set():
                        self._popen.kill()
                    code = self._popen.wait()
                    if not self._over.is_set():
                        self.ends.append(how_it_died(code))
        if self._popen is not None:
            self._popen.wait()

    def _threads(self) -> int:
        return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def owner_log(order: WorkOrder) -> Path:
    """The file on this machine to which the owner of an order's models writes what it has to say."""
    return kept_folder(order.folder) / "owner.log"


def _start(descriptor: int, log: Path) -> subprocess.Popen[bytes]:
    told = [str(descriptor), json.dumps(sys.path), str(os.getpid())]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-c", START.replace("runtime.process", "runtime.owner_process"), *told],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **worker_environment()},
            start_new_session=True,
        )


def main(descriptor: int, parent: int) -> None:
    """Own the models of the order that the process `parent` sends, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_by_signal()
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    order: WorkOrder = Connection(descriptor).recv()
    from .serving import ModelOwner

    owner = ModelOwner(order)
    Path(order.owner).unlink(missing_ok=True)
    with Listener(order.owner, "AF_UNIX", backlog=64) as listener:
        while True:
            line = listener.accept()
            threading.Thread(target=_attend, args=(line, owner), daemon=True).start()


def _attend(line: Any, owner: Any) -> None:
    """Answer what comes on one line, in whatever order it is done."""
    done: queue.SimpleQueue[tuple[int, Future[Served]] | None] = queue.SimpleQueue()
    # A worker that was stopped takes nothing from its line: who calls the models for all must not wait for it.
    threading.Thread(target=_send, args=(line, done), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, question = line.recv()
            owner.ask(question).add_done_callback(lambda answer, number=number: done.put((number, answer)))
    done.put(None)


def _send(line: Any, done: queue.SimpleQueue[tuple[int, Future[Served]] | None]) -> None:
    # A worker that has died needs no answer.
    with contextlib.suppress(OSError):
        while (next_one := done.get()) is not None:
            number, answer = next_one
            error = answer.exception()
            line.send((number, error if error is not None else answer.result()))


class OwnerLost(VidswapError):
    """The line to the owner was cut before the answer came."""


class _Line:
    """One connection to the owner: answers are taken by a thread, and given to whom they are for."""

    def __init__(self, address: str) -> None:
        self._connection: Any = _connected(address)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._open: dict[int, Future[Served]] = {}
        self.cut = False
        threading.Thread(target=self._receive, name="owner-line", daemon=True).start()

    def ask(self, question: Question) -> Future[Served]:
        answer: Future[Served] = Future()
        with self._lock:
            number = next(self._numbers)
            self._open[number] = answer
            if self.cut:
                del self._open[number]
                answer.set_exception(OwnerLost("the line is cut"))
                return answer
            with contextlib.suppress(OSError):
                self._connection.send((number, question))
        return answer

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, said = self._connection.recv()
                with self._lock:
                    answer = self._open.pop(number)
                if isinstance(said, BaseException):
                    answer.set_exception(said)
                else:
                    answer.set_result(said)
        with self._lock:
            self.cut = True
            left, self._open = list(self._open.values()), {}
        for answer in left:
            answer.set_exception(OwnerLost("the line is cut"))


def _connected(address: str) -> Any:
    """A connection to the owner, which may still be starting. Raises OwnerLost where none comes up."""
    until = time.monotonic() + REACH_S
    while True:
        try:
            return Client(address, "AF_UNIX")
        except OSError as error:
            if time.monotonic() > until:
                raise OwnerLost(f"nobody listens at {address}: {error}") from error
            time.sleep(0.05)


class LocalOwners:
    """A worker's way to the owner on its machine."""

    def __init__(self, address: str, log: Path) -> None:
        self._address, self._log = address, log
        self._line: _Line | None = None

    def ask(self, question: Question) -> _Asked:
        """Send a question. Raises StageError where no owner can be reached."""
        try:
            return _Asked(self, question, self.send(question))
        except OwnerLost as error:
            raise self.lost(question.stage) from error

    def send(self, question: Question) -> Future[Served]:
        """Send a question, on a new line where the old one is cut. Raises OwnerLost."""
        if self._line is None or self._line.cut:
            self._line = _Line(self._address)
        return self._line.ask(question)

    def lost(self, stage: str) -> StageError:
        """What is told when the owner does not live long enough."""
        return StageError(
            f"the process that owns its model does not stay alive; its output is in {self._log}", stage=stage
        )


class _Asked:
    def __init__(self, owners: LocalOwners, question: Question, answer: Future[Served]) -> None:
        self._owners, self._question, self._answer = owners, question, answer

    def result(self) -> Served:
        for left in reversed(range(TRIES)):
            try:
                return self._answer.result()
            except OwnerLost as error:
                if not left:
                    raise self._owners.lost(self._question.stage) from error
                try:
                    self._answer = self._owners.send(self._question)
                except OwnerLost as unreached:
                    raise self._owners.lost(self._question.stage) from unreached
        raise AssertionError("unreachable")
