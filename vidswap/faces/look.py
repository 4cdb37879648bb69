"""What a face usually looks like, and where it looks unlike that: hands, microphones, cups that come before it.

A look is a small picture of the face in the coordinates of a mean face: per cell of a coarse grid colour, detail and
how much of the cell is turned towards the viewer. The median of the looks around a frame is what the bare face looks
like there, as long as nothing stands before it for most of the time; their spread says how much expression changes it.
A frame's own look, freed of broad changes of light, is compared with that.

Everything is a function of the looks of at most `REACH` frames to either side, taken at frames whose numbers are
multiples of a fixed step, so that a result is the same bits wherever a video is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from . import alignment, render, texture, topology
from .detection import PictureLike
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

_SAMPLE_SIZE, _HAND_SIZE, _GUIDED = 96, 192, 192
_ANCHOR, _STEP, _LINGER = 8, 4, 3
_LEAST_SAMPLES = 8
_SEEN, _LEAST_SEEN = 70, 30
_GREY = np.array([90, 128, 128, 3], np.float32)  # per channel: where light, as a factor, changes nothing
_CONTRAST = np.array([40, 10, 10, 2], np.float32)
_HELD = 2.0 * np.diag(np.array([0.001, 1, 1, 1], np.float32))
_FLOOR = np.array([8.0, 2.2, 2.4, 0.45], np.float32)  # least spread that counts as usual, per channel
_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.3], np.float32)
_SHADE = 10.0  # of lightness: as much as a fold of skin changes it
_SURE, _MAYBE, _LASTING = 2.6, (1.4, 2.2), (0.9, 1.6)  # spreads
_HAND = 0.5  # how much more a difference says where a hand was found
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_LEAST_CELLS, _LEAST_ENTERING, _MUCH = 9, 4, 5.0


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
    large = (texture.atlas_points(GRID * fine)).astype(np.float64)

    def filled(ring: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros((GRID * fine, GRID * fine), np.uint8)
        hull = cv2.convexHull(large[list(ring)].astype(np.float32))
        cv2.fillPoly(mask, [np.rint(hull * 16).astype(np.int32)], 1, shift=4)
        return mask

    outline = filled(topology.FACE_OVAL)
    away = cv2.distanceTransform(outline, cv2.DIST_L2, 5) > 1.3 * fine
    changing = np.zeros_like(outline)
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE, topology.LIPS_OUTER, topology.RIGHT_BROW, topology.LEFT_BROW):
        changing |= filled(ring)
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


def sample_look(picture: PictureLike, landmarks: np.ndarray, model: FaceModel | None = None) -> np.ndarray:
    """(K, 6) uint8: the look of the face with landmarks (478, 3) in frame pixels; a model looks for hands."""
    axes = alignment.ffhq_axes(landmarks)
    matrix = alignment.matrix_of_axes(axes, _SAMPLE_SIZE)
    crop = picture.crop(matrix, (_SAMPLE_SIZE, _SAMPLE_SIZE))
    hands = None
    if model is not None:
        large = alignment.matrix_of_axes(axes, _HAND_SIZE)
        hands = model.hands(picture.crop(large, (_HAND_SIZE, _HAND_SIZE)))
        hands[:, :3] *= _SAMPLE_SIZE / _HAND_SIZE
    return look_of_crop(crop, alignment.transform(matrix, landmarks), hands)


def look_of_crop(crop: np.ndarray, points: np.ndarray, hands: np.ndarray | None = None) -> np.ndarray:
    """(K, 6) uint8: the look of a face in a crop (S, S, 3) uint8 RGB with landmarks (478, 2 or 3) in its pixels.

    hands (N, 4): circles around hands, and their scores (`FaceModel.hands`).
    """
    of = cells()
    own = np.asarray(points, np.float64)[:, :2][of.corners]
    places = (own * of.shares[..., None]).sum(1).astype(np.float32)
    hand = np.zeros(len(places), np.float32)
    for x, y, radius, score in () if hands is None else hands:
        near = np.hypot(places[:, 0] - x, places[:, 1] - y) < radius
        hand = np.maximum(hand, near * np.float32(score))
    area = _cross(own[:, 1] - own[:, 0], own[:, 2] - own[:, 0]) / of.area
    # As seen from the front a cell has about the median's area.
    usual = max(float(np.median(area)), 1e-3)
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
    broad = cv2.GaussianBlur(lab, (5, 5), 1.2)
    detail = cv2.blur(cv2.absdiff(lab[..., :1], cv2.GaussianBlur(lab[..., :1], (7, 7), 2.0)), (5, 5))
    read = cv2.remap(
        np.dstack([broad, cv2.convertScaleAbs(detail, alpha=4)]),
        places[None],
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]
    seen = np.clip(area / usual * 255, 0, 255)
    return np.concatenate([read, np.stack([seen, hand * 255], 1).astype(np.uint8)], 1)


def occluded(frames: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """(N, K) uint8, 255 where something new stands before the face, of looks (N, K, 6) of one track at `frames` (N,).

    Rows need `REACH` frames to either side; frames ascend and may be missing.
    """
    frames = np.asarray(frames, np.int64)
    values, seen = _values(looks), looks[..., 4] >= _SEEN
    hands = _hands_around(frames, looks[..., 5])
    references: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}
    marks, scores = (np.zeros((len(frames), looks.shape[1]), np.float32) for _ in range(2))
    for row, frame in enumerate(frames):
        before = int(frame) // _ANCHOR * _ANCHOR
        for anchor in (before, before + _ANCHOR):
            if anchor not in references:
                references[anchor] = _reference(anchor, frames, values, seen)
        first, second = references[before], references[before + _ANCHOR]
        if first is None or second is None:
            continue
        share = np.float32((int(frame) - before) / _ANCHOR)
        middle, spread = (a + share * (b - a) for a, b in zip(first, second, strict=True))
        marks[row], scores[row] = _evidence(values[row], seen[row], hands[row], middle, spread)
    return _steadied(frames, marks, scores)


def on_grid(column: np.ndarray) -> np.ndarray:
    """(GRID, GRID) float32 0..1 of a row of `occluded` (K,) uint8, carried on beyond the mesh."""
    grid = np.zeros(GRID * GRID, np.float32)
    grid[cells().index] = column.astype(np.float32) / 255
    known = np.zeros(GRID * GRID, np.float32)
    known[cells().index] = 1
    value, weight = (cv2.blur(g.reshape(GRID, GRID), (3, 3)) for g in (grid, known))
    inside = known.reshape(GRID, GRID) > 0
    return np.where(inside, grid.reshape(GRID, GRID), value / np.maximum(weight, 1e-3)).astype(np.float32)


def mask(column: np.ndarray, places: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """(h, w) float32 0..1: what a row of `occluded` (K,) uint8 says, at full resolution and along edges of the image.

    places (h, w, 2) float32: where in the atlas each pixel lies, in atlases a side (0..1, edges of the outer cells);
    crop (h, w, 3) uint8: the image. A guided filter (He et al. 2013) whose guide is the one direction of colour that
    best tells what is covered from what is not.
    """
    nothing = np.zeros(places.shape[:2], np.float32)
    if not column.any():
        return nothing
    where = places * np.float32(GRID) - np.float32(0.5)
    coarse = cv2.remap(on_grid(column), where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    coarse[places[..., 0] < -1] = 0
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


def _hands_around(frames: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N, K) float32 0..1: hands that were found in the frames looked at before and after (N, K) uint8."""
    result = np.zeros(scores.shape, np.float32)
    for row, frame in enumerate(frames):
        low = np.searchsorted(frames, frame - HANDS_EVERY, "left")
        high = np.searchsorted(frames, frame + HANDS_EVERY, "right")
        looked = low + np.flatnonzero(frames[low:high] % HANDS_EVERY == 0)
        if len(looked):
            near = 1 - np.abs(frames[looked] - frame).astype(np.float32) / (2 * HANDS_EVERY)
            result[row] = smoothstep((scores[looked] * near[:, None]).max(0), 0.4 * 255, 0.7 * 255)
    return result


