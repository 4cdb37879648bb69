"""Landmark pictures: what the landmark mapper sees of a face, 70 points and 63 strokes in white on black.

The points are OpenPose's face model: the 68 of iBUG and the pupils, here taken from MediaPipe's 478 (`topology.IBUG`
and the centres of the irises). Drawn as its GPU renderer draws them, in the picture of FFHQ's crop: lines 1/250 of the
side wide, dots of 1/120 of it as radius, each stroke at 0.6 over what is there, so that single strokes are 0.6 and
crossings brighter. Edges are smoothed. Source and driver are drawn by this one renderer.
"""

from __future__ import annotations

import numpy as np

from vidswap.compiled import compiled

from . import alignment, topology

SIZE = 580
"""Pixels a side of the published mapper's pictures."""

POINTS_70 = (*topology.IBUG, topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0])
"""Of MediaPipe's landmarks, in OpenPose's order."""

_LINE, _DOT, _OPACITY = 1 / 250, 1 / 120, 0.6


def _segments() -> np.ndarray:
    """(63, 2) int64 pairs of the 70 points that a stroke joins."""
    open_rows = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36))
    rings = ((36, 42), (42, 48), (48, 60), (60, 68))
    pairs = [(i, i + 1) for first, last in open_rows for i in range(first, last - 1)]
    pairs += [(i, i + 1 if i + 1 < last else first) for first, last in rings for i in range(first, last)]
    return np.array(pairs, np.int64)


SEGMENTS = _segments()


def points_70(landmarks: np.ndarray) -> np.ndarray:
    """(..., 70, 2 or 3) of landmarks (..., 478, 2 or 3): OpenPose's points; the first 68 are iBUG's."""
    return np.asarray(landmarks)[..., POINTS_70, :]


def picture(landmarks: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(size, size) float32, 0..1: the landmarks (478, 2 or 3) of a face drawn in its own FFHQ crop; any unit."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), size)
    return drawn(alignment.transform(matrix, points_70(landmarks)[..., :2]), size)


def drawn(points: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(size, size) float32, 0..1: points (70, 2) in pixels of the picture. What lies outside is not drawn."""
    dark = np.ones((size, size), np.float32)
    points = np.ascontiguousarray(points, np.float64)
    _draw(points, SEGMENTS, 0.5 * _LINE * size, _DOT * size, _OPACITY, dark)
    return np.float32(1) - dark


@compiled("(float64[:,::1], int64[:,::1], float64, float64, float64, float32[:,::1])")
def _draw(
    points: np.ndarray, segments: np.ndarray, half: float, radius: float, opacity: float, dark: np.ndarray
) -> None:
    """Multiply `dark` (H, W) float32 by what each stroke and each dot leaves of it.

    points: (K, 2) float64; segments: (S, 2) int64; half: half the width of a line.
    """
    count = len(segments)
    for stroke in range(count + len(points)):
        if stroke < count:
            a, b, reach = segments[stroke, 0], segments[stroke, 1], half
        else:
            a, b, reach = stroke - count, stroke - count, radius
        ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
        ux, uy = bx - ax, by - ay
        length = ux * ux + uy * uy
        margin = reach + 1.0
        top, bottom = max(0, int(np.floor(min(ay, by) - margin))), min(len(dark), int(max(ay, by) + margin) + 2)
        left, right = max(0, int(np.floor(min(ax, bx) - margin))), min(dark.shape[1], int(max(ax, bx) + margin) + 2)
        for y in range(top, bottom):
            for x in range(left, right):
                along = ((x - ax) * ux + (y - ay) * uy) / length if length > 0.0 else 0.0
                along = min(1.0, max(0.0, along))
                dx, dy = x - ax - along * ux, y - ay - along * uy
                covered = min(1.0, max(0.0, reach + 0.5 - np.sqrt(dx * dx + dy * dy)))
                if covered > 0.0:
                    dark[y, x] = np.float32(dark[y, x] * (1.0 - opacity * covered))
