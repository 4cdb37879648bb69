"""Some frames of a result without the rest of it: what a contact sheet is made of.

Around every frame wanted the engine analyses as many neighbours as the pipeline looks at, so that a frame looks as it
will in the whole video. Choices that depend on the video's past (which face was followed so far) see only those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidswap.graph import Batch, Pipeline, Segment

from .checks import check_ready, check_sources
from .order import PartTask, SourceTask, WorkOrder
from .scans import Scans
from .settings import RunSettings, available_cores
from .worker import SegmentWorker


@dataclass(frozen=True)
class PreviewFrame:
    """One frame: the picture as decoded, the picture as composited, and the rows of its faces with all columns."""

    frame: int
    target: Any
    result: Any
    faces: Batch


def render_frames(
    pipeline: Pipeline, target: Path, frames: Sequence[int], sources: Mapping[str, Path], settings: RunSettings
) -> Iterator[PreviewFrame]:
    """Run a pipeline on single frames, in this process, and yield them in order.

    Frames beyond the end are left out. Raises what a run raises.
    """
    check_sources(pipeline, sources)
    check_ready(pipeline, settings.device)
    decoder: Any = pipeline.decoder.make()
    video = decoder.probe(target)
    wanted = sorted({f for f in frames if 0 <= f < video.frame_count})
    reach = sum(p.context for p in pipeline.parts)
    segments = window_segments(wanted, video.frame_count, reach)
    with tempfile.TemporaryDirectory(prefix="vidswap-preview-") as folder:
        order = WorkOrder(
            pipeline=pipeline.specification.model_dump(mode="json"),
            video=video,
            segments=segments,
            folder=Path(folder),
            sources=dict(sources),
            source_face=settings.source_face,
            threads=available_cores(),
            device=settings.device,
        )
        worker = SegmentWorker(order)
        try:
            yield from _render(worker, decoder, set(wanted))
        finally:
            worker.close()


def _render(worker: SegmentWorker, decoder: Any, wanted: set[int]) -> Iterator[PreviewFrame]:
    order, parts = worker.order, worker.pipeline.parts
    for name in order.sources:
        worker.run(SourceTask(name))
    scans = Scans(order)
    try:
        for part in parts[:-1]:
            for segment in order.segments:
                task = PartTask(part.index, segment.index)
                if part.ordered:
                    scans.run(part, task)
                else:
                    worker.run(task)
    finally:
        scans.close()
    for segment in order.segments:
        if segment.start not in wanted or segment.frames != 1:
            continue
        original = next(iter(decoder.read(order.video, segment.start, segment.stop)))
        for tables in worker.stream(PartTask(parts[-1].index, segment.index)):
            for picture in tables["frame"]["picture"]:
                yield PreviewFrame(picture.frame, original, picture, tables["face"])


def window_segments(frames: Sequence[int], frame_count: int, reach: int) -> tuple[Segment, ...]:
    """Segments of one frame for every frame wanted, and segments for the `reach` frames around them.

    >>> [(s.start, s.stop) for s in window_segments([3, 9], 20, 4)]
    [(0, 3), (3, 4), (4, 9), (9, 10), (10, 14)]
    """
    covered = sorted({n for f in frames for n in range(max(0, f - reach), min(frame_count, f + reach + 1))})
    spans: list[tuple[int, int]] = []
    for frame in covered:
        joins = spans and spans[-1][1] == frame and frame not in frames and spans[-1][0] not in frames
        if joins:
            spans[-1] = (spans[-1][0], frame + 1)
        else:
            spans.append((frame, frame + 1))
    return tuple(Segment(i, low, high) for i, (low, high) in enumerate(spans))
