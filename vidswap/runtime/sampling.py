"""Some frames of a video with all that a pipeline knows of their faces, tracks of the whole video included.

Unlike a preview, which looks at the neighbourhood of its frames, this analyses the whole video first: tracks are
numbered as in a run. What `vidswap tune` takes its faces from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidswap.graph import Batch, Pipeline, cut

from .in_process import analysed, check
from .order import PartTask
from .settings import RunSettings
from .store import load_tables


def sampled_faces(
    pipeline: Pipeline,
    target: Path,
    choose: Callable[[Batch], Sequence[int]],
    settings: RunSettings,
    sources: Mapping[str, Path],
) -> Iterator[Batch]:
    """Analyse a video in this process, let `choose` pick frames, and yield the rows of those frames' faces.

    choose: given the rows of all faces with the columns frame and, where faces are followed, track: a long video has
        too many rows for more. Raises what a run raises.
    """
    check(pipeline, sources, settings)
    decoder: Any = pipeline.decoder.make()
    video = decoder.probe(target)
    segments = cut(video.frame_count, video.keyframes, settings.segment_frames)
    last = pipeline.parts[-1].index
    with analysed(pipeline, video, segments, sources, settings) as worker:
        known = [_numbers(load_tables(worker.order.sidecar(last - 1, segment.index))["face"]) for segment in segments]
        frames = sorted(set(choose(Batch.concat([faces for faces in known if len(faces)]))))
        for segment in segments:
            inside = [frame for frame in frames if segment.start <= frame < segment.stop]
            for tables in worker.stream(PartTask(last, segment.index), frames=inside):
                if len(tables["face"]):
                    yield tables["face"]


def _numbers(faces: Batch) -> Batch:
    return Batch({name: faces[name] for name in ("frame", "track") if name in faces.names})
