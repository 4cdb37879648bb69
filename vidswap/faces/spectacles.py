"""Glasses of a portrait: taken off, so that nobody wears them painted flat onto the skin.

Rims, bridge and temples are found as lines around the eyes that skin does not have, and the skin beside them is grown
over them (normalised convolution). Skin behind lenses, which brighten or tint it, gets the broad colours of the cheeks.
What was grown over is told, so that a target without glasses can lend its lids (`unseen`).
Eyes and brows are left as they are: eyes are the target's, and a rim that runs along a brow passes for one unless it is
much blacker; a brow that lies behind it is the other one. Black bars above clear rims, which landmarks take for brows,
are told by being darker than hair can be. Where a rim comes close to one eye it is told from lids and lashes by the
other eye; what it reflects between brow and lid is told by its hue.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import render, topology
from .eyewear import worn
from .glasses import dark_lenses
from .matching import smoothstep, spread

_WORN = 0.3  # of `eyewear.worn`, from which on glasses are there
_ZONE = (-1.15, 1.15, -0.5, 0.72)  # left, right, above, below the middle of the eyes, in distances of the pupils
_THICKEST = 0.12  # of a rim, in distances of the pupils
_DARK, _BRIGHT = (0.10, 0.22), (0.07, 0.17)  # contrast of a rim with the skin beside it
_SKIN = (0.4, 0.65)  # of the face's median: darker is hair, or a shadow of the glasses
_DARKER = (0.2, 0.5)  # how much brighter the other half is where a rim lies beside one eye alone
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FINE = 0.012  # in distances of the pupils: skin is grown from so near, so that it meets what it borders on
_SHORTEST = 0.22  # of what is a rim, in distances of the pupils
_BROWS = 0.03  # around brows, in distances of the pupils: where a rim has to be told from them
_LASHES = 0.045  # around eyes, in distances of the pupils: as black as any rim
_BLACK = 0.7  # contrast of rims that are blacker than brows
_BAR, _BARS = 0.62, 0.1  # contrast that no hair of a brow has; share of the brows, from which on bars lie there
_BROW_ABOVE = 0.17  # in distances of the pupils: so much higher are brows than a bar that the landmarks take for them
_AS_BLACK = 0.82  # of that contrast, from which on it is rim and not brow
_HIDDEN = 0.25  # of a brow, behind a rim, from which on the other brow is shown in its place
_BOTH_HIDDEN = 0.65  # of both brows, behind rims, from which on the portrait is said to show none
_BROW_BESIDE, _RIM_OF_LENS = (
    0.08,
    0.07,
)  # in distances of the pupils: what goes with a hidden brow, and with a dark lens
_BROAD = 0.16  # in distances of the pupils: over so much skin the colours behind a lens are compared with the cheeks'
_LEVELLED = 0.8  # of the difference; some of it is the face's
_PALE = (0.2, 0.4)  # by how much glare is bluer than skin, in logarithms of blue over red
_EYES = 0.03  # around eyes, in distances of the pupils: whites and wet lids are as pale as glare
_LASHES_END = (0.025, 0.085)  # from the lids, in distances of the pupils: where lashes begin and end to fade
_RING_END = (0.1, 0.14)  # from the lids: where the rim's own mask says all that is to be covered
_LENS_AT_MOST = (-0.35, 0.25)  # by how much a lens is taken to dim and brighten, in logarithms
_LENS_SKIN = 0.05  # of a lens's area, from which on skin is seen through it


def without_glasses(crop: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The portrait with its glasses taken off, (S, S, 3) uint8, and where skin was grown over it, (S, S) float32 0..1.

    crop (S, S, 3) uint8 RGB, returned itself where none are worn; points (478, 2 or 3) landmarks in its pixels.
    """
    if worn(crop, points) < _WORN:
        return crop, np.zeros(crop.shape[:2], np.float32)
    pupils = _pupils(points)
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    rims = frames_of_glasses(crop, points)
    crop = _without_lenses(crop, points, rims)
    mask = rims.astype(np.float32)
    covered = cv2.GaussianBlur(mask, (0, 0), 0.02 * between)
    eyes = _either(points, topology.RIGHT_EYE, topology.LEFT_EYE, crop.shape[0])
    covered = np.maximum(np.maximum(mask, covered), _beyond_lids(points, eyes, mask, between)) * (1 - eyes)
    # Lashes, what is left of a rim beside them, and hair at the temples are not skin.
    skin_shown = _hull(points, topology.FACE_OVAL, crop.shape[0]) & (1 - _features(points, between, crop.shape[0]))
    lit = _lit_skin(crop, skin_shown)
    skin = spread(crop.astype(np.float32), (1 - mask) * lit, _FINE * between)
    bare = np.rint(crop + covered[..., None] * (skin - crop)).astype(np.uint8)
    bare = _with_eyes_alike(bare, points, between, skin_shown, _hidden_brow(crop, points, rims))
    return _without_glare(bare, points, between, skin_shown), np.asarray(covered, np.float32)


