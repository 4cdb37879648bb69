"""RunSettings: how a pipeline is run and on which part of the video, as opposed to what it does."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from vidswap.graph import InputError
from vidswap.graph.specification import explain
from vidswap.storage import place

Place = Annotated[Path, BeforeValidator(place)]


class RunSettings(BaseModel):
    """Settings of a run, from the command line, a profile or Python.

    Attributes:
        executor: where it runs: local or ray. A profile may give a mapping, `{kind: ray, address: ...}`, with the names
            below that begin with `ray_`, less that.
        ray_address: of the Ray cluster, "auto" or HOST:PORT; None takes $RAY_ADDRESS, or starts Ray on this machine.
        ray_worker_cpus: CPU cores that a segment worker takes on Ray.
        ray_worker_memory_mb: memory that is set aside for one, in MiB: no node gets more workers than its memory holds.
            None takes what swap-mesh needs for pictures of that size; 0 sets nothing aside.
        workers: segment workers; 0 runs everything in this process; None takes one per core.
        segment_frames: frames per segment; None cuts at keyframes, 48 to 240 frames.
        owners: copies of the model of each stage that is served to all workers (on one machine never more than one);
            0 lets every worker have its own; None takes 0 without a GPU, else one, on Ray as many as the GPUs hold.
        stall_timeout_s: a worker process that tells of no progress for so many seconds is killed, and its task tried
            again; 0 waits for ever. A stage that takes longer for a few frames needs more.
        segment_timeout_s: so long a part of a segment may take in all before the same happens; 0 is without a limit.
        tries: how often a task whose worker died is tried; on Ray one that failed in any way.
        on_error: what becomes of a segment that fails every time: `stop` ends the run, `skip-copy` goes on and leaves
            the segment as it came in.
        drain_s: after SIGTERM what runs may be finished for so many seconds; None takes 20 on Ray, 0 else.
        job: the job folder; None puts it beside the output and removes it after success.
        overwrite: replace an output that exists.
        fresh: forget what an interrupted run of the same job has done.
        again: where the job folder is that of a run that differs, start anew, but from the analysis that is there.
        strict: treat warnings as errors.
        start, end: times between which the video is worked on and written, as the decoder understands them; numbers are
            seconds.
        source_face: which face of a source with several: largest, left, right, or an index from the left, from 0.
        trace: a timeline of the run to write, in Chrome's trace format: a .json or .json.gz.
        report: a page about the run to write: a .html.
        device: of learned stages: "cpu", "cuda:0" or the like, or "auto": CUDA where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    ray_worker_cpus: float = Field(default=1.0, gt=0)
    ray_worker_memory_mb: float | None = Field(default=None, ge=0)
    workers: int | None = Field(default=None, ge=0, le=1024)
    segment_frames: int | None = Field(default=None, ge=5)
    owners: int | None = Field(default=None, ge=0, le=1024)
    stall_timeout_s: float = Field(default=600.0, ge=0)
    segment_timeout_s: float = Field(default=14400.0, ge=0)
    tries: int = Field(default=3, ge=1, le=100)
    on_error: Literal["stop", "skip-copy"] = "stop"
    drain_s: float | None = Field(default=None, ge=0)
    job: Place | None = None
    overwrite: bool = False
    fresh: bool = False
    again: bool = False
    strict: bool = False
    start: str | None = None
    end: str | None = None
    source_face: str | None = None
    trace: Place | None = None
    report: Place | None = None
    device: str = "auto"

    @field_validator("start", "end", mode="before")
    @classmethod
    def _seconds_as_text(cls, value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # No exponent, which no time is written with.
        return format(Decimal(str(value)), "f") if number else value

    @field_validator("device")
    @classmethod
    def _device_is_named(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            raise ValueError(f"{value!r} is no device; write auto, cpu, cuda or a certain one, such as cuda:1")
        return value

    @model_validator(mode="before")
    @classmethod
    def _executor_as_a_mapping(cls, given: Any) -> Any:
        if not (isinstance(given, dict) and isinstance(given.get("executor"), dict)):
            return given
        mapping = dict(given["executor"])
        kind = mapping.pop("kind", "local")
        return {**{f"ray_{name}": value for name, value in mapping.items()}, **given, "executor": kind}

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


def run_settings(given: Mapping[str, Any]) -> RunSettings:
    """The settings of these names and values. Raises InputError for a name or a value that there is not."""
    try:
        return RunSettings(**given)
    except ValidationError as error:
        raise InputError(explain(error, RunSettings.model_fields)) from None
