"""Eyes that close: a portrait with open ones shows no lids, so that the target's are shown, in the new skin's colour.

All in pixels of the window of a crop in which a mesh is painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import topology
from .matching import smoothstep
from .shape import SHUT

_CLOSING = (0.10, 0.22)  # height to width of the eye: shut below, open above
_REACH, _SOFT = 0.2, 0.07  # of the eye's width: how far around the eye lids are shown, and over what they fade
_LASHES = 0.07  # of the eye's width: how far they show around the line where lids meet
_RING = 0.15  # of the eye's width: skin around, by which they are coloured
_LEAST = 12  # pixels of it
_GAIN = (0.6, 1.8)
_PLAIN = (
    0.7  # of what lids are darker than the skin around, or of another colour: paint, that the portrait need not wear
)


@dataclass(frozen=True)
class Closing:
    """An eye that closes: rows and columns, how far its lid is shown there (h, w) float32 0..1, how surely it is shut,
    0..1, and (h, w) uint8: the lid without its lashes, and the skin around.
    """

    place: tuple[slice, slice]
    shown: np.ndarray
    shut: float
    lid: np.ndarray
    around: np.ndarray


def closing(shape: np.ndarray, points: np.ndarray, size: tuple[int, ...]) -> list[Closing]:
    """The eyes that are closing or closed, in a window of `size` (h, w).

    shape (478, 2 or 3) in pixels of the window; points (478, 2 or 3) of the target in the same scale.
    """
    found = []
    eyes = zip((topology.RIGHT_EYE, topology.LEFT_EYE), topology.LID_GAUGES, strict=True)
    for ring, (upper, lower, one, other) in eyes:
        corners = float(np.linalg.norm(points[one, :2] - points[other, :2]))
        gap = float(np.linalg.norm(points[upper, :2] - points[lower, :2]))
        closed, shut = (1 - float(smoothstep(gap / max(corners, 1e-3), *limits)) for limits in (_CLOSING, SHUT))
        if closed <= 0:
            continue
        hull = cv2.convexHull(shape[list(ring), :2].astype(np.float32))
        reach, sigma, rim = max(1, round(_REACH * corners)), max(0.6, _SOFT * corners), max(1, round(_RING * corners))
        faded = round(2 * sigma)
        margin = reach + max(round(4 * sigma), faded + rim) + 2
        x0, y0 = (max(0, int(v) - margin) for v in hull.min((0, 1)))
        x1, y1 = (max(0, int(v) + margin + 1) for v in hull.max((0, 1)))
        place = slice(y0, min(y1, size[0])), slice(x0, min(x1, size[1]))
        inside = place[0].stop - y0, place[1].stop - x0
        if min(inside) <= 0:
            continue
        mask = np.zeros(inside, np.uint8)
        cv2.fillPoly(mask, [np.rint((hull - (x0, y0)) * 16).astype(np.int32)], 1, shift=4)
        lashes = cv2.dilate(mask, _disc(max(1, round(_LASHES * corners))))
        mask = cv2.dilate(mask, _disc(reach))
        near = cv2.dilate(mask, _disc(faded))
        shown = np.float32(closed) * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
        found.append(Closing(place, shown, shut, mask & ~lashes & 1, cv2.dilate(near, _disc(rim)) - near))
    return found


def show(eyes: list[Closing], hole: np.ndarray) -> None:
    """Raise `hole` (h, w) float32, 0..1: what of the target is shown; as far as lids are."""
    for eye in eyes:
        part = hole[eye.place]
        np.maximum(part, eye.shown, out=part)


def tint(eyes: list[Closing], lit: np.ndarray, here: np.ndarray, cover: np.ndarray) -> np.ndarray | None:
    """(h, w, 3) float32: by what the target's lids are multiplied, 1 elsewhere; None where no eye closes.

    As the new skin around an eye in lit (h, w, 3) uint8 is to the target's in here (h, w, 3) uint8, where cover (h, w)
    0..1 shows it. A lid that kept its own colour would be a patch that comes and goes.
    """
    if not eyes:
        return None
    made = np.ones((*lit.shape[:2], 3), np.float32)
    for eye in eyes:
        weight = cover[eye.place] * eye.around
        total = float(weight.sum())
        if total < _LEAST or not eye.shut:
            continue
        new, old = ((image[eye.place] * weight[..., None]).sum((0, 1)) / total for image in (lit, here))
        gain = (new + 8) / (old + 8)
        if eye.lid.any():
            painted = here[eye.place][eye.lid > 0].mean(0, dtype=np.float64)
            gain *= ((old + 8) / (painted + 8)) ** _PLAIN
        gain = np.clip(gain, *_GAIN).astype(np.float32)
        made[eye.place] *= 1 + np.float32(eye.shut) * eye.shown[..., None] * (gain - 1)
    return made


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
