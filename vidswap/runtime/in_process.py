"""A pipeline run by one worker in this process, up to the part in which its last stages stand.

What previews and samples of faces are made of: no pool, no journal, and a folder that goes away at the end.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vidswap.graph import Pipeline, Segment
from vidswap.graph.ends import Video

from .checks import check_ready, check_sources
from .order import PartTask, SourceTask, WorkOrder
from .scans import Scans
from .settings import RunSettings, available_cores
from .worker import SegmentWorker


def check(pipeline: Pipeline, sources: Mapping[str, Path], settings: RunSettings) -> None:
    """Raise InputError for sources that are missing or not known, and for stages that lack what they need."""
    check_sources(pipeline, sources)
    check_ready(pipeline, settings.device)


@contextlib.contextmanager
def analysed(
    pipeline: Pipeline, video: Video, segments: Sequence[Segment], sources: Mapping[str, Path], settings: RunSettings
) -> Iterator[SegmentWorker]:
    """A worker that has run every part but the last on all segments, in order. Raises what a run raises."""
    with tempfile.TemporaryDirectory(prefix="vidswap-") as folder:
        order = WorkOrder(
            pipeline=pipeline.specification.model_dump(mode="json"),
            video=video,
            segments=tuple(segments),
            folder=Path(folder),
            sources=dict(sources),
            source_face=settings.source_face,
            threads=available_cores(),
            device=settings.device,
        )
        with contextlib.closing(SegmentWorker(order)) as worker:
            _run_all_but_the_last(worker)
            yield worker


def _run_all_but_the_last(worker: SegmentWorker) -> None:
    order = worker.order
    for name in order.sources:
        worker.run(SourceTask(name))
    with contextlib.closing(Scans(order)) as scans:
        for part in worker.pipeline.parts[:-1]:
            for segment in order.segments:
                task = PartTask(part.index, segment.index)
                if part.ordered:
                    scans.run(part, task)
                else:
                    worker.run(task)
