"""Is there a face in a parser's label map, and what stands before the face of a map or of a portrait."""

from __future__ import annotations

import cv2
import numpy as np

from . import evidence, look, render, texture, topology
from .label_maps import resized
from .regions import BACKGROUND, EYES, LIP, NOSE, SKIN

_LEAST_SKIN = 0.01  # of the square's area; a face fills a third of it
_ATLAS = 256
_RIM = 0.012  # of the crop's side: what lies so near to a thing is in its shadow


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
    covered = resized((before_face(crop, points, occluded) > 0.5).astype(np.uint8), len(labels)) > 0
    result = labels.copy()
    result[covered] = BACKGROUND
    return result


def before_face(crop: np.ndarray, points: np.ndarray, occluded: np.ndarray) -> np.ndarray:
    """(C, C) float32 0..1: where something stands before the face, of what `without_occluders` takes."""
    size = len(crop)
    before = np.zeros((size, size), np.float32)
    triangles = topology.triangles()
    raster = render.rasterise(np.asarray(points, np.float64), triangles, (size, size))
    if raster.ids.size and occluded.any():
        maps = render.affine_maps(points, texture.atlas_points(_ATLAS), triangles)
        places = (render.lookup(raster, maps) + np.float32(0.5)) / np.float32(_ATLAS)
        before[raster.window] = look.mask(occluded, places, crop[raster.window]) * (raster.ids >= 0)
    return before


def things_and_beard(crop: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, C) float32 0..1 each: what masks, hands, microphones and the like hide of the face in a picture, with their
    rim, and where its beard, a part of it, hides the skin.

    crop (C, C, 3) uint8 RGB, aligned; points (478, 3) in its pixels. Glasses are left to `spectacles`.
    """
    size, side = len(crop), look.SAMPLE_SIZE
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    placed = np.column_stack([(points[:, :2] + 0.5) * (side / size) - 0.5, points[:, 2] * (side / size)])
    cells = (np.rint(255 * told).astype(np.uint8) for told in evidence.in_a_picture(look.look_of_crop(small, placed)))
    things, beard = (before_face(crop, points, told) for told in cells)
    if things.any():
        reach = 2 * round(_RIM * size) + 1
        things = cv2.dilate(things, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.asarray(things, np.float32), beard
