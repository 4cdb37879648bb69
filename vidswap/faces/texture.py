"""The source's appearance, laid flat: from a portrait and its landmarks to an atlas in the coordinates of a mean face.

The atlas is the mean face unrolled from a vertical cylinder: sides of the face keep their pixels, and the left half
mirrors the right, so that what one half hides can be taken from the other. Eyes and mouth are there but never used:
they are the target's.
"""

from __future__ import annotations

import warnings
from functools import cache

import cv2
import numpy as np

from vidswap.compiled import compiled

from . import eyewear, occlusion, render, topology
from .matching import smoothstep, spread
from .regions import BACKGROUND, HAIR

ATLAS_SIZE = 768
_AXIS_Z = 0.9  # where the cylinder stands behind the eyes, in distances between them
_HALF_ANGLE, _TOP, _BOTTOM = 1.62, -0.90, 1.88  # edges of the atlas: radians, and distances between the eyes

_FOREIGN = (28.0, 56.0)  # grey levels from the median of all portraits: skin below, something else above
_CORNER = 0.16  # of the mouth's width: as far around its corners it throws shadows
_SHADOW = (0.04, 0.16)  # how much brighter lips and skin are, in shares
_OPEN = (0.03, 0.08)  # of the opening's area in squares of the mouth's width: shut below, open above
_LIGHT_SIDE = 256  # pixels a side at which halves are compared
_SHADE = 0.02  # of the atlas's side: over so much halves are compared
_ALIKE = (0.4, 0.2)  # in logarithms: differences of halves that stay, in soft light and in hard; some are the face's
_SHADE_AT_MOST = 1.4  # what is taken back at most
_LINE, _HARD = 0.09, (0.5, 0.9)  # of the atlas's side: width of a shadow's edge; how dark shadows are that have one
_LEAST = 2.0  # grey levels: light that shadows have at least
_THIRDS = np.full(3, 1 / 3, np.float32)
_MADE_UP = 0.98  # of the weight that a portrait loses where skin was grown over its glasses
_FACING = (0.22, 0.52)  # cosine of the angle to the viewer: unseen below, fully seen above


@cache
def atlas_points(size: int = ATLAS_SIZE) -> np.ndarray:
    """(478, 2) float32 places of the landmarks in an atlas of `size` pixels a side."""
    mean = topology.canonical().astype(np.float64)
    angle = np.arctan2(mean[:, 0], _AXIS_Z - mean[:, 2])
    across = (angle / _HALF_ANGLE + 1) / 2 * size - 0.5
    down = (mean[:, 1] - _TOP) / (_BOTTOM - _TOP) * size - 0.5
    places = np.stack([across, down], 1).astype(np.float32)
    places.flags.writeable = False
    return places


@cache
def _atlas_raster(size: int) -> render.Raster:
    points = np.column_stack([atlas_points(size), np.zeros(topology.POINTS)])
    return render.rasterise(points, topology.triangles(holes=False), (size, size))


def unroll(image: np.ndarray, points: np.ndarray, size: int = ATLAS_SIZE) -> np.ndarray:
    """Lay an image (h, w[, C]) with landmarks (478, 2) in its pixels into the atlas; 0 outside of the mesh.

    A finer image is averaged, not skipped through.
    """
    raster = _atlas_raster(size)
    maps = render.affine_maps(atlas_points(size), points, topology.triangles(holes=False))
    read = render.Pyramid(image).sample(render.lookup(raster, maps), render.shrinking(maps, raster.ids))
    read = np.where((raster.ids >= 0).reshape(raster.ids.shape + (1,) * (image.ndim - 2)), read, 0)
    out = np.zeros((size, size, *image.shape[2:]), image.dtype)
    out[raster.window] = read
    return out


