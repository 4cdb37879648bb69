"""Folds of a portrait's cheeks and jowls, softened: on a face that moves otherwise they would be scars.

The mesh carries the shape of the target's expression, but a texture carries the shading of the source's. The more the
portrait smiles, the more of what is darker than the skin on either side of it is taken back in the cheeks; so is the
ridge beside a fold, which catches the light. They come back as the target's mouth grows as wide as the portrait's.
Creases that run down from the corners of the mouth come and go with every word: in every portrait their contrast is
held within that of plain skin.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import render, texture, topology
from .matching import smoothstep, spread

_RISE = (0.05, 0.12)  # of the corners of the mouth above its middle, in distances of the eyes' outer corners
_SHARE = 0.75  # of a fold that is taken back at a full smile
_CREASE = 0.06, 0.10  # how much darker or brighter than the skin around creases beside the chin stay, at most
_CREASED = 0.06  # how far that skin reaches, in distances of the eyes' outer corners
_RELAXED = 0.66  # width of a mouth that does not smile, in distances of the eyes' outer corners
_LEAST_WIDER = 0.06  # of a smile
_WIDEST = 0.16  # of a fold, in distances of the eyes' outer corners
_DEPTH = (0.03, 0.10)  # of a fold, in shares of the luma beside it
_HEIGHT = (0.04, 0.12)  # of a ridge, likewise

_CHEEKS = (
    (111, 117, 119, 100, 142, 129, 165, 92, 186, 57, 212, 210, 138, 135, 215, 177, 137, 227),
    (340, 346, 348, 329, 371, 358, 391, 322, 410, 287, 432, 430, 367, 364, 435, 401, 366, 447),
)
_JOWLS = (
    (186, 57, 43, 106, 182, 194, 32, 140, 170, 169, 135, 210, 214, 207, 216),
    (410, 287, 273, 335, 406, 418, 262, 369, 395, 394, 364, 430, 434, 427, 436),
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


def mouth_width(points: np.ndarray) -> float:
    """Of landmarks (478, 2 or 3), in distances of the eyes' outer corners: that of a smile is above a resting one's."""
    corners = points[[topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER], :2].astype(np.float64)
    return float(np.linalg.norm(corners[1] - corners[0])) / _unit(points)


class SmileFolds:
    """Folds that come and go with a smile.

    Args:
        plain, folded: (T, T, 3) uint8 atlases of a person, without and with the folds.
        width: of the mouth that made them (`mouth_width`).
    """

    def __init__(self, plain: np.ndarray, folded: np.ndarray, width: float) -> None:
        apart = folded.astype(np.int16) - plain
        self._width = max(width, _RELAXED + _LEAST_WIDER)
        self._halves = (128 + np.clip(apart // 2, -128, 127)).astype(np.uint8)
        touched = cv2.dilate((np.abs(apart).max(axis=2) > 1).astype(np.uint8), np.ones((3, 3), np.uint8))
        triangles = topology.triangles(holes=False)
        raster = render.rasterise(
            np.column_stack([texture.atlas_points(len(plain)), np.zeros(topology.POINTS)]), triangles, touched.shape
        )
        # The last one stands for pixels without a triangle.
        self._where = np.zeros(len(triangles) + 1, bool)
        self._where[raster.ids[(touched[raster.window] > 0) & (raster.ids >= 0)]] = True

    def strength(self, shape: np.ndarray) -> float:
        """0..1: how much of them a face with landmarks `shape` (478, 3) shows."""
        return float(smoothstep(mouth_width(shape), _RELAXED, self._width))

    def lay(self, rendered: np.ndarray, raster: render.Raster, maps: render.Maps, shape: np.ndarray) -> None:
        """Add them to rendered (h, w, 4) uint8, in place; maps from the raster to the atlas, shape (478, 3) of it."""
        strength = self.strength(shape)
        if strength <= 0:
            return
        there = self._where[raster.ids]
        if raster.step > 1:
            there = there.repeat(raster.step, axis=0).repeat(raster.step, axis=1)
        wanted = np.flatnonzero(there)
        if not len(wanted):
            return
        flat = rendered.reshape(-1, 4)
        added = render.sample_some(self._halves, raster, maps, wanted).astype(np.float32) - 128
        flat[wanted, :3] = np.clip(np.rint(flat[wanted, :3] + np.float32(2 * strength) * added), 0, 255)


def without_folds(crop: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The portrait with its folds softened, and with the creases of its chin alone softened; both are `crop` itself
    where there is nothing to soften.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels. Returns (S, S, 3) uint8 each.
    """
    crop = _without_creases(crop, points)
    amount = _SHARE * smile(points)
    if amount <= 0:
        return crop, crop
    unit = _unit(points)
    lips = _filled(points, (topology.LIPS_OUTER,), crop.shape[0])
    zone = _filled(points, _CHEEKS, crop.shape[0])
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
    return np.asarray(np.clip(np.rint(crop + share[..., None] * (skin - own)), 0, 255), np.uint8), crop


def _without_creases(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The portrait (S, S, 3) uint8 with weaker creases beside the chin; `crop` itself where there are none."""
    unit = _unit(points)
    lips = _filled(points, (topology.LIPS_OUTER,), crop.shape[0])
    beside = cv2.dilate(lips, _disc(0.02 * unit)) > 0
    zone = np.where(beside, 0, _filled(points, _JOWLS, crop.shape[0])).astype(np.float32)
    where = cv2.GaussianBlur(zone, (0, 0), 0.025 * unit) * (lips == 0)
    face = np.where(beside, 0, _filled(points, (topology.FACE_OVAL,), crop.shape[0])).astype(np.float32)
    # Channel by channel: what is dark in a crease is redder than skin, too.
    level = np.log(crop.astype(np.float32) + 8)
    apart = level - spread(level, face, _CREASED * unit)
    most = np.where(apart < 0, *_CREASE).astype(np.float32)
    weaker = where[..., None] * (most * np.tanh(apart / most) - apart)
    if np.abs(weaker).max() < 0.02:
        return crop
    return np.asarray(np.clip(np.rint((crop + 8.0) * np.exp(weaker) - 8), 0, 255), np.uint8)


def _unit(points: np.ndarray) -> float:
    eyes = points[[topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER], :2].astype(np.float64)
    return max(float(np.linalg.norm(eyes[1] - eyes[0])), 1.0)


def _filled(points: np.ndarray, rings: tuple[tuple[int, ...], ...], size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [np.rint(points[list(ring), :2] * 16).astype(np.int32)], 1, shift=4)
    return mask


def _disc(radius: float) -> np.ndarray:
    r = max(1, round(radius))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
