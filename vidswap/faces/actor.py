"""Actor: a source, ready to be rendered in any frame: its texture, and what of it is shown where."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache

import cv2
import numpy as np

from . import evidence, eyewear, folds, glasses, look, matching, render, texture, topology, unseen
from .matching import smoothstep

REGIONS = ("brows", "eyes", "nose", "mouth", "skin")

_FEATHER = 0.085  # of the face's width in the atlas: how far the cover takes to rise from the outline
_NOSE_MIDDLE = 195
_WHITE = 245  # of all channels: no skin is, in any light that shows it
_BROAD, _HARDLY = 0.05, (0.1, 0.35)  # of the atlas; how much of it is shown around a place that is not known
_BROAD_SIDE = 256  # pixels a side of an atlas in which broad slopes are made


class Actor:
    """A source, ready to be rendered: texture pyramid with the cover of its atlas as fourth channel; darkest (3,)
    float32, 0..255: the darkest of each of its channels.

    hidden (478,): where the target's picture stands in for what no portrait shows (`unseen`). beard (GRID, GRID) 0..1:
    where hairs hide the skin, in the cells of `look`; None of a face without a beard. iris (4,) float32: the colour of
    its eyes and how surely it is known, of `irises.of_a_person`; None leaves the target's.
    creased: the folds that come and go with its smile. grown (478,): where it does so for targets without glasses, in
    place of what the portraits' glasses hide (`unseen.grown_around_eyes`).
    """

    def __init__(
        self,
        colour: np.ndarray,
        alpha: np.ndarray,
        regions: Collection[str] = REGIONS,
        hidden: np.ndarray | None = None,
        iris: np.ndarray | None = None,
        creased: folds.SmileFolds | None = None,
        grown: np.ndarray | None = None,
    ) -> None:
        size = colour.shape[0]
        # Well inside the outline the completed texture is better than a hole through which the target looks.
        told = known(alpha)
        shown = np.maximum(soft(alpha), inner(size) * told)
        within = rim(size) * chosen(size, tuple(r for r in REGIONS if r in regions))
        cover = shown * within
        self.widest = render.Pyramid(np.rint(told * within * 255).astype(np.uint8))
        self.size = size
        self.creased = creased
        self.borrowed = None if hidden is None else unseen.Borrowed(hidden, grown)
        self.regions = frozenset(regions)
        self.iris = iris if "eyes" in self.regions and iris is not None and iris[3] > 0 else None
        worn = eyewear.worn(colour, texture.atlas_points(size))
        rims = glasses.rims(colour, texture.atlas_points(size)) if worn > 0.5 else None
        self.rims = None if rims is None else render.Pyramid((cv2.dilate(rims, None) * 255).astype(np.uint8))
        self.pyramid = render.Pyramid(np.dstack([colour, np.rint(cover * 255).astype(np.uint8)]))
        _, hair = evidence.in_a_picture(look_of(colour))
        self.beard = look.laid(hair) if hair.any() else None
        small = [cv2.resize(i, (matching.FIELD_SIDE,) * 2, interpolation=cv2.INTER_AREA) for i in (colour, shown)]
        self.darkest = matching.floor_of(small[0].astype(np.float32), small[1] > 0.5)


def look_of(colour: np.ndarray) -> np.ndarray:
    """(K, 6) uint8: the look of the face in an atlas (T, T, 3) uint8 RGB, as large as in crops that tell looks."""
    side = look.SAMPLE_SIZE // 2
    small = cv2.resize(colour, (side, side), interpolation=cv2.INTER_AREA)
    return look.look_of_crop(small, texture.atlas_points(side))


def soft(alpha: np.ndarray) -> np.ndarray:
    """alpha (T, T) float32 with broad slopes on the inner side of its edges, so that a hairline of the source's does
    not show as a line on the target's forehead.
    """

    def slopes(small: np.ndarray) -> np.ndarray:
        reach = max(1, round(0.025 * len(small)))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        return cv2.GaussianBlur(cv2.erode(small, disc), (0, 0), 0.5 * reach)

    return np.minimum(alpha, _broadly(alpha, slopes))


def _broadly(image: np.ndarray, make: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(T, T) float32: what `make` does to image (T, T) float32 with at most `_BROAD_SIDE` pixels a side, which is fine
    enough for broad slopes.
    """
    size = min(len(image), _BROAD_SIDE)
    made = make(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
    return cv2.resize(made, image.shape[::-1], interpolation=cv2.INTER_LINEAR)


@cache
def rim(size: int) -> np.ndarray:
    """(T, T) float32: 0 on the outline of the atlas and outside, 1 well within."""
    inside = np.zeros((size, size), np.uint8)
    ring = texture.atlas_points(size)[list(topology.FACE_OVAL)]
    cv2.fillPoly(inside, [np.rint(ring * 16).astype(np.int32)], 1, shift=4)
    return smoothstep(cv2.distanceTransform(inside, cv2.DIST_L2, 5), 0.01 * size, _FEATHER * size)


@cache
def inner(size: int) -> np.ndarray:
    """(T, T) float32: 1 around eyes, nose and mouth, 0 towards forehead, temples and jaw."""
    places = texture.atlas_points(size)
    inside = np.zeros((size, size), np.uint8)
    around = (*topology.BROWS, *topology.EYES, *topology.NOSE, *topology.LIPS_OUTER)
    cv2.fillPoly(inside, [np.rint(cv2.convexHull(places[list(around)]) * 16).astype(np.int32)], 1, shift=4)
    return _broadly(inside.astype(np.float32), lambda small: cv2.GaussianBlur(small, (0, 0), 0.02 * len(small)))


def share_shown(alpha: np.ndarray) -> float:
    """How much of eyes, nose, mouth and what lies between a texture's alpha (T, T) float32 shows, 0..1."""
    weight = inner(alpha.shape[0])
    return float((alpha * weight).sum() / weight.sum())


def share_white(colour: np.ndarray, alpha: np.ndarray) -> float:
    """How much of what a texture (T, T, 3) uint8 with alpha (T, T) float32 shows of that is white, 0..1."""
    weight = inner(alpha.shape[0]) * alpha
    return float((weight * (colour.min(2) > _WHITE)).sum() / max(float(weight.sum()), 1e-6))


def known(alpha: np.ndarray) -> np.ndarray:
    """(T, T) float32: 0 where alpha (T, T) float32 shows so little of nose and mouth that what grows into the rest is
    neither, as of a portrait with a mask.
    """
    size = alpha.shape[0]
    above, below = texture.atlas_points(size)[[_NOSE_MIDDLE, topology.NOSE_TIP], 1]
    lower = smoothstep(np.arange(size, dtype=np.float32), float(above), float(below))[:, None]

    def around(small: np.ndarray) -> np.ndarray:
        return smoothstep(cv2.GaussianBlur(small, (0, 0), _BROAD * len(small)), *_HARDLY)

    return 1 - lower * (1 - _broadly(alpha, around))


@cache
def chosen(size: int, regions: tuple[str, ...]) -> np.ndarray:
    """(T, T) float32: 1 where the atlas belongs to one of the regions, with soft borders between them."""
    if set(regions) == set(REGIONS):
        return np.ones((size, size), np.float32)
    part: dict[str, list[tuple[int, ...]]] = {
        "nose": [topology.NOSE],
        "brows": [topology.RIGHT_BROW, topology.LEFT_BROW],
        "eyes": [topology.RIGHT_EYE, topology.LEFT_EYE],
        "mouth": [topology.LIPS_OUTER],
    }
    reach = {"nose": 0.01, "brows": 0.02, "eyes": 0.035, "mouth": 0.025}
    places = texture.atlas_points(size)
    labels = np.full((size, size), REGIONS.index("skin"), np.uint8)
    for name, rings in part.items():
        mask = np.zeros((size, size), np.uint8)
        for ring in rings:
            cv2.fillPoly(mask, [np.rint(cv2.convexHull(places[list(ring)]) * 16).astype(np.int32)], 1, shift=4)
        side = 2 * round(reach[name] * size) + 1
        labels[cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0] = REGIONS.index(name)
    wanted = np.isin(labels, [REGIONS.index(r) for r in regions]).astype(np.float32)
    return cv2.GaussianBlur(wanted, (0, 0), 0.012 * size)