def facing(points: np.ndarray) -> np.ndarray:
    """(478,) float64: cosine of the angle between the viewer and the mesh at landmarks (478, 3); below 0 is turned
    away. Mean over the triangles around, by area.
    """
    corners = np.asarray(points, np.float64)[topology.triangles(holes=False)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.zeros((topology.POINTS, 3))
    for i in range(3):
        np.add.at(summed, topology.triangles(holes=False)[:, i], normal)
    length = np.linalg.norm(summed, axis=1)
    # The sense of the triangles gives normals along +z, away from the viewer, where they are seen.
    return np.where(length > 0, summed[:, 2] / np.maximum(length, 1e-12), 1.0)


def paint_values(points: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: values (478,) of the landmarks spread linearly over the triangles that are seen; 0 elsewhere."""
    triangles = topology.triangles(holes=False)
    raster = render.rasterise(points, triangles, shape)
    level = np.stack([values, np.zeros_like(values)], 1)
    out = np.zeros(shape, np.float32)
    out[raster.window] = np.where(
        raster.ids >= 0, render.lookup(raster, render.affine_maps(points, level, triangles))[..., 0], 0
    )
    return out


def build_texture(
    crop: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    person: np.ndarray,
    size: int = ATLAS_SIZE,
    hidden: np.ndarray | None = None,
    beard: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Atlas (T, T, 3) uint8 and how far the portrait shows it (T, T) float32 0..1; 0 where it is turned or covered.

    crop (S, S, 3) uint8 RGB; points (478, 3) landmarks in its pixels; regions (S, S) labels; person (S, S) 0..1;
    hidden (S, S) float32 0..1: what else of it is not the face; beard (S, S) float32 0..1: hair that is.
    """
    shown = paint_values(points, smoothstep(facing(points), *_FACING), (crop.shape[0], crop.shape[1]))
    covered = ((regions == HAIR) | (regions == BACKGROUND)).astype(np.float32)
    covered = np.maximum(covered, smoothstep(0.6 - person, 0.0, 0.3))
    # Hair ends in single strands and throws a shadow: the label's rim is not skin either.
    reach = max(1, round(0.012 * crop.shape[0]))
    covered = cv2.dilate(covered, _disc(2 * reach))
    strands = occlusion.hair_beside(crop, points, regions, reach=0.3, share=(0.2, 0.5), inside=True)
    # Temples of glasses look like hair to it; glasses that both halves wear are a part of the portrait.
    strands = strands * np.float32(1 - eyewear.worn(crop, points))
    beside = occlusion.hair_beside(crop, points, regions, reach=0.15, share=(0.45, 0.75))
    beside[: max(0, int(points[list(topology.EYES), 1].max()))] = 0
    covered = np.maximum(covered, np.maximum(strands, beside))
    bared = bared_teeth(crop, points)
    if beard is not None:
        reach_of_beard = cv2.dilate(beard, _disc(2 * reach)) * (person > 0.5)
        covered, bared = covered * (1 - reach_of_beard), bared * (1 - beard)
    shown = shown * (1 - bared)
    if hidden is not None:
        shown = shown * (1 - hidden)
    shown = cv2.GaussianBlur(shown * (1 - covered), (0, 0), max(0.6, 0.5 * reach))
    alpha = unroll((shown * 255).astype(np.uint8), points, size).astype(np.float32) / 255
    return unroll(crop, points, size), alpha


def merged(colours: np.ndarray, alphas: np.ndarray, grown: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """One atlas of several portraits (N, T, T, 3) uint8 of a person, with alphas (N, T, T) float32 0..1, completed.

    Each place is taken from the portrait that shows it best, with smooth borders, since a mean of portraits would be
    soft; all have the broad colours of the one that shows most. What differs from the median of three or more, such as
    glare or a strand of hair, is left out. grown (N, T, T) float32 0..1: where skin was grown over them, so that any
    other one is better.
    """
    if len(colours) == 1:
        return complete(colours[0], alphas[0].astype(np.float32))
    shown = weights = alphas.astype(np.float32)
    first = int(np.argmax(weights.reshape(len(weights), -1).mean(axis=1)))
    pictures = np.stack([_scaled(c, colours[first], w * weights[first]) for c, w in zip(colours, weights, strict=True)])
    if len(pictures) > 2:
        luma = pictures.mean(axis=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # places that no portrait shows
            middle = np.nan_to_num(np.nanmedian(np.where(weights > 0.3, luma, np.nan), axis=0))
        agreeing = 1 - smoothstep(np.abs(luma - middle), *_FOREIGN)
        shown = weights = weights * np.stack([cv2.erode(a.astype(np.float32), _disc(3)) for a in agreeing])
    if grown is not None:
        weights = weights * (1 - _MADE_UP * grown.astype(np.float32))
    broad = 0.08 * colours.shape[1]
    wanted = spread(pictures[first], weights[first], broad)
    gains = [(wanted + 4) / (spread(p, w, broad) + 4) for p, w in zip(pictures, weights, strict=True)]
    pictures = np.clip(pictures * np.clip(np.stack(gains), 0.4, 2.5), 0, 255)
    # A little more for the portrait that shows most keeps equally good ones from mixing.
    favoured = np.stack([cv2.GaussianBlur(w, (0, 0), 3) * (1.25 if i == first else 1.0) for i, w in enumerate(weights)])
    share = np.power(favoured / np.maximum(favoured.max(axis=0), 1e-6), 12) * weights
    total = share.sum(axis=0)
    colour = (pictures * share[..., None]).sum(axis=0) / np.maximum(total, 1e-6)[..., None]
    return complete(np.clip(np.rint(colour), 0, 255).astype(np.uint8), shown.max(axis=0))


def still_grown(alphas: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """(T, T) float32 0..1: how far the atlas that `merged` makes of alphas and grown (N, T, T) 0..1 is made up."""
    known = (alphas * (1 - grown)).max(axis=0)
    made_up = grown.max(axis=0) * (1 - known)
    shown = alphas.max(axis=0)
    return np.asarray(shown * made_up + (1 - shown) * made_up[:, ::-1], np.float32)


def bared_teeth(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: the opening of the mouth, what landmarks call lips but is paler than lips beside it, and
    the shadow in its corners.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3). On a smile the inner outline of the lips lies on the teeth; a mouth
    that is shut on a target would show the edge of the opening as a bright line, and its corners as dark smears. One
    that is hardly open has none.
    """
    size = crop.shape[0]
    result = np.zeros((size, size), np.float32)
    outer, opening = (_filled(points, ring, size) for ring in (topology.LIPS_OUTER, topology.LIPS_INNER))
    width = float(np.linalg.norm(points[topology.RIGHT_MOUTH_CORNER, :2] - points[topology.LEFT_MOUTH_CORNER, :2]))
    near = cv2.dilate(opening, _disc(max(1, round(0.05 * width)))) & outer & (1 - opening)
    lips = outer & (1 - cv2.dilate(opening, _disc(max(1, round(0.03 * width)))))
    if opening.sum() < 12 or lips.sum() < 12:
        return result
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    lip, mouth = np.median(lab[lips > 0], 0), np.percentile(lab[opening > 0], 80, axis=0)
    # Teeth are less red than lips; how much less, the opening of this mouth tells.
    redness = (lab[..., 1] - mouth[1]) / max(float(lip[1] - mouth[1]), 6.0)
    pale = smoothstep(0.75 - redness, 0.0, 0.35) * smoothstep(lab[..., 0] - lip[0], -12.0, 4.0)
    bared = np.maximum(cv2.dilate(pale * near, _disc(1)), cv2.dilate(opening, _disc(1))) * outer
    corners = np.zeros_like(opening)
    for corner in (topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER):
        cv2.circle(corners, np.rint(points[corner, :2]).astype(int).tolist(), max(1, round(_CORNER * width)), 1, -1)
    luma = lab[..., 0] + 8
    around = np.median(luma[(corners > 0) & (outer == 0)]) if (corners & (1 - outer)).sum() >= 12 else lip[0]
    usual = min(float(around), float(lip[0])) + 8
    shadow = smoothstep(usual / luma - 1, *_SHADOW) * corners * smoothstep(opening.sum() / width**2, *_OPEN)
    shadow = cv2.dilate(shadow, _disc(max(1, round(0.035 * width))))
    return cv2.GaussianBlur(np.maximum(bared, shadow), (0, 0), 0.7) * np.maximum(outer, corners)


def _scaled(colour: np.ndarray, reference: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(T, T, 3) float32: an atlas with the mean colour of another, where `both` (T, T) says that both are seen."""
    total = max(float(both.sum()), 1e-3)
    means = [(picture * both[..., None]).sum(axis=(0, 1)) / total for picture in (reference, colour)]
    return np.asarray(colour * np.clip((means[0] + 4) / (means[1] + 4), 0.25, 4.0), np.float32)


def complete(colour: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill what an atlas (T, T, 3) uint8 does not show (alpha (T, T) float32) from its mirror image, then smoothly.

    What is mirrored is lit as its surroundings are; what neither half shows has alpha near 0.
    """
    own = np.ascontiguousarray(evenly_lit(colour.astype(np.float32), alpha), np.float32)
    size, alpha = len(own), np.ascontiguousarray(alpha, np.float32)
    # Light differs between the halves: the mirrored skin is given the broad colours of this side.
    here = _broadly(own, alpha)
    gain = cv2.resize((here + 4) / (here[:, ::-1] + 4), (size, size), interpolation=cv2.INTER_LINEAR)
    known, seen = np.empty_like(own), np.maximum(alpha, alpha[:, ::-1])
    _with_mirror_image(own, alpha, gain, known)
    # Lips go on in lips, skin in skin.
    lips, around = _lips(size), _lips_box(size)
    sure = seen * seen
    smooth = spread(known, sure * (1 - lips), 2.0)
    share = lips[around][..., None]
    smooth[around] += share * (spread(known[around], sure[around] * lips[around], 2.0) - smooth[around])
    filled = np.empty(colour.shape, np.uint8)
    _where_seen(known, smooth, seen, filled)
    return filled, seen


def _broadly(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(t, t, 3) float32, t <= T: the broad colours of an atlas (T, T, 3) float32, shown where alpha (T, T) is."""
    size = min(len(colour), _LIGHT_SIDE)
    weighted = cv2.resize(cv2.multiply(colour, cv2.merge([alpha] * 3)), (size, size), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)
    return spread(weighted / np.maximum(weight, 1e-6)[..., None], weight, 0.08 * size)


@compiled("(float32[:,:,::1], float32[:,::1], float32[:,:,::1], float32[:,:,::1])")
def _with_mirror_image(own: np.ndarray, alpha: np.ndarray, gain: np.ndarray, known: np.ndarray) -> None:
    """Writes to known (T, T, 3) the atlas `own`, and its mirror image times `gain` where alpha (T, T) says less."""
    size = own.shape[0]
    for y in range(size):
        for x in range(size):
            mine = alpha[y, x]
            other = (np.float32(1) - mine) * alpha[y, size - 1 - x]
            over = np.float32(1) / max(mine + other, np.float32(1e-4))
            for channel in range(3):
                borrowed = min(own[y, size - 1 - x, channel] * gain[y, x, channel], np.float32(255))
                known[y, x, channel] = (own[y, x, channel] * mine + borrowed * other) * over


@compiled("(float32[:,:,::1], float32[:,:,::1], float32[:,::1], uint8[:,:,::1])")
def _where_seen(known: np.ndarray, smooth: np.ndarray, seen: np.ndarray, filled: np.ndarray) -> None:
    """Writes to filled (T, T, 3) `known` where seen (T, T) is 1 and `smooth` where it is 0."""
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            for channel in range(3):
                value = smooth[y, x, channel] + seen[y, x] * (known[y, x, channel] - smooth[y, x, channel])
                filled[y, x, channel] = np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


def evenly_lit(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """An atlas (T, T, 3) float32 0..255, shown where alpha (T, T) is, without what makes one half much darker.

    A hard light from the side ends in a line across the face, which is finer than the light that is matched to the
    target's. Faces are alike on both sides: what differs by much is light and is taken back, the darker half's.
    """
    size = min(len(colour), _LIGHT_SIDE)
    small, shown = (cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in (colour, alpha))
    seen = shown * shown[:, ::-1]
    if seen.max() < 0.5:
        return colour
    level = np.log(spread(small, seen, _SHADE * size) + _LEAST)
    apart = level[:, ::-1] - level
    darker = apart @ _THIRDS
    # The harder the light is, the less of a difference is the face's.
    strong = float(smoothstep(float(np.percentile(darker[seen >= 0.5], 95)), *_HARD))
    alike = _ALIKE[0] + strong * (_ALIKE[1] - _ALIKE[0])
    excess = np.clip(darker - alike, 0, _SHADE_AT_MOST)
    if excess.max() <= 0:
        return colour
    taken = apart * (excess / np.maximum(darker, alike))[..., None]
    if strong > 0:
        # Where that line crosses the middle, both halves are dark beside it.
        lit = (level + taken) @ _THIRDS
        across = np.ones((1, 2 * round(_LINE * size) + 1), np.uint8)
        hard = smoothstep(cv2.GaussianBlur(cv2.dilate(darker, across), (0, 0), 2 * _SHADE * size), *_HARD)
        line = (cv2.morphologyEx(lit, cv2.MORPH_CLOSE, across) - lit) * hard * _middle(size)
        taken = taken + cv2.GaussianBlur(line, (0, 0), max(0.5, 0.2 * _SHADE * size))[..., None]
    gain = cv2.resize(np.exp(taken).astype(np.float32), colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip((colour + _LEAST) * gain - _LEAST, 0, 255), np.float32)


@cache
def _middle(size: int) -> np.ndarray:
    """(T,) float32: 1 in the middle of the atlas, 0 away from it."""
    return 1 - smoothstep(np.abs(np.arange(size) - (size - 1) / 2) / (_LINE * size), 0.7, 1.3)


@cache
def _lips(size: int) -> np.ndarray:
    """(T, T) float32: 1 on the lips of the atlas and within, with a soft border."""
    places = atlas_points(size)
    mask = _filled(places, topology.LIPS_OUTER, size)
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.5, 0.003 * size))


@cache
def _lips_box(size: int) -> tuple[slice, slice]:
    """Rows and columns of the atlas around its lips."""
    columns, top, width, height = cv2.boundingRect((_lips(size) > 0).astype(np.uint8))
    return slice(top, top + height), slice(columns, columns + width)


def _filled(points: np.ndarray, ring: tuple[int, ...], size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.rint(points[list(ring), :2] * 16).astype(np.int32)], 1, shift=4)
    return mask


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
