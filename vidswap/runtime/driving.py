"""Drive: hands out the tasks of a run until all are done, keeps the journal, and meets failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vidswap.graph import Batch, Pipeline, Segment, StageError, VidswapError
from vidswap.media import decoders_kept
from vidswap.storage import StorageError

from .interrupt import Interruption
from .job import Job
from .lanes import Lanes
from .order import CopyTask, Done, PartTask, Progress, SourceTask, Task, WorkOrder
from .pool import Pool, Reply, WorkerDied
from .report import Given, Listener, Lost, Report
from .retries import Retries, RetryPolicy
from .scans import Scans
from .schedule import Schedule
from .settings import RunSettings
from .spans import span
from .store import save_tables

IN_FLIGHT_PER_WORKER = 2
LEAST_AHEAD = 3
"""Analysis is so many segments ahead of compositing, or one for two workers, and never more than one for each."""


class Drive:
    """One run's work, from the first task to the last.

    `warn` takes warnings, and may raise. `segment_done` says whether this run has finished a segment, `copied` which
    stretches of frames were left out of the segments, `memory_mb` what each worker took at most.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        segments: tuple[Segment, ...],
        sources: Mapping[str, Any],
        settings: RunSettings,
        policy: RetryPolicy,
        job: Job,
        report: Report,
        listener: Listener,
        warn: Callable[..., None],
        interruption: Interruption,
    ) -> None:
        self.pipeline, self.segments, self.job = pipeline, segments, job
        self.report, self.listener, self.warn, self.interruption = report, listener, warn, interruption
        self.schedule = Schedule(pipeline.parts, segments, sources, window=IN_FLIGHT_PER_WORKER)
        self.retries = Retries(policy)
        self.segment_done = False
        self.copied: list[tuple[int, int]] = []
        self.memory_mb: dict[int, float] = {}
        self._skips = settings.on_error == "skip-copy"
        self._skipped: dict[int, str] = {}
        self._sources = tuple(sources)
        self._last = len(pipeline.parts) - 1

    def take_up(self) -> dict[int, int]:
        """Mark what an interrupted run has done, and return its frames by part.

        Scans are run again, from their stored input, to have their carry.
        """
        journal = self.job.journal
        for name in self._sources:
            entry = journal.finished(SourceTask(name).key)
            if entry:
                self.schedule.finish(SourceTask(name))
                self.warn(*entry.get("warnings", ()))
        frames: dict[int, int] = {}
        for part in self.pipeline.parts:
            if part.ordered:
                continue
            lacking = False
            for segment in self.segments:
                self.interruption.check()
                task = PartTask(part.index, segment.index)
                entry = journal.finished(task.key)
                skipped = entry.get("skipped") if entry else None
                if skipped and not self._skips:
                    lacking = True
                    continue
                if entry:
                    if skipped:
                        self._note_skipped(segment.index, skipped)
                    self.schedule.finish(task)
                    self._count(task, entry)
                    self.warn(*entry.get("warnings", ()))
                    frames[part.index] = frames.get(part.index, 0) + segment.frames
                    if part.index == self._last:
                        self.report.segments_resumed += 1
                        self.report.frames_resumed += segment.frames
            if lacking and part.index < self._last:
                # What later parts have made was made without these rows.
                break
        return frames

    def go(self, order: WorkOrder, pool: Pool, scans: Scans) -> None:
        """Hand out tasks and take replies until all is done. Raises StageError for a task that fails every time."""
        self.order = order
        video = order.video
        self.schedule.lanes = Lanes(self.segments, video.keyframes, decoders_kept(video.width * video.height))
        running: set[Task] = set()
        while not self.schedule.finished:
            workers = max(1, pool.size)
            self.schedule.widen(IN_FLIGHT_PER_WORKER * workers, min(workers, max(LEAST_AHEAD, workers // 2)))
            for failed in self.retries.due():
                self.schedule.put_back(failed)
            self._hand_out(pool, scans, running)
            if self.interruption.draining and (not running or self.interruption.drained):
                raise KeyboardInterrupt
            if not running and pool.idle and not self.schedule.finished:
                if not self.retries.waiting:
                    raise RuntimeError("nothing runs and nothing may run: the schedule is stuck")
                time.sleep(self.retries.pause_s())
                continue
            for task, reply in () if self.schedule.finished else pool.replies():
                self.interruption.check()
                self._take(task, reply, running)

    def _hand_out(self, pool: Pool, scans: Scans, running: set[Task]) -> None:
        while not self.interruption.draining and pool.idle and (task := self._next(pool.seat)) is not None:
            self.interruption.check()
            if isinstance(task, PartTask) and self.pipeline.parts[task.part].ordered:
                self._scan(task, scans, pool)
                continue
            running.add(task)
            self.listener(Given(task, time.time()))
            pool.submit(task)

    def _next(self, seat: int | None) -> Task | None:
        task = self.schedule.next(seat)
        if isinstance(task, PartTask) and task.part == self._last and task.segment in self._skipped:
            return CopyTask(task.part, task.segment)
        return task

    def _take(self, task: Task, reply: Reply, running: set[Task]) -> None:
        if isinstance(reply, Progress):
            self._progress(reply)
            return
        running.discard(task)
        if isinstance(reply, Done):
            self._accept(reply)
            self.schedule.finish(task)
            self.retries.done(task)
            return
        errors = (WorkerDied, StorageError, *([StageError] if self.retries.policy.errors else []))
        again = isinstance(reply, errors)
        if again and self.retries.failed(task, reply.how if isinstance(reply, WorkerDied) else str(reply)):
            reason = self.retries.reasons(task)[-1]
            self.report.retries.append({"task": task.key, "reason": reason})
            self.listener(Lost(task, reason))
            return
        self._give_up(task, self._lost(task, reply) if isinstance(reply, WorkerDied) else reply)

    def _give_up(self, task: Task, error: VidswapError) -> None:
        """A task has failed every time: the run ends, or its segment is copied as it came in."""
        self.retries.done(task)
        if not (self._skips and isinstance(error, StageError)) or isinstance(task, (SourceTask, CopyTask)):
            raise error
        kept = self.job.note_error(error.detail, f"error-{task.segment}.txt") if error.detail else None
        reason = f"{error} (traceback in {kept})" if kept else str(error)
        self.listener(Lost(task, reason))
        self._note_skipped(task.segment, reason)
        if task.part == self._last:
            self.schedule.put_back(task)
            return
        nothing = self.order.sidecar(task.part, task.segment)
        save_tables(nothing, {"frame": Batch(), "face": Batch()})
        facts = {"frames": self.segments[task.segment].frames, "faces": 0}
        if not self.pipeline.parts[task.part].ordered:
            self.job.journal.record(task.key, nothing.name, **facts, warnings=[], skipped=reason)
        self.schedule.finish(task)

    def _note_skipped(self, segment: int, reason: str) -> None:
        if segment in self._skipped:
            return
        self._skipped[segment] = reason
        span = self.segments[segment]
        self.report.skipped.append({"segment": segment, "start": span.start, "stop": span.stop, "reason": reason})
        self.warn(f"segment {segment}, frames {span.start} to {span.stop - 1}, is left as it was: {reason}")

    def _scan(self, task: PartTask, scans: Scans, pool: Pool) -> None:
        part = self.pipeline.parts[task.part]
        began = time.perf_counter()
        try:
            tables = scans.run(part, task)
        except StageError as error:
            self._give_up(task, error)
            return
        pool.offer(task, tables)
        name, seconds = part.stages[0].name, time.perf_counter() - began
        spans = (span(name, seconds),) if self.order.timed else ()
        frames = self.segments[task.segment].frames
        self._progress(Progress(task, frames, len(tables["face"]), {name: seconds}, spans))
        self.schedule.finish(task)

    def _accept(self, done: Done) -> None:
        self.job.check_lock()
        told = {"skipped": self._skipped[done.task.segment]} if isinstance(done.task, CopyTask) else {}
        self.job.journal.record(done.task.key, done.file, **done.facts, warnings=list(done.warnings), **told)
        self.segment_done |= isinstance(done.task, PartTask) and done.task.part == self._last
        if done.process:
            self.memory_mb[done.process] = done.memory_mb
        self._count(done.task, done.facts)
        self.warn(*done.warnings)
        if isinstance(done.task, PartTask):
            self._take_time(done.seconds)
        self.listener(done)

    def _lost(self, task: Task, died: WorkerDied) -> StageError:
        segment = task.segment if isinstance(task, PartTask) else None
        stage = self.pipeline.parts[task.part].stages[-1].name if isinstance(task, PartTask) else "source"
        told = f"; its output is in {died.log}" if died.log else ""
        reasons = self.retries.reasons(task)
        detail = "".join(f"try {n}: {reason}\n" for n, reason in enumerate(reasons, start=1))
        reason = f"the worker {died.how}, {self.retries.policy.tries} times{told}"
        return StageError(reason, stage=stage, segment=segment, detail=detail if len(set(reasons)) > 1 else "")

    def _progress(self, step: Progress) -> None:
        self._take_time(step.seconds)
        self.listener(step)

    def _take_time(self, taken: Mapping[str, float]) -> None:
        for stage, seconds in taken.items():
            self.report.stage_s[stage] = self.report.stage_s.get(stage, 0.0) + seconds

    def _count(self, task: Task, facts: Mapping[str, Any]) -> None:
        if isinstance(task, PartTask) and task.part == self._last:
            self.report.frames += facts["frames"]
            self.report.faces += facts["faces"]
            self.report.segments += 1
            self.report.frames_with_faces += facts.get("frames_with_faces", 0)
            self.copied.extend((start, stop) for start, stop in facts.get("copied", ()))
