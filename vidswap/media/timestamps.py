"""Timestamps that can be used, made of those that a file gives: strictly increasing, without absurd jumps."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

# No frame is shown for longer; a step in time beyond this is damage.
LONGEST_GAP_S = 3600
# What muxers and sums of timestamps bear without overflow.
_LARGEST = 1 << 53
# With fewer stamps that can be believed, frames follow each other evenly.
_FEWEST_BELIEVED = 0.5


def increasing(given: Sequence[int | None], step: int) -> tuple[np.ndarray, list[int]]:
    """A strictly increasing timestamp for each frame, and the frames of which the given one was not taken.

    Args:
        given: timestamps of frames in the order of presentation; None where there is none.
        step: the usual distance of two frames, 1 or more.

    The longest run of stamps that increase is believed; the others are spread evenly between their neighbours. Where
    fewer than half can be believed, or there is no room between them, all frames are `step` apart.
    """
    believed = _longest_increasing(given)
    count = len(given)
    wrong = sorted({*range(count)} - {*believed})
    stamps = [int(given[i] or 0) for i in believed]
    if len(believed) < max(1, _FEWEST_BELIEVED * count):
        return step * np.arange(count, dtype=np.int64), wrong
    if not wrong:
        return np.array(stamps, dtype=np.int64), wrong
    if any(b - a < j - i for (i, a), (j, b) in _pairs(believed, stamps)):
        return step * np.arange(count, dtype=np.int64) + (stamps[0] if abs(stamps[0]) < _LARGEST else 0), wrong
    made = [0] * count
    for i in range(believed[0]):
        made[i] = stamps[0] - step * (believed[0] - i)
    for (i, a), (j, b) in _pairs(believed, stamps):
        for k in range(i, j):
            made[k] = a + (b - a) * (k - i) // (j - i)
    for k in range(believed[-1], count):
        made[k] = stamps[-1] + step * (k - believed[-1])
    if any(abs(stamp) >= 1 << 62 for stamp in (made[0], made[-1])):
        return step * np.arange(count, dtype=np.int64), wrong
    return np.array(made, dtype=np.int64), wrong


def _pairs(places: list[int], stamps: list[int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    known = list(zip(places, stamps, strict=True))
    return list(itertools.pairwise(known))


def _longest_increasing(given: Sequence[int | None]) -> list[int]:
    """Indices of the longest strictly increasing subsequence, by patience sorting."""
    tops: list[int] = []
    holders: list[int] = []
    before: dict[int, int] = {}
    for i, stamp in enumerate(given):
        if stamp is None:
            continue
        pile = bisect_left(tops, stamp)
        if pile < len(tops) and tops[pile] == stamp:
            continue
        before[i] = holders[pile - 1] if pile else -1
        if pile == len(tops):
            tops.append(stamp)
            holders.append(i)
        else:
            tops[pile], holders[pile] = stamp, i
    found: list[int] = []
    at = holders[-1] if holders else -1
    while at >= 0:
        found.append(at)
        at = before[at]
    return found[::-1]


def without_jumps(stamps: np.ndarray, step: int, time_base: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Close absurd gaps, and bring an absurd beginning to 0.

    Args:
        stamps: (N,) int64, strictly increasing.
        step: the usual distance of two frames, in the same unit.
        time_base: seconds per unit.

    Returns the (N,) stamps, the same array where nothing was wrong, and the (J,) frames before which a gap was closed.
    The longest stretch between gaps keeps its place, so that sound stays with it.
    """
    if not len(stamps):
        return stamps, np.zeros(0, dtype=np.int64)
    limit = float(LONGEST_GAP_S / time_base)
    gaps = np.diff(stamps.astype(np.float64))
    jumps = np.flatnonzero(gaps > limit) + 1
    edges = [0, *jumps.tolist(), len(stamps)]
    longest = max(range(len(edges) - 1), key=lambda i: edges[i + 1] - edges[i])
    anchor = edges[longest]
    begins = int(stamps[anchor])
    if not len(jumps) and abs(begins) < _LARGEST and abs(int(stamps[-1])) < _LARGEST:
        return stamps, jumps
    with np.errstate(over="ignore"):
        steps = np.where(gaps > limit, step, np.diff(stamps))
    times = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    kept = begins if abs(begins) < _LARGEST else int(times[anchor])
    return times - times[anchor] + kept, jumps
