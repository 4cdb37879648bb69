"""How light and skin look on a face: mean colours of a few patches of skin, in linear light.

Cheap and robust rather than exact: the face is sampled at 96 pixels a side, and of each patch the middle three fifths
by luma are averaged, so that highlights, hair and stubble weigh little. Colour matching over time stands on these
numbers.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import alignment, topology
from .landmarking import PictureLike

PATCHES: dict[str, tuple[int, ...]] = {
    "forehead": (69, 108, 151, 337, 299, 296, 336, 9, 107, 66),
    "right cheek": (117, 118, 101, 36, 205, 50),
    "left cheek": (346, 280, 425, 266, 330, 347),
    "nose": (196, 197, 419, 248, 281, 275, 4, 45, 51, 3),
    "chin": (182, 83, 18, 313, 406, 418, 421, 200, 201, 194),
    "right jaw": (213, 192, 214, 210, 135, 138, 215),
    "left jaw": (433, 435, 367, 364, 430, 434, 416),
}
"""Rings of landmarks, clockwise in the image, in the order of the column `light` (K = 7); sides are the subject's."""

SAMPLE_SIZE = 96
_LEAST_PIXELS = 12
_DARKEST = 0.02  # share of the inner face: pupils, lashes, nostrils
_INNER = (*topology.BROWS, *topology.EYES, *topology.NOSE, *topology.LIPS_OUTER)
_KEPT = (0.2, 0.8)

_LINEAR = np.array(
    [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (i / 255 for i in range(256))], np.float64
)


def linear_of_srgb(image: np.ndarray) -> np.ndarray:
    """Linear light 0..1, float64, of sRGB uint8 values (IEC 61966-2-1). Same shape."""
    return _LINEAR[image]


def sample_light(picture: PictureLike, landmarks: np.ndarray) -> np.ndarray:
    """(7, 3) float32 mean linear RGB, 0..1, of the patches of the face with landmarks (478, 3) in frame pixels."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), SAMPLE_SIZE)
    crop = picture.crop(matrix, (SAMPLE_SIZE, SAMPLE_SIZE))
    return light_of_crop(crop, alignment.transform(matrix, landmarks[:, :2]))


def light_of_crop(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(7, 3) float32 mean linear RGB of the patches in a crop (S, S, 3) uint8 with landmarks (478, 2) in its pixels.

    A patch that is turned away, or too small to be told, has the mean of those that are seen.
    """
    linear = linear_of_srgb(crop)
    luma = linear @ np.array([0.2126, 0.7152, 0.0722])
    found = [_mean(linear, luma, points[list(ring)]) for ring in PATCHES.values()]
    seen = [colour for colour in found if colour is not None]
    usual = np.mean(seen, 0) if seen else linear.reshape(-1, 3).mean(0)
    return np.array([usual if colour is None else colour for colour in found], np.float32)


def darkest_of_crop(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) float32, 0..255: of each channel what a fiftieth of the face from brows to lips is darker than.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels. Hair beside the face is left out; of a face
    that is too small to be told, 0.
    """
    inside = np.zeros(crop.shape[:2], np.uint8)
    hull = cv2.convexHull(points[list(_INNER), :2].astype(np.float32))
    cv2.fillPoly(inside, [np.rint(hull * 16).astype(np.int32)], 1, shift=4)
    values = crop[inside > 0]
    if len(values) < 2 * _LEAST_PIXELS:
        return np.zeros(3, np.float32)
    place = int(_DARKEST * len(values))
    return np.partition(values, place, axis=0)[place].astype(np.float32)


def _mean(linear: np.ndarray, luma: np.ndarray, ring: np.ndarray) -> np.ndarray | None:
    following = np.roll(ring, -1, 0)
    area = 0.5 * float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum())
    # Rings run clockwise: a negative area is a patch seen from behind.
    if area < _LEAST_PIXELS:
        return None
    mask = np.zeros(luma.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(ring * 16).astype(np.int32)], 1, shift=4)
    inside = mask > 0
    count = int(inside.sum())
    if count < _LEAST_PIXELS:
        return None
    order = np.argsort(luma[inside], kind="stable")[int(count * _KEPT[0]) : max(1, int(count * _KEPT[1]))]
    return np.asarray(linear[inside][order].mean(0))
