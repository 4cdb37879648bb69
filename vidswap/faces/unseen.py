"""What a portrait does not show of a face and a target may: the underside of the nose, and the nostrils.

A portrait that looks straight or down shows the nose from above. Where a target shows it from below, stretched pixels
of the portrait would make a smooth lump of it; there the target's own picture is moved along with the mesh, in the
colours of the new skin around it. How much of it depends on the portrait alone, landmark by landmark, so that nothing
of it changes from frame to frame but where the landmarks lie. Nostrils, which no portrait shows as another face turns
them, are always the target's.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from . import render, texture, topology
from .matching import smoothstep, spread

# fmt: off
UNDERSIDE = (
    1, 19, 94, 2, 44, 125, 141, 97, 237, 241, 242, 218, 238, 239, 20, 79, 166, 60, 99, 219, 59, 75, 235, 240, 64, 98,
    274, 354, 370, 326, 457, 461, 462, 438, 458, 459, 250, 309, 392, 290, 328, 439, 289, 305, 455, 460, 294, 327,
)
"""Landmarks of the nose's underside, nostrils with it."""
NOSTRILS = (79, 239, 238, 241, 20, 60, 59, 166, 309, 459, 458, 461, 250, 290, 289, 392)
# fmt: on
_TIP = (1, 44, 237, 218, 219, 235, 64, 274, 457, 438, 439, 455, 294)
_BASE = (2, 97, 98, 240, 326, 327, 460)

_FACING = (0.25, 0.55)  # cosine of the angle to the viewer: unseen below, seen well enough above
_SIDE = 24  # pixels: fields of colour are made no finer
_GAIN = (0.5, 2.0)


def unseen(landmarks: np.ndarray) -> np.ndarray:
    """(478,) float64 0..1: how far the target's picture stands in for the portraits' at a landmark of the mesh.

    landmarks (P, 478, 3): one person's portraits. What one of them shows, or shows of the other half, is seen.
    """
    facing = np.max([texture.facing(points) for points in landmarks], axis=0)
    facing = np.maximum(facing, facing[topology.mirror()])
    weights = np.zeros(topology.POINTS)
    below = list(UNDERSIDE)
    weights[below] = 1 - smoothstep(facing[below], *_FACING)
    # Towards the tip the portrait's nose begins; the lip below is skin, of which both show the same.
    weights[list(_TIP)] *= 0.5
    weights[list(_BASE)] = 1 - smoothstep(facing[list(_BASE)], _FACING[0], 0.9)
    weights[list(NOSTRILS)] = 1
    return weights


def borrow(
    lit: np.ndarray,
    crop: np.ndarray,
    raster: render.Raster,
    shape: np.ndarray,
    points: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Lay the target's picture over `lit` (h, w, 3) uint8, the raster's window, where landmarks have weights (478,).

    crop (S, S, 3) uint8: the target; shape, points (478, 3): landmarks of the mesh and the target's own in its pixels.
    """
    triangles = topology.triangles(holes=False)
    some = np.flatnonzero((weights[triangles] > 0).any(1))
    if not len(some):
        return
    step, used = raster.step, shape[np.unique(triangles[some]), :2]
    margin = 0.35 * float(np.ptp(used[:, 0]))
    low = np.floor((used.min(0) - margin) / step).astype(int) - (raster.x0, raster.y0)
    high = np.ceil((used.max(0) + margin) / step).astype(int) - (raster.x0, raster.y0) + 1
    x0, y0 = (int(v) for v in np.clip(low, 0, raster.ids.shape[::-1]))
    x1, y1 = (int(v) for v in np.clip(high, 0, raster.ids.shape[::-1]))
    # The row that -1 reads is that of no triangle.
    number = np.full(len(triangles) + 1, -1, np.int32)
    number[some] = np.arange(len(some))
    raster = replace(raster, x0=raster.x0 + x0, y0=raster.y0 + y0, ids=number[raster.ids[y0:y1, x0:x1]])
    ids = raster.ids if step == 1 else raster.ids.repeat(step, 0).repeat(step, 1)
    rows, columns = np.nonzero(ids >= 0)
    if not len(rows):
        return
    wanted = rows * ids.shape[1] + columns
    level = np.stack([weights, np.zeros_like(weights)], 1)
    share = np.clip(render.read_at(raster, render.affine_maps(shape, level, triangles[some]), wanted)[:, :1], 0, 1)
    own_maps = render.affine_maps(shape, points, triangles[some])
    own = render.sample_some(crop, raster, own_maps, wanted).astype(np.float32)

    # In the colours of the skin around, where both show the same.
    part = lit[y0 * step : y1 * step, x0 * step : x1 * step]
    around = np.ones(ids.shape, np.float32)
    around[rows, columns] = 1 - share[:, 0]
    scale = min(1.0, _SIDE / max(ids.shape))
    size = (max(2, round(ids.shape[1] * scale)), max(2, round(ids.shape[0] * scale)))
    new, old, weight = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (part, crop[raster.window], around))
    both = spread(np.concatenate([new, old], 2).astype(np.float32), weight * weight, 0.15 * size[0])
    gain = np.clip((both[..., :3] + 8) / (both[..., 3:] + 8), *_GAIN)
    own *= cv2.resize(gain, ids.shape[::-1], interpolation=cv2.INTER_LINEAR)[rows, columns]
    behind = part[rows, columns].astype(np.float32)
    behind += share * (np.clip(own, 0, 255) - behind)
    part[rows, columns] = np.rint(behind)
