"""What stands before a face all along: masks, microphones, cups, a hand at the chin, a fringe over the brows; beards.

`evidence` compares a face with what it usually looks like, and so takes what is always there for a part of it. Here a
small network reads the usual look itself and says which cells of it are no face; another one, where the skin is hidden
by a beard, which is hair on a target and a part of the face on a portrait. They were taught (`tools/covering.py`)
with things of any shape, colour and texture drawn before the faces of the clips named in docs/architecture.md, in any
light; they see cells of the coarse grid alone, relative to the skin around the eyes, and no single face's detail.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from vidswap.compiled import compiled

from . import topology
from .look import GRID, cells, hulls, laid

WEIGHTS = tuple(Path(__file__).with_name(name) for name in ("covering.npz", "beards.npz"))
FEATURES = 19
"""Planes that `features` makes."""
HAND, FACE, SIDED = 9, 12, (13,)
"""Scores of hands, 1 within the face, and those of them that change their sign in a mirror."""
EYES, LIPS = 4, 5
"""Of `places`."""
LAYERS = ("fine", "middle", "middle2", "coarse", "coarse2", "coarse3", "middle_up", "fine_up", "out")
"""Convolutions, in order: on the grid, at half of it, at a quarter, and back, each joined by what was there before."""

FLOOR = np.array([8.0, 2.2, 2.4, 0.45], np.float32)
"""Least spread of L, a, b and detail that counts as usual."""
UNKNOWN = np.float32(1e3)
"""Spread of what was hardly ever seen."""

_LEAST_SEEN = 0.3
_NO_LIGHT, _NO_COLOUR = 16.0, 30.0  # levels of L, below which light and hue tell little


def features(middle: np.ndarray, spread: np.ndarray, hand: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(FEATURES, GRID, GRID) float32 of a usual look, in units of about 1; 0 where nothing is known.

    middle, spread (4, K) float32: median and spread of L, a, b and the logarithm of detail (`evidence`); hand (K,)
    0..1: mean score of hands; seen (K,) 0..1: share of the frames that show each cell.
    """
    known = seen > _LEAST_SEEN
    near = beside_eyes()
    near = near[known[near]]
    # Freed of light, what is black may be less.
    light, detail = np.maximum(middle[0], 0), middle[3]
    hue = (middle[1:3] - 128) / (light + _NO_COLOUR) * 110
    usual = np.array([np.median(v[near]) if len(near) else 0 for v in (light, *hue, detail)], np.float32)
    # Logarithms of float64: those of float32 are not the same bits on every machine.
    noise = np.clip(np.log(spread.astype(np.float64) / FLOOR[:, None]), 0, 2.5) * (spread[:1] < UNKNOWN)
    planes = np.stack(
        [
            np.log((light + _NO_LIGHT).astype(np.float64) / (usual[0] + _NO_LIGHT)),
            *(hue - usual[1:3, None]) / 15,
            *hue / 30,
            (detail - usual[3]) / 1.5,
            noise[0],
            0.5 * (noise[1] + noise[2]),
            noise[3],
            hand,
        ]
    )
    result = np.zeros((FEATURES, GRID * GRID), np.float32)
    index = cells().index
    result[: len(planes), index] = np.clip(planes, -4, 4) * known
    result[len(planes), index] = seen
    result[len(planes) + 1, index] = usual[0] / 128 - 1
    result = result.reshape(FEATURES, GRID, GRID)
    result[len(planes) + 2 :] = places()
    return result


@cache
def places() -> np.ndarray:
    """(7, GRID, GRID) float32: the face, across and down -1..1, how far aside, eyes with brows, lips, nostrils."""
    down, across = np.mgrid[:GRID, :GRID].astype(np.float32) / (GRID - 1) * 2 - 1
    inside = laid(np.ones(len(cells().index)))
    nostrils = _filled(((2, 97, 98, 64, 294, 327, 326),), 0.6)
    planes = (across, down, np.abs(across), _eyes(), _filled((topology.LIPS_OUTER,), 0.3), nostrils)
    return np.stack([inside, *(plane * inside for plane in planes)]).astype(np.float32)


@cache
def beside_eyes() -> np.ndarray:
    """(M,): the cells around eyes and brows, and of the root of the nose: skin that is covered most seldom."""
    eyes = _eyes().astype(np.uint8)
    around = cv2.dilate(eyes, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))).astype(bool) & (eyes == 0)
    around &= ~_filled((topology.NOSE,), 0.0) | _filled(((168, 6, 122, 351),), 0.5)
    return np.flatnonzero(around.ravel()[cells().index])


def _eyes() -> np.ndarray:
    return _filled(
        (topology.RIGHT_EYE + topology.RIGHT_BROW, topology.LEFT_EYE + topology.LEFT_BROW),
        0.8,
    )


