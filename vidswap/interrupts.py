"""Ctrl-C while Python imports: compiled modules and callbacks of the import machinery swallow a KeyboardInterrupt."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

_IMPORTING = "<frozen importlib._bootstrap"
INTERRUPTED = "error: interrupted\n"


def stop(number: int, frame: FrameType | None) -> None:
    """A handler of SIGINT: raises KeyboardInterrupt, and where a module is being imported ends the process at once.

    Nothing that would have to be cleaned up is made by an import; workers die with their parent.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            with contextlib.suppress(OSError):
                os.write(2, INTERRUPTED.encode())
            os._exit(128 + number)
        frame = frame.f_back
    raise KeyboardInterrupt


USUAL = (signal.SIG_DFL, signal.default_int_handler, stop)
"""Handlers that nobody set on purpose: what a run may put its own in the place of."""


def install() -> None:
    """Let `stop` handle SIGINT where Python's own handler does; elsewhere (ignored, not the main thread) do nothing."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, stop)


def over() -> None:
    """Ignore SIGINT where `stop` handled it: the work is done, and Python puts its handlers away as it ends."""
    if signal.getsignal(signal.SIGINT) is stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
