"""What stands before the target's face: hair, the rims of glasses, whatever is not the person.

Judged on the one frame: nothing is remembered. Hair is what the region labels call so, and dark strands that join it
from the side; `eyewear` and `glasses` tell the rest.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from . import eyewear, glasses, topology
from .matching import median, share_of_way, smoothstep, spread
from .regions import BACKGROUND, HAIR, shrunk

_COLOUR_SIDE = 128
_NOTCH = 0.24  # of the distance of the eyes' outer corners
_SPECK = 1.5  # pixels of that: smaller spots of hair count less
_HIDES = np.zeros(256, np.uint8)
_HIDES[[HAIR, BACKGROUND]] = 255
_CHEEKS = ((117, 118, 101, 36, 205, 50), (346, 280, 425, 266, 330, 347), (9, 107, 108, 151, 337, 336), topology.NOSE)
_FEATURES = (
    topology.RIGHT_EYE,
    topology.LEFT_EYE,
    topology.LIPS_OUTER,
    topology.NOSE,
    # Inner parts of the brows: the tails end where hair may hang.
    (105, 66, 107, 55, 65, 52),
    (336, 296, 334, 282, 295, 285),
)


def free_face(
    crop: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    person: np.ndarray,
    worn: float | None = None,
    rims_told: np.ndarray | None = None,
) -> np.ndarray:
    """(S, S) float32: 1 where the target's face may be replaced, 0 where something stands before it.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) in its pixels; regions (S, S) labels; person (S, S) 0..1;
    worn, rims_told: what `eyewear.worn` and `glasses.sample_rims` say, if that is known.
    """
    size = crop.shape[0]
    sigma = max(0.7, 0.006 * size)
    # What is blurred by some pixels needs no finer grid than that.
    step = next((s for s in (4, 2) if sigma >= 1.1 * s and size % s == 0), 1)
    side = size // step
    hidden = shrunk(cv2.LUT(regions, _HIDES), side).astype(np.float32) * np.float32(1 / 255)
    left = math.sqrt(sigma**2 - (step**2 - 1) / 4) / step
    hidden = smoothstep(cv2.GaussianBlur(hidden, (0, 0), left), 0.15, 0.7)
    there = smoothstep(cv2.GaussianBlur(shrunk(person, side), (0, 0), left), 0.2, 0.6)
    free = (1 - hidden) * there * (1 - hair_beside(crop, points, regions, out=side, whole=True))
    if step > 1:
        free = cv2.resize(free, (size, size), interpolation=cv2.INTER_LINEAR)
    worn = eyewear.worn(crop, points) if worn is None else worn
    if worn > 0:
        window, lines = glasses.rims_in(crop, points, rims_told)
        free[window] *= 1 - np.float32(worn) * lines
    return free


def hair_beside(
    crop: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    reach: float = 0.22,
    share: tuple[float, float] = (0.35, 0.7),
    inside: bool = False,
    out: int | None = None,
    whole: bool = False,
) -> np.ndarray:
    """(S, S) float32, 0..1: hair that falls over the outline from outside, told by colour from the skin beside it.

    Only within `reach` (in distances between the outer corners of the eyes) of hair outside of the outline: a beard,
    which has skin below it, stays a part of the face. `share`: how far a colour must be on its way from skin to hair,
    for none and for all of it. With `inside` hair within the outline counts as well, and only what is above the
    lower edge of the brows is looked at. `out`: side of the result, if not S. `whole`: ends of brows and corners of
    eyes that hair comes up to on both sides lie under it, so that its outline has no notches there.
    """
    size = crop.shape[0]
    side = min(size, _COLOUR_SIDE)
    scale = side / size
    size = size if out is None else out
    nothing = np.zeros((size, size), np.float32)
    small = shrunk(crop, side)
    own = ((points[:, :2] + 0.5) * scale - 0.5).astype(np.float32)
    oval = _filled(own, (topology.FACE_OVAL,), side)
    down = np.arange(side)[:, None]
    labelled = cv2.resize(regions, (side, side), interpolation=cv2.INTER_NEAREST) == HAIR
    # What is dark beside the chin is a collar as often as hair.
    jaw = 0.25 * own[topology.FOREHEAD, 1] + 0.75 * own[topology.CHIN, 1]
    outside = (labelled if inside else labelled & (oval == 0)) & (down < jaw)
    between = float(np.linalg.norm(own[topology.RIGHT_EYE_OUTER] - own[topology.LEFT_EYE_OUTER]))
    disc = _disc(max(1, round(reach * between)))
    # Soft, so that a few pixels of hair that come and go do not switch all that is dark around them.
    grown = cv2.dilate(cv2.GaussianBlur(outside * np.uint8(255), (0, 0), _SPECK), disc)
    near = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), max(0.5, 0.25 * reach * between))
    near *= oval * np.float32(1 / 255)
    if inside:
        near = near * (down < own[list(topology.BROWS), 1].max())
    skin = _filled(own, _CHEEKS, side) & (near < 0.5)
    if outside.sum() < 8 or skin.sum() < 16:
        return nothing
    features = cv2.dilate(_filled(own, _FEATURES, side), _disc(max(1, round(0.09 * between))))
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    rim = outside & (cv2.dilate(oval, disc) > 0)
    hair = median(lab[rim if rim.sum() >= 8 else outside])
    along = share_of_way(lab, spread(lab, skin.astype(np.float32), 0.12 * side), hair)
    dark = smoothstep(along, *share) * near
    strands = dark * (1 - features)
    if whole:
        rounded = _disc(max(1, round(_NOTCH * between)))
        there = cv2.convertScaleAbs(np.maximum(strands, outside), alpha=255)
        strands = np.minimum(dark, cv2.morphologyEx(there, cv2.MORPH_CLOSE, rounded) * np.float32(1 / 255))
    strands = cv2.GaussianBlur(strands.astype(np.float32), (0, 0), 0.8)
    return np.clip(cv2.resize(strands, (size, size), interpolation=cv2.INTER_LINEAR) * 1.3, 0, 1)


def _filled(points: np.ndarray, rings: tuple[tuple[int, ...], ...], size: int | tuple[int, ...]) -> np.ndarray:
    mask = np.zeros((size, size) if isinstance(size, int) else size, np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [np.rint(points[list(ring)] * 16).astype(np.int32)], 1, shift=4)
    return mask


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
