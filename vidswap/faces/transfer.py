"""The source's texture under the shape, light and grain of a target frame: a crop in, an image and its cover out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from . import eyewear, irises, lids, look, matching, occlusion, painting, relighting, render, texture, topology, unseen
from .actor import Actor
from .matching import smoothstep

_OUT_OF_FOCUS = 0.5  # share of a pixel that stays in its place when the portrait is made as soft as the shot
_WORN = (0.15, 0.45)  # mean over time of what single frames say of glasses: none below, for sure above
_COARSE = 512  # pixels a side: in larger crops the mesh is painted at half the size
_AROUND_HAIRS = np.ones((5, 5), np.uint8)  # cells of `look`: no hair ends where it is no longer told
_SKIN = len(topology.triangles())
_GROOVES = ((49, 102, 129, 64, 98), (279, 331, 358, 294, 327))
"""Landmarks along the grooves beside the nose's wings."""
_UNDER_NOSE = (64, 98, 97, 2, 326, 327, 294)
"""Landmarks along the nose's base: as narrow a fold while it hides the nostrils."""
_GROOVE_SOFT = 0.025  # of the distance of the wings: over so much the grooves are smoothed


@dataclass(frozen=True)
class Target:
    """A face of the target, in one frame: crop (S, S, 3) uint8 RGB, points (478, 3) in its pixels, regions (S, S)
    labels and person (S, S) 0..1.
    """

    crop: np.ndarray
    points: np.ndarray
    regions: np.ndarray
    person: np.ndarray


@dataclass(frozen=True)
class Told:
    """What is known of a target's face over time; of what is None, the frame itself tells.

    occluded (K,) uint8: what came before the face, in the cells of `look`, and beard (K,) uint8: where it has one that
    gives way; neither is told by one frame. darkest (3,): of the target (`light.darkest_of_crop`). worn: how surely it
    wears glasses, 0..1; rims: where they are (`glasses.sample_rims`). irises (2, 4): their colours
    (`irises.sample_irises`). nostrils: how far they face the viewer (`unseen.nostrils_facing`).
    """

    occluded: np.ndarray | None = None
    beard: np.ndarray | None = None
    darkest: np.ndarray | None = None
    worn: float | None = None
    rims: np.ndarray | None = None
    irises: np.ndarray | None = None
    nostrils: float | None = None


_NOTHING = Told()


@dataclass(frozen=True)
class _Mesh:
    """The mesh in a crop: its raster, whose pixels are `step` of the crop's, and the maps from there to an atlas."""

    raster: render.Raster
    skin_maps: render.Maps
    shrink: float
    step: int
    in_hole: np.ndarray
    seen: np.ndarray

    def placed(self, shape: np.ndarray) -> np.ndarray:
        """Landmarks (478, 3) in pixels of the window."""
        return shape - (self.raster.x0 * self.step, self.raster.y0 * self.step, 0)


