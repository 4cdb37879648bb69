"""A run: one driver, a pool of segment workers, one job folder.

The driver checks, has the tasks done (`driving.Drive`; ordered scans it runs itself, they are small), and at the end
joins the segments under a temporary name that is renamed to the output. Where the workers live is up to the executor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from vidswap.files import file_digest
from vidswap.graph import InputError, Interrupted, Pipeline, StageError, VidswapError, cut, joined_spans
from vidswap.graph.ends import Decoder, Encoder
from vidswap.media.outputs import occupied, standing_for
from vidswap.storage import is_remote

from .checks import (
    check_output,
    check_place,
    check_ready,
    check_roles,
    check_shared,
    check_sources,
    check_sources_stay,
    files_read,
)
from .driving import Drive
from .executors import Executor, MakeExecutor, Needs, executor_of
from .interrupt import Interruption, interruptible
from .job import JOB_SUFFIX, MARKER, Analysis, Job, digest, remove_emptied
from .journal import JOURNAL, Journal
from .order import WorkOrder
from .placing import clear_temporary, written_output
from .recording import Recording
from .report import Event, Listener, Lost, Report, Started, told_memory
from .resuming import order_data, versions
from .scans import Scans
from .settings import RunSettings
from .stamps import stamp
from .store import trouble

__all__ = ["Event", "Listener", "Lost", "Report", "Started", "check_output", "check_sources", "run"]


def run(
    pipeline: Pipeline,
    target: Path,
    output: Path,
    sources: Mapping[str, Path],
    settings: RunSettings,
    *,
    listener: Listener | None = None,
    metadata: Mapping[str, str] | None = None,
    make_executor: MakeExecutor = executor_of,
) -> Report:
    """Run a pipeline on one video.

    `metadata` goes into the container beside what the engine notes itself. Raises InputError before any work for bad
    input, StageError when a stage fails, Interrupted on SIGINT or SIGTERM; the job folder then holds what is done and
    the same call goes on from there. The output appears whole or not at all.
    """
    return _Run(pipeline, target, output, sources, settings, listener, metadata, make_executor).go()


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
        make_executor: MakeExecutor,
    ) -> None:
        self.pipeline, self.target, self.output, self.settings = pipeline, target, output, settings
        self.sources = dict(sources)
        self.listener = self.recording = Recording(settings, listener)
        self.metadata = dict(metadata or {})
        self.make_executor = make_executor
        self.report = Report(pipeline.name, str(target), str(output))
        check_place(output)
        self.folder = settings.job or output.with_name(f"{output.name}{JOB_SUFFIX}")
        self.interruption = Interruption()
        self.drive: Drive | None = None

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
            with contextlib.ExitStack() as ending, interruptible() as self.interruption:
                self._check()
                executor = ending.enter_context(contextlib.closing(self.make_executor(self.settings)))
                self._warn(*executor.check(self.pipeline, self._needs()))
                self.recording.also(executor.listener(self.output.name))
                self.interruption.drain_s = executor.drain_s
                identity = self._identity()
                self._identity_digest = digest(identity)
                analysis = self._analysis(identity)
                job = Job(self.folder, identity, self._order(), fresh=self.settings.fresh, analysis=analysis)
                with contextlib.closing(job):
                    self._complete(job, executor)
                    if self.settings.job is None and not self.report.skipped:
                        job.remove()
        except (KeyboardInterrupt, Interrupted):
            there = (self.folder / MARKER).exists()
            told = f"; the same command goes on from {self.folder}" if there else ""
            raise Interrupted(f"interrupted{told}") from None
        except OSError as error:
            raise VidswapError(trouble(error)) from error
        if self.settings.job is not None or self.report.skipped:
            self.report.job = str(self.folder)

    def _check(self) -> None:
        """All that can be found wrong before any work. An output that this very job has written is no obstacle."""
        check_shared([self.target, *self.sources.values(), self.folder], self.settings.workers)
        check_sources(self.pipeline, self.sources)
        remove_emptied(self.folder)
        known = (self.folder / JOURNAL).is_file() and not self.settings.fresh
        written = known and Journal(self.folder, reading=True).output(self.output)
        self._check_output(self.settings.overwrite or bool(written))
        check_sources_stay(self.output, self.sources)
        self.pipeline = self.pipeline.for_output(self.output)
        self._stamps = self._stamped()
        decoder = cast(Decoder, self.pipeline.decoder.make())
        self.encoder = cast(Encoder, self.pipeline.encoder.make())
        self.video = decoder.probe(self.target)
        check_roles(decoder, self.target, self.video, self.output, self.sources)
        if self.settings.start is not None or self.settings.end is not None:
            self.video = decoder.trim(self.video, self.settings.start, self.settings.end)
        self._warn(*getattr(self.video, "warnings", ()))
        self.canvas = self.pipeline.canvas(self.video)
        self._warn(*(self.encoder.check(self.canvas, self.output) or ()))
        self.report.not_copied = self._why_not_copied()
        if self.settings.on_error == "skip-copy" and self.canvas is not self.video:
            raise InputError(f"--on-error skip-copy: {self.pipeline.name} makes other pictures than those of its input")
        self.segments = cut(self.video.frame_count, self.video.keyframes, self.settings.segment_frames)
        check_ready(self.pipeline, self.settings.device if self.settings.executor == "local" else None)
        check_sources_stay(self.output, files_read(self.pipeline, self.sources))

    def _stamped(self) -> list[list[Any]]:
        return [stamp(path) for path in (self.target, *self.sources.values()) if not is_remote(path)]

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

    def _needs(self) -> Needs:
        files = {s.name: tuple(s.make().files()) for s in self.pipeline.stages}
        return Needs(self.target, self.sources, {name: found for name, found in files.items() if found})

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

    def _complete(self, job: Job, executor: Executor) -> None:
        """Do what is left to do, and tell what goes wrong in one line; tracebacks go to the job folder."""
        try:
            self._tag = f"vidswap-{hashlib.sha256(os.fsencode(str(job.folder.absolute()))).hexdigest()[:8]}"
            clear_temporary(self.output, self._tag)
            written = None if self.settings.overwrite else job.journal.output(self.output, self._identity_digest)
            self._check_output(self.settings.overwrite or written is not None)
            if written is not None:
                # The run before was stopped between its last two steps, or its folder was kept.
                resumed = {"segments_resumed": written["segments"], "frames_resumed": written["frames"]}
                self.report = Report(**{**written, **resumed})
                return
            drive = self._work(job, executor)
            self._join(job, drive.copied)
        except InputError:
            # Found out only with a model's help (no face in the portrait): still before any result.
            if job.is_new and not (self.drive and self.drive.segment_done):
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

    def _work(self, job: Job, executor: Executor) -> Drive:
        workers = executor.workers(len(self.segments))
        order = WorkOrder(
            pipeline=self.pipeline.specification.model_dump(mode="json"),
            video=self.video,
            segments=self.segments,
            folder=job.folder,
            sources=self.sources,
            source_face=self.settings.source_face,
            threads=executor.threads(workers),
            device=self.settings.device,
            copies=self.report.not_copied is None,
            stall_timeout_s=self.settings.stall_timeout_s,
            timed=self.recording.wanted,
            segment_timeout_s=self.settings.segment_timeout_s,
        )
        drive = self.drive = Drive(
            *(self.pipeline, self.segments, self.sources, self.settings, executor.retry, job, self.report),
            *(self.listener, self._warn, self.interruption),
        )
        done = drive.take_up()
        stages = tuple(s.name for s in (self.pipeline.decoder, *(s for p in self.pipeline.parts for s in p.stages)))
        self.recording.begin(self.report, self.sources, self.pipeline, self.video, self.segments)
        self.listener(Started(self.video, len(self.segments), stages, self.report.segments_resumed, done))
        largest: list[float] = []
        if not drive.schedule.finished:
            with contextlib.closing(Scans(order)) as scans, contextlib.closing(executor.pool(order, workers)) as pool:
                try:
                    drive.go(order, pool, scans)
                finally:
                    self.report.owners_lost = executor.owners_lost()
                largest = sorted(drive.memory_mb.values(), reverse=True)[: max(1, pool.size)]
        self.report.peak_memory_mb = told_memory(largest)
        return drive

    def _warn(self, *warnings: str) -> None:
        for warning in warnings:
            if warning not in self.report.warnings:
                if self.settings.strict:
                    raise InputError(f"{warning} (an error because of --strict)")
                self.report.warnings.append(warning)

    def _join(self, job: Job, copied: list[tuple[int, int]]) -> None:
        for before, now in zip(self._stamps, self._stamped(), strict=True):
            if before != now:
                raise VidswapError(
                    f"{before[0]} has changed while it was read; the same command with --fresh begins anew"
                )
        makes_faces = any(s.operator.yields == "face" for s in self.pipeline.stages)
        untouched = makes_faces and self.report.faces == 0
        as_it_is = untouched and self.canvas is self.video and self.encoder.can_copy(self.video, self.output)
        self.report.copied = [(0, self.video.frame_count)] if as_it_is else joined_spans(copied)
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