def _filled(rings: tuple[tuple[int, ...], ...], margin: float) -> np.ndarray:
    """(GRID, GRID) bool: cells that lie within the hull of rings of landmarks, grown by a margin in cells."""
    fine = 8
    side = 2 * round(margin * fine) + 1
    mask = cv2.dilate(hulls(rings, fine), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.resize(255 * mask, (GRID, GRID), interpolation=cv2.INTER_AREA) > 127)


def standing(middle: np.ndarray, spread: np.ndarray, hand: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(2, K) float32: how likely each cell of a usual look is something before the face, and a beard that hides the
    skin, as logarithms of odds.

    Arguments are those of `features`. Cells that are hardly ever seen have the least there is, -20.
    """
    planes = features(middle, spread, hand, seen)
    odds = np.stack([_odds(path, planes)[cells().index] for path in WEIGHTS])
    return np.where(seen > _LEAST_SEEN, np.clip(odds, -20, 20), np.float32(-20))


def _odds(path: Path, planes: np.ndarray) -> np.ndarray:
    """(GRID^2,) float32: what the network of a file says of planes (FEATURES, GRID, GRID)."""
    weights = _weights(path)

    def layer(name: str, image: np.ndarray, dilation: int = 1) -> np.ndarray:
        return _layer(*weights[name], image, dilation)

    fine = layer("fine", planes)
    half = layer("middle2", layer("middle", _halved(fine)))
    quarter = layer("coarse3", layer("coarse2", layer("coarse", _halved(half)), 2))
    half = layer("middle_up", np.concatenate([half, _doubled(quarter)]))
    fine = layer("fine_up", np.concatenate([fine, _doubled(half)]))
    kernel, bias = weights["out"]
    logits = np.full((GRID, GRID), bias[0], np.float32)
    # Added one by one: what a library's product of matrices adds first depends on the machine.
    for share, plane in zip(kernel.ravel(), fine, strict=True):
        logits += share * plane
    return logits.ravel()


@cache
def _weights(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: (stored[name].astype(np.float32), stored[f"{name}_bias"].astype(np.float32)) for name in LAYERS}


def _layer(kernel: np.ndarray, bias: np.ndarray, image: np.ndarray, dilation: int) -> np.ndarray:
    planes, height, width = image.shape
    wide = width + 2 * dilation
    # Zeros around the image, and some behind it: the last row is read to its end and beyond.
    margin = np.zeros((planes, height + 2 * dilation + 1, wide), np.float32)
    margin[:, dilation : dilation + height, dilation : dilation + width] = image
    result = np.empty((len(kernel), height * wide), np.float32)
    _convolved(margin.reshape(planes, -1), kernel, bias, wide, dilation, result)
    return result.reshape(-1, height, wide)[:, :, :width]


def _halved(planes: np.ndarray) -> np.ndarray:
    return (planes[:, ::2, ::2] + planes[:, 1::2, ::2] + planes[:, ::2, 1::2] + planes[:, 1::2, 1::2]) * np.float32(
        0.25
    )


def _doubled(planes: np.ndarray) -> np.ndarray:
    return planes.repeat(2, 1).repeat(2, 2)


@compiled("(float32[:,::1], float32[:,:,:,::1], float32[::1], int64, int64, float32[:,::1])")
def _convolved(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, width: int, dilation: int, result: np.ndarray
) -> None:
    """Writes to result (D, h * width) rows of the image (C, more than that) under kernel (D, C, 3, 3) of a dilation and
    bias (D,); 0 where that is negative. Rows are `width` long, their margin included, and lie one after another.
    """
    length = result.shape[1]
    # Four planes at a time: what is read of the image serves all of them. D is a multiple of four.
    for plane in range(0, len(result), 4):
        made0, made1, made2, made3 = result[plane], result[plane + 1], result[plane + 2], result[plane + 3]
        made0[:], made1[:], made2[:], made3[:] = bias[plane], bias[plane + 1], bias[plane + 2], bias[plane + 3]
        for channel in range(image.shape[0]):
            for i in range(3):
                left0, middle0, right0 = kernel[plane, channel, i]
                left1, middle1, right1 = kernel[plane + 1, channel, i]
                left2, middle2, right2 = kernel[plane + 2, channel, i]
                left3, middle3, right3 = kernel[plane + 3, channel, i]
                here = image[channel, i * dilation * width :]
                for x in range(length):
                    before, this, after = here[x], here[x + dilation], here[x + 2 * dilation]
                    made0[x] += left0 * before + middle0 * this + right0 * after
                    made1[x] += left1 * before + middle1 * this + right1 * after
                    made2[x] += left2 * before + middle2 * this + right2 * after
                    made3[x] += left3 * before + middle3 * this + right3 * after
    for plane in range(len(result)):
        for x in range(length):
            result[plane, x] = max(result[plane, x], np.float32(0))
