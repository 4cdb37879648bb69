"""Sampling of a plane under an affine map, on the region that is needed alone, without aliasing.

Conventions as in vidswap.media.geometry. The result is a function of the plane and the map: no state, no randomness.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vidswap.compiled import compiled

# Whole blocks are averaged first; up to this factor of what is left, plain interpolation does not alias visibly.
_SHRINK_THRESHOLD = 1.25
_MARGIN = 3
_EDGE = 2  # samples that a cubic filter reads beyond the place that is asked for


def footprint(affine: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """The upright rectangle x0, y0, x1, y1 around the image of another one under `affine`."""
    (a, b, x), (c, d, y) = affine.tolist()
    across = (a * x0 + b * y0, a * x1 + b * y0, a * x0 + b * y1, a * x1 + b * y1)
    down = (c * x0 + d * y0, c * x1 + d * y0, c * x0 + d * y1, c * x1 + d * y1)
    return min(across) + x, min(down) + y, max(across) + x, max(down) + y


def sample(
    plane: np.ndarray,
    affine: np.ndarray,
    size: tuple[int, int],
    *,
    interpolation: int = cv2.INTER_LINEAR,
    outside: float | None = None,
) -> np.ndarray:
    """Sample `plane` (rows, columns) at `affine` @ (x, y, 1) for every x, y of an image of `size` = (width, height).

    Args:
        plane: uint8, uint16 or float32; one channel or several.
        affine: (2, 3), from pixels of the result to pixels of the plane.
        size: width, height of the result.
        interpolation: of OpenCV.
        outside: value beyond the plane's border; None repeats its edge pixels.

    Returns an array (height, width[, channels]) of the plane's dtype. Where the map shrinks, samples are averaged over
    the area that they stand for.
    """
    width, height = size
    steps = np.hypot(affine[:, 0], affine[:, 1])  # plane pixels per result pixel, along x and y of the plane
    reduce_x, reduce_y = (max(1, round(step)) for step in steps)
    region, affine = _region(plane, affine, size, reduce_x, reduce_y, outside)
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    left_over = max(steps[0] / reduce_x, steps[1] / reduce_y)
    if interpolation == cv2.INTER_CUBIC and region.dtype == np.uint8 and region.ndim == 2 and outside is None:
        region, affine, interpolation = _doubled(region, affine)
    if left_over <= _SHRINK_THRESHOLD:
        return _warp(region, affine, size, interpolation, border, outside or 0.0)
    fold = math.ceil(left_over)
    fine = np.array([[1 / fold, 0.0, 0.5 / fold - 0.5], [0.0, 1 / fold, 0.5 / fold - 0.5]])
    fine_affine = np.hstack([affine[:, :2] @ fine[:, :2], affine[:, :2] @ fine[:, 2:] + affine[:, 2:]])
    warped = _warp(region, fine_affine, (width * fold, height * fold), interpolation, border, outside or 0.0)
    return cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA)


def _doubled(region: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """A uint8 region with a sample between each two, the map into it, and the kernel that is enough for it.

    Samples halfway by cubic filters along rows and columns, and linear interpolation between them and those that were
    there, are cubic interpolation to within a level or two, in half of the time that OpenCV's warp takes for 16
    neighbours. What lies on a sample stays as it is.
    """
    # With edges that go on, so that what lies beyond them is theirs and not what a cubic swings to behind them.
    region = cv2.copyMakeBorder(region, _EDGE, _EDGE, _EDGE, _EDGE, cv2.BORDER_REPLICATE)
    rows, columns = region.shape
    between = np.empty_like(region)
    _between_columns(region, between)
    wide = cv2.merge([region, between]).reshape(rows, 2 * columns)
    fine = np.empty((2 * rows, 2 * columns), np.uint8)
    _between_rows(wide, fine)
    into = 2.0 * affine
    into[:, 2] += 2 * _EDGE
    return fine, into, cv2.INTER_LINEAR


@compiled()
def _halfway(before: np.ndarray, this: np.ndarray, following: np.ndarray, after: np.ndarray, made: np.ndarray) -> None:
    """Writes the samples (n,) uint8 halfway between `this` and `following`: OpenCV's cubic, a = -0.75 (Keys 1981)."""
    for x in range(len(made)):
        near, far = np.int32(this[x]) + np.int32(following[x]), np.int32(before[x]) + np.int32(after[x])
        value = (np.int32(19) * near - np.int32(3) * far + np.int32(16)) >> np.int32(5)
        made[x] = np.uint8(min(max(value, np.int32(0)), np.int32(255)))


