"""Filters over time for what belongs to a face: of finite support, without lag, keeping the length.

All work on the rows of one track: ascending frame numbers, of which some may be missing. The value at a frame is a
weighted fit of a polynomial over the rows within `radius` frames, read off at the frame itself. Where rows lie evenly
on both sides this is the plain weighted mean (degree 0 and 1) or the Savitzky-Golay filter of those weights (degree 2);
at the ends of a track and beside missing rows a steadily moving face is still told without lag, which a mean with
renormalised weights would not do. Support is finite and the sums run over the rows one by one in ascending order, so
that a value is the same bits wherever a video is cut, as long as `radius` frames to either side are at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import topology

Kernel = Callable[[int], float]


def gaussian(sigma: float) -> tuple[Kernel, int]:
    """Weights exp(-k^2 / 2 sigma^2) and their radius, 4 sigma, in frames."""
    return (lambda k: math.exp(-(k * k) / (2.0 * sigma * sigma))), math.ceil(4.0 * sigma)


def five_tap() -> tuple[Kernel, int]:
    """Weights .25 .75 1 .75 .25 (of 3), as third-generation StyleGAN editing has them, and radius 2."""
    weights = (1.0, 0.75, 0.25)
    return (lambda k: weights[abs(k)]), 2


def tap_weights(offsets: Sequence[int], kernel: Kernel, degree: int) -> list[float]:
    """Weights of rows at `offsets` frames from here, so that their sum is the fit of a polynomial, read off at 0.

    The degree falls to 1 where fewer than two rows lie on one side, and to 0 for a single row. The weights sum to 1;
    for degree 1 and 2 their moments of that order vanish.
    """
    before, after = sum(o < 0 for o in offsets), sum(o > 0 for o in offsets)
    if len(offsets) < 2:
        degree = 0
    elif min(before, after) < 2:
        degree = min(degree, 1)
    g = [kernel(o) for o in offsets]
    s = [sum(w * float(o) ** p for w, o in zip(g, offsets, strict=True)) for p in range(2 * degree + 1)]
    if degree == 0:
        fit = [1.0 / s[0]]
    elif degree == 1:
        det = s[0] * s[2] - s[1] * s[1]
        fit = [s[2] / det, -s[1] / det]
    else:
        # First column of the inverse of the 3 x 3 matrix of moments, by cofactors.
        a, b, c = s[2] * s[4] - s[3] * s[3], s[2] * s[3] - s[1] * s[4], s[1] * s[3] - s[2] * s[2]
        det = s[0] * a + s[1] * b + s[2] * c
        fit = [a / det, b / det, c / det]
    return [w * sum(f * float(o) ** p for p, f in enumerate(fit)) for w, o in zip(g, offsets, strict=True)]


def smooth(frames: np.ndarray, values: np.ndarray, kernel: Kernel, radius: int, degree: int = 1) -> np.ndarray:
    """Values (N, ...) of one track at ascending `frames` (N,), smoothed. Same shape, float64."""
    values = np.asarray(values, np.float64)
    result = np.empty_like(values)
    for row, (low, high) in enumerate(_windows(frames, radius)):
        offsets = [int(f - frames[row]) for f in frames[low:high]]
        result[row] = _sum(tap_weights(offsets, kernel, degree), values[low:high])
    return result


def smooth_landmarks(frames: np.ndarray, landmarks: np.ndarray, options: AdaptiveOptions | None = None) -> np.ndarray:
    """Landmarks (N, 478, 3) of one track with the noise taken out and expression kept. Same shape, float64.

    Head motion and expression are smoothed apart. The pose in the image (a similarity fitted to the points that
    expression moves little) goes through a degree 2 fit, which keeps nods and shakes; what is left, the shape of the
    face, goes through a mean that weighs by time and by likeness (bilateral: Tomasi and Manduchi 1998), for each eye,
    the mouth and the rest alone, so that blinks and speech, which change shape more than noise does, stay as they are.
    """
    options = options or AdaptiveOptions()
    landmarks = np.asarray(landmarks, np.float64)
    poses = np.array([_pose(points) for points in landmarks]).reshape(-1, 4)
    shapes = np.array([_shape(points, pose) for points, pose in zip(landmarks, poses, strict=True)])
    kernel, _ = gaussian(options.pose_sigma)
    poses = smooth(frames, poses, kernel, options.radius, degree=2)
    time_kernel, _ = gaussian(options.shape_sigma)
    result = np.empty_like(landmarks)
    for row, (low, high) in enumerate(_windows(frames, options.radius)):
        offsets = [int(f - frames[row]) for f in frames[low:high]]
        calm = _bilateral(offsets, shapes[low:high], shapes[row], time_kernel, options.likeness)
        result[row] = _posed(calm, poses[row])
    return result


@dataclass(frozen=True)
class AdaptiveOptions:
    """How `smooth_landmarks` smooths; all in frames but `likeness`.

    pose_sigma, shape_sigma: of the weights over time of pose and of shape.
    likeness: change of shape, in distances between the eyes, that counts as another expression rather than as noise.
    radius: frames looked at to either side.

    Measured at 25 frames per second on footage and on a made face with noise as in footage (.01 distances between the
    eyes): second differences fall to .55-.65, to .2 on a face at rest; head motion keeps .98 of its size at 2 Hz and .9
    at 3 Hz, the lips keep .9 at 4 Hz, and blinks are told nearly as well as without a filter.
    """

    pose_sigma: float = 1.4
    shape_sigma: float = 1.0
    likeness: float = 0.02
    radius: int = 4


def missing(frames: np.ndarray, max_gap: int) -> list[tuple[int, int, float]]:
    """Frames that a track lacks in gaps of at most `max_gap`: (frame, row before it, share 0..1 of the row after)."""
    added = []
    for row in range(len(frames) - 1):
        first, last = int(frames[row]), int(frames[row + 1])
        if 1 < last - first <= max_gap + 1:
            added += [(frame, row, (frame - first) / (last - first)) for frame in range(first + 1, last)]
    return added


def between(values: np.ndarray, row: int, share: float) -> np.ndarray:
    """What lies between a row and the next, linearly; whole numbers and other things are the row's own."""
    if not np.issubdtype(values.dtype, np.floating):
        return np.asarray(values[row])
    a, b = np.asarray(values[row], np.float64), np.asarray(values[row + 1], np.float64)
    return np.asarray(a + share * (b - a), values.dtype)


