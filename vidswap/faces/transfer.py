"""The source's texture under the shape, light and grain of a target frame: a crop in, an image and its cover out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import cache

import cv2
import numpy as np

from . import (
    evidence,
    eyewear,
    folds,
    glasses,
    irises,
    look,
    matching,
    occlusion,
    painting,
    relighting,
    render,
    texture,
    topology,
    unseen,
)
from .matching import smoothstep

REGIONS = ("brows", "eyes", "nose", "mouth", "skin")

_FEATHER = 0.085  # of the face's width in the atlas: how far the cover takes to rise from the outline
_CLOSING = (0.10, 0.22)  # height to width of the eye: shut below, open above
_OUT_OF_FOCUS = 0.5  # share of a pixel that stays in its place when the portrait is made as soft as the shot
_WORN = (0.15, 0.45)  # mean over time of what single frames say of glasses: none below, for sure above
_COARSE = 512  # pixels a side: in larger crops the mesh is painted at half the size
_AROUND_HAIRS = np.ones((5, 5), np.uint8)  # cells of `look`: no hair ends where it is no longer told
_SKIN = len(topology.triangles())
_GROOVES = ((49, 102, 129, 64, 98), (279, 331, 358, 294, 327))
"""Landmarks along the grooves beside the nose's wings."""
_NOSE_MIDDLE = 195
_BROAD, _HARDLY = 0.05, (0.1, 0.35)  # of the atlas; how much of it is shown around a place that is not known
_BROAD_SIDE = 256  # pixels a side of an atlas in which broad slopes are made
_UNDER_NOSE = (64, 98, 97, 2, 326, 327, 294)
"""Landmarks along the nose's base: as narrow a fold while it hides the nostrils."""
_GROOVE_SOFT = 0.025  # of the distance of the wings: over so much the grooves are smoothed


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