@compiled("(uint8[:,::1], uint8[:,::1])")
def _between_columns(region: np.ndarray, between: np.ndarray) -> None:
    """Writes to between (h, w) uint8 what lies behind each sample of region (h, w), whose edges go on."""
    rows, columns = region.shape
    edged = np.empty(columns + 3, np.uint8)
    for y in range(rows):
        edged[0] = region[y, 0]
        edged[1 : columns + 1] = region[y]
        edged[columns + 1 :] = region[y, columns - 1]
        _halfway(edged[:columns], edged[1 : columns + 1], edged[2 : columns + 2], edged[3:], between[y])


@compiled("(uint8[:,::1], uint8[:,::1])")
def _between_rows(region: np.ndarray, fine: np.ndarray) -> None:
    """Writes to fine (2 h, w) uint8 the rows of region (h, w), each followed by what lies below it."""
    last = region.shape[0] - 1
    for y in range(last + 1):
        fine[2 * y] = region[y]
        below = min(y + 1, last)
        _halfway(region[max(y - 1, 0)], region[y], region[below], region[min(y + 2, last)], fine[2 * y + 1])


def _warp(
    region: np.ndarray, affine: np.ndarray, size: tuple[int, int], interpolation: int, border: int, value: float
) -> np.ndarray:
    return cv2.warpAffine(
        region,
        affine,
        size,
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=border,
        borderValue=(value, value, value, value),
    )


def _region(
    plane: np.ndarray,
    affine: np.ndarray,
    size: tuple[int, int],
    reduce_x: int,
    reduce_y: int,
    outside: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The part of `plane` that the map reads, averaged over reduce_y x reduce_x blocks, and the map into it.

    Blocks are counted from the plane's corner, so that a region that moves by a pixel is averaged in the same blocks.
    """
    rows, columns = plane.shape[:2]
    x0, y0, x1, y1 = footprint(affine, -0.5, -0.5, size[0] - 0.5, size[1] - 0.5)
    left, right = _span(x0, x1, columns, reduce_x)
    top, bottom = _span(y0, y1, rows, reduce_y)
    region = np.ascontiguousarray(plane[top : min(bottom, rows), left : min(right, columns)])
    shifted = affine - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
    if reduce_x == reduce_y == 1:
        return region, shifted
    if right > columns or bottom > rows:
        edge = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
        region = cv2.copyMakeBorder(
            region, 0, max(0, bottom - rows), 0, max(0, right - columns), edge, value=(outside or 0.0,) * 4
        )
    size_reduced = (region.shape[1] // reduce_x, region.shape[0] // reduce_y)
    region = cv2.resize(region, size_reduced, interpolation=cv2.INTER_AREA)
    scale = np.array([[1 / reduce_x], [1 / reduce_y]])
    shifted = shifted * scale
    shifted[:, 2] += 0.5 * scale[:, 0] - 0.5
    return region, shifted


def _span(low: float, high: float, length: int, block: int) -> tuple[int, int]:
    """First and last+1 sample to read, multiples of `block` (the last may pass the end); never empty."""
    margin = _MARGIN * block
    first = min(max(math.floor(low) - margin, 0), length - 1) // block * block
    last = min(max(math.ceil(high) + 1 + margin, first + 1), length)
    return first, -(-last // block) * block
