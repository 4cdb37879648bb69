"""The shape that a filmed face has at rest, told over time in the directions in which faces move.

One frame does not say whether brows lie low because a person is so made or frowns just now. What they do on average
over some seconds mostly does. So landmarks are read along the directions of `shape.motion`, frame by frame, and the
readings are averaged over time: what changes slowly is taken for the person, what changes quickly for expression.
Frames in which the head is turned away count little, since landmarks of hidden halves are guesses; and a single
picture, or the first moments of a track, say little.
"""

from __future__ import annotations

import numpy as np

from vidswap.compiled import compiled

from . import shape
from .matching import smoothstep
from .pose import fit_pose

_TURNED = (0.75, 0.92)  # cosine of the angle between face and viewer: not believed below, fully believed above
_FEW = 24.0  # frames: of so few a half is told of what a whole window tells; of a single picture hardly anything
_BELIEVED = (0.1, 0.4)  # mean of that over time: nothing is told of the face at rest below, all above


def readings() -> int:
    """How many numbers tell of a face: one for each direction of each region, and how far they are believed."""
    return sum(len(read) for read, _ in shape.motion()) + 1


def reading(landmarks: np.ndarray) -> np.ndarray:
    """(readings,) float64: `shape.coordinates` of landmarks (478, 3), in pixels, and how far that is believed."""
    facing = float(smoothstep(float(fit_pose(landmarks).rotation[2, 2]), *_TURNED))
    return np.append(shape.coordinates(shape.identity_shape(landmarks)), facing)


def at_rest(frames: np.ndarray, told: np.ndarray, reach: int, rows: slice = slice(None)) -> np.ndarray:
    """(n, readings) float32: how a face is at rest, at the given rows of a track, and how surely that is known, 0..1.

    frames (N,) ascending, told (N, readings) the `reading` of each; reach: frames looked at on either side. Means with
    the weights of Hann's window, summed in ascending order.
    """
    frames, told = np.asarray(frames, np.int64), np.ascontiguousarray(told, np.float64)
    window = np.cos(0.5 * np.pi * np.arange(reach + 1) / (reach + 1)) ** 2
    sums = np.empty((len(frames[rows]), told.shape[1] + 1))
    _sums(frames, told, window, np.arange(len(frames))[rows], sums)
    believed, weights = sums[:, -2:-1], sums[:, -1:]
    means = sums[:, :-2] / np.maximum(believed, 1e-9)
    enough = np.minimum(1.0, believed / (believed + _FEW) * (1 + _FEW / (reach + 1)))
    return np.hstack([means, enough * smoothstep(believed / weights, *_BELIEVED)]).astype(np.float32)


@compiled("(int64[::1], float64[:,::1], float64[::1], int64[::1], float64[:,::1])")
def _sums(frames: np.ndarray, told: np.ndarray, window: np.ndarray, rows: np.ndarray, result: np.ndarray) -> None:
    """For each of `rows`: sums over the rows within the window of what they tell times how far they are believed, of
    that, and of the window's weights.
    """
    last = told.shape[1] - 1
    for out in range(len(rows)):
        here = frames[rows[out]]
        for k in range(last + 2):
            result[out, k] = 0.0
        for row in range(len(frames)):
            apart = abs(frames[row] - here)
            if apart < len(window):
                weight = window[apart]
                believed = weight * told[row, last]
                for k in range(last):
                    result[out, k] += believed * told[row, k]
                result[out, last] += believed
                result[out, last + 1] += weight
