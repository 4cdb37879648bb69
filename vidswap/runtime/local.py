"""The local executor: one driver, a pool of segment workers, one job folder. Needs no service.

The driver hands out tasks, runs the ordered scans itself (they are small), keeps the journal, and at the end joins the
segments under a temporary name that is renamed to the output.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from vidswap.graph import Batch, InputError, Interrupted, Part, Pipeline, Setting, StageError, VidswapError, cut
from vidswap.graph.ends import Decoder, Encoder, Video

from .job import Job
from .order import Done, PartTask, Progress, SourceTask, Task, WorkOrder
from .pool import MakePool, Pool, WorkerDied, make_pool
from .schedule import Schedule
from .settings import RunSettings, available_cores
from .store import file_digest, load_tables, save_tables, written_whole
from .worker import contract_broken, frames_of, stored

TRIES_PER_TASK = 3
IN_FLIGHT_PER_WORKER = 2


@dataclass(frozen=True)
class Started:
    """Told once before any work: the video, the cut, and stage names in order."""

    video: Video
    segments: int
    stages: tuple[str, ...]
    resumed: int


@dataclass
class Report:
    """What came of a run: paths, counts, seconds by stage (summed over workers), warnings in order of appearance."""

    pipeline: str
    target: str
    output: str
    frames: int = 0
    frames_with_faces: int = 0
    faces: int = 0
    segments: int = 0
    segments_resumed: int = 0
    wall_s: float = 0.0
    stage_s: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    job: str | None = None

    @property
    def frames_per_s(self) -> float:
        """Frames of the result per second of wall time."""
        return self.frames / self.wall_s if self.wall_s else 0.0


Event = Started | Progress | Done
Listener = Callable[[Event], None]


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
        self.listener = listener or (lambda _: None)
        self.metadata = dict(metadata or {})
        self.pool_maker = pool_maker
        self.report = Report(pipeline.name, str(target), str(output))
        self._scans: dict[str, tuple[Any, Any]] = {}

    def go(self) -> Report:
        began = time.monotonic()
        check_sources(self.pipeline, self.sources)
        check_output(self.output, self.target, self.settings.overwrite)
        decoder = cast(Decoder, self.pipeline.decoder.make())
        self.encoder = cast(Encoder, self.pipeline.encoder.make())
        self.video = decoder.probe(self.target)
        self.encoder.check(self.video, self.output)
        self.segments = cut(self.video.frame_count, self.video.keyframes, self.settings.segment_frames)
        folder = self.settings.job or self.output.with_name(f"{self.output.name}.vidswap")
        job = Job(folder, self._identity(), fresh=self.settings.fresh)
        try:
            with _interruptible():
                self._work(job)
                self._join(job)
        except InputError:
            # Found out only with a model's help (no face in the portrait): still before any result.
            if job.is_new:
                job.remove()
            raise
        except (KeyboardInterrupt, Interrupted):
            raise Interrupted(f"interrupted; the same command goes on from {folder}") from None
        finally:
            job.close()
        if self.settings.job is None:
            job.remove()
        else:
            self.report.job = str(folder)
        self.report.wall_s = time.monotonic() - began
        return self.report

    def _identity(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {
            "vidswap": version("vidswap"),
            "pipeline": self.pipeline.resolved(),
            "target": self.video.content_hash,
            "sources": {name: file_digest(path) for name, path in self.sources.items()},
            "source_face": self.settings.source_face,
            "segments": [s.start for s in self.segments],
        }

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
        )
        schedule = Schedule(
            self.pipeline.parts, self.segments, self.sources, window=IN_FLIGHT_PER_WORKER * max(1, workers)
        )
        self._take_up(job, schedule)
        stages = tuple(s.name for s in (self.pipeline.decoder, *(s for p in self.pipeline.parts for s in p.stages)))
        self.listener(Started(self.video, len(self.segments), stages, self.report.segments_resumed))
        pool = self.pool_maker(order, workers)
        try:
            self._drive(job, order, schedule, pool)
        finally:
            pool.close()

    def _take_up(self, job: Job, schedule: Schedule) -> None:
        """Mark what an interrupted run has done; scans are run again, from their stored input, to have their carry."""
        for name in self.sources:
            if job.journal.finished(SourceTask(name).key):
                schedule.finish(SourceTask(name))
        last = len(self.pipeline.parts) - 1
        for part in self.pipeline.parts:
            if part.ordered:
                continue
            for segment in self.segments:
                task = PartTask(part.index, segment.index)
                entry = job.journal.finished(task.key)
                if entry:
                    schedule.finish(task)
                    self._count(task, entry)
                    self.report.segments_resumed += part.index == last

    def _drive(self, job: Job, order: WorkOrder, schedule: Schedule, pool: Pool) -> None:
        running: set[Task] = set()
        tries: dict[Task, int] = {}
        while not schedule.finished:
            while pool.idle and (task := schedule.next()) is not None:
                if isinstance(task, PartTask) and self.pipeline.parts[task.part].ordered:
                    began = time.perf_counter()
                    faces = scan_part(order, self.pipeline.parts[task.part], task, self._scans)
                    frames = self.segments[task.segment].frames
                    stage = self.pipeline.parts[task.part].stages[0].name
                    self._progress(Progress(task, frames, faces, {stage: time.perf_counter() - began}))
                    schedule.finish(task)
                    continue
                tries[task] = tries.get(task, 0) + 1
                running.add(task)
                pool.submit(task)
            if not running and not schedule.finished:
                raise RuntimeError("nothing runs and nothing may run: the schedule is stuck")
            for task, reply in pool.replies() if running else ():
                if isinstance(reply, Progress):
                    self._progress(reply)
                    continue
                running.discard(task)
                if isinstance(reply, Done):
                    job.journal.record(task.key, reply.file, **reply.facts)
                    schedule.finish(task)
                    self._count(task, reply.facts)
                    self._warn(*reply.warnings)
                    self.listener(reply)
                elif isinstance(reply, WorkerDied) and tries[task] < TRIES_PER_TASK:
                    schedule.put_back(task)
                elif isinstance(reply, WorkerDied):
                    segment = task.segment if isinstance(task, PartTask) else None
                    stage = self.pipeline.parts[task.part].stages[-1].name if isinstance(task, PartTask) else "source"
                    reason = f"the worker {reply.how}, {TRIES_PER_TASK} times; its output is in {reply.log}"
                    raise StageError(reason, stage=stage, segment=segment)
                else:
                    raise reply

    def _progress(self, step: Progress) -> None:
        for stage, seconds in step.seconds.items():
            self.report.stage_s[stage] = self.report.stage_s.get(stage, 0.0) + seconds
        self.listener(step)

    def _count(self, task: Task, facts: Mapping[str, Any]) -> None:
        if isinstance(task, PartTask) and task.part == len(self.pipeline.parts) - 1:
            self.report.frames += facts["frames"]
            self.report.faces += facts["faces"]
            self.report.segments += 1
            self.report.frames_with_faces += facts.get("frames_with_faces", 0)

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            if warning not in self.report.warnings:
                if self.settings.strict:
                    raise InputError(f"{warning} (an error because of --strict)")
                self.report.warnings.append(warning)

    def _join(self, job: Job) -> None:
        makes_faces = any(s.operator.yields == "face" for s in self.pipeline.stages)
        untouched = makes_faces and self.report.faces == 0
        if untouched:
            self._warn(f"{self.target}: no face to change was found; the output is a copy of the input")
        paths = [job.folder / f"{s.index:06d}{self.encoder.extension}" for s in self.segments]
        with written_whole(self.output) as temporary:
            if untouched and self.encoder.can_copy(self.video, self.output):
                self._warn(*self.encoder.copy(self.video, temporary))
            else:
                notes = {} if untouched else self.metadata
                self._warn(*self.encoder.join(self.video, paths, temporary, notes))


def scan_part(order: WorkOrder, part: Part, task: PartTask, scans: dict[str, tuple[Any, Any]]) -> int:
    """Run the ordered stage of a part on one segment, here, and store what it gives; returns the number of faces.

    `scans` holds, by stage, the operator and what the segments before left; segments must come in order.
    """
    (stage,) = part.stages
    if task.part:
        tables = load_tables(order.sidecar(task.part - 1, task.segment))
    else:
        tables = {"frame": frames_of(order.video, order.segments[task.segment]), "face": Batch()}
    if stage.name not in scans:
        operator = stage.make()
        operator.setup(Setting(video=order.video))
        scans[stage.name] = (operator, None)
    operator, carry = scans[stage.name]
    given = tables[operator.each]
    if len(given):
        try:
            result, carry = operator.scan(given, carry)
        except VidswapError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            detail = traceback.format_exc()
            raise StageError(reason, stage=stage.name, segment=task.segment, detail=detail) from error
        problem = contract_broken(operator, given, result)
        if problem:
            raise StageError(problem, stage=stage.name, segment=task.segment)
        scans[stage.name] = (operator, carry)
        tables = {**tables, operator.each: result}
    save_tables(order.sidecar(task.part, task.segment), {t: stored(b, part.stores) for t, b in tables.items()})
    return len(tables["face"])


def check_sources(pipeline: Pipeline, sources: Mapping[str, Path]) -> None:
    """Raise InputError for unknown, missing and unreadable sources."""
    for name in sources:
        if name not in pipeline.sources:
            raise InputError(
                f"pipeline {pipeline.name} has no source {name!r}; it has {', '.join(pipeline.sources) or 'none'}"
            )
    for name, wanted in pipeline.sources.items():
        if wanted.required and name not in sources:
            raise InputError(f"pipeline {pipeline.name} needs a source; give --source {name}=FILE ({wanted.about})")
    for name, path in sources.items():
        if not path.is_file():
            raise InputError(f"{name}: {'is a folder' if path.is_dir() else 'no such file'}: {path}")


def check_output(output: Path, target: Path, overwrite: bool) -> None:
    """Raise InputError when the output cannot or must not be written there."""

    if output.is_dir():
        raise InputError(f"the output {output} is a folder; give a file name, such as {output / 'swapped.mp4'}")
    if target.exists() and output.exists() and output.samefile(target):
        raise InputError(f"the output {output} is the target itself; give another name with -o")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; --overwrite replaces it")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise InputError(f"the output folder {parent} does not exist; make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"the output folder {parent} is not writable")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM end a run as Ctrl-C does: with workers stopped and the journal whole."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        # Only the main thread may set handlers; elsewhere the caller's own are in force.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