def hidden_by_glasses(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: what the portrait's glasses hide for good: what lies behind dark lenses, and brows that are
    both behind a rim. crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels.
    """
    size = crop.shape[0]
    hidden = np.zeros((size, size), np.float32)
    if worn(crop, points) < _WORN:
        return hidden
    pupils = _pupils(points)
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    lenses = dark_lenses(crop, points)
    if lenses.max() > 0:
        hidden = cv2.dilate(lenses, _disc(_RIM_OF_LENS * between))
    else:
        rims, bars = _frames(crop, points)
        brows = [_hull(points, ring, size) for ring in (topology.RIGHT_BROW, topology.LEFT_BROW)]
        if not bars and all(brow.any() and rims[brow > 0].mean() > _BOTH_HIDDEN for brow in brows):
            hidden = cv2.dilate(brows[0] | brows[1], _disc(_BROW_BESIDE * between)).astype(np.float32)
    return cv2.GaussianBlur(hidden, (0, 0), max(0.6, 0.02 * between))


def _beyond_lids(points: np.ndarray, eyes: np.ndarray, mask: np.ndarray, between: float) -> np.ndarray:
    """(S, S) float32, 0..1: how far skin is grown over what is around the eyes where `mask` (S, S), 0..1, comes close.

    Lashes and shadows end softly there, not in the line up to which a rim is told from them. eyes (S, S) uint8.
    """
    away = cv2.distanceTransform(1 - eyes, cv2.DIST_L2, 5) / np.float32(between)
    near = cv2.GaussianBlur(cv2.dilate(mask, _disc(_LASHES_END[1] * between)), (0, 0), 0.03 * between)
    brows = _either(points, topology.RIGHT_BROW, topology.LEFT_BROW, mask.shape[0]).astype(np.float32)
    brows = cv2.GaussianBlur(brows, (0, 0), max(0.6, 0.015 * between))
    ring = smoothstep(away, *_LASHES_END) * (1 - smoothstep(away, *_RING_END)) * (1 - brows)
    return np.asarray(ring * near, np.float32)


def frames_of_glasses(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) uint8, 1 where rims, bridge or temples of glasses lie. For a portrait that is known to wear some.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels.
    """
    return _frames(crop, points)[0]


def _frames(crop: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, bool]:
    """What `frames_of_glasses` says, and whether bars lie where the landmarks see brows, which are above them."""
    size = crop.shape[0]
    pupils = _pupils(points)
    across = pupils[1] - pupils[0]
    between = max(float(np.hypot(*across)), 1.0)
    kernel = _disc(_THICKEST / 2 * between)
    luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    level = luma.astype(np.float32) + 16
    closed = cv2.morphologyEx(luma, cv2.MORPH_CLOSE, kernel).astype(np.float32) + 16
    contrast = (closed - level) / closed
    dark = smoothstep(contrast, *_DARK)
    bright = smoothstep(cv2.morphologyEx(luma, cv2.MORPH_TOPHAT, kernel).astype(np.float32) / level, *_BRIGHT)
    lines = (np.maximum(dark, bright) > 0.3).astype(np.uint8)
    face = cv2.dilate(_hull(points, topology.FACE_OVAL, size), _disc(0.15 * between))
    lines &= _zone(pupils, across / between, between, size) & face
    lines = np.where(_features(points, between, size), 0, lines).astype(np.uint8)
    rims = _long(lines, _SHORTEST * between)
    found = cv2.dilate(rims, _disc(0.035 * between)) & (1 - _features(points, between, size))
    brows = cv2.dilate(_either(points, topology.RIGHT_BROW, topology.LEFT_BROW, size), _disc(_BROWS * between))
    own = contrast[(rims & (1 - brows) & (dark > 0.3)) > 0]
    usual = float(np.percentile(own, 85)) if own.size else 0.0
    bars_lie = usual < _BLACK
    if bars_lie:
        # Bars along the brows, with clear or fine rims below, are taken for brows by the landmarks.
        hulls = _either(points, topology.RIGHT_BROW, topology.LEFT_BROW, size)
        bars = contrast[(hulls > 0) & (contrast > _BAR)]
        if bars.size < _BARS * hulls.sum():
            return np.asarray(found), False
        usual = float(np.percentile(bars, 85))
        up = _BROW_ABOVE * across[[1, 0]] * (1, -1)
        above = cv2.warpAffine(hulls, np.array([[1.0, 0.0, up[0]], [0.0, 1.0, up[1]]]), (size, size))
        found &= 1 - cv2.dilate(above, _disc(0.5 * _BROW_ABOVE * between))
    # Of what is dark along the brows that alone is rim which is as black as the rest of it.
    brows &= 1 - cv2.dilate(_either(points, topology.RIGHT_EYE, topology.LEFT_EYE, size), _disc(_LASHES * between))
    black = (contrast > _AS_BLACK * usual).astype(np.uint8) & brows & _zone(pupils, across / between, between, size)
    beside = found & (1 - brows)
    black &= _long(black | beside, _SHORTEST * between)
    return np.asarray(beside | (cv2.dilate(black, _disc(0.035 * between)) & brows), np.uint8), bars_lie


def _long(lines: np.ndarray, least: float) -> np.ndarray:
    """What of a mask (S, S) uint8 hangs together over so many pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    kept = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) >= least
    kept[0] = False
    return np.asarray(kept[labels], np.uint8)


def _hidden_brow(crop: np.ndarray, points: np.ndarray, rims: np.ndarray) -> np.ndarray:
    """(S, S) uint8: the brow that lies behind a rim, if the other one does not."""
    brows = [_hull(points, ring, rims.shape[0]) for ring in (topology.RIGHT_BROW, topology.LEFT_BROW)]
    if not all(brow.any() for brow in brows):
        return np.zeros_like(rims)
    shares = [float(rims[brow > 0].mean()) for brow in brows]
    lumas = [float((crop[brow > 0] @ _LUMA).mean()) for brow in brows]
    behind = int(np.argmax(shares))
    hidden = shares[behind] > max(_HIDDEN, 1.5 * shares[1 - behind]) and lumas[1 - behind] > 1.15 * lumas[behind]
    return brows[behind] * np.uint8(hidden)


def _lit_skin(crop: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: what of the mask `skin` is neither hair nor in the shadow of the glasses."""
    luma = crop @ _LUMA
    usual = float(np.median(luma[skin > 0])) if skin.any() else 0.0
    return np.asarray(skin * (smoothstep(luma, *(share * usual for share in _SKIN)) if usual > 0 else 1), np.float32)


def _without_lenses(crop: np.ndarray, points: np.ndarray, rims: np.ndarray) -> np.ndarray:
    """The portrait (S, S, 3) uint8 with the skin behind lenses in the broad colours of the skin around them."""
    size = crop.shape[0]
    pupils = _pupils(points)
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    skin = _hull(points, topology.FACE_OVAL, size) & (1 - _features(points, between, size))
    skin = _lit_skin(crop, skin & (1 - cv2.dilate(rims, _disc(0.03 * between))))
    lenses = np.zeros((size, size), np.uint8)
    for outwards in (pupils[0] - pupils[1], pupils[1] - pupils[0]):
        y, x = np.nonzero(rims)
        aside = (np.stack([x, y], -1) - pupils.mean(0)) @ outwards / between**2
        rim = np.stack([x, y], -1)[(aside > 0.1) & (aside < 1.0)]
        if len(rim) < 3:
            continue
        lens = np.zeros((size, size), np.uint8)
        cv2.fillConvexPoly(lens, cv2.convexHull(rim.astype(np.int32)), 1)
        if (skin * lens).sum() > _LENS_SKIN * lens.sum():
            lenses |= lens
    around = skin * (1 - cv2.dilate(lenses, _disc(0.05 * between)))
    if not lenses.any() or not around.any():
        return crop
    level = np.log(crop.astype(np.float32) + 8)
    change = spread(level, around, _BROAD * between) - spread(level, skin * lenses, _BROAD * between)
    change = np.clip(_LEVELLED * change, *_LENS_AT_MOST)
    lenses = cv2.erode(lenses, _disc(0.05 * between))
    share = cv2.GaussianBlur(lenses.astype(np.float32), (0, 0), max(0.6, 0.03 * between))
    eyes = cv2.dilate(_either(points, topology.RIGHT_EYE, topology.LEFT_EYE, size), _disc(0.015 * between))
    change *= (share * (1 - eyes))[..., None]
    return np.asarray(np.clip(np.rint(np.exp(level + change) - 8), 0, 255), np.uint8)


def _with_eyes_alike(
    crop: np.ndarray, points: np.ndarray, between: float, skin: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """The portrait (S, S, 3) uint8 with what is dark beside one eye alone replaced by what is beside the other.

    skin (S, S) uint8: where both halves tell how they are lit; hidden (S, S) uint8: what else the other half shows.
    """
    size = crop.shape[0]
    triangles = topology.triangles(holes=False)
    raster = render.rasterise(points, triangles, (size, size))
    if not raster.ids.size:
        return crop
    maps = render.affine_maps(points, points[topology.mirror()], triangles)
    other = np.zeros((size, size, 3), np.float32)
    other[raster.window] = render.Pyramid(crop, 1).sample(render.lookup(raster, maps), 1.0)
    there = np.zeros((size, size), np.float32)
    there[raster.window] = raster.ids >= 0
    own = crop.astype(np.float32)
    broad = spread(np.concatenate([own, other], 2), there * skin, 0.15 * between)
    other *= np.clip((broad[..., :3] + 8) / (broad[..., 3:] + 8), 0.5, 2.0)
    ring, eyes = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    for eye in (topology.RIGHT_EYE, topology.LEFT_EYE):
        whole = _hull(points, eye, size)
        ring |= cv2.dilate(whole, _disc(0.12 * between))
        eyes |= cv2.dilate(whole, _disc(0.015 * between))
    luma = [cv2.GaussianBlur(i @ _LUMA, (0, 0), max(0.6, 0.015 * between)) + 16 for i in (own, other)]
    darker = smoothstep(luma[1] / luma[0] - 1, *_DARKER) * (ring & (1 - eyes)) * there
    share = cv2.GaussianBlur(cv2.dilate(darker, _disc(0.015 * between)), (0, 0), max(0.6, 0.012 * between))
    hidden = cv2.dilate(hidden, _disc(0.05 * between)) * there
    share = np.maximum(share, cv2.GaussianBlur(hidden, (0, 0), max(0.6, 0.03 * between)))
    share = (share * (1 - eyes))[..., None]
    return np.asarray(np.clip(np.rint(own + share * (other - own)), 0, 255), np.uint8)


def _without_glare(crop: np.ndarray, points: np.ndarray, between: float, skin: np.ndarray) -> np.ndarray:
    """The portrait (S, S, 3) uint8 with skin grown over what is paler around the eyes than skin is, and no darker: the
    glare of rims that is left between brows and lids. skin (S, S) uint8: where it is sure to be.
    """
    size = crop.shape[0]
    pupils = _pupils(points)
    eyes = cv2.dilate(_either(points, topology.RIGHT_EYE, topology.LEFT_EYE, size), _disc(_EYES * between))
    zone = _zone(pupils, (pupils[1] - pupils[0]) / between, between, size) & _hull(points, topology.FACE_OVAL, size)
    own = crop.astype(np.float32)
    broad = spread(own, _lit_skin(crop, skin), 0.15 * between)
    hue, usual = (np.log((image[..., 2] + 16) / (image[..., 0] + 16)) for image in (own, broad))
    pale = smoothstep(hue - usual, *_PALE) * smoothstep(own @ _LUMA / (broad @ _LUMA + 1), 0.7, 0.85)
    pale = cv2.dilate(pale * (zone & (1 - eyes)), _disc(0.02 * between)) * (1 - eyes)
    if pale.max() < 0.5:
        return crop
    grown = spread(own, skin * (1 - pale), _FINE * between)
    share = cv2.GaussianBlur(pale, (0, 0), max(0.6, 0.01 * between))[..., None]
    return np.asarray(np.clip(np.rint(own + share * (grown - own)), 0, 255), np.uint8)


def _pupils(points: np.ndarray) -> np.ndarray:
    """(2, 2) float64, right and left."""
    return np.asarray(points[[topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0]], :2], np.float64)


def _zone(pupils: np.ndarray, axis: np.ndarray, between: float, size: int) -> np.ndarray:
    """Where glasses can be: an upright rectangle of the face's around its eyes."""
    left, right, above, below = (between * v for v in _ZONE)
    down = np.array([-axis[1], axis[0]])
    middle = pupils.mean(0)
    corners = [middle + x * axis + y * down for x, y in ((left, above), (right, above), (right, below), (left, below))]
    zone = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(zone, np.rint(np.array(corners) * 16).astype(np.int32), 1, shift=4)
    return zone


def _features(points: np.ndarray, between: float, size: int) -> np.ndarray:
    """Lines that every face has: eyes with their lids and lashes, brows, nostrils."""
    mask = np.zeros((size, size), np.uint8)
    for ring, margin in (
        (topology.RIGHT_EYE, 0.07),
        (topology.LEFT_EYE, 0.07),
        (topology.RIGHT_BROW, 0.0),
        (topology.LEFT_BROW, 0.0),
        (_NOSTRILS, 0.08),
    ):
        part = _hull(points, ring, size)
        mask |= cv2.dilate(part, _disc(margin * between)) if margin else part
    return mask


def _either(points: np.ndarray, right: tuple[int, ...], left: tuple[int, ...], size: int) -> np.ndarray:
    return _hull(points, right, size) | _hull(points, left, size)


def _hull(points: np.ndarray, ring: tuple[int, ...], size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(points[list(ring), :2].astype(np.float32))
    cv2.fillConvexPoly(mask, np.rint(hull * 16).astype(np.int32), 1, shift=4)
    return mask


_NOSTRILS = (48, 64, 98, 97, 2, 326, 327, 294, 278, 4)


def _disc(radius: float) -> np.ndarray:
    r = max(1, round(radius))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
