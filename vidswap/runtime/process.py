"""A worker in a process of its own, started by the pool. Speaks pickled messages over a socket pair.

Native code that crashes (decoders do, on damaged files) takes this process along and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

POLL_PARENT_S = 0.5
READY = "ready"
OUT_OF_MEMORY = 97
"""Exit code of a worker that ran out of memory."""


def main(descriptor: int, parent: int) -> None:
    """Serve tasks of the process `parent` until it hangs up."""
    # Ctrl-C reaches the whole foreground group; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    serve(Connection(descriptor))


def serve(connection: Any) -> None:
    """Say that this process is up, receive a work order, then run tasks and answer with what comes of them."""
    from .blame import failure
    from .order import Done
    from .report import peak_memory_mb

    try:
        connection.send(READY)
        order = connection.recv()
        from .worker import SegmentWorker

        worker = SegmentWorker(order, report=connection.send, process=os.getpid())
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
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _die_with(parent: int) -> None:
    """End this process at once when the driver is gone, even in the middle of a task."""
    with contextlib.suppress(Exception):
        import ctypes

        # PR_SET_PDEATHSIG of Linux: nothing of a killed run may still be written when the next one has begun.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_PARENT_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
