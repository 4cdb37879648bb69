"""SegmentWorker: runs parts of a pipeline on segments of a video. Knows nothing of processes, order or retries.

It decodes the segment itself, streams it through the stages in small batches and stores the columns that later parts
need, or the encoded segment. What it holds at a time is one small batch of frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.files import written_whole
from vidswap.graph import (
    Batch,
    Operator,
    Pipeline,
    Segment,
    Setting,
    Stage,
    StageError,
    VidswapError,
    complement,
    halo,
    set_up,
)
from vidswap.graph.specification import PipelineSpecification
from vidswap.storage.ranges import all_read

from .asking import Asking, Owners, Question, Served
from .blame import Blame, contract_broken, failing_frame, stage_error
from .order import CopyTask, Done, PartTask, Progress, SourceTask, WorkOrder
from .sources import prepare_source
from .spans import Stopwatch, span
from .store import Sidecars, Tables, joined, load_tables, save_tables
from .tables import attached, frames_of, goes_before_reading, own_rows, shed, spans_of, stored

LARGEST_BATCH_BYTES = 8 << 20
_LEAST_BATCH = 8  # frames: fewer, and what a call of every stage costs by itself would be felt
Observer = Callable[[str, Batch], None]


@dataclass(frozen=True)
class _Plan:
    """What is to be done with a segment in one part: its tables, the stages left, and the frames to go through them.

    `copied` are the stretches of frames that are left out, because their packets will be copied.
    """

    tables: Tables
    stages: tuple[Stage, ...]
    runs: list[tuple[int, int]]
    copied: list[tuple[int, int]]


class SegmentWorker:
    """Runs tasks of one work order; keeps set-up operators between tasks.

    `report` is called every few frames with a Progress; `observe` (for previews) with the name of every stage and the
    batch that it returned; `sidecars` keeps the tables between parts; `process` and `node` say in replies who works;
    `owners` call the stages that the order says are served.
    Raises StageError with stage, segment and frame for failures inside operators, and VidswapError as operators raise
    it.
    """

    def __init__(
        self,
        order: WorkOrder,
        report: Callable[[Progress], None] | None = None,
        observe: Observer | None = None,
        *,
        process: int = 0,
        node: str = "",
        owners: Owners | None = None,
        sidecars: Sidecars | None = None,
    ) -> None:
        self.order = order
        self._sidecars = sidecars or Sidecars(order)
        self.pipeline = Pipeline(PipelineSpecification.checked(order.pipeline, "pipeline"))
        self._report = report or (lambda _: None)
        self._observe = observe
        self._operators: dict[tuple[str, bool], Operator[Any]] = {}
        self._process, self._node = process, node
        self._watch = Stopwatch(spans=order.timed)
        self._asking = Asking(order.served if owners else (), owners, self._watch)

    def run(self, task: PartTask | SourceTask) -> Done:
        """Run one task and store its result, atomically, in the job folder."""
        began_s, began = time.time(), time.perf_counter()
        self._watch.untold()
        with all_read():
            done = self._run_source(task) if isinstance(task, SourceTask) else self._run_part(task)
        seconds, spans = self._watch.untold()
        return replace(
            done,
            warnings=(*done.warnings, *self._told_by_operators()),
            process=self._process,
            node=self._node,
            began_s=began_s,
            task_s=time.perf_counter() - began,
            seconds=seconds,
            spans=spans,
        )

    def _tell(self, task: PartTask, frames: int, faces: int) -> None:
        seconds, spans = self._watch.untold()
        self._report(Progress(task, frames, faces, seconds, spans, self._process, self._node))

    def _told_by_operators(self) -> list[str]:
        """What operators have to say of the work just done: of damaged frames, of memory that was short."""
        return [
            *self._asking.take_warnings(),
            *(warning for operator in self._operators.values() for warning in operator.take_warnings()),
        ]

    def close(self) -> None:
        """Tear down all operators."""
        for operator in self._operators.values():
            operator.teardown()
        self._operators.clear()

    def operator(self, stage: Stage, *, for_source: bool = False) -> Operator[Any]:
        """The operator of a stage, made and, unless somebody else owns the one that is called, set up at first use."""
        key = (stage.name, for_source)
        if key not in self._operators:
            operator = stage.make()
            if self._asking.serves(stage):
                self._operators[key] = operator
                return operator
            sources = {}
            if stage.operator.needs_source:
                sources = {n: load_tables(self.order.source_sidecar(n))["face"] for n in self.order.sources}
            video = None if for_source else self.order.video
            with self._watch.timed(stage.name, "setup"), self._blame(stage, None):
                set_up(operator, Setting(sources, video, self.order.threads, self.order.device))
            self._operators[key] = operator
        return self._operators[key]

    def _run_source(self, task: SourceTask) -> Done:
        stages = self.pipeline.stages_of_source(task.source)
        decoder = self.operator(stages[0], for_source=True)
        callers = [(s, lambda batch, s=s: self._call_for_source(s, batch)) for s in stages[1:]]
        path = self.order.sources[task.source]
        followed = self.pipeline.followed_face(task.source)
        batch, warnings = prepare_source(
            task.source, path, decoder, callers, followed or self.order.source_face, followed=followed is not None
        )
        sidecar = self.order.source_sidecar(task.source)
        save_tables(sidecar, {"face": stored(batch, batch.names)})
        return Done(task, sidecar.name, {"faces": len(batch)}, tuple(warnings))

    def _call_for_source(self, stage: Stage, batch: Batch) -> Batch:
        operator = self.operator(stage, for_source=True)
        if self._asking.serves(stage):
            return self._asking.answer(stage, batch, self._asking.ask(stage, operator, batch, for_source=True), None)
        with self._watch.timed(stage.name, "source"):
            return self._call(stage, operator, batch, None)

    def serve(self, question: Question) -> Served:
        """Call a served operator for another worker; for those who own its model."""
        stage = next(s for s in self.pipeline.stages if s.name == question.stage)
        if not question.for_source and (stage.name, True) in self._operators:
            # Sources are done with: no need to have the model twice.
            self._operators.pop((stage.name, True)).teardown()
        operator = self.operator(stage, for_source=question.for_source)
        began = time.perf_counter()
        made = self._checked_call(stage, operator, question.batch, None)
        if len(made) != len(question.batch):
            told = f"{type(operator).__name__} is served, was given {len(question.batch)} rows and returned {len(made)}"
            raise StageError(told, stage=stage.name)
        kept = Batch({name: made[name] for name in ("frame", *operator.gives)})
        owner = f"{self._node}/{self._process}"
        took = span(stage.name, time.perf_counter() - began, "served", rows=len(question.batch), owner=owner)
        return Served(kept, took, tuple(operator.take_warnings()))

    def _run_part(self, task: PartTask) -> Done:
        part = self.pipeline.parts[task.part]
        segment = self.order.segments[task.segment]
        if not part.reads:
            tables = self._inputs(task)
            for stage in part.stages:
                tables = self._apply(stage, tables, segment)
            return self._finish(task, tables)
        if part.stages[-1].operator.kind == "encode":
            encoder: Any = self.operator(part.stages[-1])
            path = self.order.encoded(task.segment, encoder.extension)
            with written_whole(path) as temporary:
                try:
                    facts = self._encode(task, part.stages[-1], encoder, temporary)
                except StageError as error:
                    reason = error.reason.replace(temporary.name, path.name)
                    raise StageError(
                        reason, stage=error.stage, segment=error.segment, frame=error.frame, detail=error.detail
                    ) from error
            return Done(task, path.name, facts)
        collected = list(self.stream(task))
        return self._finish(task, {t: Batch.concat([c[t] for c in collected]) for t in ("frame", "face")})

    def _encode(self, task: PartTask, stage: Stage, encoder: Any, path: Path) -> dict[str, Any]:
        plan = self._plan(task)
        segment = self.order.segments[task.segment]
        wanted = sum(stop - start for start, stop in plan.runs)
        if segment.frames > wanted:
            self._tell(task, segment.frames - wanted, 0)
        faces = frames_with_faces = 0
        if not plan.runs:
            path.touch()
            return {"frames": segment.frames, "faces": 0, "frames_with_faces": 0, "copied": plan.copied}
        finished = False
        try:
            with self._blame(stage, task.segment):
                encoder.begin(path, self.pipeline.canvas(self.order.video), self.order.threads)
            for streamed in self.stream(task, plan):
                given = streamed["face"]
                faces += len(given)
                frames_with_faces += len(np.unique(given["frame"])) if len(given) else 0
                with self._watch.timed(stage.name):
                    for picture in streamed["frame"]["picture"]:
                        with self._blame(stage, task.segment, picture.frame):
                            encoder.write(picture)
            with self._watch.timed(stage.name), self._blame(stage, task.segment):
                facts = encoder.finish()
            finished = True
        finally:
            if not finished:
                encoder.abort()
        if facts["frames"] != wanted:
            raise StageError(f"wrote {facts['frames']} of {wanted} frames", stage=stage.name, segment=task.segment)
        with self._watch.timed(stage.name), self._blame(stage, task.segment):
            encoder.verify(path, wanted)
        return {
            "frames": segment.frames,
            "faces": faces,
            "frames_with_faces": frames_with_faces,
            "copied": plan.copied,
        }

    def _plan(self, task: PartTask) -> _Plan:
        segment, part = self.order.segments[task.segment], self.pipeline.parts[task.part]
        stages = [s for s in part.stages if s.operator.kind != "encode"]
        if isinstance(task, CopyTask):
            stages, tables = [], {"frame": frames_of(self.order.video, segment), "face": Batch()}
        else:
            tables = self._inputs(task)
        if part.context and stages:
            tables = self._apply(stages.pop(0), tables, segment)
        # What needs no pictures of a frame may say which frames need not be read.
        while stages and goes_before_reading(stages[0]):
            tables = self._apply(stages.pop(0), tables, segment)
        if self._watch.seconds:
            self._tell(task, 0, 0)
        copied: list[tuple[int, int]] = []
        if self.order.copies and part.stages[-1].operator.kind == "encode":
            changed = np.zeros(segment.frames, dtype=bool)
            if len(tables["face"]):
                changed[tables["face"]["frame"] - segment.start] = True
            encoder: Any = self.operator(part.stages[-1])
            copied = [
                (int(a), int(b)) for a, b in encoder.stretches(self.order.video, changed, segment.start, segment.stop)
            ]
        runs = complement(copied, segment.start, segment.stop)
        searches = part.stages[-1].operator.kind != "encode" and all(
            s.operator.each == "face" or s.operator.yields for s in stages
        )
        if searches and "look" in tables["frame"]:
            runs = spans_of(tables["frame"]["frame"], tables["frame"]["look"])
        return _Plan(tables, tuple(stages), runs, copied)

    def _inputs(self, task: PartTask) -> Tables:
        segment = self.order.segments[task.segment]
        if task.part == 0:
            return {"frame": frames_of(self.order.video, segment), "face": Batch()}
        context = self.pipeline.parts[task.part].context
        neighbours = halo(self.order.segments, task.segment, context)
        tables = joined(self._sidecars.load(task.part - 1, s) for s in neighbours)
        low, high = max(0, segment.start - context), segment.stop + context
        return {t: b.frames_between(low, high) if "frame" in b else b for t, b in tables.items()}

    def stream(
        self, task: PartTask, plan: _Plan | None = None, frames: Sequence[int] | None = None
    ) -> Iterator[Tables]:
        """Take the frames of a segment through a part's stages, a few at a time; the encoder is left to the caller.

        Yields the tables of those frames, pictures included in the last part; not those of stretches that will be
        copied. Needs the part before to be stored. frames: of the segment, only these, in order.
        """
        segment = self.order.segments[task.segment]
        part = self.pipeline.parts[task.part]
        plan = plan or self._plan(task)
        if frames is not None:
            plan = replace(plan, runs=[(frame, frame + 1) for frame in frames])
        last = part.index == len(self.pipeline.parts) - 1
        at = segment.start
        for start, stop in plan.runs:
            if at < start and not last:
                yield self._passed_over(task, plan, at, start)
            at = stop
            for inside in self._through(plan.stages, self._chunks(task, plan, start, stop), segment):
                yield inside if last else shed(inside, part.stores)
                self._tell(task, len(inside["frame"]), len(inside["face"]))
        if at < segment.stop and not last:
            yield self._passed_over(task, plan, at, segment.stop)

    def _chunks(self, task: PartTask, plan: _Plan, start: int, stop: int) -> Iterator[Tables]:
        """The rows of frames [start, stop) with their pictures, a few frames at a time."""
        decoder: Any = self.operator(self.pipeline.decoder)
        count = self._batch_frames(plan.stages)
        pictures = iter(decoder.read(self.order.video, start, stop))
        while True:
            with self._watch.timed(self.pipeline.decoder.name), self._blame(self.pipeline.decoder, task.segment):
                chunk = list(islice(pictures, count))
            if not chunk:
                return
            yield attached(plan.tables, chunk)

    def _through(self, stages: Iterable[Stage], chunks: Iterator[Tables], segment: Segment) -> Iterator[Tables]:
        """Chunks of rows, taken through stages one after another."""
        for stage in stages:
            chunks = (self._ahead if self._asking.serves(stage) else self._one_by_one)(stage, chunks, segment)
        return chunks

    def _one_by_one(self, stage: Stage, chunks: Iterator[Tables], segment: Segment) -> Iterator[Tables]:
        for tables in chunks:
            yield self._apply(stage, tables, segment)

    def _ahead(self, stage: Stage, chunks: Iterator[Tables], segment: Segment) -> Iterator[Tables]:
        return self._asking.ahead(stage, self.operator(stage), chunks, segment.index)

    def _passed_over(self, task: PartTask, plan: _Plan, start: int, stop: int) -> Tables:
        """The tables of frames that are not read."""
        self._tell(task, stop - start, 0)
        stores = self.pipeline.parts[task.part].stores
        return {"frame": stored(plan.tables["frame"].frames_between(start, stop), stores), "face": Batch()}

    def _batch_frames(self, stages: Iterable[Stage]) -> int:
        wanted = max([_LEAST_BATCH, *(self.operator(s).batch_size for s in stages)])
        frame_bytes = self.order.video.width * self.order.video.height * 3
        return max(1, min(wanted, LARGEST_BATCH_BYTES // max(1, frame_bytes)))

    def _apply(self, stage: Stage, tables: Tables, segment: Segment) -> Tables:
        operator = self.operator(stage)
        given = tables[operator.each]
        if self._asking.serves(stage):
            answer = self._asking.answer(stage, given, self._asking.ask(stage, operator, given), segment.index)
            return {**tables, operator.each: answer}
        if not len(given):
            return own_rows(tables, segment) if operator.context else tables
        if operator.context and "own" in operator.uses:
            own = (given["frame"] >= segment.start) & (given["frame"] < segment.stop)
            given = given.with_columns(own=own)
        with self._watch.timed(stage.name):
            result = self._call(stage, operator, given, segment.index)
        if operator.context:
            result = result.frames_between(segment.start, segment.stop)
            tables = own_rows(tables, segment)
        if self._observe is not None:
            self._observe(stage.name, result)
        return {**tables, operator.yields or operator.each: result}

    def _call(self, stage: Stage, operator: Operator[Any], batch: Batch, segment: int | None) -> Batch:
        if not operator.served:
            return self._checked_call(stage, operator, batch, segment)
        # As for those whose model somebody else owns, so that it makes no difference.
        made = self._checked_call(stage, operator, operator.prepare(batch), segment)
        return batch.with_columns(**{name: made[name] for name in operator.gives})

    def _checked_call(self, stage: Stage, operator: Operator[Any], batch: Batch, segment: int | None) -> Batch:
        try:
            result = operator(batch)
        except (VidswapError, MemoryError):
            raise
        except Exception as error:
            frame = failing_frame(operator, batch)
            raise stage_error(error, stage, segment, frame) from error
        problem = contract_broken(operator, batch, result)
        if problem:
            raise StageError(problem, stage=stage.name, segment=segment)
        return result

    def _finish(self, task: PartTask, tables: Tables) -> Done:
        part = self.pipeline.parts[task.part]
        kept = shed(tables, part.stores)
        sidecar = self._sidecars.save(task.part, task.segment, kept)
        faces = kept["face"]
        frames_with_faces = len(np.unique(faces["frame"])) if len(faces) else 0
        frames = self.order.segments[task.segment].frames
        facts = {"frames": frames, "faces": len(faces), "frames_with_faces": frames_with_faces}
        return Done(task, sidecar, facts)

    def _blame(self, stage: Stage, segment: int | None, frame: int | None = None) -> Blame:
        return Blame(stage, segment, frame)
