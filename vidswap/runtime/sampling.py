"""Some frames of a video with all that a pipeline knows of their faces, tracks of the whole video included.

Unlike a preview, which looks at the neighbourhood of its frames, this analyses the whole video first: tracks are
numbered as in a run. What `vidswap tune` takes its faces from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidswap.graph import Batch, Pipeline, cut

from .checks import check_ready, check_sources
from .order import PartTask, SourceTask, WorkOrder
from .scans import Scans
from .settings import RunSettings, available_cores
from .store import load_tables
from .worker import SegmentWorker


def sampled_faces(
    pipeline: Pipeline,
    target: Path,
    choose: Callable[[Batch], Sequence[int]],
    settings: RunSettings,
    sources: Mapping[str, Path],
) -> Iterator[Batch]:
    """Analyse a video in this process, let `choose` pick frames, and yield the rows of those frames' faces.

    choose: given the rows of all faces with the columns that are known before the last part (frame, track ...).
    Raises what a run raises.
    """
    check_sources(pipeline, sources)
    check_ready(pipeline, settings.device)
    decoder: Any = pipeline.decoder.make()
    video = decoder.probe(target)
    with tempfile.TemporaryDirectory(prefix="vidswap-sampling-") as folder:
        order = WorkOrder(
            pipeline=pipeline.specification.model_dump(mode="json"),
            video=video,
            segments=cut(video.frame_count, video.keyframes, settings.segment_frames),
            folder=Path(folder),
            sources=dict(sources),
            source_face=settings.source_face,
            threads=available_cores(),
            device=settings.device,
        )
        worker = SegmentWorker(order)
        try:
            yield from _sampled(worker, choose)
        finally:
            worker.close()


def _sampled(worker: SegmentWorker, choose: Callable[[Batch], Sequence[int]]) -> Iterator[Batch]:
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
    known = [load_tables(order.sidecar(len(parts) - 2, segment.index))["face"] for segment in order.segments]
    frames = sorted(set(choose(Batch.concat([faces for faces in known if len(faces)]))))
    for segment in order.segments:
        inside = [frame for frame in frames if segment.start <= frame < segment.stop]
        for tables in worker.stream(PartTask(parts[-1].index, segment.index), frames=inside):
            if len(tables["face"]):
                yield tables["face"]
