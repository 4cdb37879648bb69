"""What stands before a face, frame by frame: where it looks unlike what it usually looks like (see `look`, whose looks
are compared here), and where what it usually looks like is no face (see `covering`).

Everything is a function of the looks of at most `REACH` frames to either side, taken at frames whose numbers are
multiples of a fixed step, so that a result is the same bits wherever a video is cut.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from .covering import FLOOR, UNKNOWN, standing
from .hues import of_one_colour
from .look import GRID, HANDS_EVERY, REACH, cells, laid
from .matching import median, smoothstep
from .robust import comparisons, usual
from .standing import CLOSING, SURELY, in_a_single_look, less_hair, things_and_beard, with_hair
from .unlike import SURE, face_under, light_beside, plane, planes, unlike

_ANCHOR, _LINGER = 8, 3
_STEPS = ((4, 1.0), (2, 1.6))
"""Frames between samples, and how much wider what they tell is taken: the second where the first gives too few, of a
face that is seen briefly."""
_LEAST_SAMPLES = 8
_MAYBE, _LASTING = (1.4, 2.2), (0.9, 1.6)  # spreads
_SAID, _HIDDEN, _ALARMS = 100, 0.2, (1.0, 3.0)
"""From which score on a hand is said to be there; the least share of it that looks unlike the face; false alarms."""
_GONE = (2.0, 3.5)  # spreads away from it by which it is there no more
_LEAST_CELLS, _LEAST_ENTERING, _MUCH = 9, 4, 5.0
_PART = 0.12  # of the cells seen, unlike the face: from there on the light on the rest is asked of frames beside


def occluded_and_beard(
    frames: np.ndarray, looks: np.ndarray, wanted: np.ndarray | None = None, keep: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) uint8 each, of looks (N, K, 6) of one track at `frames` (N,): 255 where something stands before the face,
    and where it has a beard that the new face is to be put over.

    Rows need `REACH` frames to either side; frames ascend and may be missing. wanted (N,) bool: rows that are asked
    for; the others are 0. A full beard stands before the face, as other hair does, if it is to be kept.
    """
    frames = np.asarray(frames, np.int64)
    asked = np.ones(len(frames), bool) if wanted is None else np.asarray(wanted, bool)
    count = looks.shape[1]
    values, seen = planes(looks)
    hands = _hands_around(frames, looks[..., 5])
    references: dict[int, tuple[np.ndarray, ...] | None] = {}
    marks, scores, always, giving_way = (np.zeros((len(frames), count), np.float32) for _ in range(4))
    for row in np.flatnonzero(_near(frames, asked)):
        frame = int(frames[row])
        before = frame // _ANCHOR * _ANCHOR
        for anchor in (before, before + _ANCHOR):
            if anchor not in references:
                references[anchor] = _reference(anchor, frames, values, seen, looks[..., 5], keep)
        first, second = references[before], references[before + _ANCHOR]
        if first is None or second is None:
            continue
        share = np.float32((frame - before) / _ANCHOR)
        told = [a + share * (b - a) for a, b in zip(first, second, strict=True)]
        middle, spread, trust, things, giving_way[row] = told
        bare = seen[row].copy()
        bare[:count] *= things < 0.5
        hand = hands[row] * trust
        marks[row], scores[row] = _evidence(values[row], seen[row], bare, hand, middle, spread)
        if (scores[row] > SURE).sum() > _PART * seen[row].sum():
            light = light_beside(row, frames, values, seen, bare, middle, spread)
            face = None if light is None else face_under(light, values[row], bare, middle, spread)
            if face is not None:
                marks[row], scores[row] = _evidence(values[row] - light, seen[row], face, hand, middle, spread)
        if things.any():
            # Where something usually is, what looks otherwise is the face.
            marks[row] *= 1 - _grown(things)
            always[row] = things * (1 - smoothstep(scores[row], *_GONE))
        marks[row] = np.maximum(marks[row], of_one_colour(looks[row], np.maximum(marks[row], always[row])))
    giving_way[~asked] = 0
    hidden = np.maximum(_steadied(frames, marks, scores, asked), _lasting(frames, always, asked))
    return hidden, (255 * giving_way).astype(np.uint8)


