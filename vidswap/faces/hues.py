"""Things of a colour that faces do not have: where a part of one is found, the rest of it is found by that colour.

Skin in any light, teeth, hair, pupils and shadows lie near one line in the plane of a and b (OpenCV's 8-bit Lab): from
grey through the skin's own colour and on. Leaves, gloves and cloth of many colours do not; lips do not always, so that
there no red tells anything. What is grey on a cheek or a forehead is no skin either.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .covering import LIPS, places
from .look import GRID, cells
from .matching import median, smoothstep

_SURE = 0.6  # how surely a cell shows a thing for its colour to be the thing's
_LEAST_CELLS, _LEAST_SKIN = 4, 24
_AROUND = (7, 7)  # cells: as near colours of a thing are compared
_BESIDE = np.ones((3, 3), np.uint8)
_ROUNDS = 5
_FOREIGN = (9.0, 15.0)  # from the line of the face's colours, of a and b: the face's below, a thing's above
_REACH = 1.6  # times the skin's colour: so far does the line go
_BLUEST_RED = -5.0  # b of lips
_GREY = (0.25, 0.45)  # of the skin's colour: things below, skin above
_COLOURFUL = (10.0, 14.0)  # distance of skin from grey by which it can be told from grey things
_AS_LIGHT = (18.0, 30.0)  # of L: parts of one grey thing below, two things above
_SHARE = (0.4, 0.65)  # of the way from the skin's colour to the thing's
_ASIDE = (10.0, 16.0)  # from that way


def of_one_colour(look: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(K,) float32 0..1: cells that belong to a thing that is found in part, marks (K,) float32, by colour.

    look (K, 6) uint8 of the frame. Cells are added that touch marked ones and lie nearer to their colour than to the
    skin's, where that is a colour no face has.
    """
    sure = marks > _SURE
    added = np.zeros_like(marks)
    if sure.sum() < _LEAST_CELLS:
        return added
    of = cells()
    bare = of.plain & (marks < 0.1) & (look[:, 4] > 0)
    if bare.sum() < _LEAST_SKIN:
        return added
    colours = look[:, 1:3].astype(np.float32) - 128
    skin = median(colours[bare])
    foreign = smoothstep(_off_line(colours, skin), *_FOREIGN)
    # Lips may be of any red.
    red = (colours[:, 0] > skin[0]) & (colours[:, 1] > _BLUEST_RED)
    foreign[_around_lips() & red] = 0
    # Nor is bare skin grey, but where the whole picture is.
    along = _along(colours, skin)
    grey = (1 - smoothstep(along, *_GREY)) * of.plain * smoothstep(float(np.linalg.norm(skin)), *_COLOURFUL)
    light = look[:, 0].astype(np.float32)
    unlike = np.maximum(foreign, grey)
    possible = (look[:, 4] > 0) & (marks <= _SURE) & (unlike > 0)
    plane = np.zeros((GRID * GRID, 4), np.float32)
    plane[of.index] = np.column_stack([colours, light, sure & (unlike > 0.5)])
    for _ in range(_ROUNDS):
        grid = plane.reshape(GRID, GRID, 4)
        thing = grid[..., 3:]
        rows = np.flatnonzero(possible & (cv2.dilate(thing, _BESIDE).ravel()[of.index] > 0))
        if thing.sum() < _LEAST_CELLS or not len(rows):
            break
        counted = np.concatenate([grid[..., :3] * thing, thing], 2)
        near = cv2.boxFilter(counted, -1, _AROUND, normalize=False).reshape(-1, 4)[of.index[rows]]
        mean = near[:, :3] / np.maximum(near[:, 3:], 1)
        as_light = 1 - smoothstep(np.abs(light[rows] - mean[:, 2]), *_AS_LIGHT)
        added[rows] = _share(colours[rows], skin, mean[:, :2]) * np.maximum(foreign[rows], grey[rows] * as_light)
        fresh = of.index[rows[added[rows] > 0.5]]
        if (plane[fresh, 3] > 0).all():
            break
        plane[fresh, 3] = 1
    return added


@cache
def _around_lips() -> np.ndarray:
    return cv2.dilate(places()[LIPS], _BESIDE).ravel()[cells().index] > 0


def _off_line(colours: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(K,) float32: how far colours (K, 2) are from the line from grey through the colour of skin (2,)."""
    along = np.clip(_along(colours, skin), 0, _REACH)
    return np.asarray(np.linalg.norm(colours - along[:, None] * skin, axis=1), np.float32)


def _along(colours: np.ndarray, skin: np.ndarray) -> np.ndarray:
    return np.asarray(colours @ skin / max(float(skin @ skin), 1.0), np.float32)


def _share(colours: np.ndarray, skin: np.ndarray, thing: np.ndarray) -> np.ndarray:
    """(K,) float32 0..1: how far colours (K, 2) are the thing's, (K, 2), and not the skin's (2,)."""
    way = thing - skin
    apart = colours - skin
    length = np.maximum((way * way).sum(1), 1.0)
    along = (apart * way).sum(1) / length
    aside = np.abs(apart[:, 0] * way[:, 1] - apart[:, 1] * way[:, 0]) / np.sqrt(length)
    return np.asarray(smoothstep(along, *_SHARE) * (1 - smoothstep(aside, *_ASIDE)), np.float32)
