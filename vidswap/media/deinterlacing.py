"""One whole picture of the two fields of a frame, frame by frame, the same wherever reading begins."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import av.filter
import numpy as np

from .index import VideoIndex

# The filter looks at the frame before and the one after; the first it is given, it treats in a way of its own.
MARGIN_BEFORE, MARGIN_AFTER = 2, 1
_FILTER = "bwdif"


def deinterlaced(index: VideoIndex, *, all_frames: bool = False) -> VideoIndex:
    """The index of a video whose frames are deinterlaced as they are read: those marked as interlaced, or all."""
    which = "all" if all_frames else "interlaced"
    return dataclasses.replace(
        index,
        interlaced=False,
        deinterlace=f"mode=send_frame:parity=auto:deint={which}",
        closed_groups=np.zeros((0, 2), dtype=np.int64),
    )


def woven(index: VideoIndex, frames: Iterator[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their numbers, deinterlaced as `index` says; of the working format and the stored size.

    All but the first `MARGIN_BEFORE` and the last `MARGIN_AFTER` do not depend on where `frames` begin and end.
    """
    graph = _graph(index)
    waiting: deque[int] = deque()
    for number, frame in frames:
        waiting.append(number)
        graph.vpush(frame)
        yield from _pulled(graph, waiting)
    graph.vpush(None)
    yield from _pulled(graph, waiting)


def _pulled(graph: Any, waiting: deque[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    while True:
        try:
            frame = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield waiting.popleft(), frame


def _graph(index: VideoIndex) -> Any:
    graph = av.filter.Graph()
    # Slices of several threads would be the same; workers fill the cores.
    graph.threads = 1
    source = graph.add_buffer(
        width=index.stored_width,
        height=index.stored_height,
        format=av.VideoFormat(index.working_format),
        time_base=index.time_base,
    )
    graph.link_nodes(source, graph.add(_FILTER, index.deinterlace), graph.add("buffersink")).configure()
    return graph