def perform(
    actor: Actor,
    crop: np.ndarray,
    shape: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    person: np.ndarray,
    occluded: np.ndarray | None = None,
    darkest: np.ndarray | None = None,
    worn: float | None = None,
    rims_told: np.ndarray | None = None,
    irises_told: np.ndarray | None = None,
    beard_told: np.ndarray | None = None,
    nostrils: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render one face: image (S, S, 3) uint8 and alpha (S, S) float32.

    crop (S, S, 3) uint8 RGB of the target; shape (478, 3) landmarks as they will be, points (478, 3) as the target
    has them, both in crop pixels; regions (S, S) labels and person (S, S) 0..1 of the target; occluded (K,) uint8: what
    came before the face, in the cells of `look`; darkest (3,): of the target (`light.darkest_of_crop`), and worn: how
    surely it wears glasses, 0..1, rims_told: where their rims are (`glasses.sample_rims`), irises_told (2, 4): their
    colours (`irises.sample_irises`), and nostrils: how far they face the viewer (`unseen.nostrils_facing`), all as told
    over time; None takes what this frame tells. beard_told (K,) uint8: where it has a beard that gives way.
    """
    size = crop.shape[0]
    image, alpha = crop.copy(), np.zeros((size, size), np.float32)
    triangles = topology.triangles(holes=False)
    step = 2 if size >= _COARSE and size % 2 == 0 else 1
    raster = render.rasterise(shape, triangles, (size, size), margin=2, step=step)
    if not raster.ids.size:
        return image, alpha
    window = raster.window
    skin_maps = render.affine_maps(shape, texture.atlas_points(actor.size), triangles)
    raster = render.without_steep(raster, skin_maps)
    # Eyeballs and the inside of the mouth are the target's own, moved along with lids and lips.
    own_maps = render.affine_maps(shape, points, triangles)
    in_hole = raster.ids >= _SKIN
    seen = (raster.ids >= 0).astype(np.uint8)

    shrink = render.shrinking(skin_maps, np.where(in_hole, -1, raster.ids))
    rendered = actor.pyramid.paint(raster, skin_maps, shrink)
    if actor.creased is not None:
        actor.creased.lay(rendered, raster, skin_maps, shape)
    render.soften_contours(rendered, raster, skin_maps, shrink, actor.size)
    here = crop[window]
    worn = eyewear.worn(crop, points) if worn is None else float(smoothstep(worn, *_WORN))
    free = occlusion.free_face(crop, points, regions, person, worn, rims_told)[window]
    rims = actor.rims if worn > 0 else None
    hair = None
    beards = [] if actor.beard is None else [actor.beard]
    gives_way = None if beard_told is None or not beard_told.any() else look.on_grid(beard_told)
    if gives_way is not None:
        beards.append(gives_way)
    if rims is not None or beards or (occluded is not None and occluded.any()):
        places = render.lookup(raster, skin_maps)
        cells = (places + np.float32(0.5)) / np.float32(actor.size)
        if occluded is not None and occluded.any():
            free = free * (1 - look.mask(occluded, cells, here))
        if rims is not None:
            # Nobody wears two pairs of glasses.
            free = free * (1 - np.float32(worn / 255) * rims.sample(places, shrink))
        if beards:
            hair = look.sampled(np.max(beards, axis=0), cells)
        if gives_way is not None:
            # Skin that was grown into what a smile hides is better than hairs that show through it.
            shaved = look.sampled(cv2.dilate(gives_way, _AROUND_HAIRS), cells)
            widest = shaved * actor.widest.sample(places, shrink)
            np.maximum(rendered[..., 3], np.rint(widest).astype(np.uint8), out=rendered[..., 3])

    shown = rendered[..., 3] * (free * np.float32(1 / 255))
    light = relighting.light_on(here, rendered, raster, shape, shown, (darkest, actor.darkest), hair)
    lit = here.copy()
    painting.relight_seen(lit, rendered, *light)
    blur = matching.sharpness_filter(lit, here, shown)
    lit = matching.match_grain(matching.weakened(lit, blur), here, shown)

    hole = enlarged(cv2.GaussianBlur(in_hole.astype(np.float32), (0, 0), max(0.5, 0.003 * size / step)), step)
    closing_lids(shape - (raster.x0 * step, raster.y0 * step, 0), points, hole)
    if min(float(kernel[len(kernel) // 2]) for kernel in blur) < _OUT_OF_FOCUS:
        # Nothing has a sharp edge there.
        hole, shown = matching.weakened(hole, blur), matching.weakened(shown, blur)
    wanted = np.flatnonzero((hole > 0.004) & (enlarged(seen, step) > 0))
    share = hole.ravel()[wanted, None]
    lit = cv2.convertScaleAbs(lit) if lit.dtype != np.uint8 else np.ascontiguousarray(lit)
    if actor.borrowed is not None:
        actor.borrowed.lay(lit, crop, raster, shape, points, nostrils, worn)
    nostrils = unseen.nostrils_facing(points) if nostrils is None else nostrils
    soften_grooves(lit, shape - (raster.x0 * step, raster.y0 * step, 0), step, unseen.hidden(nostrils))
    flat = lit.reshape(-1, 3)
    behind = flat[wanted].astype(np.float32)
    eyes = crop
    if actor.iris is not None:
        eyes = irises.recoloured(crop, points, relighting.irises_in(light, raster, shape, actor.iris), irises_told)
    behind += share * (render.sample_some(eyes, raster, own_maps, wanted) - behind)
    flat[wanted] = np.rint(behind).astype(np.uint8)

    edge = max(1.0, 0.012 * size)
    silhouette = (
        step
        * cv2.distanceTransform(cv2.copyMakeBorder(seen, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 3)[
            1:-1, 1:-1
        ]
    )
    alpha[window] = shown * enlarged(smoothstep(silhouette, 0.5, 1 + 2 * edge), step)
    image[window] = lit
    return image, alpha


def enlarged(values: np.ndarray, step: int) -> np.ndarray:
    """values (h, w) at `step` times the size, linearly between."""
    if step == 1 or not values.size:
        return values
    return cv2.resize(values, (values.shape[1] * step, values.shape[0] * step), interpolation=cv2.INTER_LINEAR)


def closing_lids(shape: np.ndarray, points: np.ndarray, hole: np.ndarray) -> None:
    """Raise `hole` (h, w) float32, 0..1, where lids are about to close, so that the target's own are shown there.

    A portrait with open eyes does not show what the upper lid looks like when it is drawn down. shape (478, 2 or 3) in
    pixels of `hole`; points (478, 2 or 3) of the target in the same scale.
    """
    eyes = zip((topology.RIGHT_EYE, topology.LEFT_EYE), topology.LID_GAUGES, strict=True)
    for ring, (upper, lower, one, other) in eyes:
        corners = float(np.linalg.norm(points[one, :2] - points[other, :2]))
        gap = float(np.linalg.norm(points[upper, :2] - points[lower, :2]))
        closed = 1 - float(smoothstep(gap / max(corners, 1e-3), *_CLOSING))
        if closed <= 0:
            continue
        hull = cv2.convexHull(shape[list(ring), :2].astype(np.float32))
        reach, sigma = max(1, round(0.2 * corners)), max(0.6, 0.07 * corners)
        around = reach + round(4 * sigma) + 2
        x0, y0 = (max(0, int(v) - around) for v in hull.min((0, 1)))
        x1, y1 = (max(0, int(v) + around + 1) for v in hull.max((0, 1)))
        part = hole[y0:y1, x0:x1]
        if not part.size:
            continue
        mask = np.zeros(part.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint((hull - (x0, y0)) * 16).astype(np.int32)], 1, shift=4)
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
        np.maximum(part, np.float32(closed) * soft, out=part)


def soften_grooves(lit: np.ndarray, shape: np.ndarray, step: int, below: float = 0.0) -> None:
    """Smooth lit (h, w, 3) uint8 in place along the grooves beside the nose's wings, and as far as `below` (0..1) says
    along its base.

    The mesh folds there: triangles no wider than a pixel or two show what is much broader on a face, as a hard line.
    shape (478, 3) in pixels of `lit`; step: of the raster.
    """
    (_, _, one, *_), (_, _, other, *_) = _GROOVES
    sigma = max(0.6 * step, _GROOVE_SOFT * float(np.linalg.norm(shape[one] - shape[other])))
    reach = math.ceil(5 * sigma) + 2
    for groove, share in (*((groove, 1.0) for groove in _GROOVES), (_UNDER_NOSE, below)):
        if share <= 0:
            continue
        line = shape[list(groove), :2]
        x0, y0 = (max(0, math.floor(v) - reach) for v in line.min(0))
        x1, y1 = (max(0, math.ceil(v) + reach + 1) for v in line.max(0))
        part = lit[y0:y1, x0:x1]
        if not part.size:
            continue
        mask = np.zeros(part.shape[:2], np.float32)
        drawn = np.rint((line - (x0, y0)) * 16).astype(np.int32)
        cv2.polylines(mask, [drawn], False, 1.0, max(1, round(4 * sigma)), cv2.LINE_8, 4)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        smooth = cv2.subtract(cv2.GaussianBlur(part, (0, 0), sigma), part, dtype=cv2.CV_32F)
        part[...] = cv2.add(part, smooth * (np.float32(share) * mask[..., None]), dtype=cv2.CV_8U)
