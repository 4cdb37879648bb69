"""Tracks: which boxes of successive frames are one face. A causal scan over boxes and thumbnails, no pixels.

The state after a frame is all that the next one needs, plain numbers that JSON holds exactly, so that a video scanned
in pieces has the tracks of the video scanned whole. Each living track predicts its centre by its velocity; predictions
and boxes are matched as a whole (least total cost), so that people who cross keep their tracks. A shot cut, seen in the
8x8 luma thumbnail of the frame, ends all tracks, also where the next shot has a face in the same place. A track ends,
too, when its face is missing for more than `max_gap` frames.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrackingOptions:
    """How faces are joined.

    max_gap: frames that a face may be missing without its track ending.
    cut: least mean difference (0..1) of the luma thumbnails of two successive frames that is a shot cut.
    cut_ratio: a cut also differs so many times more than the frames before it did, so that fast pans are none.
    reach: how far, in box sizes, a face may lie from where its track expected it.
    jolt: how far, in box sizes, from where it was in the frame before, if both would else stay alone: a camera that is
        knocked moves otherwise than expected.
    """

    max_gap: int = 5
    cut: float = 0.05
    cut_ratio: float = 4.0
    reach: float = 0.8
    jolt: float = 1.6


@dataclass
class Track:
    """A living track: number, last box, velocity of the centre in pixels per frame, first and last frame."""

    number: int
    box: list[float]
    velocity: list[float]
    born: int
    seen: int


@dataclass
class TrackState:
    """What one frame leaves for the next."""

    tracks: list[Track] = field(default_factory=list)
    next_number: int = 0
    shot: int = 0
    frame: int = -1
    signature: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, exact through JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> TrackState:
        """The state that `to_dict` told."""
        return TrackState(**{**stored, "tracks": [Track(**track) for track in stored["tracks"]]})


_LIGHT = (0.2, 5.0)  # factors that light may change by from frame to frame
_SAME = 0.3  # of what can be seen in a frame: how much may be otherwise where only light has changed
_HISTORY = 8  # frames whose changes tell how lively the shot is


def advance(
    state: TrackState,
    frame: int,
    boxes: np.ndarray,
    signature: np.ndarray,
    options: TrackingOptions | None = None,
) -> list[int]:
    """Tracks of the boxes (N, 4) of one frame, in their order; `state` is brought up to that frame.

    Frames come in ascending order, those without boxes may be left out. `signature` (64,) is the frame's thumbnail,
    0..1.
    """
    options = options or TrackingOptions()
    if frame <= state.frame:
        raise ValueError(f"frame {frame} comes after frame {state.frame}; frames are scanned in order")
    if _is_cut(state, frame, signature, options):
        state.tracks, state.changes = [], []
        state.shot += 1
    state.frame, state.signature = frame, [float(v) for v in signature]
    state.tracks = [t for t in state.tracks if frame - t.seen - 1 <= options.max_gap]
    given = [[float(v) for v in box] for box in boxes]
    numbers = [-1] * len(given)
    for jolted in (False, True):
        free = [column for column, number in enumerate(numbers) if number < 0]
        missed = [t for t in state.tracks if (t.seen == frame - 1 if jolted else True)]
        for row, place in _match(missed, [given[column] for column in free], frame, options, jolted=jolted):
            _follow(missed[row], given[free[place]], frame)
            numbers[free[place]] = missed[row].number
    for column, box in enumerate(given):
        if numbers[column] < 0:
            numbers[column] = state.next_number
            state.tracks.append(Track(state.next_number, box, [0.0, 0.0], frame, frame))
            state.next_number += 1
    return numbers


def centre_and_size(box: Sequence[float]) -> tuple[float, float, float]:
    """Centre x, y and size (root of the area) of a box, pixels."""
    width, height = box[2] - box[0], box[3] - box[1]
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (max(width, 1e-3) * max(height, 1e-3)) ** 0.5


def _is_cut(state: TrackState, frame: int, signature: np.ndarray, options: TrackingOptions) -> bool:
    if not state.signature:
        return False
    elapsed = frame - state.frame
    change = _change(np.asarray(signature, np.float64), np.asarray(state.signature))
    usual = statistics.median(state.changes) if state.changes else 0.0
    # Frames without faces leave no thumbnail: over a gap, a pan adds up.
    if change > max(options.cut, options.cut_ratio * usual * elapsed):
        return True
    state.changes = [*state.changes, change / elapsed][-_HISTORY:]
    return False


def _change(now: np.ndarray, before: np.ndarray) -> float:
    """Mean difference of two thumbnails (64,), 0..1, of which a flash, a strobe or a fade is no part: light is a factor
    that the whole frame shares, and leaves alone what can be seen in it.
    """
    least, most = _LIGHT
    gain = float(np.clip((now @ before) / max(float(before @ before), 1e-6), least, most))
    rest = float(np.abs(now - gain * before).mean())
    seen = gain * float(np.abs(before - before.mean()).mean())
    return rest / min(gain, 1.0) if rest < _SAME * seen else float(np.abs(now - before).mean())


def _follow(track: Track, box: list[float], frame: int) -> None:
    x, y, _ = centre_and_size(box)
    old_x, old_y, _ = centre_and_size(track.box)
    elapsed = frame - track.seen
    fresh = [(x - old_x) / elapsed, (y - old_y) / elapsed]
    # The second sighting has no velocity to be averaged with.
    share = 1.0 if track.seen == track.born else 0.5
    track.velocity = [share * f + (1 - share) * v for f, v in zip(fresh, track.velocity, strict=True)]
    track.box, track.seen = box, frame


def _match(
    tracks: Sequence[Track], boxes: Sequence[list[float]], frame: int, options: TrackingOptions, *, jolted: bool
) -> list[tuple[int, int]]:
    """Pairs (track, box) of least total cost; pairs out of reach are left out."""
    if not tracks or not boxes:
        return []
    # Not matching costs as much as the worst pair within reach, so that far pairs never displace near ones.
    cost = np.full((len(tracks), len(boxes)), _FORBIDDEN)
    for row, track in enumerate(tracks):
        for column, box in enumerate(boxes):
            cost[row, column] = _cost(track, box, frame, options, jolted=jolted)
    chosen = assign(cost)
    return [(row, column) for row, column in enumerate(chosen) if column >= 0 and cost[row, column] < _FORBIDDEN]


_FORBIDDEN = 1e3


def _cost(track: Track, box: list[float], frame: int, options: TrackingOptions, *, jolted: bool) -> float:
    elapsed, reach = (0, options.jolt) if jolted else (frame - track.seen, options.reach)
    x, y, size = centre_and_size(box)
    old_x, old_y, old_size = centre_and_size(track.box)
    move_x, move_y = track.velocity[0] * elapsed, track.velocity[1] * elapsed
    apart = float(np.hypot(x - old_x - move_x, y - old_y - move_y)) / (0.5 * (size + old_size))
    if apart > reach or not 0.5 < size / old_size < 2.0:
        return _FORBIDDEN
    expected = [track.box[0] + move_x, track.box[1] + move_y, track.box[2] + move_x, track.box[3] + move_y]
    return apart + (1.0 - _overlap(expected, box)) + abs(float(np.log(size / old_size)))


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def assign(cost: np.ndarray) -> list[int]:
    """For each row of a cost matrix (R, C) the column that it gets, -1 for none, so that the total cost is least.

    The Hungarian method with potentials (Kuhn 1955, in the shortest-path form of Jonker and Volgenant 1987); every row
    gets a column where C >= R.
    """
    if cost.shape[0] > cost.shape[1]:
        of_column = assign(cost.T)
        rows = [-1] * cost.shape[0]
        for column, row in enumerate(of_column):
            rows[row] = column
        return rows
    count_rows, count_columns = cost.shape
    # Row 0 and column 0 stand for "none yet", as the method is told.
    of_row_price, of_column_price = [0.0] * (count_rows + 1), [0.0] * (count_columns + 1)
    owner = [0] * (count_columns + 1)
    for row in range(1, count_rows + 1):
        owner[0], column = row, 0
        least, came_from = [np.inf] * (count_columns + 1), [0] * (count_columns + 1)
        used = [False] * (count_columns + 1)
        while owner[column] != 0:
            used[column] = True
            delta, following = np.inf, 0
            for other in range(1, count_columns + 1):
                if used[other]:
                    continue
                price = float(cost[owner[column] - 1, other - 1]) - of_row_price[owner[column]] - of_column_price[other]
                if price < least[other]:
                    least[other], came_from[other] = price, column
                if least[other] < delta:
                    delta, following = least[other], other
            for other in range(count_columns + 1):
                if used[other]:
                    of_row_price[owner[other]] += delta
                    of_column_price[other] -= delta
                else:
                    least[other] -= delta
            column = following
        while column:
            owner[column], column = owner[came_from[column]], came_from[column]
    result = [-1] * count_rows
    for column in range(1, count_columns + 1):
        if owner[column]:
            result[owner[column] - 1] = column - 1
    return result
