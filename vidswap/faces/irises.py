"""Colour of the eyes: read from a portrait, laid into eyes that keep their gaze, their lids and their highlights.

An iris is a disc by its landmarks, seen where the lids leave it open. Its colour is that of the darker half of the ring
between pupil and rim, below the shadow of the upper lid. Another colour is given to it by a tone curve of each channel
that takes the old colour to the new and leaves black and white where they are: pupil, lashes and highlights stay.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from . import topology
from .landmarking import PictureLike
from .matching import smoothstep

_Eye = tuple[tuple[int, ...], tuple[int, ...], int, int]
EYES: tuple[_Eye, _Eye] = (
    (topology.RIGHT_IRIS, topology.RIGHT_EYE, topology.RIGHT_EYE_OUTER, topology.RIGHT_EYE_INNER),
    (topology.LEFT_IRIS, topology.LEFT_EYE, topology.LEFT_EYE_INNER, topology.LEFT_EYE_OUTER),
)
"""Of each eye: iris, lids, and the corners from left to right in the picture."""

_SIDE = 33  # pixels of the patch in which an eye is looked at, upright
_MIDDLE = (_SIDE - 1) / 2
_SPAN = 2.2  # radii of the iris from the middle of the patch to its edge
_DOWN, _ACROSS = np.mgrid[-_SPAN : _SPAN : _SIDE * 1j, -_SPAN : _SPAN : _SIDE * 1j]
_APART = np.hypot(_ACROSS, _DOWN)
_RING = (_APART > 0.42) & (_APART < 0.85) & (_DOWN > -0.25)  # not pupil, rim, or in the shadow of the lid
_WHITE = (_APART > 1.25) & (_APART < 2.0)
_OPEN = (0.4, 0.8)  # share of the ring between the lids: hardly seen below, well seen above
_KEPT = (0.1, 0.5)  # quantiles of its luma: what is brighter are highlights, and lids of narrow eyes
_BRIGHT = 0.75  # of what lies beside the iris: what is darker are lids and lashes
_CONTRAST = (0.06, 0.22)  # to the white beside, in shares: no iris below (a lens, a shadow), surely one above
_SMALL = (1.2, 2.6)  # radius in pixels: too small to be told below, large enough above
_SLOPE = (0.2, 1.6)  # times: a colour changes no further; more would make noise of dark eyes plain to see
_LEAST = 0.02


def seen_in_crop(crop: np.ndarray, points: np.ndarray, hidden: np.ndarray | None = None) -> np.ndarray:
    """(2, 4) float32, right eye and left: RGB 0..255 of the iris times trust, and the trust, 0..1: how surely it is
    seen. Means over eyes, frames or pictures are thus means by trust.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels; hidden (S, S) float32 0..1: what stands
    before the face.
    """

    def read(matrix: np.ndarray) -> np.ndarray:
        flags = cv2.INTER_LINEAR
        return cv2.warpAffine(crop, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    seen = _seen(read, points)
    if hidden is not None:
        places = np.ascontiguousarray(points[[iris[0] for iris, *_ in EYES], :2], np.float32)
        before = cv2.remap(hidden, places[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen *= 1 - before.reshape(2, 1)
    return seen


def sample_irises(picture: PictureLike, landmarks: np.ndarray) -> np.ndarray:
    """(2, 4) float32 as of `seen_in_crop`: the irises of the face with landmarks (478, 3) in frame pixels."""
    return _seen(lambda matrix: picture.crop(matrix, (_SIDE, _SIDE)), landmarks)


def of_a_person(seen: np.ndarray) -> np.ndarray:
    """(4,) float32: RGB 0..255 of a person's eyes and the trust in it, of (N, 2, 4) of several pictures: the mean over
    eyes and pictures by trust, and the trust in the surest.
    """
    flat = np.asarray(seen, np.float32).reshape(-1, 4)
    total = flat.sum(0)
    return np.append(total[:3] / max(float(total[3]), 1e-6), flat[:, 3].max()).astype(np.float32)


def recoloured(crop: np.ndarray, points: np.ndarray, wanted: np.ndarray, told: np.ndarray | None = None) -> np.ndarray:
    """crop (S, S, 3) uint8 with the irises in the colours that are wanted; `crop` itself where none is seen.

    points (478, 2 or 3) landmarks in its pixels; wanted (2, 4) float32: RGB 0..255 of each eye as it would be in the
    light of the crop, and how far it is to have it, 0..1; told (2, 4): what is seen there, as of `seen_in_crop`, told
    over time, for an eye that is nearly shut says little; None takes what the crop shows.
    """
    own = seen_in_crop(crop, points) if told is None else told
    trust = float(own[:, 3].sum())
    if trust <= 0:
        return crop
    points = points[:, :2].astype(np.float64)
    # The eyes of a face have nearly one colour: the one that is seen better says more.
    both = own[:, :3].sum(0) / trust
    result = crop
    for eye, seen, new in zip(EYES, own, wanted, strict=True):
        # At the ends of a track what is told over time may be a little more than all, or less than nothing.
        share = min(float(seen[3] * new[3]), 1.0)
        if share < _LEAST:
            continue
        if result is crop:
            result = crop.copy()
        given = np.clip(0.5 * (seen[:3] / seen[3] + both), 1, 255)
        _lay(result, points, eye, given, np.clip(new[:3], _SLOPE[0] * given, _SLOPE[1] * given), share)
    return result


def _disc(points: np.ndarray, eye: _Eye) -> tuple[np.ndarray, float]:
    iris = points[list(eye[0])]
    return iris[0], float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())


def _seen(read: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    points = np.asarray(points[:, :2], np.float64)
    return np.stack([_seen_of(read, points, eye) for eye in EYES])


def _seen_of(read: Callable[[np.ndarray], np.ndarray], points: np.ndarray, eye: _Eye) -> np.ndarray:
    nothing = np.zeros(4, np.float32)
    centre, radius = _disc(points, eye)
    large = float(smoothstep(radius, *_SMALL))
    along = points[eye[3]] - points[eye[2]]
    length = float(np.linalg.norm(along))
    if large <= 0 or length < 1e-3:
        return nothing
    along *= _MIDDLE / (_SPAN * radius * length)
    matrix = np.array([[along[0], along[1], 0], [-along[1], along[0], 0]])
    matrix[:, 2] = _MIDDLE - matrix[:, :2] @ centre
    opening = np.zeros((_SIDE, _SIDE), np.uint8)
    lids = points[list(eye[1])] @ matrix[:, :2].T + matrix[:, 2]
    cv2.fillPoly(opening, [np.rint(lids * 16).astype(np.int32)], 1, shift=4)
    # Lashes stand before its rim.
    inside = cv2.erode(opening, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    shown, white = _RING & inside, _WHITE & inside
    sure = large * float(smoothstep(shown.sum() / _RING.sum(), *_OPEN))
    if sure <= 0 or not white.any():
        return nothing
    patch = read(matrix)
    luma = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    ring = luma[shown]
    dark = np.argsort(ring, kind="stable")[int(_KEPT[0] * len(ring)) : int(_KEPT[1] * len(ring)) + 1]
    colour = patch[shown][dark].mean(0, dtype=np.float32)
    lit = np.sort(luma[white])
    beside = float(lit[int(_BRIGHT * len(lit))])
    sure *= float(smoothstep(1 - float(ring[dark].mean()) / max(beside, 1.0), *_CONTRAST))
    return np.append(colour * np.float32(sure), np.float32(sure))


def _lay(
    crop: np.ndarray,
    points: np.ndarray,
    eye: _Eye,
    given: np.ndarray,
    wanted: np.ndarray,
    share: float,
) -> None:
    """Change the iris of an eye in place, between its lids: `given` (3,) becomes `wanted` (3,), in a share."""
    centre, radius = _disc(points, eye)
    reach = 1.25 * radius + 1.5
    x0, y0 = (max(0, int(np.floor(v - reach))) for v in centre)
    x1, y1 = (int(np.ceil(v + reach)) + 1 for v in centre)
    part = crop[y0:y1, x0:x1]
    if not part.size:
        return
    rows, columns = np.ogrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    apart = np.hypot(columns - centre[0], rows - centre[1]).astype(np.float32)
    soft = max(0.18 * radius, 0.8)
    lids = np.zeros(part.shape[:2], np.float32)
    cv2.fillPoly(lids, [np.rint((points[list(eye[1])] - (x0, y0)) * 16).astype(np.int32)], 1.0, shift=4)
    lids = cv2.GaussianBlur(lids, (0, 0), 0.5 * soft)
    where = share * lids * (1 - smoothstep(apart, radius - 0.5 * soft, radius + soft))
    table = _curves(given, wanted)
    changed = np.stack([table[channel][part[..., channel]] for channel in range(3)], axis=-1)
    part[...] = np.rint(part + where[..., None] * (changed - part))


def _curves(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(3, 256) float32: tone curves through black, from `given` (3,) to `wanted` (3,), and through white."""
    levels = np.arange(256, dtype=np.float32)
    return np.stack(
        [
            np.interp(levels, (0, float(one), 255), (0, float(other), 255)).astype(np.float32)
            for one, other in zip(np.minimum(given, 254), np.minimum(wanted, 254), strict=True)
        ]
    )
