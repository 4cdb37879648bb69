"""What a portrait does not show of a face and a target may: the nose's underside and wings, nostrils, lips that meet.

A portrait that looks straight or down shows the nose from above. Where a target shows it from below, stretched pixels
of the portrait would make a smooth lump of it; there the target's own picture is moved along with the mesh, in the
colours of the new skin around it. How much of it depends on the portrait, landmark by landmark, and for the nose on
whether the target shows its nostrils at all. These, which no portrait shows as another face turns them, are the
target's whenever it does. So are the corners of the mouth and the line between the lips for a portrait that bares its
teeth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from vidswap.compiled import compiled

from . import render, texture, topology
from .matching import smoothstep, spread
from .painting import held

# fmt: off
UNDERSIDE = (
    1, 19, 94, 2, 44, 125, 141, 97, 237, 241, 242, 218, 238, 239, 20, 79, 166, 60, 99, 219, 59, 75, 235, 240, 64, 98,
    274, 354, 370, 326, 457, 461, 462, 438, 458, 459, 250, 309, 392, 290, 328, 439, 289, 305, 455, 460, 294, 327,
)
"""Landmarks of the nose's underside, nostrils with it."""
WINGS = (48, 49, 64, 102, 131, 198, 209, 278, 279, 294, 331, 360, 420, 429)
"""Landmarks of the grooves beside the nose's wings."""
NOSTRILS = (79, 239, 238, 241, 20, 60, 59, 166, 309, 459, 458, 461, 250, 290, 289, 392)
# fmt: on
_TIP = (1, 44, 237, 218, 219, 235, 64, 274, 457, 438, 439, 455, 294)
_BASE = (2, 97, 98, 240, 326, 327, 460)

_MOUTH_REACH = 0.16  # of the mouth's width: how far around its corners they are borrowed
_EYES_REACH = 0.2  # in distances of the pupils: how far around eyes and brows
_LIDS_REACH, _LIDS_BROAD = 0.3, 0.03  # the same of what glasses hide beside the lids; how far that is smoothed
_GROWN = (0.2, 0.6)  # of skin that was grown over it: the portrait's own below, the target's above
_MOSTLY = (0.4, 0.7)  # of a brow or an eye that has to be hidden for the target's to be shown
_KNOWN = (0.25, 0.75)  # how far a portrait shows them: the target's below, its own above

_FACING = (0.25, 0.55)  # cosine of the angle to the viewer: unseen below, seen well enough above
_SHOWN = (0.2, 0.32)  # of `nostrils_facing`: hidden below, shown well enough above
_MARGIN = 0.2  # of the width of what is borrowed: so much skin beside it tells its colours
_SIDE, _BROAD = 32, 0.08  # pixels a side of the fields of colours; how far they are smoothed, in shares of it
_GAIN = (0.5, 2.0)


