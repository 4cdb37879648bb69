"""A worker in a process of its own, started by the pool. Speaks pickled messages over a socket pair.

Native code that crashes (decoders do, on damaged files) takes this process along and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

POLL_PARENT_S = 0.5


def main() -> None:
    """Serve tasks until the driver hangs up."""
    # Ctrl-C reaches the whole foreground group; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    connection = Connection(int(sys.argv[1]))
    serve(connection)


def serve(connection: Any) -> None:
    """Receive a work order, then run tasks and answer with what comes of them."""
    from vidswap.graph import StageError, VidswapError

    try:
        order = connection.recv()
        from .worker import SegmentWorker

        worker = SegmentWorker(order, report=connection.send)
        while True:
            task = connection.recv()
            try:
                connection.send(worker.run(task))
            except VidswapError as error:
                connection.send(error)
            except MemoryError:
                raise
            except Exception as error:
                segment = getattr(task, "segment", None)
                told = StageError(
                    f"{type(error).__name__}: {error}", stage="engine", segment=segment, detail=traceback.format_exc()
                )
                connection.send(told)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _die_with(parent: int) -> None:
    """End this process when the driver is gone, even in the middle of a task."""
    while os.getppid() == parent:
        time.sleep(POLL_PARENT_S)
    os._exit(1)
