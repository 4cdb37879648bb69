"""Folds that a smile draws into a portrait's cheeks, softened: on a face at rest they would be scars.

The mesh carries the shape of the target's expression, but a texture carries the shading of the source's. The more the
portrait smiles, the more of what is darker than the skin on either side of it is taken back, in the cheeks alone; so is
the ridge beside a fold, which catches the light.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import topology
from .matching import smoothstep, spread

_RISE = (0.05, 0.12)  # of the corners of the mouth above its middle, in distances of the eyes' outer corners
_SHARE = 0.75  # of a fold that is taken back at a full smile
_WIDEST = 0.16  # of a fold, in distances of the eyes' outer corners
_DEPTH = (0.03, 0.10)  # of a fold, in shares of the luma beside it
_HEIGHT = (0.04, 0.12)  # of a ridge, likewise

_CHEEKS = (
    (111, 117, 119, 100, 142, 129, 165, 92, 186, 57, 212, 210, 138, 135, 215, 177, 137, 227),
    (340, 346, 348, 329, 371, 358, 391, 322, 410, 287, 432, 430, 367, 364, 435, 401, 366, 447),
)


def smile(points: np.ndarray) -> float:
    """0..1: how much a face smiles, by the corners of its mouth. points (478, 2 or 3), upright."""
    corners = points[[topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER], :2].astype(np.float64)
    middle = points[[13, 14], :2].astype(np.float64).mean(0)
    eyes = points[[topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER], :2].astype(np.float64)
    across = eyes[1] - eyes[0]
    length = max(float(np.hypot(*across)), 1e-6)
    down = np.array([-across[1], across[0]]) / length
    return float(smoothstep(float((middle - corners.mean(0)) @ down) / length, *_RISE))


def without_folds(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The portrait with the folds of its smile softened; `crop` itself where it does not smile.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels. Returns (S, S, 3) uint8.
    """
    amount = _SHARE * smile(points)
    if amount <= 0:
        return crop
    size = crop.shape[0]
    eyes = points[[topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER], :2].astype(np.float64)
    unit = max(float(np.linalg.norm(eyes[1] - eyes[0])), 1.0)
    zone = np.zeros((size, size), np.uint8)
    for ring in _CHEEKS:
        cv2.fillPoly(zone, [np.rint(points[list(ring), :2] * 16).astype(np.int32)], 1, shift=4)
    lips = np.zeros((size, size), np.uint8)
    cv2.fillPoly(lips, [np.rint(points[list(topology.LIPS_OUTER), :2] * 16).astype(np.int32)], 1, shift=4)
    zone[cv2.dilate(lips, _disc(0.03 * unit)) > 0] = 0
    where = cv2.GaussianBlur(cv2.erode(zone, _disc(0.02 * unit)).astype(np.float32), (0, 0), 0.03 * unit)
    where[lips > 0] = 0
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(luma, (0, 0), max(0.6, 0.012 * unit)) + 8
    disc = _disc(_WIDEST / 2 * unit)
    beside, below = (
        cv2.GaussianBlur(cv2.morphologyEx(smooth, how, disc), (0, 0), 0.02 * unit)
        for how in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN)
    )
    fold = where * np.maximum(smoothstep(beside / smooth - 1, *_DEPTH), smoothstep(smooth / below - 1, *_HEIGHT))
    skin = spread(crop.astype(np.float32), 1 - fold, 0.08 * unit)
    own = cv2.GaussianBlur(crop.astype(np.float32), (0, 0), max(0.6, 0.012 * unit))
    share = cv2.GaussianBlur(amount * fold, (0, 0), max(0.6, 0.012 * unit))
    share[lips > 0] = 0
    # The skin's own grain stays.
    return np.asarray(np.clip(np.rint(crop + share[..., None] * (skin - own)), 0, 255), np.uint8)


def _disc(radius: float) -> np.ndarray:
    r = max(1, round(radius))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
