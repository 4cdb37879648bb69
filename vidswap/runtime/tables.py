"""Tables of frames and faces as they go through the stages of a part: what is stored, shed, attached to pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vidswap.graph import Batch, Segment, Stage, joined_spans, object_column
from vidswap.graph.columns import STANDARD_COLUMNS

from .store import Tables


def stored(batch: Batch, names: Iterable[str]) -> Batch:
    """The columns among `names` that may be stored: neither transient nor made of objects."""
    keep = {}
    for name in names:
        known = STANDARD_COLUMNS.get(name)
        if name in batch and batch[name].dtype != object and not (known and known.transient):
            keep[name] = batch[name]
    return Batch(keep)


def shed(tables: Tables, names: Iterable[str]) -> Tables:
    """The tables with the columns among `names` that may be stored."""
    return {table: stored(batch, names) for table, batch in tables.items()}


def goes_before_reading(stage: Stage) -> bool:
    """Whether a stage works on frames that have not been read."""
    operator = stage.operator
    return (
        operator.each == "frame"
        and operator.yields is None
        and operator.kind != "encode"
        and "picture" not in (*operator.needs, *operator.uses)
    )


def spans_of(frames: np.ndarray, wanted: np.ndarray) -> list[tuple[int, int]]:
    """Spans [start, stop) of the consecutive frames that are wanted.

    >>> spans_of(np.arange(10, 16), np.array([True, True, False, False, True, True]))
    [(10, 12), (14, 16)]
    """
    return joined_spans((int(f), int(f) + 1) for f in frames[wanted])


def frames_of(video: Any, segment: Segment) -> Batch:
    """The frames table of a segment: frame and pts."""
    frame = np.arange(segment.start, segment.stop, dtype=np.int64)
    return Batch(frame=frame, pts=np.asarray(video.pts, np.int64)[segment.start : segment.stop])


def own_rows(tables: Tables, segment: Segment) -> Tables:
    """The rows of the segment's own frames."""
    return {t: b.frames_between(segment.start, segment.stop) if len(b) else b for t, b in tables.items()}


def attached(tables: Tables, pictures: list[Any]) -> Tables:
    """The rows of consecutive pictures, with the pictures."""
    first, last = pictures[0].frame, pictures[-1].frame
    frames = tables["frame"].frames_between(first, last + 1).with_columns(picture=object_column(pictures))
    faces = tables["face"]
    if len(faces):
        faces = faces.frames_between(first, last + 1)
        faces = faces.with_columns(picture=object_column(pictures[f - first] for f in faces["frame"]))
    return {"frame": frames, "face": faces}
