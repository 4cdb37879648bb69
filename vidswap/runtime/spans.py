"""Spans: small timing records that workers send with what they tell anyway, when their order says so.

Begins are times of the machine's clock, which several machines share as far as their clocks agree; durations are of a
steady one.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Span(NamedTuple):
    """One stretch of work of one stage: when it began (seconds since 1970) and how long it took.

    `what` is "run", "source" (on a source), "setup" (a model is loaded) or "wait" (for somebody else's reply).
    `memory_mb` is what the process had resident at the end, `gpu_mb` the most that it has ever had allocated on its
    GPUs, both in MiB. "served" is what the `owner` of a model has taken, who called it for so many `rows` at a time
    while others, `waiting` ones, had to wait; owners are told as NODE/PROCESS.
    """

    stage: str
    began_s: float
    seconds: float
    what: str = "run"
    memory_mb: float = 0.0
    gpu_mb: float = 0.0
    rows: int = 0
    owner: str = ""
    waiting: int = 0


def span(stage: str, seconds: float, what: str = "run", rows: int = 0, owner: str = "") -> Span:
    """A span that ends now."""
    return Span(stage, time.time() - seconds, seconds, what, resident_mb(), gpu_mb(), rows, owner)


def resident_mb() -> float:
    """What this process has resident now, in MiB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def gpu_mb() -> float:
    """The most that this process has had allocated on its GPUs, in MiB; 0 where torch does not use any."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0.0
    most = (torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))
    return round(sum(most) / 2**20, 1)


class Stopwatch:
    """Takes the time of stages; with `spans`, also each single stretch.

    >>> watch = Stopwatch(spans=True)
    >>> with watch.timed("detect"):
    ...     pass
    >>> seconds, spans = watch.untold()
    >>> (list(seconds), spans[0].what, watch.untold())
    (['detect'], 'run', ({}, ()))
    """

    def __init__(self, *, spans: bool) -> None:
        self.seconds: dict[str, float] = {}
        self.spans: list[Span] | None = [] if spans else None

    def timed(self, stage: str, what: str = "run") -> _Timed:
        """A context manager that takes the time of a stage; only what is "run" goes into its seconds."""
        return _Timed(self, stage, what)

    def add(self, made: Span) -> None:
        """Count what somebody else has taken for a stage."""
        self.seconds[made.stage] = self.seconds.get(made.stage, 0.0) + made.seconds
        if self.spans is not None:
            self.spans.append(made)

    def untold(self) -> tuple[dict[str, float], tuple[Span, ...]]:
        """Seconds by stage, and spans, since they were asked for last."""
        seconds, self.seconds = self.seconds, {}
        spans = tuple(self.spans or ())
        if self.spans is not None:
            self.spans.clear()
        return seconds, spans


class _Timed:
    def __init__(self, watch: Stopwatch, stage: str, what: str) -> None:
        self._watch, self._stage, self._what = watch, stage, what

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        watch, taken = self._watch, time.perf_counter() - self._began
        if self._what == "run":
            watch.seconds[self._stage] = watch.seconds.get(self._stage, 0.0) + taken
        if watch.spans is not None:
            watch.spans.append(span(self._stage, taken, self._what))
