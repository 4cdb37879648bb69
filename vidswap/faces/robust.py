"""Medians and fits that outliers do not move, over many values at once: the arithmetic of `evidence`.

Values are planes (channel, cell); the number of cells P is a multiple of `BLOCK`, those that fill up are never seen.
Sums are made lane by lane and joined in one order, so that every machine computes the same bits.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from vidswap.compiled import compiled

BLOCK = 64
"""Cells that are sorted together, and stay in the nearest cache meanwhile; a multiple of the lanes."""

_LANES, _SUMS = 16, 14
_BISECTIONS = 16
_LEAST_SEEN = 30
_GREY = np.array([90, 128, 128, 3], np.float32)  # per channel: where light, as a factor, changes nothing
_CONTRAST = np.array([40, 10, 10, 2], np.float32)
_HELD = np.array([0.002, 2, 2, 2])
_COLOURED = 12.0  # levels of a or b; daylight and lamps change skin by less
_MIXED = 6
_NARROWING = (60.0, 20.0, 8.0, 4.0, 2.5, 2.5)
"""Widths of the biweight, in floors: of colours that were told apart by little, only a wide one sees all at first."""


@cache
def comparisons(count: int) -> np.ndarray:
    """(M, 2) int64: which of `count` values to compare, and to exchange, one after another, to sort them (Batcher)."""
    pairs = []
    size = 1
    while size < count:
        step = size
        while step >= 1:
            for start in range(step % size, count - step, 2 * step):
                for i in range(start, min(start + step, count - step)):
                    if i // (2 * size) == (i + step) // (2 * size):
                        pairs.append((i, i + step))
            step //= 2
        size *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@compiled(
    "(float32[:,:,::1], float32[:,::1], int64[::1], float32[:,::1], float32[::1], int64[:,::1], "
    "float32[:,::1], float32[:,::1])"
)
def usual(
    values: np.ndarray,
    seen: np.ndarray,
    rows: np.ndarray,
    plane: np.ndarray,
    floor: np.ndarray,
    comparisons: np.ndarray,
    middle: np.ndarray,
    spread: np.ndarray,
) -> None:
    """Median (4, P) of the rows' values, freed of broad light, and of what they are apart from it."""
    channels, count = middle.shape
    some = np.empty((len(rows), channels, count), np.float32)
    there = np.empty((len(rows), count), np.float32)
    for t in range(len(rows)):
        some[t] = values[rows[t]]
        there[t] = seen[rows[t]]
    # First of those that are lit alike: what is half red and half blue has no colour in the middle.
    _medians(some, _lit_alike(some, there), comparisons, middle)
    for _ in range(2):
        for t in range(len(rows)):
            free_of_light(values[rows[t]], middle, there[t], plane, floor, some[t])
        _medians(some, there, comparisons, middle)
    for t in range(len(rows)):
        for channel in range(channels):
            for k in range(count):
                some[t, channel, k] = abs(some[t, channel, k] - middle[channel, k])
    _medians(some, there, comparisons, spread)


