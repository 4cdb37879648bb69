"""Compiled medians and fits against their plain formulations in numpy."""

import numpy as np
import pytest

from vidswap.faces import robust

CELLS = 2 * robust.BLOCK
FLOOR = np.array([8.0, 2.2, 2.4, 0.45], np.float32)
GREY, CONTRAST = np.array([90, 128, 128, 3], np.float32), np.array([40, 10, 10, 2], np.float32)
HELD = np.diag([0.002, 2, 2, 2])
COLOURED = 12


def plane() -> np.ndarray:
    side = np.linspace(-1, 1, CELLS, dtype=np.float32)
    return np.stack([side, np.roll(side, CELLS // 3)])


def looks(rows: int, seed: int = 0, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Values (T, 4, P) of one face under light that changes, with something before it at times; seen (T, P)."""
    rng = np.random.default_rng(seed)
    face = np.array([130, 140, 145, 2.2])[:, None] + rng.normal(0, 1, (4, CELLS)) * np.array([20, 4, 4, 0.4])[:, None]
    light = np.array([25, 3, 3, 0.1])[:, None, None] * rng.normal(0, 1, (4, rows, 1))
    values = face[:, None] + light + light * plane()[0] + rng.normal(0, 1, (4, rows, CELLS)) * FLOOR[:, None, None] / 4
    values[:, ::4, : CELLS // 5] += 60
    seen = (rng.random((rows, CELLS)) < share).astype(np.float32)
    return np.ascontiguousarray(values.transpose(1, 0, 2), np.float32), seen


def plainly_median(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    result = np.zeros(values.shape[1:], np.float32)
    for channel, cell in np.ndindex(*result.shape):
        some = np.sort(values[there[:, cell] > 0, channel, cell])
        if len(some):
            result[channel, cell] = some[(len(some) - 1) // 2]
    return result


def plainly_freed_of_colour(values: np.ndarray, middle: np.ndarray, seen: np.ndarray, channel: int) -> np.ndarray:
    own = (middle[:3] - GREY[:3, None]) / CONTRAST[:3, None]
    basis = np.stack([np.ones(CELLS), *plane(), *own], 1)
    apart, light = values[channel].astype(np.float64) - middle[channel], np.zeros(CELLS)
    for width in (60, 20, 8, 4, 2.5, 2.5):
        weight = seen * (np.maximum(1 - ((apart - light) / (width * FLOOR[channel])) ** 2, 0) ** 2 + 1e-3)
        left = (basis * weight[:, None]).T @ basis + np.diag([0.002, 2, 2, 2, 2, 2])
        light = basis @ np.linalg.solve(left, basis.T @ (weight * apart))
    return values[channel] - light


def plainly_freed(values: np.ndarray, middle: np.ndarray, seen: np.ndarray) -> np.ndarray:
    result = values.astype(np.float64)
    if seen.sum() < 30:
        return result
    coloured = any(abs(np.median((values - middle)[channel, seen > 0])) > COLOURED for channel in (1, 2))
    for channel in range(4):
        if coloured and channel in (1, 2):
            result[channel] = plainly_freed_of_colour(values, middle, seen, channel)
            continue
        apart = values[channel].astype(np.float64) - middle[channel]
        own = (middle[channel] - GREY[channel]) / CONTRAST[channel]
        basis = np.stack([np.ones(CELLS), *plane(), own], 1)
        light = np.full(CELLS, np.median(apart[seen > 0]))
        for _ in range(3):
            misfit = (apart - light) / (2.5 * FLOOR[channel])
            weight = seen * (np.maximum(1 - misfit**2, 0) ** 2 + 1e-3)
            left = (basis * weight[:, None]).T @ basis + HELD
            light = basis @ np.linalg.solve(left, basis.T @ (weight * apart))
        result[channel] -= light
    return result


def lit_alike(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    colours = np.array([np.median(v[1:3, s > 0], axis=1) for v, s in zip(values, seen, strict=True)])
    away = np.abs(colours[:, None] - colours[None]).sum((1, 2))
    return (np.abs(colours - colours[np.argmin(away)]) <= COLOURED).all(1)


@pytest.mark.parametrize("rows", [8, 9, 16, 26, 27])
def test_usual_looks_are_those_of_the_plain_formulation(rows):
    values, seen = looks(rows, rows)
    seen[:, 5] = 0
    middle, spread = np.empty((4, CELLS), np.float32), np.empty((4, CELLS), np.float32)
    robust.usual(values, seen, np.arange(rows), plane(), FLOOR, robust.comparisons(rows), middle, spread)
    expected = plainly_median(values, seen * lit_alike(values, seen)[:, None])
    for _ in range(2):
        some = np.stack([plainly_freed(v, expected, s) for v, s in zip(values, seen, strict=True)])
        expected = plainly_median(some, seen)
    # Where two samples lie close to the median, rounding chooses between them.
    for found, plain in ((middle, expected), (spread, plainly_median(np.abs(some - expected), seen))):
        apart = np.abs(found - plain) / FLOOR[:, None]
        assert apart.max() < 0.1 and apart.mean() < 2e-3
    assert not middle[:, 5].any()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_broad_light_is_taken_off_as_in_the_plain_formulation(share):
    values, seen = looks(3, share=share)
    middle = values[0] * 0.9 + 8
    freed = np.empty_like(middle)
    robust.free_of_light(values[1], middle, seen[1], plane(), FLOOR, freed)
    np.testing.assert_allclose(freed, plainly_freed(values[1], middle, seen[1]), atol=0.02)


def test_light_of_another_colour_is_taken_off_as_in_the_plain_formulation():
    values, seen = looks(3)
    middle = values[0] * 0.9 + 8
    lit = values[1].copy()
    lit[1] += 0.5 * (middle[0] - 90) - 0.8 * (middle[2] - 128) - 40
    freed = np.empty_like(middle)
    robust.free_of_light(lit, middle, seen[1], plane(), FLOOR, freed)
    for channel in (1, 2):
        expected = plainly_freed_of_colour(lit, middle, seen[1], channel)
        np.testing.assert_allclose(freed[channel], expected, atol=0.02)
    np.testing.assert_allclose(freed, plainly_freed(lit, middle, seen[1]), atol=0.02)
    assert np.abs(freed[1] - middle[1]).mean() < 4


@pytest.mark.parametrize("count", range(1, 40))
def test_comparisons_sort(count):
    pairs = robust.comparisons(count)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    values = np.random.default_rng(count).integers(0, 10, (200, count))
    for low, high in pairs:
        values[:, [low, high]] = np.sort(values[:, [low, high]], 1)
    assert (np.diff(values, axis=1) >= 0).all()
