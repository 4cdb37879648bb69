"""The light of a target's face on a rendered one: colours of skin, and broad gain and offset, as fields over it."""

from __future__ import annotations

import cv2
import numpy as np

from . import complexion, matching, painting, render, topology

_REACH = 0.12  # of the face's longer side: neighbourhood over which light is broad
_TELLING = 0.1  # of the skin: less that is not overexposed tells nothing of its colour

Light = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Mixing (3, 3) of the source's colours, then gain and offset (h, w, 3), fields over the raster's window."""


def light_on(
    here: np.ndarray,
    rendered: np.ndarray,
    raster: render.Raster,
    shape: np.ndarray,
    weight: np.ndarray,
    darkest: tuple[np.ndarray | None, np.ndarray],
    hair: np.ndarray | None,
) -> Light:
    """What brings rendered (h, w, 4) uint8, with its cover, into the light of `here` (h, w, 3) uint8, the target.

    raster: whose window both are; shape (478, 3) landmarks in pixels of the crop; weight (h, w) float32 0..1: where the
    rendered face is shown; darkest: the darkest (3,) of the target, if it is told, and of the source; hair (h, w) 0..1:
    where hairs hide the skin.
    """
    side = max(here.shape[:2])
    scale = min(1.0, matching.FIELD_SIDE / side)
    size = (max(2, round(here.shape[1] * scale)), max(2, round(here.shape[0] * scale)))
    target, source, small = painting.shrink_seen(np.ascontiguousarray(here), rendered, weight, (size[1], size[0]))
    features = np.zeros((size[1], size[0]), np.uint8)
    corner = (raster.x0 * raster.step, raster.y0 * raster.step)
    local = ((shape[:, :2] - corner + 0.5) * (size[0] / here.shape[1]) - 0.5).astype(np.float64)
    for ring in (topology.RIGHT_BROW, topology.LEFT_BROW, topology.RIGHT_EYE, topology.LEFT_EYE, topology.LIPS_OUTER):
        cv2.fillPoly(
            features, [np.rint(cv2.convexHull(local[list(ring)].astype(np.float32)) * 16).astype(np.int32)], 1, shift=4
        )
    features = cv2.dilate(features, np.ones((3, 3), np.uint8))
    skin = small * (1 - features.astype(np.float32))
    if hair is not None:
        # A beard is as dark as it is under any light.
        skin *= 1 - cv2.resize(hair, size, interpolation=cv2.INTER_AREA)
    blown = matching.overexposed(target, small)
    coloured = skin if blown is None else skin * (1 - blown.max(2))
    tells = blown is None or coloured.sum() > _TELLING * skin.sum()
    mixing = complexion.mixing(target, source, coloured if tells else skin)
    if blown is not None:
        hue = np.average((target if tells else source).reshape(-1, 3), 0, (coloured if tells else skin).ravel() + 1e-6)
        target = matching.beyond_white(target, blown, hue)
    source = cv2.transform(source, mixing)
    own = np.maximum(mixing @ darkest[1], 0)
    gain, offset = matching.light_field(target, source, skin, small, _REACH * max(size), (darkest[0], own))
    return mixing, gain, offset


def irises_in(light: Light, raster: render.Raster, shape: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """(2, 4) float32: the source's iris (4,) in the light on each eye, as `irises.recoloured` wants it.

    raster, shape: as for `light_on`.
    """
    mixing, gain, offset = light
    corner = (raster.x0 * raster.step, raster.y0 * raster.step)
    places = shape[[topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0]], :2] - corner
    height, width = raster.ids.shape
    scale = np.array([gain.shape[1] / (width * raster.step), gain.shape[0] / (height * raster.step)])
    columns, rows = np.clip((places * scale).astype(int), 0, (gain.shape[1] - 1, gain.shape[0] - 1)).T
    colours = np.clip((mixing @ iris[:3]) * gain[rows, columns] + offset[rows, columns], 0, 255)
    return np.column_stack([colours, np.full(2, iris[3])]).astype(np.float32)
