"""Cutting a video into segments: the unit of work, of retry and of resume."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import InputError

SHORTEST_SEGMENT_FRAMES = 5
# Fewer segments than this leave cores idle on short clips; the cut must not depend on the number of workers (law 1),
# because a lossy encoder's frames depend on where its segments start. Two or four workers share halves evenly.
PIECES_WANTED = (8, 4, 2, 1)
SHORTEST_AUTOMATIC_FRAMES = 48
LONGEST_AUTOMATIC_FRAMES = 240
# Operators that look closely at one frame in 2, 4 or 8 count from keyframes; for a segment that begins within such a
# run they read what is before it.
RUN_FRAMES = 8
# Up to here a long video waits for its next keyframe: a group of pictures that is cut through cannot be copied.
FARTHEST_KEYFRAME_FRAMES = 1000


@dataclass(frozen=True, order=True)
class Segment:
    """Frames [start, stop) of the video, presentation order; `index` counts segments from 0."""

    index: int
    start: int
    stop: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.stop - self.start


def cut(frame_count: int, keyframes: Sequence[int] = (), frames_per_segment: int | None = None) -> tuple[Segment, ...]:
    """Cut [0, frame_count) into segments.

    With `frames_per_segment` every segment has that many frames (the last may have fewer). Without, short videos are
    cut into 8, 4 or 2 even segments of at least 48 frames, longer ones into segments of 240. They start at a keyframe
    where one lies between half and twice that length, so that readers need not decode what they throw away; those of
    long videos have up to 1000 frames where keyframes are that far apart. The cut is a function of the video alone.

    Raises InputError when `frames_per_segment` is below 5.
    """
    if frames_per_segment is not None:
        if frames_per_segment < SHORTEST_SEGMENT_FRAMES:
            raise InputError(
                f"segments of {frames_per_segment} frames are too short; give --segment-frames "
                f"{SHORTEST_SEGMENT_FRAMES} or more"
            )
        starts = list(range(0, frame_count, frames_per_segment))
    else:
        pieces = next((n for n in PIECES_WANTED if frame_count // n >= SHORTEST_AUTOMATIC_FRAMES), 1)
        runs = max(1, round(frame_count / pieces / RUN_FRAMES))
        wanted = min(runs * RUN_FRAMES, LONGEST_AUTOMATIC_FRAMES)
        starts = _automatic_starts(frame_count, sorted({int(k) for k in keyframes}), wanted)
    stops = [*starts[1:], frame_count][: len(starts)]
    return tuple(Segment(i, start, stop) for i, (start, stop) in enumerate(zip(starts, stops, strict=True)))


def _automatic_starts(frame_count: int, keyframes: Sequence[int], wanted: int) -> list[int]:
    starts = [0] if frame_count else []
    while starts and frame_count - starts[-1] > 3 * wanted // 2:
        here = starts[-1]
        reach = FARTHEST_KEYFRAME_FRAMES if wanted == LONGEST_AUTOMATIC_FRAMES else 2 * wanted
        last = min(here + reach, frame_count - 1)
        near = keyframes[bisect_left(keyframes, here + wanted // 2) : bisect_right(keyframes, last)]
        starts.append(min(near, key=lambda k: abs(k - here - wanted)) if near else _run_start(here + wanted, keyframes))
    return starts


def _run_start(frame: int, keyframes: Sequence[int]) -> int:
    before = bisect_right(keyframes, frame)
    key = keyframes[before - 1] if before else 0
    return frame - (frame - key) % RUN_FRAMES


def joined_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of frames [start, stop) in order, those that touch made one.

    >>> joined_spans([(5, 9), (0, 3), (3, 5), (12, 13)])
    [(0, 9), (12, 13)]
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def complement(spans: Iterable[tuple[int, int]], start: int, stop: int) -> list[tuple[int, int]]:
    """What ordered spans leave of [start, stop).

    >>> complement([(2, 4), (4, 5), (9, 10)], 0, 10)
    [(0, 2), (5, 9)]
    """
    edges = [start, *(edge for span in spans for edge in span), stop]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def halo(segments: Sequence[Segment], index: int, context: int) -> range:
    """Indices of the segments whose rows segment `index` needs for `context` frames to either side, itself included."""
    first = last = index
    while first > 0 and segments[index].start - segments[first].start < context:
        first -= 1
    while last + 1 < len(segments) and segments[last].stop - segments[index].stop < context:
        last += 1
    return range(first, last + 1)