def unseen(landmarks: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: how far the target's picture stands in for the portraits' at a landmark of the mesh.

    landmarks (P, 478, 3): one person's portraits. What one of them shows, or shows of the other half, is seen.
    """
    facing = np.max([texture.facing(points) for points in landmarks], axis=0)
    facing = np.maximum(facing, facing[topology.mirror()])
    weights = np.zeros(topology.POINTS)
    below = [*UNDERSIDE, *WINGS]
    weights[below] = 1 - smoothstep(facing[below], *_FACING)
    # Towards the tip the portrait's nose begins; the lip below is skin, of which both show the same.
    weights[list(_TIP)] *= 0.5
    weights[list(_BASE)] = 1 - smoothstep(facing[list(_BASE)], _FACING[0], 0.9)
    weights[list(NOSTRILS)] = 1
    return weights


def unseen_lips(alpha: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: the same of the lips and of the corners of the mouth.

    alpha (T, T) float32 0..1: how far the portraits show the atlas.
    """
    places = texture.atlas_points(alpha.shape[0])
    sides = [places[i] for i in (topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER)]
    width = float(np.linalg.norm(sides[1] - sides[0]))
    near = np.min([np.linalg.norm(places - side, axis=1) for side in sides], axis=0) / (_MOUTH_REACH * width)
    zone = 1 - smoothstep(near, 0.5, 1.0)
    zone[list(topology.LIPS_INNER)] = 1
    zone[list(topology.IRISES)] = 0
    return zone * (1 - _shown(alpha))


def unseen_eyes(alpha: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: the same of brows and of the skin around the eyes, which dark glasses or hair may hide.

    alpha (T, T) float32 0..1: how far the portraits show the atlas.
    """
    places = texture.atlas_points(alpha.shape[0])
    between = float(np.linalg.norm(places[topology.LEFT_IRIS[0]] - places[topology.RIGHT_IRIS[0]]))
    hidden = 1 - _shown(alpha)
    weights = np.zeros(topology.POINTS)
    for ring in (topology.RIGHT_BROW, topology.LEFT_BROW, topology.RIGHT_EYE, topology.LEFT_EYE):
        # The end of a brow under hair is no reason for two people's brows in one.
        share = float(smoothstep(float(hidden[list(ring)].mean()), *_MOSTLY))
        near = np.linalg.norm(places[:, None] - places[list(ring)][None], axis=2).min(1) / (_EYES_REACH * between)
        weights = np.maximum(weights, share * (1 - smoothstep(near, 0.5, 1.0)))
    return np.asarray(weights * hidden, np.float64)


def grown_around_eyes(grown: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: the same of lids and the skin beside them, where the target wears no glasses.

    grown (T, T) float32 0..1: how far the atlas is what was grown over glasses (`texture.still_grown`). Lines of lids
    and brows are the portraits' own.
    """
    places = texture.atlas_points(grown.shape[0])
    if not grown.any():
        return np.zeros(topology.POINTS)
    between = float(np.linalg.norm(places[topology.LEFT_IRIS[0]] - places[topology.RIGHT_IRIS[0]]))
    near = np.linalg.norm(places[:, None] - places[list(topology.EYES)][None], axis=2).min(1) / (_LIDS_REACH * between)
    broad = cv2.GaussianBlur(grown, (0, 0), _LIDS_BROAD * between)
    here = cv2.remap(broad, places[None], None, cv2.INTER_LINEAR)[0]
    weights = smoothstep(here, *_GROWN) * (1 - smoothstep(near, 0.6, 1.0))
    weights[[*topology.EYES, *topology.BROWS, *topology.IRISES]] = 0
    return np.asarray(weights, np.float64)


def _shown(alpha: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: how well portraits that show the atlas by alpha (T, T) show its landmarks."""
    places = texture.atlas_points(alpha.shape[0])
    shown = cv2.remap(cv2.blur(alpha, (5, 5)), places[None], None, cv2.INTER_LINEAR)[0]
    return np.asarray(smoothstep(shown, *_KNOWN), np.float64)


def nostrils_facing(points: np.ndarray) -> float:
    """Mean cosine of the angle between the viewer and the triangles around the nostrils, by area, -1..1.

    points (478, 3): landmarks of a target. Some tenths from below, none where a face looks down.
    """
    corners = np.asarray(points, np.float64)[_around_nostrils()]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    whole = float(np.linalg.norm(normal, axis=1).sum())
    return float(normal[:, 2].sum()) / max(whole, 1e-12)


def hidden(nostrils: float) -> float:
    """0..1: how far nostrils that face the viewer so much, by `nostrils_facing`, are out of sight."""
    return 1 - float(smoothstep(nostrils, *_SHOWN))


@cache
def _around_nostrils() -> np.ndarray:
    triangles = topology.triangles(holes=False)
    return np.asarray(triangles[np.isin(triangles, NOSTRILS).sum(1) >= 2])


class Borrowed:
    """What is taken from the target, by weights (478,) of landmarks: the greatest of `unseen` and its like.

    bare (478,): the same where the target wears no glasses, of `grown_around_eyes`.
    """

    def __init__(self, weights: np.ndarray, bare: np.ndarray | None = None) -> None:
        own, weights = weights, weights if bare is None else np.maximum(weights, bare)
        triangles = topology.triangles(holes=False)
        some = np.flatnonzero((weights[triangles] > 0).any(1))
        self._weights = np.ascontiguousarray(own, np.float64)
        self._bare = None if bare is None or not bare.any() else np.ascontiguousarray(bare, np.float64)
        self._triangles = np.ascontiguousarray(triangles[some], np.int32)
        self._used = np.unique(self._triangles)
        # The row that -1 reads is that of no triangle.
        self._number = np.full(len(triangles) + 1, -1, np.int32)
        self._number[some] = np.arange(len(some))

    def lay(
        self,
        lit: np.ndarray,
        crop: np.ndarray,
        raster: render.Raster,
        shape: np.ndarray,
        points: np.ndarray,
        nostrils: float | None = None,
        worn: float = 0.0,
    ) -> None:
        """Lay the target's picture over `lit` (h, w, 3) uint8, the raster's window.

        crop (S, S, 3) uint8: the target; shape, points (478, 3): landmarks of the mesh and the target's own in its
        pixels; worn: how surely it wears glasses, 0..1; nostrils: what `nostrils_facing` says of them, if that is
        known. Of nostrils that are hidden nothing is taken: squeezed into a line, they are told from nothing, and what
        is read there is bright skin.
        """
        weights = self._weights.copy()
        nostrils = nostrils_facing(points) if nostrils is None else nostrils
        weights[[*UNDERSIDE, *WINGS]] = self._weights[[*UNDERSIDE, *WINGS]] * (1 - hidden(nostrils))
        if self._bare is not None:
            np.maximum(weights, self._bare * (1 - worn), out=weights)
        if not (weights > 0).any():
            return
        step, used = raster.step, shape[self._used, :2]
        margin = _MARGIN * float(np.ptp(used[:, 0]))
        low = np.floor((used.min(0) - margin) / step).astype(int) - (raster.x0, raster.y0)
        high = np.ceil((used.max(0) + margin) / step).astype(int) - (raster.x0, raster.y0) + 1
        x0, y0 = (int(v) for v in np.clip(low, 0, raster.ids.shape[::-1]))
        x1, y1 = (int(v) for v in np.clip(high, 0, raster.ids.shape[::-1]))
        ids = self._number[raster.ids[y0:y1, x0:x1]]
        if not (ids >= 0).any():
            return
        raster = replace(raster, x0=raster.x0 + x0, y0=raster.y0 + y0, ids=ids)
        corner = (raster.x0, raster.y0, step)
        shape, points = (np.ascontiguousarray(p[:, :2], np.float64) for p in (shape, points))
        share = np.zeros((ids.shape[0] * step, ids.shape[1] * step), np.float32)
        planes = _planes(shape, np.column_stack([points, weights]), self._triangles)
        _weigh(share, ids, corner, planes)
        # In the colours of the skin around, where both show the same.
        part = lit[y0 * step : y1 * step, x0 * step : x1 * step]
        scale = min(1.0, _SIDE / max(share.shape))
        size = (max(2, round(share.shape[1] * scale)), max(2, round(share.shape[0] * scale)))
        new, old = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (part, crop[raster.window]))
        weight = 1 - cv2.resize(share, size, interpolation=cv2.INTER_AREA)
        both = spread(np.concatenate([new, old], 2).astype(np.float32), weight * weight, _BROAD * size[0])
        gain = np.clip((both[..., :3] + 8) / (both[..., 3:] + 8), *_GAIN)
        _lay(lit, (x0 * step, y0 * step), share, ids, corner, planes, np.ascontiguousarray(crop), gain)


@compiled("(float64[:,::1], float64[:,::1], int32[:,::1])")
def _planes(shape: np.ndarray, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(M, 13) float32: for each of triangles (M, 3) over shape (V, 2) three planes a x + b y + c through the three
    columns of values (V, 3), and the least and greatest of the first two columns.

    A triangle without area has the values of its first corner.
    """
    result = np.empty((len(triangles), 13), np.float32)
    for m in range(len(triangles)):
        o, p, q = triangles[m, 0], triangles[m, 1], triangles[m, 2]
        ux, uy = shape[p, 0] - shape[o, 0], shape[p, 1] - shape[o, 1]
        vx, vy = shape[q, 0] - shape[o, 0], shape[q, 1] - shape[o, 1]
        area = ux * vy - uy * vx
        inverse = 1.0 / area if abs(area) > 1e-9 else 0.0
        for k in range(3):
            u, v = values[p, k] - values[o, k], values[q, k] - values[o, k]
            a, b = (u * vy - v * uy) * inverse, (v * ux - u * vx) * inverse
            result[m, 3 * k] = a
            result[m, 3 * k + 1] = b
            result[m, 3 * k + 2] = values[o, k] - a * shape[o, 0] - b * shape[o, 1]
        for k in range(2):
            result[m, 9 + 2 * k] = min(values[o, k], values[p, k], values[q, k])
            result[m, 10 + 2 * k] = max(values[o, k], values[p, k], values[q, k])
    return result


@compiled("(float32[:,::1], int32[:,::1], UniTuple(int64, 3), float32[:,::1])")
def _weigh(share: np.ndarray, ids: np.ndarray, corner: tuple[int, int, int], planes: np.ndarray) -> None:
    """Writes to share (h, w) what the third of planes (M, 13) says, held to 0..1, where ids (rows, columns) are >= 0.

    corner: x0, y0 in blocks of step x step pixels, and step.
    """
    x0, y0, step = corner
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            m = ids[y // step, x // step]
            if m >= 0:
                across, down = np.float32(x + x0 * step), np.float32(y + y0 * step)
                share[y, x] = held(planes[m, 6] * across + planes[m, 7] * down + planes[m, 8], np.float32(1))


@compiled(
    "(uint8[:,:,::1], UniTuple(int64, 2), float32[:,::1], int32[:,::1], UniTuple(int64, 3), float32[:,::1],"
    " uint8[:,:,::1], float32[:,:,::1])"
)
def _lay(
    lit: np.ndarray,
    place: tuple[int, int],
    share: np.ndarray,
    ids: np.ndarray,
    corner: tuple[int, int, int],
    planes: np.ndarray,
    crop: np.ndarray,
    gain: np.ndarray,
) -> None:
    """Mixes into lit (H, W, 3), from a place (x, y) on, as much as share (h, w) says of crop (S, S, 3), times a field
    gain (gh, gw, 3).

    planes (M, 13): the first two say which place of the crop is read, never beyond the triangle's box; ids, corner: see
    `_weigh`. Crop and gain are read linearly.
    """
    x0, y0, step = corner
    half, one = np.float32(0.5), np.float32(1)
    most_x, most_y = np.float32(crop.shape[1] - 1), np.float32(crop.shape[0] - 1)
    wide, tall = np.float32(gain.shape[1] / share.shape[1]), np.float32(gain.shape[0] / share.shape[0])
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            m, some = ids[y // step, x // step], share[y, x]
            if m < 0 or some <= 0:
                continue
            own_x, own_y = np.float32(x + x0 * step), np.float32(y + y0 * step)
            across = planes[m, 0] * own_x + planes[m, 1] * own_y + planes[m, 2]
            down = planes[m, 3] * own_x + planes[m, 4] * own_y + planes[m, 5]
            across = held(min(max(across, planes[m, 9]), planes[m, 10]), most_x)
            down = held(min(max(down, planes[m, 11]), planes[m, 12]), most_y)
            left, above = min(int(across), crop.shape[1] - 2), min(int(down), crop.shape[0] - 2)
            u, v = across - np.float32(left), down - np.float32(above)
            g = held((np.float32(x) + half) * wide - half, np.float32(gain.shape[1] - 1))
            h = held((np.float32(y) + half) * tall - half, np.float32(gain.shape[0] - 1))
            gain_left, gain_above = min(int(g), gain.shape[1] - 2), min(int(h), gain.shape[0] - 2)
            s, t = g - np.float32(gain_left), h - np.float32(gain_above)
            for k in range(3):
                upper = crop[above, left, k] * (one - u) + crop[above, left + 1, k] * u
                lower = crop[above + 1, left, k] * (one - u) + crop[above + 1, left + 1, k] * u
                first = gain[gain_above, gain_left, k] * (one - s) + gain[gain_above, gain_left + 1, k] * s
                second = gain[gain_above + 1, gain_left, k] * (one - s) + gain[gain_above + 1, gain_left + 1, k] * s
                seen = (upper + v * (lower - upper)) * (first + t * (second - first))
                before = np.float32(lit[y + place[1], x + place[0], k])
                lit[y + place[1], x + place[0], k] = np.uint8(
                    before + some * (held(seen, np.float32(255)) - before) + half
                )
