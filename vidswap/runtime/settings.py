"""RunSettings: how a pipeline is run and on which part of the video, as opposed to what it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """Settings of a run, from the command line, a profile or Python.

    Attributes:
        executor: where it runs.
        workers: segment workers; 0 runs everything in this process; None takes one per core.
        segment_frames: frames per segment; None cuts at keyframes, 48 to 240 frames.
        stall_timeout_s: a worker process that tells of no progress for so many seconds is killed, and its task tried
            again; 0 waits for ever. A stage that takes longer for a few frames needs more.
        job: the job folder; None puts it beside the output and removes it after success.
        overwrite: replace an output that exists.
        fresh: forget what an interrupted run of the same job has done.
        again: where the job folder is that of a run that differs, start anew, but from the analysis that is there.
        strict: treat warnings as errors.
        start, end: times between which the video is worked on and written, as the decoder understands them.
        source_face: which face of a source with several: largest, left, right, or an index from the left, from 0.
        trace: a timeline of the run to write, in Chrome's trace format: a .json or .json.gz.
        report: a page about the run to write: a .html.
        device: of learned stages: "cpu", "cuda:0" or the like, or "auto": CUDA where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=0, le=1024)
    segment_frames: int | None = Field(default=None, ge=5)
    stall_timeout_s: float = Field(default=600.0, ge=0)
    job: Path | None = None
    overwrite: bool = False
    fresh: bool = False
    again: bool = False
    strict: bool = False
    start: str | None = None
    end: str | None = None
    source_face: str | None = None
    trace: Path | None = None
    report: Path | None = None
    device: str = "auto"

    def worker_count(self, tasks: int) -> int:
        """Workers to start for that many tasks."""
        if self.workers is not None:
            return min(self.workers, max(tasks, 1))
        return max(1, min(available_cores(), tasks))


def available_cores() -> int:
    """Cores that this process may use (its affinity, not the machine's count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