def _near(frames: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(N,) bool: rows that decide about those that are asked for, by lasting into them."""
    chosen = frames[asked]
    if not len(chosen):
        return asked
    after = np.searchsorted(chosen, frames - _LINGER, "left")
    return (after < len(chosen)) & (chosen[np.minimum(after, len(chosen) - 1)] <= frames + _LINGER)


def _hands_around(frames: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N, K) float32 0..1: hands that were found in the frames looked at before and after (N, K) uint8."""
    result = np.zeros(scores.shape, np.float32)
    found = np.flatnonzero((frames % HANDS_EVERY == 0) & scores.any(1))
    for row, frame in enumerate(frames):
        looked = found[np.abs(frames[found] - frame) <= HANDS_EVERY]
        if len(looked):
            near = 1 - np.abs(frames[looked] - frame).astype(np.float32) / (2 * HANDS_EVERY)
            result[row] = smoothstep((scores[looked] * near[:, None]).max(0), 0.4 * 255, 0.7 * 255)
    return result


def _reference(
    anchor: int, frames: np.ndarray, values: np.ndarray, seen: np.ndarray, scores: np.ndarray, keep: bool
) -> tuple[np.ndarray, ...] | None:
    """Median and spread (4, P) of what is seen within the reach of an anchor; and (K,) float32 0..1 each: how far hands
    that are found there are to be believed, of their scores (N, K) uint8, where something stands all along, a full
    beard if it is to be kept, and the beard that gives way. None where what is seen is too little.
    """
    told = _usual(anchor, frames, values, seen)
    if told is None:
        return _brief(anchor, frames, values, seen, scores, keep)
    rows, middle, narrow, wider = told
    spread = narrow * np.float32(wider)
    # A detector that says "hand" of what looks as it always does speaks of the face.
    alarms = np.zeros(scores.shape[1], np.float32)
    nothing = np.zeros_like(alarms)
    for row in rows[scores[rows].any(1)]:
        said = (scores[row] > _SAID) & (seen[row, : len(alarms)] > 0)
        other = unlike(values[row], seen[row], seen[row], nothing, middle, spread) > _MAYBE[0]
        if (other & said).sum() < _HIDDEN * said.sum():
            alarms += said
    things, hair = _things(frames, rows, values, seen, scores, middle, narrow)
    return middle, spread, 1 - smoothstep(alarms, *_ALARMS), *_parted(things, hair, keep)


def _brief(
    anchor: int, frames: np.ndarray, values: np.ndarray, seen: np.ndarray, scores: np.ndarray, keep: bool
) -> tuple[np.ndarray, ...] | None:
    """What `_reference` gives of a face that is shown too briefly, in a picture perhaps, for its look to be usual: only
    what stands before it all along can be told.
    """
    rows = _rows_near(anchor, frames)
    if not len(rows):
        return None
    count = scores.shape[1]
    middle, spread = _single(values, rows)
    things, hair = in_a_single_look(middle, spread, seen[rows, :count].mean(0))
    return middle, np.full_like(spread, UNKNOWN), np.zeros(count, np.float32), *_parted(things, hair, keep)


def _parted(things: np.ndarray, hair: np.ndarray, keep: bool) -> tuple[np.ndarray, np.ndarray]:
    standing = with_hair(things, hair) if keep else less_hair(things, hair)
    return standing, np.maximum(hair - standing, 0)


def _single(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = median(values[rows])
    return middle, np.repeat(FLOOR[:, None], middle.shape[1], 1)


def in_a_picture(look: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stands before the face of a portrait, whose beard is a part of it, and that beard, if it hides the skin:
    (K,) float32 0..1 each, of a look (K, 6).
    """
    values, seen = planes(look[None])
    things, hair = in_a_single_look(*_single(values, np.zeros(1, np.int64)), seen[0, : len(look)])
    return less_hair(things, hair), hair


def _rows_near(anchor: int, frames: np.ndarray) -> np.ndarray:
    # An anchor decides about frames before and after it, and those about the ones that they last into.
    reach = REACH - _ANCHOR - _LINGER
    low = int(np.searchsorted(frames, anchor - reach, "left"))
    return np.arange(low, int(np.searchsorted(frames, anchor + reach, "right")))


def _usual(
    anchor: int, frames: np.ndarray, values: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """The rows that are sampled around an anchor, their median and spread (4, P), and how much wider that is to be
    taken; None where they are too few.
    """
    near = _rows_near(anchor, frames)
    sampled = ((near[frames[near] % step == 0], wider) for step, wider in _STEPS)
    enough = next(((rows, wider) for rows, wider in sampled if len(rows) >= _LEAST_SAMPLES), None)
    if enough is None:
        return None
    rows, wider = enough
    middle, spread = _middle_and_spread(values, seen, rows)
    return rows, middle, spread, wider


def _middle_and_spread(values: np.ndarray, seen: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle, spread = np.empty_like(values[0]), np.empty_like(values[0])
    usual(values, seen, rows, plane(), FLOOR, comparisons(len(rows)), middle, spread)
    spread = np.maximum(np.float32(1.4826) * spread, FLOOR[:, None])
    # What was hardly ever seen cannot be told.
    spread[:, seen[rows].sum(0) < _LEAST_SAMPLES / 2] = UNKNOWN
    return middle, spread


def _things(
    frames: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    seen: np.ndarray,
    scores: np.ndarray,
    middle: np.ndarray,
    spread: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What stands before the face in most of the rows, and its beard, (K,) float32 0..1 each; arguments as in
    `_reference`.
    """
    count = scores.shape[1]
    hand = _mean_hand(frames, rows, scores)
    share = seen[rows, :count].mean(0)
    odds = standing(middle[:, :count], spread[:, :count], hand, share)
    if odds.max() <= SURELY:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    # What is there for a third of the time moves medians, too, where light changes.
    alike, nothing = seen[rows], np.zeros(count, np.float32)
    for place, row in enumerate(rows):
        alike[place, :count] *= unlike(values[row], seen[row], seen[row], nothing, middle, spread) < _MAYBE[0]
    middle, spread = _middle_and_spread(values[rows], alike, np.arange(len(rows)))
    share *= alike[:, :count].sum(0) >= _LEAST_SAMPLES / 2
    return things_and_beard(middle, spread, hand, share)


def _mean_hand(frames: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    looked = rows[frames[rows] % HANDS_EVERY == 0]
    if not len(looked):
        return np.zeros(scores.shape[1], np.float32)
    return np.asarray(scores[looked].mean(0, dtype=np.float32) / 255, np.float32)


def _grown(things: np.ndarray) -> np.ndarray:
    return cv2.dilate(laid(things), CLOSING).ravel()[cells().index]


def _evidence(
    values: np.ndarray, seen: np.ndarray, bare: np.ndarray, hand: np.ndarray, middle: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) float32 0..1: how surely each cell shows something else than the face; and its distance in spreads (K,)."""
    of = cells()
    count = len(of.index)
    smooth = unlike(values, seen, bare, hand, middle, spread)
    sure = (smooth > SURE) & of.plain
    if sure.sum() <= 0.5 * _LEAST_CELLS:
        return np.zeros(count, np.float32), smooth
    weak = np.zeros(GRID * GRID, np.uint8)
    weak[of.index] = smooth > _MAYBE[0]
    _, labels = cv2.connectedComponents(weak.reshape(GRID, GRID), connectivity=4)
    labels = labels.ravel()[of.index]
    strong = np.bincount(labels[sure], minlength=labels.max() + 1)
    kept = smoothstep(strong, 0.5 * _LEAST_CELLS, 1.5 * _LEAST_CELLS)
    # Things come from outside, or are much unlike the face; a frown is neither.
    clear, entering, much = (
        np.bincount(labels[chosen], minlength=labels.max() + 1)
        for chosen in (smooth > _MAYBE[1], (smooth > _MAYBE[1]) & of.rim, smooth > _MUCH)
    )
    kept *= np.maximum(smoothstep(entering, 0, _LEAST_ENTERING), smoothstep(much / np.maximum(clear, 1), 0.08, 0.2))
    kept[0] = 0
    grid = np.zeros(GRID * GRID, np.float32)
    grid[of.index] = kept[labels] * smoothstep(smooth, *_MAYBE)
    # What lies between parts of one thing is a part of it.
    closed = cv2.morphologyEx(grid.reshape(GRID, GRID), cv2.MORPH_CLOSE, CLOSING)
    return closed.ravel()[of.index], smooth


def _lasting(frames: np.ndarray, always: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(N, K) uint8: means of always (N, K) float32 over the frames around those that are asked for."""
    result = np.zeros(always.shape, np.uint8)
    for row, around, taps in _windows(frames, always, asked):
        result[row] = np.rint(255 * (always[around] * taps).sum(0))
    return result


def _steadied(frames: np.ndarray, marks: np.ndarray, scores: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(N, K) uint8: marks (N, K) float32 that last, grown into the frames beside them where scores (N, K) permit."""
    result = np.zeros(marks.shape, np.uint8)
    for row, around, taps in _windows(frames, marks, asked):
        mean = (marks[around] * taps).sum(0)
        lasting = np.minimum(1.6 * mean, 1) * smoothstep(scores[row], *_LASTING)
        result[row] = np.rint(255 * np.maximum(lasting, marks[row] * smoothstep(mean, 0.1, 0.4)))
    return result


def _windows(frames: np.ndarray, values: np.ndarray, asked: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Rows that are asked for, the rows around each, where values (N, K) are any there, and their shares (n, 1)."""
    some = values.any(1)
    for row in np.flatnonzero(asked).tolist():
        low = int(np.searchsorted(frames, frames[row] - _LINGER, "left"))
        high = int(np.searchsorted(frames, frames[row] + _LINGER, "right"))
        if not some[low:high].any():
            continue
        offsets = np.abs(frames[low:high] - frames[row])
        taps = (1 + np.cos(np.pi * offsets / (_LINGER + 1))).astype(np.float32)
        yield row, slice(low, high), (taps / taps.sum())[:, None]
