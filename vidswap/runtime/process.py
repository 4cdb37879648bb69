"""A worker in a process of its own, started by the pool. Speaks pickled messages over a socket pair.

Native code that crashes (decoders do, on damaged files) takes this process along and nothing else. The first of a pool
makes the others: it loads what all need and forks, before it has a thread, a model or an open file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .order import WorkOrder

LOADED = "loaded"
POLL_PARENT_S = 0.5
ADOPTION_S = 10.0
OUT_OF_MEMORY = 97
"""Exit code of a worker that ran out of memory."""


@dataclasses.dataclass(frozen=True)
class Ready:
    """Told by a process that is up and listens."""

    pid: int


@dataclasses.dataclass(frozen=True)
class Expect:
    """Told to a process that waits: the name or file of the pipeline that will probably be run."""

    pipeline: str


@dataclasses.dataclass(frozen=True)
class Begin:
    """Told to a process: its work order, where its output goes, and the logs of the copies to make of itself first.

    A socket for each copy follows the message.
    """

    order: WorkOrder
    log: Path
    copies: tuple[Path, ...]


def main(descriptor: int, parent: int) -> None:
    """Serve tasks of the process `parent` until it hangs up."""
    # Ctrl-C reaches the whole foreground group; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    die_by_signal()
    if os.getppid() != parent:
        os._exit(1)
    try:
        serve(Connection(descriptor), parent)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def serve(connection: Any, parent: int) -> None:
    """Say that this process is up, load, make copies, then run tasks and answer with what comes of them."""
    connection.send(Ready(os.getpid()))
    while not isinstance(message := connection.recv(), Begin):
        _expect(message)
    places = [recv_handle(connection) for _ in message.copies]
    _write_to(message.log)
    preload(message.order.pipeline)
    # What is loaded stays: the collector need not look at it again and again, and copies go on sharing its memory.
    gc.freeze()
    gc.enable()
    made = _copied(connection, places, message.copies, parent)
    if made is not None:
        connection = made
    threading.Thread(target=watch, args=(parent,), daemon=True).start()
    connection.send(Ready(os.getpid()) if made is not None else LOADED)
    _work(connection, message.order)


def _work(connection: Any, order: WorkOrder) -> None:
    from .blame import failure
    from .order import Done
    from .report import peak_memory_mb
    from .worker import SegmentWorker

    owners = None
    if order.owner:
        from .owner_process import LocalOwners, owner_log

        owners = LocalOwners(order.owner, owner_log(order))
    worker = SegmentWorker(order, report=connection.send, process=os.getpid(), owners=owners)
    while True:
        task = connection.recv()
        reply: Any
        try:
            reply = worker.run(task)
        except MemoryError:
            raise
        except Exception as error:
            reply = failure(error, task)
        if isinstance(reply, Done):
            reply = dataclasses.replace(reply, memory_mb=peak_memory_mb())
        connection.send(reply)


def preload(pipeline: Any) -> None:
    """Load what a pipeline's stages (plain data of a specification) need, as far as copies of this process share it.

    Never raises: what cannot be loaded says so when it is used.
    """
    with contextlib.suppress(Exception):
        from vidswap.graph import find_operator

        from . import worker  # noqa: F401

        for stage in pipeline["stages"]:
            with contextlib.suppress(Exception):
                find_operator(stage["use"]).preload()
    if "vidswap.compiled" in sys.modules:
        with contextlib.suppress(Exception):
            sys.modules["vidswap.compiled"].load_compiled()


def _expect(message: Any) -> None:
    with contextlib.suppress(Exception):
        from vidswap.graph import find_pipeline
        from vidswap.graph.specification import load_specification

        preload(load_specification(find_pipeline(message.pipeline)).model_dump(mode="json"))


def _copied(connection: Any, places: Sequence[int], logs: Sequence[Path], parent: int) -> Any:
    """Fork a copy of this process for each place; in a copy the connection to the driver, here None.

    A copy is forked by a process in between that ends at once: the orphan falls to the driver.
    """
    # A lock that another thread holds would stay locked for ever in a copy.
    alone = sys.platform == "linux" and sum(1 for _ in Path("/proc/self/task").iterdir()) == 1
    for number, place in enumerate(places if alone else ()):
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            continue
        try:
            own = os.getpid()
            if os.fork():
                os._exit(0)
            connection.close()
            for other in places[number + 1 :]:
                os.close(other)
            for earlier in places[:number]:
                with contextlib.suppress(OSError):
                    os.close(earlier)
            os.setsid()
            _write_to(logs[number])
            limit = time.monotonic() + ADOPTION_S
            while os.getppid() == own and time.monotonic() < limit:
                time.sleep(0.001)
            die_by_signal()
            if os.getppid() != parent:
                os._exit(1)
            return Connection(place)
        except BaseException:
            os._exit(1)
    for place in places:
        os.close(place)
    return None


def _write_to(log: Path) -> None:
    """From now on what this process says goes to that file."""
    with contextlib.suppress(OSError), log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def die_by_signal() -> None:
    """Have the kernel kill this process when the driver is gone."""
    with contextlib.suppress(Exception):
        import ctypes

        # PR_SET_PDEATHSIG of Linux: nothing of a killed run may still be written when the next one has begun.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def watch(parent: int) -> None:
    """End this process when the driver is gone, even in the middle of a task, where no signal tells it."""
    while os.getppid() == parent:
        time.sleep(POLL_PARENT_S)
    os._exit(1)
