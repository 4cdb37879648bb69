"""Which cells of a usual look are sure to be something before the face, or a beard, by the odds of `covering`."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .covering import EYES, LIPS, beside_eyes, places, standing
from .look import GRID, cells, laid
from .matching import smoothstep

_STANDS, SURELY, _LEAST_STANDING, _LEAST_HAIR = (-0.5, 1.5), 2.5, 4, 8
"""Odds, as logarithms, of what is always there, where so many cells beside are sure, of a thing or of a beard."""
_BEYOND = (0.3, 0.5)  # of the outline along the jaw: so much of it has a beard that stays
_ALL = 0.85  # of what may be a thing or hair: within the beard, to be no thing
_DARK = 30.0  # L of skin below which a single look tells nothing, and a beard is not told from shadow
CLOSING, _WIDE_CLOSING = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (5, 9))


def things_and_beard(
    middle: np.ndarray, spread: np.ndarray, hand: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Things and beard, (K,) float32 0..1 each: what `covering.standing` is sure of, and what belongs to that."""
    count = len(hand)
    odds = standing(middle[:, :count], spread[:, :count], hand, share)
    things, hair = (_sure(o, least) for o, least in zip(odds, (_LEAST_STANDING, _LEAST_HAIR), strict=True))
    if _is_dark(middle, share):
        hair[:] = 0
    # What lies between parts of one thing is a part of it; between those of a beard there are lips.
    things = cv2.morphologyEx(things, cv2.MORPH_CLOSE, _WIDE_CLOSING)
    hair = cv2.morphologyEx(hair, cv2.MORPH_CLOSE, CLOSING) * (1 - places()[LIPS])
    index = cells().index
    return things.ravel()[index], hair.ravel()[index]


def _is_dark(middle: np.ndarray, share: np.ndarray) -> bool:
    """Whether a usual look (4, P), of cells seen in a share (K,) of the frames, shows skin that is hardly lit."""
    light = middle[0, beside_eyes()][share[beside_eyes()] > 0]
    return not len(light) or float(np.median(light)) < _DARK


def _sure(odds: np.ndarray, least: int) -> np.ndarray:
    """(GRID, GRID) float32 0..1: groups of cells of which logarithms of odds (K,) are sure of at least so many, and
    likely ones that touch them.
    """
    grid = laid(odds, rest=-20)
    _, labels = cv2.connectedComponents((grid > _STANDS[0]).astype(np.uint8), connectivity=8)
    sure = np.bincount(labels.ravel(), weights=(grid > SURELY).ravel(), minlength=2)
    sure[0] = 0
    near = cv2.dilate((sure >= least)[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(smoothstep(grid, *_STANDS) * near, np.float32)


def in_a_single_look(middle: np.ndarray, spread: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of a look that may be that of one frame; less glasses, which `eyewear` and `glasses` tell."""
    # A frame or two in which a face is taken for a hand would say too much.
    things, hair = things_and_beard(middle, spread, np.zeros(len(share), np.float32), share)
    if _is_dark(middle, share):
        things[:] = 0
    return _less(things, cv2.dilate(places()[EYES], CLOSING), 0.7), hair


def less_hair(things: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Things (K,) less those that are of the beard (K,)."""
    return _less(things, cv2.dilate(laid(hair), CLOSING), _ALL) if hair.any() else things


def with_hair(things: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Things (K,) with the beard (K,) if that goes on beyond the face, or less what is a beard.

    A moustache or a goatee ends within the face and gives way to the new one; of a full beard a strap would be left.
    """
    if not hair.any():
        return things
    bare = less_hair(things, hair)
    # What looks like hair on a part of a cup is a part of the cup.
    beyond = float((bare * hair).sum() > 0.5 * hair.sum() or smoothstep(float(hair[_jaw()].mean()), *_BEYOND))
    return bare + np.float32(beyond) * (np.maximum(things, hair) - bare)


@cache
def _jaw() -> np.ndarray:
    """(M,): the cells along the outline from one corner of the mouth to the other."""
    mouth = np.flatnonzero(places()[LIPS].any(1)).mean()
    return np.flatnonzero(cells().rim & (cells().index // GRID > mouth))


def _less(things: np.ndarray, zone: np.ndarray, share: float) -> np.ndarray:
    """Things (K,) less those of which at least a share lies in a zone (GRID, GRID) 0..1."""
    grid = laid(things)
    _, labels = cv2.connectedComponents((grid > 0).astype(np.uint8), connectivity=8)
    much, there = (np.bincount(labels.ravel(), weights=v.ravel()) for v in (grid, grid * zone))
    return np.asarray(things * (there < share * much)[labels.ravel()[cells().index]], np.float32)
