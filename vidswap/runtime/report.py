"""What a run tells: events while it goes, a report at the end."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidswap.graph.ends import Video

from .order import Done, Progress, Task


@dataclass(frozen=True)
class Started:
    """Told once before any work: the video, the cut, stage names in order, and what an earlier run has done.

    `resumed` counts finished segments, `done` frames by part.
    """

    video: Video
    segments: int
    stages: tuple[str, ...]
    resumed: int
    done: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """Told when a task is handed to the executor, at `at_s` (seconds since 1970)."""

    task: Task
    at_s: float


@dataclass(frozen=True)
class Lost:
    """Told when a task has failed: it starts again from the beginning, or its segment is given up."""

    task: Task
    reason: str = ""


@dataclass
class Report:
    """What came of a run: paths, counts, seconds by stage (summed over workers), warnings in order of appearance.

    `copied` are stretches of frames [start, stop) whose packets are the input's own, `frames_copied` their number;
    `not_copied` says why there can be none. `retries` lists tasks that failed and were tried again, `skipped` the
    segments that failed every time and are as they came in (index, start, stop, reason). `owners_lost` are owners of
    models that had to be replaced, and why: what they had been asked was asked again.

    `peak_memory_mb` is in MiB: of the driver, of the largest worker, and the sum of the driver and all workers.
    """

    pipeline: str
    target: str
    output: str
    frames: int = 0
    frames_with_faces: int = 0
    faces: int = 0
    segments: int = 0
    segments_resumed: int = 0
    frames_resumed: int = 0
    frames_copied: int = 0
    copied: list[tuple[int, int]] = field(default_factory=list)
    not_copied: str | None = None
    wall_s: float = 0.0
    stage_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    retries: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    owners_lost: list[str] = field(default_factory=list)
    job: str | None = None

    @property
    def frames_per_s(self) -> float:
        """Frames made by this run, without those of an interrupted one, per second of wall time."""
        return (self.frames - self.frames_resumed) / self.wall_s if self.wall_s else 0.0


Event = Started | Given | Progress | Done | Lost
Listener = Callable[[Event], None]


def peak_memory_mb() -> float:
    """The most memory that this process has had resident, in MiB."""
    try:
        # getrusage counts, for a process started from a large one, the memory of that one too; Linux knows better.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def told_memory(workers: list[float]) -> dict[str, float]:
    """The report's `peak_memory_mb`, from the peaks of the workers that ran at a time."""
    driver = peak_memory_mb()
    return {"driver": driver, "worker": max(workers, default=0.0), "all": round(driver + sum(workers), 1)}
