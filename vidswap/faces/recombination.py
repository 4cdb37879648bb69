"""Shape swapping of E4S: one label map of the driven source's inner face and of what else the target shows.

D is the driven face's label map, T the target's, both (S, S) uint8 of the same aligned square. All rules keep T's
background, neck, ears, earrings, hair and glasses and take D's lips, brows, eyes, nose, skin and the inside of the
mouth; they differ in what lies over what.

paper: D's inner face over T's neck, never over T's background; then T's ears, earrings, hair and glasses on top
    (section 3.3 of the paper).
code: as the released program does by default: D's inner face also lies over T's hair, ears and earrings.
code-hair-last: as that program does for fringes: T's hair on top.
video: that of the second generation: D's inner face lies over T's background, too; what T shows above its own skin is
    taken for a hat and comes back; brows of T that D's hair hides stay; holes are told before.

What is left over are holes: they become skin, and are told apart for blending.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Literal

import cv2
import numpy as np

from .label_maps import checked
from .regions import (
    BACKGROUND,
    BELOWFACE,
    EAR_RINGS,
    EARS,
    EYE_GLASS,
    EYEBROWS,
    EYES,
    HAIR,
    LIP,
    MOUTH,
    NOSE,
    REGIONS,
    SKIN,
)

Rule = Literal["paper", "code", "code-hair-last", "video"]
INNER = (LIP, EYEBROWS, EYES, NOSE, SKIN, MOUTH)
"""Regions whose shape is the driven face's."""

_OVER: dict[str, tuple[int, ...]] = {
    "paper": (EARS, EAR_RINGS, HAIR, EYE_GLASS),
    "code": (EYE_GLASS,),
    "code-hair-last": (HAIR, EYE_GLASS),
    "video": (HAIR, EYE_GLASS),
}
_UNDER: dict[str, tuple[int, ...]] = {
    "paper": (BELOWFACE,),
    "code": (BELOWFACE, EARS, EAR_RINGS, HAIR),
    "code-hair-last": (BELOWFACE, EARS, EAR_RINGS),
    "video": (BELOWFACE, EARS, EAR_RINGS),
}
_MORPH_REACH = 32.0  # of 512 pixels: how far a region that one map lacks is held to be away


def recombined(
    driven: np.ndarray, target: np.ndarray, *, rule: Rule = "paper", regions: Collection[int] = INNER
) -> tuple[np.ndarray, np.ndarray]:
    """Label map (S, S) uint8 and holes (S, S) bool of label maps driven and target (S, S) uint8.

    `regions`: those of `INNER` whose shape becomes the driven face's; T's others stay. Raises InputError for maps that
    are none or that differ in size.
    """
    checked(target)
    checked(driven, len(target))
    chosen = tuple(r for r in INNER if r in regions)
    labels, holes = _tables(rule, chosen)
    result, hole = labels[driven, target], holes[driven, target]
    if rule == "video" and chosen:
        hat = (target == BACKGROUND) & (np.arange(len(target))[:, None] < _skin_top(target)[None])
        result[hat] = BACKGROUND
        face = (*INNER, EYE_GLASS)
        hole = np.isin(target, face) & ~np.isin(driven, face)
        hole[: _eye_line(driven)] = False
    return result, hole


@cache
def _tables(rule: Rule, chosen: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Label and hole for each pair (driven label, target label), both (12, 12)."""
    count = len(REGIONS)
    labels, holes = np.zeros((count, count), np.uint8), np.zeros((count, count), bool)
    kept = [r for r in INNER if r not in chosen]
    for d in range(count):
        for t in range(count):
            found = _painted(rule, chosen, kept, d, t)
            holes[d, t] = found is None
            labels[d, t] = SKIN if found is None else found
    return labels, holes


def _painted(rule: Rule, chosen: Collection[int], kept: Collection[int], d: int, t: int) -> int | None:
    """The label of a pixel that is d in the driven map and t in the target's; None for a hole."""
    if t == BACKGROUND and (rule != "video" or d not in chosen):
        return BACKGROUND
    found = t if t in _UNDER[rule] else None
    # Skin lies under all else, so that what is chosen and what is kept of a face do not hide each other.
    if (SKIN in chosen and d == SKIN) or (SKIN in kept and t == SKIN):
        found = SKIN
    if t in kept and t != SKIN:
        found = t
    if d in chosen and d != SKIN:
        found = d
    if rule == "video" and d == HAIR and t == EYEBROWS:
        found = EYEBROWS
    return t if t in _OVER[rule] else found


def _skin_top(labels: np.ndarray) -> np.ndarray:
    """(S,) the highest row of skin in each column, 0 where there is none."""
    skin = labels == SKIN
    return np.where(skin.any(0), skin.argmax(0), 0)


def _eye_line(labels: np.ndarray) -> int:
    """The lowest row of eyes, or of brows where there are no eyes; 0 where there are neither."""
    for region in (EYES, EYEBROWS):
        rows = np.flatnonzero((labels == region).any(1))
        if len(rows):
            return int(rows[-1])
    return 0


def between(target: np.ndarray, swapped: np.ndarray, strength: float) -> np.ndarray:
    """(S, S) uint8: the label map that lies by `strength` 0..1 of the way from one to another (S, S).

    Borders move along the mean of the signed distances to each region in both maps.
    """
    if strength <= 0 or strength >= 1:
        return target if strength <= 0 else swapped
    reach = _MORPH_REACH * len(target) / 512
    best = np.full(target.shape, np.inf, np.float32)
    result = swapped.copy()
    changed = np.flatnonzero(np.bincount(np.concatenate([target.ravel(), swapped.ravel()]), minlength=len(REGIONS)))
    for region in changed:
        away = (1 - strength) * _signed(target == region, reach) + strength * _signed(swapped == region, reach)
        nearer = away < best
        best[nearer], result[nearer] = away[nearer], region
    return result


def _signed(inside: np.ndarray, reach: float) -> np.ndarray:
    """(S, S) float32 pixels to the border of a region, negative within, held at +-reach."""
    if not inside.any():
        return np.full(inside.shape, reach, np.float32)
    within = np.ascontiguousarray(inside, np.uint8)
    out = cv2.distanceTransform(1 - within, cv2.DIST_L2, 3)
    into = cv2.distanceTransform(within, cv2.DIST_L2, 3)
    return np.clip(out - into, -reach, reach)
