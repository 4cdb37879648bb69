"""The command `vidswap`."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from itertools import pairwise

from vidswap import interrupts

from .streams import enduring

__all__ = ["main"]


def main() -> None:
    """Entry point of the command `vidswap`."""
    code: object = 0
    written = None
    try:
        interrupts.install()
        _with_standard_streams()
        sys.stderr, _ = enduring(sys.stderr, 2)
        sys.stdout, written = enduring(sys.stdout, 1)
        with _worker_started_early(sys.argv[1:]):
            # Imported here, so that Ctrl-C while Python still imports is answered in one line too.
            gc.disable()
            from .app import main as run

            gc.freeze()
            gc.enable()
            run()
    except KeyboardInterrupt:
        sys.stderr.write(interrupts.INTERRUPTED)
        sys.exit(130)
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    if written is not None and written.error is not None and not code:
        sys.stderr.write(f"error: standard output cannot be written: {written.error.strerror}\n")
        code = 1
    interrupts.over()
    sys.exit(code)  # type: ignore[arg-type]


def _with_standard_streams() -> None:
    """Open what of descriptors 0 to 2 is closed, for nothing else to be opened there: children have them as theirs."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free is taken.
            os.open(os.devnull, os.O_RDWR)


_RUNS = {"swap": "swap-mesh", "reenact": "reenact-mesh", "run": None, "resume": None, "batch": None}


def _worker_started_early(arguments: list[str]) -> contextlib.AbstractContextManager[None]:
    """A worker that loads while this process reads its options and looks at the video, if the command will run one."""
    command, *rest = arguments or [""]
    without = {"--help", "ray", "-j0", "--workers=0"} & {*rest} or {("-j", "0"), ("--workers", "0")} & {*pairwise(rest)}
    if command not in _RUNS or not rest or without or not sys.platform.startswith("linux"):
        return contextlib.nullcontext()
    from vidswap.runtime.child import started_early

    pipeline = None if "--method" in rest else _RUNS[command]
    if command == "run" and not rest[0].startswith("-"):
        pipeline = rest[0]
    return started_early(pipeline)
