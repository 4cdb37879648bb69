"""Whether a face wears glasses, told where they must be seen if there are any: at the bridge of the nose."""

from __future__ import annotations

import math

import cv2
import numpy as np

from . import topology
from .landmarking import PictureLike
from .matching import median, smoothstep

_BRIDGE = (24, 40)  # px: width and height of the patch over the bridge of the nose
_ACROSS = _BRIDGE[0]
_Across = tuple[int, float, tuple[tuple[int, float, float], ...]]
_DARK_ACROSS: _Across = (cv2.MORPH_BLACKHAT, 0.75, ((5, 0.07, 0.16), (9, 0.12, 0.23), (13, 0.26, 0.39)))
_BRIGHT_ACROSS: _Across = (cv2.MORPH_TOPHAT, 0.25, ((5, 0.06, 0.12), (9, 0.12, 0.2)))
_PALE_ACROSS: _Across = (cv2.MORPH_TOPHAT, 0.25, ((9, 0.17, 0.25),))
"""Lines across that patch: how they are told from it, what share of a row they are darker or brighter than, and widths
in pixels up to which, with the contrast to the skin of none and of one for sure."""
_NOISE = 3.0  # times the usual difference of a row to those beside it
_DIM = 32  # grey levels: what is darker shows contrasts that are nothing
_THICK = (0.6, 0.75)  # contrast of what covers more of the patch


def sample_worn(picture: PictureLike, landmarks: np.ndarray) -> float:
    """0..1: what `worn` says of the face with landmarks (478, 3) in pixels of the frame."""
    inner = landmarks[[topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER], :2].astype(np.float64)
    across = inner[1] - inner[0]
    length = float(np.hypot(*across))
    if length < 3:
        return 0.0
    # No more than the bridge, upright, and no finer than it is looked at.
    scale = min(1.0, _BRIDGE[0] / (0.6 * length))
    cos, sin = scale * across / length
    size = (math.ceil(0.6 * scale * length) + 8, math.ceil(1.5 * scale * length) + 8)
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    matrix[:, 2] = (np.array(size) - 1) / 2 - matrix[:, :2] @ inner.mean(0)
    return worn(picture.crop(matrix, size), landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2])


def worn(crop: np.ndarray, points: np.ndarray) -> float:
    """0..1: how surely glasses are worn, by a line across the bridge of the nose, which is otherwise plain skin.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels.
    """
    rows = _rows(crop, points)
    if rows is None:
        return 0.0
    middle, usual = rows[:, _ACROSS // 2], float(median(rows[:, _ACROSS // 2]))
    thick = float(smoothstep(1 - float(middle[6:-6].min()) / max(usual, 8.0), *_THICK))
    dark, bright = (_told(rows, of) for of in (_DARK_ACROSS, _BRIGHT_ACROSS))
    return max(thick, dark, bright)


def pale_across(crop: np.ndarray, points: np.ndarray) -> float:
    """0..1: how surely a broad line, paler than skin, runs across the bridge of the nose. Arguments as for `worn`."""
    rows = _rows(crop, points)
    return 0.0 if rows is None else _told(rows, _PALE_ACROSS)


def _rows(crop: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """(40, 24) float32: grey levels of the rows of a patch over the bridge of the nose, sorted; None if it is tiny."""
    width, height = _BRIDGE
    inner, other = (points[i, :2].astype(np.float64) for i in (topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER))
    across = other - inner
    if float(np.hypot(*across)) < 3:
        return None
    down = np.array([-across[1], across[0]])
    origin = inner + 0.2 * across - 0.75 * down
    step_x, step_y = 0.6 * across / (width - 1), 1.5 * down / (height - 1)
    matrix = np.stack([step_x, step_y, origin], 1)
    patch = cv2.warpAffine(
        crop, matrix, _BRIDGE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(np.sort(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32), 1))


def _told(rows: np.ndarray, of: _Across) -> float:
    """0..1: how surely one of the lines of `of` runs across sorted rows (40, 24)."""
    method, share, widths = of
    middle = rows[:, _ACROSS // 2]
    # Most of a row: neither a crease nor a highlight runs all across. Rows of a noisy picture differ without a line.
    plane = np.ascontiguousarray(rows[:, round(share * (_ACROSS - 1))][:, None])
    noise = _NOISE * float(median(np.abs(np.diff(middle, 2)) / 2))
    level = float(median(middle)) + _DIM
    told = [0.0]
    for wide, low, high in widths:
        apart = cv2.morphologyEx(plane, method, np.ones((wide, 1), np.uint8))
        told.append(float(smoothstep((float(apart[3:-3].max()) - noise) / level, low, high)))
    return max(told)
