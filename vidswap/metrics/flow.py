"""Warping error: does a picture stay what it was where it moves.

Flow is (h, w, 2) float: pixel (x, y) of a frame is at (x + u, y + v) in the other one. Pictures are (h, w, channels),
0..1. The protocol is that of Lai et al., "Learning blind video temporal consistency" (2018), with the occlusion test of
Ruder, Dosovitskiy and Brox (2016) after Sundaram, Brox and Keutzer (2010).
"""

from __future__ import annotations

import cv2
import numpy as np


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`image` (h, w[, channels]) as seen from the frame that `flow` begins in; bilinear, edge pixels go on."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = np.clip(x + flow[..., 0], 0, width - 1), np.clip(y + flow[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = x - left, y - top
    if image.ndim == 3:
        across, down = across[..., None], down[..., None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return upper * (1 - down) + lower * down


def occluded(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels of the first frame that the second does not show, or where motion has an edge.

    `forward` is the flow from the first frame to the second, `backward` the one from the second to the first. A pixel
    counts when there and back do not meet, |f + b|^2 > 0.01 (|f|^2 + |b|^2) + 0.5 with b taken where f leads, or where
    |grad f|^2 > 0.01 |f|^2 + 0.002, of forward differences.
    """
    back = warped(backward, forward)
    apart, length = _squared(forward + back), _squared(forward)
    lost = apart > 0.01 * (length + _squared(back)) + 0.5
    slope = np.zeros(forward.shape[:2])
    slope[:, :-1] += _squared(forward[:, 1:] - forward[:, :-1])
    slope[:-1] += _squared(forward[1:] - forward[:-1])
    return lost | (slope > 0.01 * length + 0.002)


def warping_error(first: np.ndarray, second: np.ndarray, forward: np.ndarray, hidden: np.ndarray) -> float | None:
    """Mean squared difference of the first frame and the second one warped onto it, where not `hidden` (h, w) bool.

    None where all is hidden.
    """
    seen = ~hidden
    if not seen.any():
        return None
    difference = first[seen].astype(np.float64) - warped(second, forward)[seen]
    return float((difference * difference).mean())


def dense_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(h, w, 2) float32 flow between two grey pictures (h, w) uint8: DIS (Kroeger et al. 2016), OpenCV's medium preset.

    A function of the two pictures alone.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(method.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), None), np.float32)


def _squared(vectors: np.ndarray) -> np.ndarray:
    return (vectors.astype(np.float64) ** 2).sum(-1)
