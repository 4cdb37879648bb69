"""How far a face is from what it usually looks like, under what light.

Looks (see `look`) are taken as planes of values (channel, cell): L, a, b and the logarithm of detail; the number of
cells P is a multiple of `robust.BLOCK`. Light is broad, and taken from what is seen of the face itself.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from vidswap.compiled import compiled

from .covering import FLOOR
from .look import GRID, cells
from .robust import BLOCK, free_of_light

SURE = 2.6
"""Spreads from which on a cell shows something else than the face, for sure."""

_SEEN = 70
_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.3], np.float32)
_SHADE = 10.0  # of lightness: as much as a fold of skin changes it
_COLOURED = 0.1  # of what light changes a colour by: as far is a face off that is lit so
_HAND = 0.5  # how much more a difference says where a hand was found
_BESIDE = (2, 4, 8, 16, 32)  # frames, well within `look.REACH`, whose light tells what the face's is: the nearest can
_NO_PART, _LEAST_PART, _LEAST_CELLS = 0.08, 0.15, 9  # of the cells seen: no part is unlike the face; the face itself


def planes(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of looks (N, K, 6): L, a, b and the logarithm of detail (N, 4, P) float32, and 1 where seen (N, P) float32."""
    rows, count = looks.shape[:2]
    values = np.zeros((rows, 4, _padded(count)), np.float32)
    values[:, :, :count] = looks[..., :4].transpose(0, 2, 1)
    values[:, 3, :count] = np.log(np.arange(256, dtype=np.float32) + 6)[looks[..., 3]]
    seen = np.zeros((rows, _padded(count)), np.float32)
    seen[:, :count] = looks[..., 4] >= _SEEN
    return values, seen


def _padded(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


@cache
def plane() -> np.ndarray:
    """(2, P) float32: across and down, -1..1."""
    of = cells().plane
    plane = np.zeros((2, _padded(len(of))), np.float32)
    plane[:, : len(of)] = of[:, 1:].T
    return plane


@compiled(
    "(float32[:,::1], float32[:,::1], float32[::1], float32[::1], float32[:,::1], float32[:,::1], int64[::1], "
    "float32[:,::1])"
)
def _distance(
    values: np.ndarray,
    given: np.ndarray,
    seen: np.ndarray,
    hand: np.ndarray,
    middle: np.ndarray,
    spread: np.ndarray,
    index: np.ndarray,
    grid: np.ndarray,
) -> None:
    """Writes to grid (GRID^2, 2) how far each cell of values (4, P), `given` freed of light, is off in spreads, and if
    seen.
    """
    for k in range(len(index)):
        usual = np.float32(0)
        lightness = values[0, k] - middle[0, k]
        # Folds and shadows of an expression are darker skin; things are much darker or brighter, or of another colour.
        deep = abs(lightness) - np.float32(_SHADE) * (np.float32(1) - hand[k])
        lightness = (deep if deep > np.float32(0) else np.float32(0)) / spread[0, k] * _WEIGHTS[0]
        usual += lightness * lightness
        for channel in range(1, 4):
            # Under a light of another colour a face has colours of which its usual ones say little.
            lit = np.float32(_COLOURED) * abs(given[channel, k] - values[channel, k])
            wide = lit if channel < 3 and lit > spread[channel, k] else spread[channel, k]
            apart = (values[channel, k] - middle[channel, k]) / wide * _WEIGHTS[channel]
            usual += apart * apart
        grid[index[k], 0] = np.sqrt(usual) * seen[k] * (np.float32(1) + np.float32(_HAND) * hand[k])
        grid[index[k], 1] = seen[k]


def unlike(
    values: np.ndarray, seen: np.ndarray, bare: np.ndarray, hand: np.ndarray, middle: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """(K,) float32: how far each cell is from what it usually looks like, in spreads, under the light of those that are
    bare (P,).
    """
    of = cells()
    freed = np.empty_like(values)
    free_of_light(values, middle, bare, plane(), FLOOR, freed)
    both = np.zeros((GRID * GRID, 2), np.float32)
    _distance(freed, values, seen, hand, middle, spread, of.index, both)
    around = cv2.GaussianBlur(both.reshape(GRID, GRID, 2), (3, 3), 0.7).reshape(-1, 2)[of.index]
    return np.asarray(around[:, 0] / np.maximum(around[:, 1], 1e-3) * seen[: len(of.index)], np.float32)


def light_beside(
    row: int,
    frames: np.ndarray,
    values: np.ndarray,
    seen: np.ndarray,
    bare: np.ndarray,
    middle: np.ndarray,
    spread: np.ndarray,
) -> np.ndarray | None:
    """(4, P): the light on the face in a row, by frames before and after it that show nothing but the face; None where
    there is none.

    Where most of what is seen is something else, that is what light is told from: paper before a face is white skin.
    """
    nothing = np.zeros(len(cells().index), np.float32)
    found = []
    for side in (-1, 1):
        for apart in _BESIDE:
            beside = int(np.searchsorted(frames, frames[row] + side * apart))
            if beside == len(frames) or frames[beside] != frames[row] + side * apart:
                continue
            there = bare * seen[beside]
            other = unlike(values[beside], seen[beside], there, nothing, middle, spread)
            if (other > SURE).sum() < _NO_PART * seen[beside].sum():
                freed = np.empty_like(values[beside])
                free_of_light(values[beside], middle, there, plane(), FLOOR, freed)
                found.append((apart, values[beside] - freed))
                break
    if len(found) < 2:
        return found[0][1] if found else None
    (before, light), (after, other) = found
    return light + np.float32(before / (before + after)) * (other - light)


def face_under(
    light: np.ndarray, values: np.ndarray, bare: np.ndarray, middle: np.ndarray, spread: np.ndarray
) -> np.ndarray | None:
    """(P,) float32: 1 where values (4, P) are those of the face under a light (4, P); None where too little is."""
    apart = np.abs(values - light - middle)[:3] / spread[:3]
    face = bare * (apart.max(0) < SURE)
    return face if face.sum() > max(_LEAST_PART * bare.sum(), _LEAST_CELLS) else None
