"""The shape that a filmed face has at rest, told over time in the directions in which faces move.

One frame does not say whether brows lie low because a person is so made or frowns just now. What they do on average
over some seconds mostly does. So landmarks are read along the directions of `shape.motion`, frame by frame, and the
readings are averaged over time: what changes slowly is taken for the person, what changes quickly for expression.
Frames in which the head is turned away count little, since landmarks of hidden halves are guesses; and a single
picture, or the first moments of a track, say little.
"""

from __future__ import annotations

import math

import numpy as np

from . import shape, smoothing
from .matching import smoothstep
from .pose import fit_pose

_TURNED = (0.75, 0.92)  # cosine of the angle between face and viewer: not believed below, fully believed above
_FEW = 24.0  # frames: of so few a half is told of what a whole window tells; of a single picture hardly anything
_BELIEVED = (0.1, 0.4)  # mean of that over time: nothing is told of the face at rest below, all above


def reading(landmarks: np.ndarray) -> np.ndarray:
    """(M,) float64: `shape.coordinates` of landmarks (478, 3), in pixels; and last how far they are believed."""
    pose = fit_pose(landmarks)
    facing = float(smoothstep(float(pose.rotation[2, 2]), *_TURNED))
    return np.append(shape.coordinates(shape.identity_shape(landmarks, pose)), facing)


def at_rest(frames: np.ndarray, told: np.ndarray, reach: int, rows: slice = slice(None)) -> np.ndarray:
    """(n, M) float32: how a face is at rest, at the given rows of a track, and last how surely that is known, 0..1.

    frames (N,) ascending, told (N, M) the `reading` of each; reach: frames looked at on either side. Means with the
    weights of Hann's window.
    """
    told = np.asarray(told, np.float64)
    window = [math.cos(0.5 * math.pi * k / (reach + 1)) ** 2 for k in range(reach + 1)]
    trust = told[:, -1:]
    sums = smoothing.weighted(
        frames,
        np.hstack([told[:, :-1] * trust, trust, np.ones_like(trust)]),
        lambda _, offsets: [window[abs(offset)] for offset in offsets],
        reach,
        rows,
    )
    believed, weights = sums[:, -2:-1], sums[:, -1:]
    means = sums[:, :-2] / np.maximum(believed, 1e-9)
    enough = np.minimum(1.0, believed / (believed + _FEW) * (1 + _FEW / (reach + 1)))
    return np.hstack([means, enough * smoothstep(believed / weights, *_BELIEVED)]).astype(np.float32)
