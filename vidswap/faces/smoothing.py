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
from functools import cache

import numpy as np

from vidswap.compiled import compiled

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
    known: dict[tuple[int, ...], list[float]] = {}

    def weights(_: int, offsets: list[int]) -> list[float]:
        key = tuple(offsets)
        if key not in known:
            known[key] = tap_weights(offsets, kernel, degree)
        return known[key]

    return weighted(frames, values, weights, radius)


def weighted(
    frames: np.ndarray,
    values: np.ndarray,
    weights: Callable[[int, list[int]], list[float]],
    radius: int,
    rows: slice = slice(None),
) -> np.ndarray:
    """Sums of values (N, ...) of one track at ascending `frames` (N,) over the rows within `radius` frames of each.

    weights: asked for each row with its number and the offsets in frames of the rows within the radius. rows: those
    that are wanted. (n, ...) float64.
    """
    values = np.asarray(values, np.float64)
    frames = np.asarray(frames, np.int64)
    low, high = (bounds[rows] for bounds in _windows(frames, radius))
    taps = np.zeros((len(low), int((high - low).max(initial=1))))
    for at, row in enumerate(range(len(frames))[rows]):
        told = weights(row, (frames[low[at] : high[at]] - frames[row]).tolist())
        taps[at, : len(told)] = told
    flat = np.ascontiguousarray(values).reshape(len(values), math.prod(values.shape[1:]))
    result = np.empty((len(low), flat.shape[1]))
    _weighted(flat, low, high, taps, result)
    return result.reshape(len(low), *values.shape[1:])


def smooth_landmarks(frames: np.ndarray, landmarks: np.ndarray, options: AdaptiveOptions | None = None) -> np.ndarray:
    """Landmarks (N, 478, 3) of one track with the noise taken out and expression kept. Same shape, float64.

    Head motion and expression are smoothed apart. The pose in the image (a similarity fitted to the points that
    expression moves little) goes through a degree 2 fit, which keeps nods and shakes, and is believed as it is where
    it moves by more than noise does, as in a shaking camera; what is left, the shape of the face, goes through a mean
    that weighs by time and by likeness (bilateral: Tomasi and Manduchi 1998), for each eye, the mouth and the rest
    alone, so that blinks and speech, which change shape more than noise does, stay as they are.
    """
    options = options or AdaptiveOptions()
    landmarks, frames = np.ascontiguousarray(landmarks, np.float64), np.asarray(frames, np.int64)
    poses, shapes = np.empty((len(landmarks), 4)), np.empty_like(landmarks)
    _split(landmarks, _mean_face(), _CALM, poses, shapes)
    kernel, _ = gaussian(options.pose_sigma)
    poses = _followed(poses, smooth(frames, poses, kernel, options.radius, degree=2), options)
    time_kernel, _ = gaussian(options.shape_sigma)
    times = np.array([time_kernel(k) for k in range(options.radius + 1)])
    result = np.empty_like(landmarks)
    low, high = _windows(frames, options.radius)
    likeness = np.array((*options.quick_likeness, options.likeness))
    _calmed(frames, low, high, shapes, poses, _GROUPS, times, likeness, result)
    return result


@dataclass(frozen=True)
class AdaptiveOptions:
    """How `smooth_landmarks` smooths; all in frames but `likeness`.

    pose_sigma, shape_sigma: of the weights over time of pose and of shape.
    likeness: change of shape, in distances between the eyes, that counts as another expression rather than as noise;
    quick_likeness: of the right eye, the left eye and the mouth.
    radius: frames looked at to either side.
    noise: distance of a pose from the smoothed one, in distances between the eyes, up to which it counts as noise, or
    pixels: the same in pixels, below which no detector tells where a small face is.

    Measured at 25 frames per second on footage and on a made face with noise as in footage (.01 distances between the
    eyes): second differences fall to .45-.6 on people who move little, to .2 on a face at rest and to .75 on a woman
    who nods as she talks; small motion of the head keeps .98 of its size at 2 Hz and .9 at 3 Hz, the lips keep .9 at
    4 Hz, and blinks are told nearly as well as without a filter.
    """

    pose_sigma: float = 1.4
    shape_sigma: float = 1.0
    likeness: float = 0.03
    quick_likeness: tuple[float, float, float] = (0.025, 0.025, 0.02)
    radius: int = 4
    noise: float = 0.012
    pixels: float = 0.45


def _followed(poses: np.ndarray, calm: np.ndarray, options: AdaptiveOptions) -> np.ndarray:
    """Poses (N, 4), smoothed to `calm` (N, 4) where the two lie near each other, and more and more as they are beyond.

    How near is told at a point of the face that lies a distance between the eyes from its middle.
    """
    result = np.empty_like(calm)
    for row, (pose, smoothed) in enumerate(zip(poses, calm, strict=True)):
        a, b, x, y = pose - smoothed
        apart = math.sqrt(x * x + y * y) + math.sqrt(a * a + b * b)
        noise = max(options.noise * math.sqrt(smoothed[0] ** 2 + smoothed[1] ** 2), options.pixels)
        result[row] = pose + math.exp(-(apart * apart) / (2.0 * noise * noise)) * (smoothed - pose)
    return result


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