@compiled("(float32[:,:,::1], float32[:,::1])")
def _lit_alike(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """`there` (T, P) of the looks in values (T, 4, P) whose light has the colour nearest to all; 0 of the rest."""
    times = len(values)
    colours = np.zeros((times, 2), np.float32)
    for t in range(times):
        total = there[t].sum()
        for channel in range(1, 3):
            if total > 0:
                colours[t, channel - 1] = _middle_of(values[t, channel], there[t], total)
    best, least = 0, np.float32(np.inf)
    for t in range(times):
        away = np.float32(0)
        for other in range(times):
            away += abs(colours[t, 0] - colours[other, 0]) + abs(colours[t, 1] - colours[other, 1])
        if away < least:
            best, least = t, away
    alike = there.copy()
    for t in range(times):
        for channel in range(2):
            if abs(colours[t, channel] - colours[best, channel]) > _COLOURED:
                alike[t] = np.float32(0)
    return alike


@compiled("(float32[:,:,::1], float32[:,::1], int64[:,::1], float32[:,::1])")
def _medians(values: np.ndarray, there: np.ndarray, comparisons: np.ndarray, result: np.ndarray) -> None:
    """Lower median over time of values (T, C, P) where there (T, P) is 1; 0 where it never is."""
    times, channels, count = values.shape
    block = np.empty((times, BLOCK), np.float32)
    samples = np.zeros(BLOCK, np.int64)
    for begin in range(0, count, BLOCK):
        samples[:] = 0
        for t in range(times):
            for lane in range(BLOCK):
                samples[lane] += there[t, begin + lane] > np.float32(0)
        for channel in range(channels):
            for t in range(times):
                for lane in range(BLOCK):
                    seen = there[t, begin + lane] > np.float32(0)
                    block[t, lane] = values[t, channel, begin + lane] if seen else np.float32(np.inf)
            for m in range(len(comparisons)):
                low, high = block[comparisons[m, 0]], block[comparisons[m, 1]]
                for lane in range(BLOCK):
                    a, b = low[lane], high[lane]
                    low[lane] = a if a < b else b
                    high[lane] = b if a < b else a
            for lane in range(BLOCK):
                place = (samples[lane] - 1) // 2
                result[channel, begin + lane] = block[place, lane] if samples[lane] > 0 else np.float32(0)


@compiled()
def _free_of_colour(
    values: np.ndarray,
    middle: np.ndarray,
    seen: np.ndarray,
    plane: np.ndarray,
    floor: np.ndarray,
    channel: int,
    result: np.ndarray,
) -> None:
    """One channel, a or b, of `free_of_light` under a light of another colour."""
    count = middle.shape[1]
    terms = np.empty((_MIXED, count))
    rows, fit = np.empty((_MIXED, _MIXED + 1)), np.zeros(_MIXED)
    for k in range(count):
        terms[0, k], terms[1, k], terms[2, k] = 1.0, plane[0, k], plane[1, k]
        for other in range(3):
            terms[3 + other, k] = (middle[other, k] - _GREY[other]) / _CONTRAST[other]
    for width in _NARROWING:
        rows[:] = 0.0
        for k in range(count):
            apart = np.float64(values[channel, k]) - middle[channel, k]
            misfit = apart
            for i in range(_MIXED):
                misfit -= fit[i] * terms[i, k]
            misfit /= width * floor[channel]
            like = max(1.0 - misfit * misfit, 0.0)
            weight = seen[k] * (like * like + 1e-3)
            for i in range(_MIXED):
                for j in range(_MIXED):
                    rows[i, j] += weight * terms[i, k] * terms[j, k]
                rows[i, _MIXED] += weight * terms[i, k] * apart
        for i in range(_MIXED):
            rows[i, i] += _HELD[min(i, 1)]
        _solved(rows, fit)
    for k in range(count):
        light = 0.0
        for i in range(_MIXED):
            light += fit[i] * terms[i, k]
        result[channel, k] = values[channel, k] - np.float32(light)


@compiled("(float32[:,::1], float32[:,::1], float32[::1], float32[:,::1], float32[::1], float32[:,::1])")
def free_of_light(
    values: np.ndarray,
    middle: np.ndarray,
    seen: np.ndarray,
    plane: np.ndarray,
    floor: np.ndarray,
    result: np.ndarray,
) -> None:
    """values (4, P) less the part of their difference from `middle` that light explains, where nothing new stands.

    A plane, and a share of what is there: light is a factor. Outliers are left out (biweight, Tukey 1960). Under a
    light of another colour, by `_COLOURED` levels of a or b, a share of all three: what is as red is not as green.
    """
    channels, count = values.shape
    total = np.float32(0)
    for k in range(count):
        total += seen[k]
    there, apart = np.empty(count, np.float32), np.empty(count, np.float32)
    sums, fit = np.empty(_SUMS * _LANES, np.float32), np.zeros(4, np.float32)
    across, down = plane[0], plane[1]
    coloured = False
    if total >= _LEAST_SEEN:
        for channel in range(1, 3):
            for k in range(count):
                apart[k] = values[channel, k] - middle[channel, k]
            coloured = bool(coloured or abs(_middle_of(apart, seen, total)) > _COLOURED)
    for channel in range(channels):
        if coloured and channel in (1, 2):
            _free_of_colour(values, middle, seen, plane, floor, channel, result)
            continue
        for k in range(count):
            apart[k] = values[channel, k] - middle[channel, k]
            there[k] = (middle[channel, k] - _GREY[channel]) / _CONTRAST[channel]
        fit[:] = np.float32(0)
        if total >= _LEAST_SEEN:
            fit[0] = _middle_of(apart, seen, total)
            narrow = np.float32(1) / (np.float32(2.5) * floor[channel])
            for _ in range(3):
                _sum_up(apart, there, across, down, seen, fit, narrow, sums)
                _solve(sums, fit)
        for k in range(count):
            light = fit[0] + fit[1] * across[k] + fit[2] * down[k] + fit[3] * there[k]
            result[channel, k] = values[channel, k] - light


@compiled("(float32[::1], float32[::1], float32)")
def _middle_of(values: np.ndarray, seen: np.ndarray, total: np.float32) -> np.float32:
    """The median of values (P,) where seen (P,) is 1, to a small part of their range."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for k in range(len(values)):
        if seen[k] > np.float32(0):
            low = min(low, values[k])
            high = max(high, values[k])
    for _ in range(_BISECTIONS):
        guess = np.float32(0.5) * (low + high)
        below = 0
        for k in range(len(values)):
            below += (seen[k] > np.float32(0)) & (values[k] <= guess)
        if 2 * below < total:
            low = guess
        else:
            high = guess
    return high


@compiled("(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32, float32[::1])")
def _sum_up(
    apart: np.ndarray,
    there: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    seen: np.ndarray,
    fit: np.ndarray,
    narrow: np.float32,
    sums: np.ndarray,
) -> None:
    """The 14 sums of weighted least squares over 1, across, down and there, in lanes; weights by the last fit."""
    sums[:] = np.float32(0)
    one, tilt, slope, gain = fit[0], fit[1], fit[2], fit[3]
    for begin in range(0, len(apart), _LANES):
        for lane in range(_LANES):
            x, y, m, v = across[begin + lane], down[begin + lane], there[begin + lane], apart[begin + lane]
            misfit = (v - (one + tilt * x + slope * y + gain * m)) * narrow
            like = np.float32(1) - misfit * misfit
            like = like if like > np.float32(0) else np.float32(0)
            w = seen[begin + lane] * (like * like + np.float32(1e-3))
            wx, wy, wm, wv = w * x, w * y, w * m, w * v
            sums[lane] += w
            sums[lane + 16] += wx
            sums[lane + 32] += wy
            sums[lane + 48] += wm
            sums[lane + 64] += wx * x
            sums[lane + 80] += wx * y
            sums[lane + 96] += wx * m
            sums[lane + 112] += wy * y
            sums[lane + 128] += wy * m
            sums[lane + 144] += wm * m
            sums[lane + 160] += wv
            sums[lane + 176] += wv * x
            sums[lane + 192] += wv * y
            sums[lane + 208] += wv * m


@compiled("(float32[::1], float32[::1])")
def _solve(sums: np.ndarray, fit: np.ndarray) -> None:
    """The fit (4,) of those sums, held a little to zero."""
    total = np.zeros(_SUMS, np.float64)
    for number in range(_SUMS):
        for lane in range(_LANES):
            total[number] += sums[number * _LANES + lane]
    rows = np.empty((4, 5), np.float64)
    at = 0
    for i in range(4):
        for j in range(i, 4):
            rows[i, j] = rows[j, i] = total[at]
            at += 1
    for i in range(4):
        rows[i, i] += _HELD[i]
        rows[i, 4] = total[10 + i]
    _solved(rows, fit)


@compiled()
def _solved(rows: np.ndarray, fit: np.ndarray) -> None:
    """Writes to fit (n,) what solves n equations, rows (n, n + 1), symmetric and positive: none is exchanged."""
    size = len(rows)
    for i in range(size):
        for r in range(i + 1, size):
            share = rows[r, i] / rows[i, i]
            for j in range(i, size + 1):
                rows[r, j] -= share * rows[i, j]
    for i in range(size - 1, -1, -1):
        rest = rows[i, size]
        for j in range(i + 1, size):
            rest -= rows[i, j] * rows[j, size]
        rows[i, size] = rest / rows[i, i]
    for i in range(size):
        fit[i] = rows[i, size]
