"""Timings: what a run took, summed up from what it tells, by stage, part, worker and second of the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vidswap.graph import Part

from .order import Done, PartTask, Progress, SourceTask, Task
from .report import Event, Given, Lost, Started

SLOWEST_TOLD = 5
MOST_BINS = 240


@dataclass
class StageTiming:
    """One stage over all workers: seconds at work, on sources, loading and waiting; the largest memory seen, in MiB."""

    seconds: float = 0.0
    source_s: float = 0.0
    setup_s: float = 0.0
    wait_s: float = 0.0
    memory_mb: float = 0.0
    gpu_mb: float = 0.0


@dataclass
class WorkerTiming:
    """One worker process: tasks done, seconds that it was at one, peak memory in MiB."""

    tasks: int = 0
    busy_s: float = 0.0
    memory_mb: float = 0.0


@dataclass
class PartTiming:
    """One part of the pipeline over all segments: frames, seconds, and the slowest as (seconds, segment)."""

    name: str
    segments: int = 0
    frames: int = 0
    seconds: float = 0.0
    slowest: list[tuple[float, int]] = field(default_factory=list)


class Bins:
    """Amounts by time, in at most so many bins; where they do not suffice, bins become twice as wide.

    >>> bins = Bins(most=2)
    >>> for at_s in (0.5, 1.5, 3.9):
    ...     bins.add(at_s, 10)
    >>> (bins.width_s, bins.amounts)
    (2.0, [20.0, 10.0])
    """

    def __init__(self, most: int = MOST_BINS) -> None:
        self.most, self.width_s = most, 1.0
        self.amounts: list[float] = []

    def add(self, at_s: float, amount: float) -> None:
        """Add an amount at a time, in seconds from the beginning."""
        at_s = max(0.0, at_s)
        while at_s >= self.most * self.width_s:
            self.width_s *= 2
            self.amounts = [sum(self.amounts[i : i + 2]) for i in range(0, len(self.amounts), 2)]
        at = int(at_s / self.width_s)
        self.amounts += [0.0] * (at + 1 - len(self.amounts))
        self.amounts[at] += amount


class Timings:
    """A listener that sums up a run; what it holds grows with the number of segments alone, by a number for each.

    Attributes:
        parts, stages, workers: by part index, stage name, and (node, process).
        queue_s: how long tasks waited for a worker, summed.
        faces: frames with faces by segment, of those with any that were finished by this run.
        finished: frames by second of the run in which their segment was finished.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.parts = [PartTiming(part_name(parts, i)) for i in range(len(parts))]
        self.stages: dict[str, StageTiming] = {}
        self.workers: dict[tuple[str, int], WorkerTiming] = {}
        self.queue_s = 0.0
        self.faces: dict[int, int] = {}
        self.finished = Bins()
        self.began_s = time.time()
        self._given: dict[Task, float] = {}

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, Started):
            self.began_s = time.time()
            self.stages = {name: StageTiming() for name in event.stages}
        elif isinstance(event, Given):
            self._given[event.task] = event.at_s
        elif isinstance(event, Lost):
            self._given.pop(event.task, None)
        else:
            self._add(event)

    def frames_of(self, stage: str) -> int:
        """Frames that went through the parts of a stage; for the decoder, those of the part that read most."""
        of = [p.frames for p, part in zip(self.parts, self._parts, strict=True) if stage in _names(part)]
        reading = [p.frames for p, part in zip(self.parts, self._parts, strict=True) if part.reads]
        return max(of or reading or [0])

    def _add(self, event: Progress | Done) -> None:
        for name, seconds in event.seconds.items():
            self._stage(name).seconds += seconds
        for made in event.spans:
            stage = self._stage(made.stage)
            if made.what in ("source", "setup", "wait"):
                setattr(stage, f"{made.what}_s", getattr(stage, f"{made.what}_s") + made.seconds)
            stage.memory_mb = max(stage.memory_mb, made.memory_mb)
            stage.gpu_mb = max(stage.gpu_mb, made.gpu_mb)
        if isinstance(event, Done):
            self._finish(event)
        elif isinstance(event.task, PartTask) and self._parts[event.task.part].ordered:
            # The driver's own scans tell nothing else.
            part = self.parts[event.task.part]
            part.segments += 1
            part.frames += event.frames
            part.seconds += sum(event.seconds.values())

    def _finish(self, done: Done) -> None:
        worker = self.workers.setdefault((done.node, done.process), WorkerTiming())
        worker.tasks += 1
        worker.busy_s += done.task_s
        worker.memory_mb = max(worker.memory_mb, done.memory_mb)
        given_s = self._given.pop(done.task, done.began_s)
        self.queue_s += max(0.0, done.began_s - given_s)
        if not isinstance(done.task, PartTask):
            return
        part, frames = self.parts[done.task.part], done.facts.get("frames", 0)
        part.segments += 1
        part.frames += frames
        part.seconds += done.task_s
        part.slowest = sorted([*part.slowest, (done.task_s, done.task.segment)], reverse=True)[:SLOWEST_TOLD]
        if done.task.part == len(self.parts) - 1:
            self.finished.add(time.time() - self.began_s, frames)
            if done.facts.get("frames_with_faces"):
                self.faces[done.task.segment] = done.facts["frames_with_faces"]

    def _stage(self, name: str) -> StageTiming:
        return self.stages.setdefault(name, StageTiming())


def part_name(parts: Sequence[Part], index: int) -> str:
    """What people call a part: analysis, compositing, or its stages."""
    if index == len(parts) - 1 and len(parts) > 1:
        return "compositing"
    return "analysis" if index == 0 else ", ".join(_names(parts[index]))


def task_name(task: Task, parts: Sequence[Part]) -> str:
    """What people call a task."""
    if isinstance(task, SourceTask):
        return f"source {task.source}"
    return f"{part_name(parts, task.part)} of segment {task.segment}"


def _names(part: Part) -> list[str]:
    return [s.name for s in part.stages]