def perform(actor: Actor, target: Target, shape: np.ndarray, told: Told = _NOTHING) -> tuple[np.ndarray, np.ndarray]:
    """Render one face: image (S, S, 3) uint8 and alpha (S, S) float32.

    shape (478, 3): landmarks as they will be, in pixels of the target's crop.
    """
    crop, points = target.crop, target.points
    size = crop.shape[0]
    image, alpha = crop.copy(), np.zeros((size, size), np.float32)
    mesh = _mesh(shape, size, actor.size)
    if mesh is None:
        return image, alpha
    raster, step = mesh.raster, mesh.step
    here = crop[raster.window]
    worn = eyewear.worn(crop, points) if told.worn is None else float(smoothstep(told.worn, *_WORN))
    nostrils = unseen.nostrils_facing(points) if told.nostrils is None else told.nostrils

    rendered = _painted(actor, mesh, shape)
    free, hair = _uncovered(actor, target, mesh, rendered, worn, told)
    shown = rendered[..., 3] * (free * np.float32(1 / 255))
    light = relighting.light_on(here, rendered, raster, shape, shown, (told.darkest, actor.darkest), hair)
    lit = here.copy()
    painting.relight_seen(lit, rendered, *light)
    blur = matching.sharpness_filter(lit, here, shown)
    lit = matching.match_grain(matching.weakened(lit, blur), here, shown)

    hole = enlarged(cv2.GaussianBlur(mesh.in_hole.astype(np.float32), (0, 0), max(0.5, 0.003 * size / step)), step)
    closing = lids.closing(mesh.placed(shape), points, hole.shape)
    lids.show(closing, hole)
    if min(float(kernel[len(kernel) // 2]) for kernel in blur) < _OUT_OF_FOCUS:
        # Nothing has a sharp edge there.
        hole, shown = matching.weakened(hole, blur), matching.weakened(shown, blur)
    lit = cv2.convertScaleAbs(lit) if lit.dtype != np.uint8 else np.ascontiguousarray(lit)
    if actor.borrowed is not None:
        actor.borrowed.lay(lit, crop, raster, shape, points, nostrils, worn)
    soften_grooves(lit, mesh.placed(shape), step, unseen.hidden(nostrils))
    tint = lids.tint(closing, lit, here, shown)
    eyes = crop
    if actor.iris is not None:
        eyes = irises.recoloured(crop, points, relighting.irises_in(light, raster, shape, actor.iris), told.irises)
    _open_holes(lit, hole, eyes, mesh, render.affine_maps(shape, points, topology.triangles(holes=False)), tint)

    bordered = cv2.copyMakeBorder(mesh.seen, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    silhouette = step * cv2.distanceTransform(bordered, cv2.DIST_L2, 3)[1:-1, 1:-1]
    edge = max(1.0, 0.012 * size)
    alpha[raster.window] = shown * enlarged(smoothstep(silhouette, 0.5, 1 + 2 * edge), step)
    image[raster.window] = lit
    return image, alpha


def _mesh(shape: np.ndarray, size: int, atlas: int) -> _Mesh | None:
    """The mesh `shape` in a crop of `size` pixels a side, with maps to an atlas of `atlas`; None outside of it."""
    triangles = topology.triangles(holes=False)
    step = 2 if size >= _COARSE and size % 2 == 0 else 1
    raster = render.rasterise(shape, triangles, (size, size), margin=2, step=step)
    if not raster.ids.size:
        return None
    skin_maps = render.affine_maps(shape, texture.atlas_points(atlas), triangles)
    raster = render.without_steep(raster, skin_maps)
    in_hole = raster.ids >= _SKIN
    shrink = render.shrinking(skin_maps, np.where(in_hole, -1, raster.ids))
    return _Mesh(raster, skin_maps, shrink, step, in_hole, (raster.ids >= 0).astype(np.uint8))


def _painted(actor: Actor, mesh: _Mesh, shape: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8: the actor's texture on the mesh, and how much of it covers."""
    rendered = actor.pyramid.paint(mesh.raster, mesh.skin_maps, mesh.shrink)
    if actor.creased is not None:
        actor.creased.lay(rendered, mesh.raster, mesh.skin_maps, shape)
    render.soften_contours(rendered, mesh.raster, mesh.skin_maps, mesh.shrink, actor.size)
    return rendered


def _uncovered(
    actor: Actor, target: Target, mesh: _Mesh, rendered: np.ndarray, worn: float, told: Told
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where nothing stands before the face (h, w) float32, and where hairs of a beard do, of either face, or None.

    rendered (h, w, 4): covers more where a beard gives way.
    """
    raster = mesh.raster
    free = occlusion.free_face(target.crop, target.points, target.regions, target.person, worn, told.rims)
    free = free[raster.window]
    rims = actor.rims if worn > 0 else None
    beards = [] if actor.beard is None else [actor.beard]
    gives_way = None if told.beard is None or not told.beard.any() else look.on_grid(told.beard)
    if gives_way is not None:
        beards.append(gives_way)
    covered = told.occluded is not None and bool(told.occluded.any())
    if rims is None and not beards and not covered:
        return free, None
    places = render.lookup(raster, mesh.skin_maps)
    cells = (places + np.float32(0.5)) / np.float32(actor.size)
    if told.occluded is not None and covered:
        free = free * (1 - look.mask(told.occluded, cells, target.crop[raster.window]))
    if rims is not None:
        # Nobody wears two pairs of glasses.
        free = free * (1 - np.float32(worn / 255) * rims.sample(places, mesh.shrink))
    if gives_way is not None:
        # Skin that was grown into what a smile hides is better than hairs that show through it.
        shaved = look.sampled(cv2.dilate(gives_way, _AROUND_HAIRS), cells)
        widest = shaved * actor.widest.sample(places, mesh.shrink)
        np.maximum(rendered[..., 3], np.rint(widest).astype(np.uint8), out=rendered[..., 3])
    return free, look.sampled(np.max(beards, axis=0), cells) if beards else None


def _open_holes(
    lit: np.ndarray, hole: np.ndarray, eyes: np.ndarray, mesh: _Mesh, own_maps: render.Maps, tint: np.ndarray | None
) -> None:
    """Lay eyeballs and the inside of the mouth into lit (h, w, 3) uint8: the target's own, of `eyes` (S, S, 3), moved
    along with lids and lips by own_maps, as far as hole (h, w) 0..1 says, times tint (h, w, 3).
    """
    wanted = np.flatnonzero((hole > 0.004) & (enlarged(mesh.seen, mesh.step) > 0))
    share = hole.ravel()[wanted, None]
    flat = lit.reshape(-1, 3)
    behind = flat[wanted].astype(np.float32)
    own = render.sample_some(eyes, mesh.raster, own_maps, wanted)
    if tint is not None:
        own = np.minimum(own * tint.reshape(-1, 3)[wanted], np.float32(255))
    behind += share * (own - behind)
    flat[wanted] = np.rint(behind).astype(np.uint8)


def enlarged(values: np.ndarray, step: int) -> np.ndarray:
    """values (h, w) at `step` times the size, linearly between."""
    if step == 1 or not values.size:
        return values
    return cv2.resize(values, (values.shape[1] * step, values.shape[0] * step), interpolation=cv2.INTER_LINEAR)


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
