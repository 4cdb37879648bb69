"""The shape that a filmed face has at rest, told over time in the directions in which faces move.

One frame does not say whether brows lie low because a person is so made or frowns just now. What they do on average
over some seconds mostly does. So landmarks are read along the directions of `shape.motion`, frame by frame, and the
readings are averaged over time: what changes slowly is taken for the person, what changes quickly for expression.
Frames in which the head is turned away count little, since landmarks of hidden halves are guesses.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from . import shape, smoothing, topology
from .matching import smoothstep
from .pose import fit_pose

_TURNED = (0.75, 0.92)  # cosine of the angle between face and viewer: not believed below, fully believed above
_BELIEVED = (0.1, 0.4)  # mean of that over time: nothing is told of the face at rest below, all above


def readings() -> int:
    """How many numbers tell of a face: one for each direction of each region, and how far they are believed."""
    return sum(len(read) for read, _ in shape.motion()) + 1


def coordinates(one: np.ndarray) -> np.ndarray:
    """(readings - 1,) float64: a shape (478, 3) of `shape.identity_shape` along all directions, from the mean face."""
    apart = (np.asarray(one, np.float64) - topology.canonical()).ravel()
    return np.concatenate([read @ apart for read, _ in shape.motion()])


def reading(landmarks: np.ndarray) -> np.ndarray:
    """(readings,) float64: the `coordinates` of landmarks (478, 3), in pixels, and how far they are believed, 0..1."""
    facing = float(smoothstep(float(fit_pose(landmarks).rotation[2, 2]), *_TURNED))
    return np.append(coordinates(shape.identity_shape(landmarks)), facing)


def at_rest(frames: np.ndarray, landmarks: np.ndarray, reach: int) -> np.ndarray:
    """(N, readings) float32: how a face is at rest, at each frame of a track, and how surely that is known, 0..1.

    frames (N,) ascending, landmarks (N, 478, 3) of them; reach: frames looked at on either side. Means with the weights
    of Hann's window.
    """
    seen = np.array([reading(points) for points in landmarks]).reshape(len(landmarks), readings())
    believed = seen[:, -1:]
    window = _window(reach)
    sums = smoothing.weighted(
        frames,
        np.hstack([seen[:, :-1] * believed, believed, np.ones_like(believed)]),
        lambda _, offsets: [window[abs(offset)] for offset in offsets],
        reach,
    )
    told = sums[:, :-2] / np.maximum(sums[:, -2:-1], 1e-9)
    return np.hstack([told, smoothstep(sums[:, -2:-1] / sums[:, -1:], *_BELIEVED)]).astype(np.float32)


@cache
def _window(reach: int) -> tuple[float, ...]:
    return tuple(math.cos(0.5 * math.pi * k / (reach + 1)) ** 2 for k in range(reach + 1))
