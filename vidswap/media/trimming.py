"""Trimming: the part of a video between two times, exact to the frame."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from vidswap.graph.errors import InputError

from .index import VideoIndex

_CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)s?$")
_FRAME = re.compile(r"(?P<frame>\d+)f$")
# A time that was rounded to milliseconds still means the frame that begins there.
_TOLERANCE_S = 0.0005


def trim(index: VideoIndex, start: str | None, end: str | None) -> VideoIndex:
    """The frames of `index` that are shown from `start` on and before `end`.

    Args:
        index: of a whole video.
        start, end: times from the first frame on, as 75, 75.5, 1:15.5 or 0:01:15.5, or frames as 1875f; None for the
            video's own ends. The frame shown at `start` is the first one, `end` is not shown any more.

    Raises InputError for what is no time, and for a part that has no frame.
    """
    if start is None and end is None:
        return index
    first = 0 if start is None else _frame_at(index, start, "--start")
    stop = index.frame_count if end is None else _frame_at(index, end, "--end", after=True)
    name = index.path.name
    if first >= index.frame_count:
        raise InputError(
            f"--start {start} lies behind the end of {name}, which has {index.frame_count} frames in "
            f"{index.duration_s:.3f} s"
        )
    if stop <= first:
        raise InputError(f"nothing of {name} lies between --start {start or 0} and --end {end}")
    if (first, stop) == (0, index.frame_count):
        return index
    return part(index, first, min(stop, index.frame_count))


def part(index: VideoIndex, first: int, stop: int) -> VideoIndex:
    """Frames [first, stop) of a whole video, as an index of their own."""
    inside = (index.keyframes >= first) & (index.keyframes < stop)
    groups = index.closed_groups
    groups = groups[(groups[:, 0] >= first) & (groups[:, 1] <= stop)] - first
    return dataclasses.replace(
        index,
        pts=index.pts[first:stop],
        stamps=None if index.stamps is None else index.stamps[first:stop],
        durations=index.durations[first:stop],
        keyframes=index.keyframes[inside] - first,
        seek_timestamps=index.seek_timestamps[inside],
        closed_groups=groups,
        first=first,
        whole=index,
    )


def _frame_at(index: VideoIndex, text: str, option: str, *, after: bool = False) -> int:
    """The frame that is shown at a time, or with `after` the first one that begins at it or later."""
    if match := _FRAME.match(text.strip()):
        return int(match["frame"])
    match = _CLOCK.match(text.strip())
    if not match:
        raise InputError(f"{option} {text!r} is no time; write seconds as 75.5, a clock as 1:15.5, or a frame as 1875f")
    seconds = 3600 * int(match["hours"] or 0) + 60 * int(match["minutes"] or 0) + float(match["seconds"])
    begins = (index.pts - index.pts[0]) * float(index.time_base)
    if after:
        return int(np.searchsorted(begins, seconds - _TOLERANCE_S, side="left"))
    if seconds > index.duration_s:
        return index.frame_count
    return max(0, int(np.searchsorted(begins, seconds + _TOLERANCE_S, side="right")) - 1)
