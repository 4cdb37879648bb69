"""FFHQ alignment: from landmarks to an oriented square around the face, and to the similarity that cuts it out.

The recipe (Karras et al., "Progressive Growing of GANs", appendix C; also StyleGAN's FFHQ) is written for the 68 points
of dlib. With e the vector from the right eye to the left, m the vector from between the eyes to between the corners of
the mouth, and rot(v) = (-v.y, v.x):

    x = normalise(e - rot(m)) * max(2.0 |e|, 1.8 |m|),   y = rot(x),   c = eyes + 0.1 m
    quad = c - x - y, c - x + y, c + x + y, c + x - y      (top left, bottom left, bottom right, top right)

dlib's eye is the mean of six points on the lids; here it is the mean of the same six places on the lid line (corners,
and two points each of the upper and lower lid). The corners of the mouth are those of the vermilion border in both.

`axes` are (c, x, y) as rows, frame pixels. Points have the centre of the first pixel at (0, 0); the edge of a crop of S
pixels lies half a pixel outside of its outer pixels' centres, at -0.5 and S - 0.5, and the quad names that edge in the
same way (PIL's quad transform is given quad + 0.5, which says the same).
"""

from __future__ import annotations

import numpy as np

from vidswap.graph.errors import InputError

from .topology import IBUG, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER

AUTO_SIZES = (64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024)

# Outer corner, two of the upper lid, inner corner, two of the lower lid: dlib's 36-41 and 42-47.
_RIGHT_EYE_6, _LEFT_EYE_6 = IBUG[36:42], IBUG[42:48]


def ffhq_axes(landmarks: np.ndarray) -> np.ndarray:
    """(..., 3, 2) float64 rows c, x, y in frame pixels, from landmarks (..., 478, 2 or 3) of the same frame."""
    points = np.asarray(landmarks, np.float64)[..., :2]
    return axes_from_points(
        points[..., _RIGHT_EYE_6, :].mean(-2),
        points[..., _LEFT_EYE_6, :].mean(-2),
        points[..., RIGHT_MOUTH_CORNER, :],
        points[..., LEFT_MOUTH_CORNER, :],
    )


def ffhq_axes_dlib(landmarks: np.ndarray) -> np.ndarray:
    """(..., 3, 2) float64 rows c, x, y in frame pixels, from dlib's landmarks (..., 68, 2)."""
    points = np.asarray(landmarks, np.float64)
    return axes_from_points(
        points[..., 36:42, :].mean(-2), points[..., 42:48, :].mean(-2), points[..., 48, :], points[..., 54, :]
    )


def axes_from_points(
    right_eye: np.ndarray, left_eye: np.ndarray, right_mouth: np.ndarray, left_mouth: np.ndarray
) -> np.ndarray:
    """The recipe itself: (..., 3, 2) rows c, x, y from four points (..., 2); right and left are the subject's."""
    eyes = (right_eye + left_eye) * 0.5
    across = left_eye - right_eye
    down = (right_mouth + left_mouth) * 0.5 - eyes
    x = across - _rotated(down)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    length = np.maximum(2.0 * np.linalg.norm(across, axis=-1), 1.8 * np.linalg.norm(down, axis=-1))
    x = x * length[..., None]
    return np.stack([eyes + 0.1 * down, x, _rotated(x)], -2)


def quad(axes: np.ndarray) -> np.ndarray:
    """(..., 4, 2) corners top left, bottom left, bottom right, top right of axes (..., 3, 2), frame pixels."""
    c, x, y = axes[..., 0, :], axes[..., 1, :], axes[..., 2, :]
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y], -2)


def matrix_of_axes(axes: np.ndarray, size: int, scale: float = 1.0) -> np.ndarray:
    """(2, 3) float64 similarity from frame pixels to the pixels of a crop of `size` a side.

    `scale` widens the square about its centre: 1 is FFHQ's, 1.2 shows a fifth more on each axis. Only c and x of the
    axes (3, 2) are read: y is x turned by a right angle, also where both were smoothed apart.
    """
    c, x = axes[0], axes[1] * scale
    side = 2.0 * float(np.hypot(x[0], x[1]))
    if not side > 0 or not np.isfinite(side):
        raise ValueError(f"alignment needs axes of some length, got {axes.tolist()}")
    k = size / side
    cos, sin = k * x[0] / (side / 2), k * x[1] / (side / 2)
    middle = (size - 1) / 2
    return np.array(
        [[cos, sin, middle - cos * c[0] - sin * c[1]], [-sin, cos, middle + sin * c[0] - cos * c[1]]], np.float64
    )


def resized(matrix: np.ndarray, size: int, side: int) -> np.ndarray:
    """(2, 3): from frame pixels to a crop of the same square with `side` pixels a side instead of `size`."""
    scale = side / size
    made = matrix * scale
    made[:, 2] += (scale - 1) / 2
    return made


def inverse(matrix: np.ndarray) -> np.ndarray:
    """(2, 3) float64: the similarity from crop pixels back to frame pixels."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.concatenate([turn, -turn @ matrix[:, 2:]], 1)


def beyond(matrix: np.ndarray, size: int, width: int, height: int) -> np.ndarray:
    """(S, S) bool for `size` S: where a crop shows what lies beyond a frame of so many pixels, whose edge is repeated.

    matrix (2, 3): from frame pixels to crop pixels.
    """
    (a, b, left), (c, d, top) = inverse(np.asarray(matrix, np.float64))
    across, down = np.arange(size), np.arange(size)[:, None]
    x, y = a * across + b * down + left, c * across + d * down + top
    return np.asarray((x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5))


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) or (..., 3) through a similarity (2, 3); z grows with its scale. Same shape, float64."""
    points = np.asarray(points, np.float64)
    moved = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[-1] == 2:
        return moved
    return np.concatenate([moved, points[..., 2:] * scale_of(matrix)], -1)


def scale_of(matrix: np.ndarray) -> float:
    """Crop pixels per frame pixel of a similarity (2, 3)."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def crop_size(axes: np.ndarray, size: int | str, scale: float = 1.0) -> int:
    """Pixels a side of the crop for axes (3, 2).

    "auto" takes the square's side in frame pixels rounded up to the next of `AUTO_SIZES` (the last of them where it is
    larger), so that a crop pixel is about a frame pixel; a number is taken as it is. Raises InputError otherwise.
    """
    if isinstance(size, str):
        if size != "auto":
            raise InputError(f"size is {size!r}; it must be 'auto' or a number of pixels")
        side = 2.0 * scale * float(np.hypot(axes[1, 0], axes[1, 1]))
        return next((s for s in AUTO_SIZES if s >= side), AUTO_SIZES[-1])
    if not 16 <= size <= 4096:
        raise InputError(f"size is {size}; it must be 'auto' or between 16 and 4096 pixels")
    return int(size)


def _rotated(v: np.ndarray) -> np.ndarray:
    """v turned by a right angle, clockwise in the image: (x, y) -> (-y, x)."""
    return np.stack([-v[..., 1], v[..., 0]], -1)