def _windows(frames: np.ndarray, radius: int) -> list[tuple[int, int]]:
    """For each row the range of rows within `radius` frames."""
    low = np.searchsorted(frames, np.asarray(frames) - radius, "left")
    high = np.searchsorted(frames, np.asarray(frames) + radius, "right")
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def _sum(weights: Sequence[float], values: np.ndarray) -> np.ndarray:
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return np.asarray(total)


_EYES_AND_MOUTH = (
    topology.RIGHT_EYE + topology.RIGHT_IRIS,
    topology.LEFT_EYE + topology.LEFT_IRIS,
    topology.LIPS_OUTER + topology.LIPS_INNER,
)
_CALM = [i for i in range(468) if not any(i in group for group in _EYES_AND_MOUTH)]
_GROUPS = [list(group) for group in _EYES_AND_MOUTH] + [
    [i for i in range(topology.POINTS) if not any(i in group for group in _EYES_AND_MOUTH)]
]


def _pose(points: np.ndarray) -> tuple[float, float, float, float]:
    """The similarity (a, b, x, y) that takes the mean face nearest to points (478, 3): (a, b) is scale times turn."""
    mean = topology.canonical()[_CALM, :2].astype(np.float64)
    middle = mean.sum(0) / len(mean)
    u, v = mean[:, 0] - middle[0], mean[:, 1] - middle[1]
    x, y = points[_CALM, 0], points[_CALM, 1]
    centre_x, centre_y = x.sum() / len(x), y.sum() / len(y)
    spread = (u * u + v * v).sum()
    a = (u * (x - centre_x) + v * (y - centre_y)).sum() / spread
    b = (u * (y - centre_y) - v * (x - centre_x)).sum() / spread
    return a, b, centre_x - (a * middle[0] - b * middle[1]), centre_y - (b * middle[0] + a * middle[1])


def _shape(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Points (478, 3) with the pose taken off: in distances between the eyes of the mean face."""
    a, b, x, y = pose
    squared = a * a + b * b
    dx, dy = points[:, 0] - x, points[:, 1] - y
    return np.stack([(a * dx + b * dy) / squared, (a * dy - b * dx) / squared, points[:, 2] / np.sqrt(squared)], 1)


def _posed(shape: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The inverse of `_shape`."""
    a, b, x, y = pose
    return np.stack(
        [
            a * shape[:, 0] - b * shape[:, 1] + x,
            b * shape[:, 0] + a * shape[:, 1] + y,
            shape[:, 2] * np.sqrt(a * a + b * b),
        ],
        1,
    )


def _bilateral(
    offsets: Sequence[int], shapes: np.ndarray, own: np.ndarray, kernel: Kernel, likeness: float
) -> np.ndarray:
    """The mean of shapes (T, 478, 3), weighed by time and, per group of points, by likeness to `own` (478, 3)."""
    result = np.empty_like(own)
    for group in _GROUPS:
        weights = []
        for offset, shape in zip(offsets, shapes, strict=True):
            apart = shape[group, :2] - own[group, :2]
            squared = float((apart * apart).sum()) / len(group)
            weights.append(kernel(offset) * math.exp(-squared / (2.0 * likeness * likeness)))
        total = sum(weights)
        result[group] = _sum([w / total for w in weights], shapes[:, group])
    return result
