"""Pixels of one frame of target and result: seams by face, the noise of coding, and the error of the background."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .seam import changed_region, difference, seam, visible
from .similarity import squared_error

AROUND = 3.0
"""Side of the part of the frame that the change of a face may fill, in sides of its box."""
UNTOUCHED = 1.9
"""Times the face's hull: what lies beyond is taken as changed by no method, only by coding."""
BAND = 0.03
"""Width of the border band, in heights of the face."""


class FrameComparison:
    """What differs between two frames.

    Attributes:
        noise: mean difference of luma beyond all faces, grey levels of 255; 0 where there is nothing beyond.
        seams: for each face, the mean difference in the border band of its change; None where nothing visible changed.
        changes: for each face, the mean difference of luma within its hull.
        background_error, background_samples: sum of squared differences of codes outside the changed regions, over all
            planes, and the number of samples in it.
    """

    def __init__(
        self, target: Sequence[np.ndarray], result: Sequence[np.ndarray], faces: Sequence[np.ndarray], bits: int
    ) -> None:
        """`target` and `result` are planes (h, w), luma first, chroma coarser or not, of `bits` per sample; `faces` are
        points (N, 2) of each face in pixels of the luma plane."""
        luma = difference(target[0], result[0], bits)
        height, width = luma.shape
        apart = luma.copy()
        for one, other in zip(target[1:], result[1:], strict=True):
            chroma = cv2.resize(difference(one, other, bits), (width, height), interpolation=cv2.INTER_NEAREST)
            np.maximum(apart, chroma, out=apart)
        hulls = [hull(points) for points in faces]
        beyond = np.ones(luma.shape, bool)
        for ring in hulls:
            middle = ring.mean(0)
            beyond &= ~filled(middle + UNTOUCHED * (ring - middle), luma.shape)
        self.noise = float(luma[beyond].mean()) if beyond.any() else 0.0
        lossless = bool(beyond.any()) and self.noise == 0.0
        region = np.zeros(luma.shape, bool)
        self.seams: list[float | None] = []
        self.changes: list[float] = []
        for ring in hulls:
            top, bottom, left, right = _window(ring, (height, width))
            part = np.s_[top:bottom, left:right]
            inside = filled(ring - (left, top), luma[part].shape)
            seen = changed_region(luma[part], inside, visible(luma[part], beyond[part]))
            region[part] |= changed_region(apart[part], inside, 0.0) if lossless else seen
            self.seams.append(seam(luma[part], seen, max(2, round(BAND * float(np.ptp(ring[:, 1]))))))
            self.changes.append(float(luma[part][inside].mean()) if inside.any() else 0.0)
        self.background_error, self.background_samples = 0.0, 0
        for one, other in zip(target, result, strict=True):
            size = (one.shape[1], one.shape[0])
            covered = cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
            error, samples = squared_error(one, other, ~covered)
            self.background_error += error
            self.background_samples += samples


def hull(points: np.ndarray) -> np.ndarray:
    """(M, 2) float64 corners of the convex hull of points (N, 2)."""
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


def filled(ring: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(h, w) bool: the pixels within a ring of corners (M, 2), x and y."""
    mask = np.zeros(tuple(shape), np.uint8)
    cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 1)
    return mask.astype(bool)


def _window(ring: np.ndarray, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """top, bottom, left, right of the part of the plane around a face; never empty."""
    low, high = ring.min(0), ring.max(0)
    middle, half = (low + high) / 2, float((high - low).max()) * AROUND / 2
    height, width = shape
    left, top = (int(np.clip(v, 0, limit - 1)) for v, limit in zip(middle - half, (width, height), strict=True))
    right = int(np.clip(np.ceil(middle[0] + half), left + 1, width))
    bottom = int(np.clip(np.ceil(middle[1] + half), top + 1, height))
    return top, bottom, left, right
