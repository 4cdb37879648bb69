"""What becomes of a parser's label maps: is there a face in them, and what stands before it."""

from __future__ import annotations

import numpy as np

from . import look, render, texture, topology
from .label_maps import resized
from .regions import BACKGROUND, EYES, LIP, NOSE, SKIN

_LEAST_SKIN = 0.01  # of the square's area; a face fills a third of it
_ATLAS = 256


def shows_face(labels: np.ndarray) -> bool:
    """Whether a label map (S, S) uint8 of an aligned square shows a face: skin, and eyes, a nose or lips in it."""
    count = np.bincount(labels.ravel(), minlength=SKIN + 1)
    return bool(count[SKIN] >= _LEAST_SKIN * labels.size and count[[EYES, NOSE, LIP]].any())


def without_occluders(labels: np.ndarray, crop: np.ndarray, points: np.ndarray, occluded: np.ndarray) -> np.ndarray:
    """Labels (S, S) with background where something came before the face: what is background stays the frame's.

    crop (C, C, 3) uint8 and points (478, 2 or 3) in its pixels; occluded (K,) uint8: a row of `smooth.occlusion`.
    """
    if not occluded.any():
        return labels
    size = len(crop)
    triangles = topology.triangles()
    raster = render.rasterise(np.asarray(points, np.float64), triangles, (size, size))
    if not raster.ids.size:
        return labels
    maps = render.affine_maps(points, texture.atlas_points(_ATLAS), triangles)
    places = (render.lookup(raster, maps) + np.float32(0.5)) / np.float32(_ATLAS)
    before = np.zeros((size, size), np.float32)
    before[raster.window] = look.mask(occluded, places, crop[raster.window]) * (raster.ids >= 0)
    covered = resized((before > 0.5).astype(np.uint8), len(labels)) > 0
    result = labels.copy()
    result[covered] = BACKGROUND
    return result
