"""What a face looks like, coarsely, and the mask of what comes before it: hands, microphones, cups.

A look is a small picture of the face in the coordinates of a mean face: per cell of a coarse grid colour, detail and
how much of the cell is turned towards the viewer. The median of the looks around a frame is what the bare face looks
like there, as long as nothing stands before it for most of the time; their spread says how much expression changes it.
A frame's own look, freed of broad changes of light, is compared with that (`evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vidswap.compiled import compiled

from . import alignment, render, texture, topology
from .landmarking import PictureLike
from .light import darkest_of_crop
from .matching import smoothstep
from .models import FaceModel

GRID = 32
"""Cells a side of the atlas."""
CHANNELS = 6
"""L, a, b (OpenCV's 8-bit Lab), detail, share of the cell that is seen (255: as from the front), score of a hand."""
HANDS_EVERY = 4
"""Hands are looked for in frames whose numbers are multiples of this."""
REACH = 60
"""Frames to either side that decide about a frame."""

SAMPLE_SIZE = 96
"""Pixels a side of the aligned crop that a look is taken of."""

_HAND_SIZE, _GUIDED = 192, 192


@dataclass(frozen=True)
class Cells:
    """The K cells of the grid that lie within the mesh.

    index (K,): their place in the flattened grid; corners (K, 3) landmarks and shares (K, 3) say where their middles
    lie on the mesh; area (K,): of their triangle, in squared cells; plain (K,) bool: skin that expression changes
    little, where something new is seen for sure; rim (K,) bool: on the outline; plane (K, 3): basis of
    broad light.
    """

    index: np.ndarray
    corners: np.ndarray
    shares: np.ndarray
    area: np.ndarray
    plain: np.ndarray
    rim: np.ndarray
    plane: np.ndarray


@cache
def cells() -> Cells:
    """The cells, once."""
    fine = 8
    points = texture.atlas_points(GRID).astype(np.float64)
    triangles = topology.triangles(holes=False)
    raster = render.rasterise(np.column_stack([points, np.zeros(len(points))]), triangles, (GRID, GRID))
    ids = np.full((GRID, GRID), -1, np.int64)
    ids[raster.window] = raster.ids
    index = np.flatnonzero(ids.ravel() >= 0)
    corners = triangles[ids.ravel()[index]]
    middle = np.stack([index % GRID, index // GRID], 1).astype(np.float64)
    a, b, c = (points[corners[:, i]] for i in range(3))
    whole = _cross(b - a, c - a)
    second, third = _cross(middle - a, c - a) / whole, _cross(b - a, middle - a) / whole
    outline = hulls((topology.FACE_OVAL,), fine)
    away = cv2.distanceTransform(outline, cv2.DIST_L2, 5) > 1.3 * fine
    rings = (topology.RIGHT_EYE, topology.LEFT_EYE, topology.LIPS_OUTER, topology.RIGHT_BROW, topology.LEFT_BROW)
    changing = hulls(rings, fine)
    changing = cv2.dilate(changing, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * fine + 1, 2 * fine + 1)))
    plain = cv2.resize((away & (changing == 0)).astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA) > 0.5
    rim = cv2.dilate((ids < 0).astype(np.uint8), np.ones((3, 3), np.uint8)).ravel()[index] > 0
    rim |= (index // GRID == GRID - 1) | (index // GRID == 0)
    plane = np.stack([np.ones(len(index)), middle[:, 0] / GRID * 2 - 1, middle[:, 1] / GRID * 2 - 1], 1)
    return Cells(
        index,
        corners,
        np.stack([1 - second - third, second, third], 1),
        whole,
        plain.ravel()[index],
        rim,
        plane.astype(np.float32),
    )


def hulls(rings: tuple[tuple[int, ...], ...], fine: int) -> np.ndarray:
    """(GRID * fine, GRID * fine) uint8: 1 within the convex hull of any ring of landmarks, in the atlas."""
    points = texture.atlas_points(GRID * fine).astype(np.float32)
    mask = np.zeros((GRID * fine, GRID * fine), np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [np.rint(cv2.convexHull(points[list(ring)]) * 16).astype(np.int32)], 1, shift=4)
    return mask


def laid(values: np.ndarray, rest: float = 0.0) -> np.ndarray:
    """(GRID, GRID) float32 of the cells' values (K,), `rest` where there are none."""
    grid = np.full(GRID * GRID, rest, np.float32)
    grid[cells().index] = values
    return grid.reshape(GRID, GRID)


def sample_look(
    picture: PictureLike, landmarks: np.ndarray, model: FaceModel | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(K, 6) uint8: the look of the face with landmarks (478, 3) in frame pixels; and (3,) float32, its darkest.

    A model looks for hands.
    """
    axes = alignment.ffhq_axes(landmarks)
    matrix = alignment.matrix_of_axes(axes, SAMPLE_SIZE)
    crop = picture.crop(matrix, (SAMPLE_SIZE, SAMPLE_SIZE))
    hands = None
    if model is not None:
        large = alignment.matrix_of_axes(axes, _HAND_SIZE)
        hands = model.hands(picture.crop(large, (_HAND_SIZE, _HAND_SIZE)))
        hands[:, :3] *= SAMPLE_SIZE / _HAND_SIZE
    points = alignment.transform(matrix, landmarks)
    return look_of_crop(crop, points, hands), darkest_of_crop(crop, points)


def look_of_crop(crop: np.ndarray, points: np.ndarray, hands: np.ndarray | None = None) -> np.ndarray:
    """(K, 6) uint8: the look of a face in a crop (S, S, 3) uint8 RGB with landmarks (478, 2 or 3) in its pixels.

    hands (N, 4): circles around hands, and their scores (`FaceModel.hands`).
    """
    of = cells()
    places, area = np.empty((len(of.index), 2), np.float32), np.empty(len(of.index))
    _lay(np.ascontiguousarray(points, np.float64), of.corners, of.shares, of.area, places, area)
    hand = np.zeros(len(places), np.float32)
    for x, y, radius, score in () if hands is None else hands:
        near = np.hypot(places[:, 0] - x, places[:, 1] - y) < radius
        hand = np.maximum(hand, near * np.float32(score))
    # As seen from the front a cell has about the median's area.
    usual = max(float(np.median(area)), 1e-3)
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    light = cv2.extractChannel(lab, 0)
    detail = cv2.blur(cv2.absdiff(light, cv2.GaussianBlur(light, (7, 7), 2.0)), (5, 5))
    channels = np.empty((*crop.shape[:2], 4), np.uint8)
    blurred = [cv2.GaussianBlur(lab, (5, 5), 1.2), cv2.convertScaleAbs(detail, alpha=4)]
    cv2.mixChannels(blurred, [channels], [0, 0, 1, 1, 2, 2, 3, 3])
    read = cv2.remap(channels, places[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    seen = np.clip(area / usual * 255, 0, 255)
    return np.concatenate([read, np.stack([seen, hand * 255], 1).astype(np.uint8)], 1)


@compiled("(float64[:,::1], int32[:,::1], float64[:,::1], float64[::1], float32[:,::1], float64[::1])")
def _lay(
    points: np.ndarray, corners: np.ndarray, shares: np.ndarray, whole: np.ndarray, places: np.ndarray, area: np.ndarray
) -> None:
    """Where points (478, 2 or 3) put the middles of cells (K, 2), and how large they make them (K,): see `Cells`."""
    for k in range(len(corners)):
        a, b, c = points[corners[k, 0]], points[corners[k, 1]], points[corners[k, 2]]
        for axis in range(2):
            places[k, axis] = a[axis] * shares[k, 0] + b[axis] * shares[k, 1] + c[axis] * shares[k, 2]
        area[k] = ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / whole[k]


def on_grid(column: np.ndarray) -> np.ndarray:
    """(GRID, GRID) float32 0..1 of a row of `occluded` (K,) uint8, carried on beyond the mesh."""
    grid = np.zeros(GRID * GRID, np.float32)
    grid[cells().index] = column.astype(np.float32) / 255
    known = np.zeros(GRID * GRID, np.float32)
    known[cells().index] = 1
    value, weight = (cv2.blur(g.reshape(GRID, GRID), (3, 3)) for g in (grid, known))
    inside = known.reshape(GRID, GRID) > 0
    return np.where(inside, grid.reshape(GRID, GRID), value / np.maximum(weight, 1e-3)).astype(np.float32)


def sampled(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(h, w) float32: a grid (GRID, GRID) float32 read linearly at places (h, w, 2) of `mask`; 0 off the face."""
    where = places * np.float32(GRID) - np.float32(0.5)
    read = cv2.remap(grid, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    read[places[..., 0] < -1] = 0
    return read


def mask(column: np.ndarray, places: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """(h, w) float32 0..1: what a row of `occluded` (K,) uint8 says, at full resolution and along edges of the image.

    places (h, w, 2) float32: where in the atlas each pixel lies, in atlases a side (0..1, edges of the outer cells);
    crop (h, w, 3) uint8: the image. A guided filter (He et al. 2013) whose guide is the one direction of colour that
    best tells what is covered from what is not.
    """
    nothing = np.zeros(places.shape[:2], np.float32)
    if not column.any():
        return nothing
    coarse = sampled(on_grid(column), places)
    height, width = coarse.shape
    scale = min(1.0, _GUIDED / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    guess = cv2.resize(coarse, size, interpolation=cv2.INTER_AREA)
    image = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    reach = max(2, round(0.045 * max(size)))
    window = (2 * reach + 1, 2 * reach + 1)
    near = (4 * reach + 1, 4 * reach + 1)
    # Locally, so that a thing of two colours is told from skin on both of them.
    covered = cv2.blur(guess, near)[..., None]
    thing = cv2.blur(lab * guess[..., None], near) / np.maximum(covered, 1e-3)
    skin = cv2.blur(lab * (1 - guess[..., None]), near) / np.maximum(1 - covered, 1e-3)
    way = thing - skin
    guide = ((lab - skin) * way).sum(2) / np.maximum((way * way).sum(2), 12.0**2)
    guide = np.clip(guide, -0.5, 1.5)
    mean, mean_guess = cv2.blur(guide, window), cv2.blur(guess, window)
    variance = cv2.blur(guide * guide, window) - mean * mean
    slope = (cv2.blur(guide * guess, window) - mean * mean_guess) / (variance + 0.02)
    offset = mean_guess - slope * mean
    fine = cv2.blur(slope, window) * guide + cv2.blur(offset, window)
    fine = smoothstep(fine, 0.2, 0.6)
    # Whatever colours say, the filter moves the edge by a cell or two only.
    fine = np.clip(fine, cv2.erode(guess, _square(reach)), cv2.dilate(guess, _square(reach)))
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)


def _square(reach: int) -> np.ndarray:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])
