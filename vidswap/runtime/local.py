"""The local executor: one driver, a pool of segment workers, one job folder. Needs no service.

The driver hands out tasks, runs the ordered scans itself (they are small), keeps the journal, and at the end joins the
segments under a temporary name that is renamed to the output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from vidswap.files import file_digest
from vidswap.graph import InputError, Interrupted, Pipeline, StageError, VidswapError, cut, joined_spans
from vidswap.graph.ends import Decoder, Encoder
from vidswap.media.outputs import occupied, standing_for

from .checks import JOB_SUFFIX, check_output, check_place, check_ready, check_sources
from .interrupt import Interruption, interruptible
from .job import MARKER, Analysis, Job, digest, remove_emptied
from .journal import JOURNAL, Journal
from .order import Done, PartTask, Progress, SourceTask, Task, WorkOrder
from .placing import clear_temporary, written_output
from .pool import MakePool, Pool, WorkerDied, make_pool
from .recording import Recording
from .report import Event, Given, Listener, Lost, Report, Started, told_memory
from .resuming import order_data, versions
from .scans import Scans
from .schedule import Schedule
from .settings import RunSettings, available_cores
from .spans import span
from .store import trouble

__all__ = ["Event", "Listener", "Lost", "Report", "Started", "check_output", "check_sources", "run"]

TRIES_PER_TASK = 3
IN_FLIGHT_PER_WORKER = 2


def run(
    pipeline: Pipeline,
    target: Path,
    output: Path,
    sources: Mapping[str, Path],
    settings: RunSettings,
    *,
    listener: Listener | None = None,
    metadata: Mapping[str, str] | None = None,
    pool_maker: MakePool = make_pool,
) -> Report:
    """Run a pipeline on one video.

    `metadata` goes into the container beside what the engine notes itself. Raises InputError before any work for bad
    input, StageError when a stage fails, Interrupted on SIGINT or SIGTERM; the job folder then holds what is done and
    the same call goes on from there. The output appears whole or not at all.
    """
    return _Run(pipeline, target, output, sources, settings, listener, metadata, pool_maker).go()


class _Run:
    def __init__(
        self,
        pipeline: Pipeline,
        target: Path,
        output: Path,
        sources: Mapping[str, Path],
        settings: RunSettings,
        listener: Listener | None,
        metadata: Mapping[str, str] | None,
        pool_maker: MakePool,
    ) -> None:
        self.pipeline, self.target, self.output, self.settings = pipeline, target, output, settings
        self.sources = dict(sources)
        self.listener = self.recording = Recording(settings, listener)
        self.metadata = dict(metadata or {})
        self.pool_maker = pool_maker
        self.report = Report(pipeline.name, str(target), str(output))
        check_place(output)
        self.folder = settings.job or output.with_name(f"{output.name}{JOB_SUFFIX}")
        self.interruption = Interruption()
        self._memory_mb: dict[int, float] = {}
        self._segment_done = False
        self._copied: list[tuple[int, int]] = []

    def go(self) -> Report:
        began = time.monotonic()
        with self.recording.until_over():
            try:
                self._go()
            finally:
                self.report.wall_s = time.monotonic() - began
        return self.report

    def _go(self) -> None:
        try:
            with interruptible() as self.interruption:
                self._check()
                identity = self._identity()
                self._identity_digest = digest(identity)
                analysis = self._analysis(identity)
                job = Job(self.folder, identity, self._order(), fresh=self.settings.fresh, analysis=analysis)
                with contextlib.closing(job):
                    self._complete(job)
                    if self.settings.job is None:
                        job.remove()
        except (KeyboardInterrupt, Interrupted):
            there = (self.folder / MARKER).exists()
            told = f"; the same command goes on from {self.folder}" if there else ""
            raise Interrupted(f"interrupted{told}") from None
        except OSError as error:
            raise VidswapError(trouble(error)) from error
        if self.settings.job is not None:
            self.report.job = str(self.folder)

    def _check(self) -> None:
        """All that can be found wrong before any work. An output that this very job has written is no obstacle."""
        check_sources(self.pipeline, self.sources)
        remove_emptied(self.folder)
        known = (self.folder / JOURNAL).is_file() and not self.settings.fresh
        written = known and Journal(self.folder, reading=True).output(self.output)
        self._check_output(self.settings.overwrite or bool(written))
        self.pipeline = self.pipeline.for_output(self.output)
        decoder = cast(Decoder, self.pipeline.decoder.make())
        self.encoder = cast(Encoder, self.pipeline.encoder.make())
        self.video = decoder.probe(self.target)
        if self.settings.start is not None or self.settings.end is not None:
            self.video = decoder.trim(self.video, self.settings.start, self.settings.end)
        self._warn(*getattr(self.video, "warnings", ()))
        self.canvas = self.pipeline.canvas(self.video)
        self._warn(*(self.encoder.check(self.canvas, self.output) or ()))
        self.report.not_copied = self._why_not_copied()
        self.segments = cut(self.video.frame_count, self.video.keyframes, self.settings.segment_frames)
        check_ready(self.pipeline, self.settings.device)

    def _check_output(self, overwrite: bool) -> None:
        check_output(self.output, self.target, overwrite, pictures=self._writes_pictures)

    @property
    def _writes_pictures(self) -> bool:
        return bool(getattr(self.pipeline.encoder.operator, "writes_pictures", False))

    def _why_not_copied(self) -> str | None:
        if not self.pipeline.spares_frames:
            return "the pipeline may change every frame"
        return self.encoder.why_not_copied(self.video, self.output)

    def _identity(self) -> dict[str, Any]:
        return {
            "versions": versions(),
            "target": self.video.content_hash,
            "sources": {name: file_digest(path) for name, path in self.sources.items()},
            "files": {
                s.name: [file_digest(f) for f in files] for s in self.pipeline.stages if (files := s.make().files())
            },
            "source_face": self.settings.source_face,
            "pipeline": self.pipeline.resolved(),
            "device": self.settings.device.split(":")[0],
            "part": [self.settings.start, self.settings.end],
            "segments": [s.start for s in self.segments],
        }

    def _analysis(self, identity: dict[str, Any]) -> Analysis | None:
        """The first part, where no source has a say: what it stores serves another portrait or blend as well."""
        first = self.pipeline.parts[0]
        if first.needs_sources or len(self.pipeline.parts) < 2:
            return None
        names = {self.pipeline.decoder.name, *(s.name for s in first.stages)}
        decides = {
            **{key: identity[key] for key in ("versions", "target", "device", "part", "segments")},
            "files": {name: found for name, found in identity["files"].items() if name in names},
            "stages": [s for s in self.pipeline.resolved()["stages"] if s["name"] in names],
            "stores": first.stores,
        }
        return Analysis(digest(decides), "*.part0.npz", self.settings.again)

    def _order(self) -> dict[str, Any]:
        return order_data(self.pipeline, self.target, self.output, self.sources, self.settings)

    def _complete(self, job: Job) -> None:
        """Do what is left to do, and tell what goes wrong in one line; tracebacks go to the job folder."""
        try:
            self._tag = f"vidswap-{hashlib.sha256(str(job.folder.absolute()).encode()).hexdigest()[:8]}"
            clear_temporary(self.output, self._tag)
            written = None if self.settings.overwrite else job.journal.output(self.output, self._identity_digest)
            self._check_output(self.settings.overwrite or written is not None)
            if written is not None:
                # The run before was stopped between its last two steps, or its folder was kept.
                resumed = {"segments_resumed": written["segments"], "frames_resumed": written["frames"]}
                self.report = Report(**{**written, **resumed})
                return
            self._work(job)
            self._join(job)
        except InputError:
            # Found out only with a model's help (no face in the portrait): still before any result.
            if job.is_new and not self._segment_done:
                job.remove(keep_folder=not job.made_folder)
            raise
        except StageError as error:
            kept = job.note_error(error.detail) if error.detail else None
            reason = f"{error.reason} (traceback in {kept})" if kept else error.reason
            raise StageError(
                reason, stage=error.stage, segment=error.segment, frame=error.frame, detail=error.detail
            ) from error
        except OSError as error:
            job.note_error(traceback.format_exc())
            raise VidswapError(f"{trouble(error)}; what is done is kept in {job.folder}") from error

    def _work(self, job: Job) -> None:
        workers = self.settings.worker_count(len(self.segments))
        order = WorkOrder(
            pipeline=self.pipeline.specification.model_dump(mode="json"),
            video=self.video,
            segments=self.segments,
            folder=job.folder,
            sources=self.sources,
            source_face=self.settings.source_face,
            threads=max(1, available_cores() // max(1, workers)),
            device=self.settings.device,
            copies=self.report.not_copied is None,
            stall_timeout_s=self.settings.stall_timeout_s,
            timed=self.recording.wanted,
        )
        schedule = Schedule(
            self.pipeline.parts, self.segments, self.sources, window=IN_FLIGHT_PER_WORKER * max(1, workers)
        )
        done = self._take_up(job, schedule)
        stages = tuple(s.name for s in (self.pipeline.decoder, *(s for p in self.pipeline.parts for s in p.stages)))
        self.recording.begin(self.report, self.sources, self.pipeline, self.video, self.segments)
        self.listener(Started(self.video, len(self.segments), stages, self.report.segments_resumed, done))
        scans = Scans(order)
        pool: Pool | None = None
        try:
            pool = self.pool_maker(order, workers)
            self._drive(job, schedule, scans, pool)
        finally:
            if pool is not None:
                pool.close()
            scans.close()
        largest = sorted(self._memory_mb.values(), reverse=True)[: max(1, workers)]
        self.report.peak_memory_mb = told_memory(largest)

    def _take_up(self, job: Job, schedule: Schedule) -> dict[int, int]:
        """Mark what an interrupted run has done, and return its frames by part.

        Scans are run again, from their stored input, to have their carry.
        """
        for name in self.sources:
            entry = job.journal.finished(SourceTask(name).key)
            if entry:
                schedule.finish(SourceTask(name))
                self._warn(*entry.get("warnings", ()))
        frames: dict[int, int] = {}
        last = len(self.pipeline.parts) - 1
        for part in self.pipeline.parts:
            if part.ordered:
                continue
            for segment in self.segments:
                self.interruption.check()
                task = PartTask(part.index, segment.index)
                entry = job.journal.finished(task.key)
                if entry:
                    schedule.finish(task)
                    self._count(task, entry)
                    self._warn(*entry.get("warnings", ()))
                    frames[part.index] = frames.get(part.index, 0) + segment.frames
                    if part.index == last:
                        self.report.segments_resumed += 1
                        self.report.frames_resumed += segment.frames
        return frames

    def _drive(self, job: Job, schedule: Schedule, scans: Scans, pool: Pool) -> None:
        running: set[Task] = set()
        tries: dict[Task, int] = {}
        while not schedule.finished:
            while pool.idle and (task := schedule.next()) is not None:
                self.interruption.check()
                if isinstance(task, PartTask) and self.pipeline.parts[task.part].ordered:
                    self._scan(task, scans)
                    schedule.finish(task)
                    continue
                tries[task] = tries.get(task, 0) + 1
                running.add(task)
                self.listener(Given(task, time.time()))
                pool.submit(task)
            if not running and not schedule.finished:
                raise RuntimeError("nothing runs and nothing may run: the schedule is stuck")
            for task, reply in pool.replies() if running else ():
                self.interruption.check()
                if isinstance(reply, Progress):
                    self._progress(reply)
                    continue
                running.discard(task)
                if isinstance(reply, Done):
                    self._accept(job, reply)
                    schedule.finish(task)
                    tries.pop(task)
                elif isinstance(reply, WorkerDied):
                    if tries[task] == TRIES_PER_TASK:
                        raise self._lost(task, reply)
                    schedule.put_back(task)
                    self.listener(Lost(task, str(reply)))
                else:
                    raise reply

    def _scan(self, task: PartTask, scans: Scans) -> None:
        part = self.pipeline.parts[task.part]
        began = time.perf_counter()
        faces = scans.run(part, task)
        frames = self.segments[task.segment].frames
        seconds = time.perf_counter() - began
        name = part.stages[0].name
        spans = (span(name, seconds),) if self.recording.wanted else ()
        self._progress(Progress(task, frames, faces, {name: seconds}, spans))

    def _accept(self, job: Job, done: Done) -> None:
        job.journal.record(done.task.key, done.file, **done.facts, warnings=list(done.warnings))
        self._segment_done |= isinstance(done.task, PartTask) and done.task.part == len(self.pipeline.parts) - 1
        if done.process:
            self._memory_mb[done.process] = done.memory_mb
        self._count(done.task, done.facts)
        self._warn(*done.warnings)
        if isinstance(done.task, PartTask):
            self._take_time(done.seconds)
        self.listener(done)

    def _lost(self, task: Task, died: WorkerDied) -> StageError:
        segment = task.segment if isinstance(task, PartTask) else None
        stage = self.pipeline.parts[task.part].stages[-1].name if isinstance(task, PartTask) else "source"
        reason = f"the worker {died.how}, {TRIES_PER_TASK} times; its output is in {died.log}"
        return StageError(reason, stage=stage, segment=segment)

    def _progress(self, step: Progress) -> None:
        self._take_time(step.seconds)
        self.listener(step)

    def _take_time(self, taken: Mapping[str, float]) -> None:
        for stage, seconds in taken.items():
            self.report.stage_s[stage] = self.report.stage_s.get(stage, 0.0) + seconds

    def _count(self, task: Task, facts: Mapping[str, Any]) -> None:
        if isinstance(task, PartTask) and task.part == len(self.pipeline.parts) - 1:
            self.report.frames += facts["frames"]
            self.report.faces += facts["faces"]
            self.report.segments += 1
            self.report.frames_with_faces += facts.get("frames_with_faces", 0)
            self._copied.extend((start, stop) for start, stop in facts.get("copied", ()))

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            if warning not in self.report.warnings:
                if self.settings.strict:
                    raise InputError(f"{warning} (an error because of --strict)")
                self.report.warnings.append(warning)

    def _join(self, job: Job) -> None:
        makes_faces = any(s.operator.yields == "face" for s in self.pipeline.stages)
        untouched = makes_faces and self.report.faces == 0
        as_it_is = untouched and self.canvas is self.video and self.encoder.can_copy(self.video, self.output)
        self.report.copied = [(0, self.video.frame_count)] if as_it_is else joined_spans(self._copied)
        self.report.frames_copied = sum(stop - start for start, stop in self.report.copied)
        if untouched:
            self._warn(f"{self.target}: no face to change was found; the picture is that of the input")
        paths = [job.folder / f"{s.index:06d}{self.encoder.extension}" for s in self.segments]
        with written_output(self.output, self._tag, pictures=self._writes_pictures) as temporary:
            try:
                if as_it_is:
                    self._warn(*self.encoder.copy(self.video, temporary))
                else:
                    notes = {} if untouched else self.metadata
                    self._warn(*self.encoder.join(self.canvas, paths, temporary, notes, self.report.copied))
            except VidswapError as error:
                if isinstance(error, InputError):
                    raise
                told = str(error).replace(temporary.name, self.output.name)
                raise VidswapError(f"{told}; what is done is kept in {job.folder}") from error
            self.interruption.check()
            if occupied(self.output) and not self.settings.overwrite:
                raise VidswapError(
                    f"{self.output} has appeared meanwhile; move it, and the same command goes on from {job.folder}"
                )
            facts = dataclasses.asdict(self.report)
            if standing_for(temporary).exists():
                job.journal.record_output(temporary, self.output, self._identity_digest, facts)
