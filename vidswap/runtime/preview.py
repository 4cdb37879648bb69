"""Some frames of a result without the rest of it: what a contact sheet is made of.

Around every frame wanted the engine analyses as many neighbours as the pipeline looks at, so that a frame looks as it
will in the whole video. Choices that depend on the video's past (which face was followed so far) see only those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidswap.graph import Batch, Pipeline, Segment

from .in_process import analysed, check
from .order import PartTask
from .settings import RunSettings


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
    check(pipeline, sources, settings)
    decoder: Any = pipeline.decoder.make()
    video = decoder.probe(target)
    wanted = sorted({f for f in frames if 0 <= f < video.frame_count})
    reach = sum(p.context for p in pipeline.parts)
    segments = window_segments(wanted, video.frame_count, reach)
    last = pipeline.parts[-1].index
    with analysed(pipeline, video, segments, sources, settings) as worker:
        for segment in segments:
            if segment.start not in wanted or segment.frames != 1:
                continue
            original = next(iter(decoder.read(video, segment.start, segment.stop)))
            for tables in worker.stream(PartTask(last, segment.index)):
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