def _windows(frames: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """For each row the first row within `radius` frames, and the one after the last: two (N,) int64."""
    low = np.searchsorted(frames, np.asarray(frames) - radius, "left")
    high = np.searchsorted(frames, np.asarray(frames) + radius, "right")
    return low, high


@compiled("(float64[:,::1], int64[::1], int64[::1], float64[:,::1], float64[:,::1])")
def _weighted(values: np.ndarray, low: np.ndarray, high: np.ndarray, taps: np.ndarray, result: np.ndarray) -> None:
    """For each row the sum of values (N, M) of rows low..high, weighted by taps (N, T), one by one in order."""
    for row in range(len(low)):
        for k in range(values.shape[1]):
            total = taps[row, 0] * values[low[row], k]
            for at in range(low[row] + 1, high[row]):
                total = total + taps[row, at - low[row]] * values[at, k]
            result[row, k] = total


_EYES_AND_MOUTH = (
    topology.RIGHT_EYE + topology.RIGHT_IRIS,
    topology.LEFT_EYE + topology.LEFT_IRIS,
    topology.LIPS_OUTER + topology.LIPS_INNER,
)
_CALM = np.array([i for i in range(468) if not any(i in group for group in _EYES_AND_MOUTH)])


def _groups() -> np.ndarray:
    """(478,) int64: 0 to 2 for points of the eyes and the mouth, 3 for the rest."""
    groups = np.full(topology.POINTS, 3, np.int64)
    for number, group in enumerate(_EYES_AND_MOUTH):
        groups[list(group)] = number
    return groups


_GROUPS = _groups()


@cache
def _mean_face() -> np.ndarray:
    """(478, 2) float64: the mean face at rest."""
    return np.ascontiguousarray(topology.canonical()[:, :2], np.float64)


@compiled("(float64[:,:,::1], float64[:,::1], int64[::1], float64[:,::1], float64[:,:,::1])")
def _split(landmarks: np.ndarray, mean: np.ndarray, calm: np.ndarray, poses: np.ndarray, shapes: np.ndarray) -> None:
    """Pose (N, 4) and shape (N, 478, 3) of landmarks (N, 478, 3).

    A pose is the similarity (a, b, x, y) that takes the mean face (478, 2) nearest to the points in `calm`: (a, b) is
    scale times turn. A shape is the points with the pose taken off: in distances between the eyes of the mean face.
    """
    count = len(calm)
    middle_u = middle_v = 0.0
    for i in calm:
        middle_u += mean[i, 0] / count
        middle_v += mean[i, 1] / count
    for row in range(len(landmarks)):
        points = landmarks[row]
        middle_x = middle_y = 0.0
        for i in calm:
            middle_x += points[i, 0] / count
            middle_y += points[i, 1] / count
        a = b = spread = 0.0
        for i in calm:
            u, v = mean[i, 0] - middle_u, mean[i, 1] - middle_v
            x, y = points[i, 0] - middle_x, points[i, 1] - middle_y
            a += u * x + v * y
            b += u * y - v * x
            spread += u * u + v * v
        a, b = a / spread, b / spread
        x, y = middle_x - (a * middle_u - b * middle_v), middle_y - (b * middle_u + a * middle_v)
        poses[row] = (a, b, x, y)
        squared = a * a + b * b
        for i in range(len(points)):
            dx, dy = points[i, 0] - x, points[i, 1] - y
            shapes[row, i, 0] = (a * dx + b * dy) / squared
            shapes[row, i, 1] = (a * dy - b * dx) / squared
            shapes[row, i, 2] = points[i, 2] / math.sqrt(squared)


@compiled(
    "(int64[::1], int64[::1], int64[::1], float64[:,:,::1], float64[:,::1], int64[::1], float64[::1], "
    "float64[::1], float64[:,:,::1])"
)
def _calmed(
    frames: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    shapes: np.ndarray,
    poses: np.ndarray,
    groups: np.ndarray,
    times: np.ndarray,
    likeness: np.ndarray,
    result: np.ndarray,
) -> None:
    """Landmarks (N, 478, 3) of poses (N, 4) and of the mean of shapes (N, 478, 3) over rows low..high.

    Shapes are weighed by times (R + 1,), of 0, 1 .. R frames away, and per group of points by how near they are to the
    row's: by Gaussians as wide as likeness (groups,) says.
    """
    count = groups.max() + 1
    calm = np.empty(shapes.shape[1:])
    squared, members, total = np.empty(count), np.zeros(count), np.empty(count)
    for i in range(len(groups)):
        members[groups[i]] += 1
    for row in range(len(frames)):
        weights = np.empty((high[row] - low[row], count))
        total[:] = 0
        for at in range(low[row], high[row]):
            squared[:] = 0
            for i in range(len(groups)):
                dx, dy = shapes[at, i, 0] - shapes[row, i, 0], shapes[at, i, 1] - shapes[row, i, 1]
                squared[groups[i]] += dx * dx + dy * dy
            for group in range(count):
                apart = squared[group] / members[group]
                wide = 2.0 * likeness[group] * likeness[group]
                weight = times[abs(frames[at] - frames[row])] * math.exp(-apart / wide)
                weights[at - low[row], group] = weight
                total[group] += weight
        calm[:] = 0
        for at in range(low[row], high[row]):
            for i in range(len(groups)):
                weight = weights[at - low[row], groups[i]] / total[groups[i]]
                for axis in range(3):
                    calm[i, axis] += weight * shapes[at, i, axis]
        a, b, x, y = poses[row]
        for i in range(len(groups)):
            result[row, i, 0] = a * calm[i, 0] - b * calm[i, 1] + x
            result[row, i, 1] = b * calm[i, 0] + a * calm[i, 1] + y
            result[row, i, 2] = calm[i, 2] * math.sqrt(a * a + b * b)