def _values(looks: np.ndarray) -> np.ndarray:
    """(..., K, 4) float32: L, a, b and the logarithm of detail."""
    result = looks[..., :4].astype(np.float32)
    result[..., 3] = np.log(result[..., 3] + 6)
    return result


def _reference(
    anchor: int, frames: np.ndarray, values: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Median and spread (K, 4) of what is seen within the reach of an anchor; None where that is too little."""
    low = np.searchsorted(frames, anchor - (REACH - _ANCHOR), "left")
    high = np.searchsorted(frames, anchor + (REACH - _ANCHOR), "right")
    rows = low + np.flatnonzero(frames[low:high] % _STEP == 0)
    if len(rows) < _LEAST_SAMPLES:
        return None
    there, some = seen[rows], values[rows]
    middle, _ = _median(some, there)
    for _ in range(2):
        some = values[rows] - _broad(values[rows] - middle, there, middle)
        middle, count = _median(some, there)
    spread, _ = _median(np.abs(some - middle), there)
    spread = np.maximum(1.4826 * spread, _FLOOR)
    # What was hardly ever seen cannot be told.
    spread[count < _LEAST_SAMPLES / 2] = 1e3
    return middle, spread


def _median(values: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, C) lower median of values (T, K, C) where (T, K) bool is true, and how many those were (K,)."""
    ordered = np.sort(np.where(there[..., None], values, np.float32(np.inf)), axis=0)
    count = there.sum(0)
    place = np.maximum(count - 1, 0) // 2
    found = np.take_along_axis(ordered, place[None, :, None], 0)[0]
    return np.where(np.isfinite(found), found, 0).astype(np.float32), count


def _broad(apart: np.ndarray, seen: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(R, K, C): the part of differences (R, K, C) from `middle` (K, C) that light explains, where nothing new stands.

    A plane, and a share of what is there: light is a factor. Outliers are left out (biweight, Tukey 1960).
    """
    rows, count, channels = apart.shape
    there = (middle - _GREY) / _CONTRAST
    lined = apart.transpose(2, 0, 1)
    fit = np.zeros_like(lined)
    for row in range(rows):
        if seen[row].sum() >= _LEAST_SEEN:
            fit[:, row] = np.median(apart[row][seen[row]], 0)[:, None]
    certain = seen.astype(np.float32)
    certain[seen.sum(1) < _LEAST_SEEN] = 0
    for channel in range(channels):
        basis = np.concatenate([cells().plane, there[:, channel : channel + 1]], 1)
        products = (basis[:, :, None] * basis[:, None, :]).reshape(count, -1)
        width = basis.shape[1]
        for _ in range(3):
            misfit = (lined[channel] - fit[channel]) * np.float32(1 / (2.5 * _FLOOR[channel]))
            weight = certain * (np.maximum(1 - misfit * misfit, 0) ** 2 + np.float32(1e-3))
            left = (weight @ products).reshape(rows, width, width) + _HELD
            right = (weight * lined[channel]) @ basis
            fit[channel] = np.linalg.solve(left, right[..., None])[..., 0] @ basis.T
    return np.asarray(fit.transpose(1, 2, 0), np.float32)


def _evidence(
    values: np.ndarray, seen: np.ndarray, hand: np.ndarray, middle: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) float32 0..1: how surely each cell shows something else than the face; and its distance in spreads (K,)."""
    of = cells()
    apart = values - middle
    apart = apart - _broad(apart[None], seen[None], middle)[0]
    # Folds and shadows of an expression are darker skin; things are much darker or brighter, or of another colour.
    shade = _SHADE * (1 - hand)
    apart[:, 0] = np.sign(apart[:, 0]) * np.maximum(np.abs(apart[:, 0]) - shade, 0)
    apart = apart / spread * _WEIGHTS
    score = np.sqrt((apart * apart).sum(1)) * seen * (1 + _HAND * hand)
    grid = np.zeros(GRID * GRID, np.float32)
    grid[of.index] = score
    inside = np.zeros(GRID * GRID, np.float32)
    inside[of.index] = seen
    around = cv2.GaussianBlur(np.stack([grid, inside], 1).reshape(GRID, GRID, 2), (3, 3), 0.7)
    smooth = (around[..., 0] / np.maximum(around[..., 1], 1e-3)).ravel()[of.index] * seen
    weak = np.zeros(GRID * GRID, np.uint8)
    weak[of.index] = smooth > _MAYBE[0]
    _, labels = cv2.connectedComponents(weak.reshape(GRID, GRID), connectivity=4)
    labels = labels.ravel()[of.index]
    sure = (smooth > _SURE) & of.plain
    strong = np.bincount(labels[sure], minlength=labels.max() + 1)
    kept = smoothstep(strong, 0.5 * _LEAST_CELLS, 1.5 * _LEAST_CELLS)
    # Things come from outside, or are much unlike the face; a frown is neither.
    clear, entering, much = (
        np.bincount(labels[chosen], minlength=labels.max() + 1)
        for chosen in (smooth > _MAYBE[1], (smooth > _MAYBE[1]) & of.rim, smooth > _MUCH)
    )
    kept *= np.maximum(smoothstep(entering, 0, _LEAST_ENTERING), smoothstep(much / np.maximum(clear, 1), 0.08, 0.2))
    kept[0] = 0
    grid[of.index] = kept[labels] * smoothstep(smooth, *_MAYBE)
    # What lies between parts of one thing is a part of it.
    closed = cv2.morphologyEx(grid.reshape(GRID, GRID), cv2.MORPH_CLOSE, _CLOSING)
    return closed.ravel()[of.index], smooth


def _steadied(frames: np.ndarray, marks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(N, K) uint8: marks (N, K) float32 that last, grown into the frames beside them where scores (N, K) permit."""
    result = np.zeros(marks.shape, np.uint8)
    for row, frame in enumerate(frames):
        low = int(np.searchsorted(frames, frame - _LINGER, "left"))
        high = int(np.searchsorted(frames, frame + _LINGER, "right"))
        offsets = np.abs(frames[low:high] - frame)
        taps = (1 + np.cos(np.pi * offsets / (_LINGER + 1))).astype(np.float32)
        mean = (marks[low:high] * taps[:, None]).sum(0) / taps.sum()
        lasting = np.minimum(1.6 * mean, 1) * smoothstep(scores[row], *_LASTING)
        result[row] = np.rint(255 * np.maximum(lasting, marks[row] * smoothstep(mean, 0.1, 0.4)))
    return result


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])
