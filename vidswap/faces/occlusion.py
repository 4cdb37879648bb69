"""What stands before the target's face: hair, the rims of glasses, whatever is not the person.

Judged on the one frame: nothing is remembered. Hair is what the region labels call so, and dark strands that join it
from the side; glasses are looked for where they must be seen if there are any, as a line across the bridge of the nose,
and only then their rims around the eyes. Whether a line there is a rim, or a brow or a crease, is better told over
time: coarse pictures of where rims were found (`sample_rims`), once they are smoothed, choose among the lines.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from . import topology
from .detection import PictureLike
from .matching import median, share_of_way, smoothstep, spread
from .regions import BACKGROUND, HAIR, shrunk

_COLOUR_SIDE = 128
_SPECK = 1.5  # pixels of that: smaller spots of hair count less
_HIDES = np.zeros(256, np.uint8)
_HIDES[[HAIR, BACKGROUND]] = 255
_BRIDGE = (24, 40)  # px: width and height of the patch over the bridge of the nose
RIMS = (32, 48)
"""Rows and columns of the coarse pictures of where rims are."""
_AROUND, _HIGH = 2.5, 0.45  # width of those pictures in distances of the eyes; where in their height the eyes lie
_FINER = 7  # times: rims are looked for at so much more than their size
_SURE = 2.0
_CORNERS = (
    (topology.RIGHT_EYE_OUTER, topology.RIGHT_EYE_INNER),
    (topology.LEFT_EYE_INNER, topology.LEFT_EYE_OUTER),
)
_LINE = 5  # px of the patch: a line is thinner than this
# fmt: off
_EYEWEAR_ZONE = (
    127, 34, 143, 116, 50, 36, 5, 266, 280, 345, 372, 264, 356, 276, 283, 282, 295, 285, 55, 65, 52, 53, 46,
)
# fmt: on
_CHEEKS = ((117, 118, 101, 36, 205, 50), (346, 280, 425, 266, 330, 347), (9, 107, 108, 151, 337, 336), topology.NOSE)
_FEATURES = (
    topology.RIGHT_EYE,
    topology.LEFT_EYE,
    topology.LIPS_OUTER,
    topology.NOSE,
    # Inner parts of the brows: the tails end where hair may hang.
    (105, 66, 107, 55, 65, 52),
    (336, 296, 334, 282, 295, 285),
)


def free_face(
    crop: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    person: np.ndarray,
    worn: float | None = None,
    rims_told: np.ndarray | None = None,
) -> np.ndarray:
    """(S, S) float32: 1 where the target's face may be replaced, 0 where something stands before it.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) in its pixels; regions (S, S) labels; person (S, S) 0..1;
    worn, rims_told: what `eyewear` and `sample_rims` say, if that is known.
    """
    size = crop.shape[0]
    sigma = max(0.7, 0.006 * size)
    # What is blurred by some pixels needs no finer grid than that.
    step = next((s for s in (4, 2) if sigma >= 1.1 * s and size % s == 0), 1)
    side = size // step
    hidden = shrunk(cv2.LUT(regions, _HIDES), side).astype(np.float32) * np.float32(1 / 255)
    left = math.sqrt(sigma**2 - (step**2 - 1) / 4) / step
    hidden = smoothstep(cv2.GaussianBlur(hidden, (0, 0), left), 0.15, 0.7)
    there = smoothstep(cv2.GaussianBlur(shrunk(person, side), (0, 0), left), 0.2, 0.6)
    free = (1 - hidden) * there * (1 - hair_beside(crop, points, regions, out=side))
    if step > 1:
        free = cv2.resize(free, (size, size), interpolation=cv2.INTER_LINEAR)
    worn = eyewear(crop, points) if worn is None else worn
    if worn > 0:
        window, lines = _rims(crop, points, rims_told)
        free[window] *= 1 - np.float32(worn) * lines
    return free


def hair_beside(
    crop: np.ndarray,
    points: np.ndarray,
    regions: np.ndarray,
    reach: float = 0.22,
    share: tuple[float, float] = (0.35, 0.7),
    inside: bool = False,
    out: int | None = None,
) -> np.ndarray:
    """(S, S) float32, 0..1: hair that falls over the outline from outside, told by colour from the skin beside it.

    Only within `reach` (in distances between the outer corners of the eyes) of hair outside of the outline: a beard,
    which has skin below it, stays a part of the face. `share`: how far a colour must be on its way from skin to hair,
    for none and for all of it. With `inside` hair within the outline counts as well, and only what is above the
    lower edge of the brows is looked at. `out`: side of the result, if not S.
    """
    size = crop.shape[0]
    side = min(size, _COLOUR_SIDE)
    scale = side / size
    size = size if out is None else out
    nothing = np.zeros((size, size), np.float32)
    small = shrunk(crop, side)
    own = ((points[:, :2] + 0.5) * scale - 0.5).astype(np.float32)
    oval = _filled(own, (topology.FACE_OVAL,), side)
    down = np.arange(side)[:, None]
    labelled = cv2.resize(regions, (side, side), interpolation=cv2.INTER_NEAREST) == HAIR
    # What is dark beside the chin is a collar as often as hair.
    jaw = 0.25 * own[topology.FOREHEAD, 1] + 0.75 * own[topology.CHIN, 1]
    outside = (labelled if inside else labelled & (oval == 0)) & (down < jaw)
    between = float(np.linalg.norm(own[topology.RIGHT_EYE_OUTER] - own[topology.LEFT_EYE_OUTER]))
    disc = _disc(max(1, round(reach * between)))
    # Soft, so that a few pixels of hair that come and go do not switch all that is dark around them.
    grown = cv2.dilate(cv2.GaussianBlur(outside * np.uint8(255), (0, 0), _SPECK), disc)
    near = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), max(0.5, 0.25 * reach * between))
    near *= oval * np.float32(1 / 255)
    if inside:
        near = near * (down < own[list(topology.BROWS), 1].max())
    skin = _filled(own, _CHEEKS, side) & (near < 0.5)
    if outside.sum() < 8 or skin.sum() < 16:
        return nothing
    features = cv2.dilate(_filled(own, _FEATURES, side), _disc(max(1, round(0.09 * between))))
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    rim = outside & (cv2.dilate(oval, disc) > 0)
    hair = median(lab[rim if rim.sum() >= 8 else outside])
    along = share_of_way(lab, spread(lab, skin.astype(np.float32), 0.12 * side), hair)
    strands = smoothstep(along, *share) * near * (1 - features)
    strands = cv2.GaussianBlur(strands.astype(np.float32), (0, 0), 0.8)
    return np.clip(cv2.resize(strands, (size, size), interpolation=cv2.INTER_LINEAR) * 1.3, 0, 1)


def sample_eyewear(picture: PictureLike, landmarks: np.ndarray) -> float:
    """0..1: what `eyewear` says of the face with landmarks (478, 3) in pixels of the frame."""
    inner = landmarks[[topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER], :2].astype(np.float64)
    across = inner[1] - inner[0]
    length = float(np.hypot(*across))
    if length < 3:
        return 0.0
    # No more than the bridge, upright, and no finer than it is looked at.
    scale = min(1.0, _BRIDGE[0] / (0.6 * length))
    cos, sin = scale * across / length
    size = (math.ceil(0.6 * scale * length) + 8, math.ceil(1.5 * scale * length) + 8)
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    matrix[:, 2] = (np.array(size) - 1) / 2 - matrix[:, :2] @ inner.mean(0)
    return eyewear(picture.crop(matrix, size), landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2])


def eyewear(crop: np.ndarray, points: np.ndarray) -> float:
    """0..1: how surely glasses are worn, by a line across the bridge of the nose, which is otherwise plain skin."""
    width, height = _BRIDGE
    inner, other = (points[i, :2].astype(np.float64) for i in (topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER))
    across = other - inner
    if float(np.hypot(*across)) < 3:
        return 0.0
    down = np.array([-across[1], across[0]])
    origin = inner + 0.2 * across - 0.75 * down
    step_x, step_y = 0.6 * across / (width - 1), 1.5 * down / (height - 1)
    matrix = np.stack([step_x, step_y, origin], 1)
    patch = cv2.warpAffine(
        crop, matrix, _BRIDGE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    # A median along the line: neither a crease nor a highlight runs all across.
    rows = median(np.ascontiguousarray(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).T.astype(np.float32)))[:, None]
    usual = max(float(median(rows.ravel())), 8.0)
    dark = cv2.morphologyEx(rows, cv2.MORPH_CLOSE, np.ones((_LINE, 1), np.uint8)) - rows
    thin = float(dark[3:-3].max()) / usual
    thick = 1 - float(rows[6:-6].min()) / usual
    return float(max(smoothstep(thin, 0.09, 0.2), smoothstep(thick, 0.6, 0.75)))


def rims(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: thin dark or bright structures around the eyes, brows and lids left out."""
    result = np.zeros(crop.shape[:2], np.float32)
    window, lines = _rims(crop, points)
    result[window] = lines
    return result


def sample_rims(picture: PictureLike, landmarks: np.ndarray) -> np.ndarray:
    """RIMS uint8, 255 where rims are found in an upright rectangle around the eyes: of the face with landmarks (478, 3)
    in pixels of the frame. For a face that wears glasses.
    """
    rows, columns = RIMS
    matrix = np.asarray(_rims_matrix(landmarks) * _FINER, np.float64)
    matrix[:, 2] += (_FINER - 1) / 2
    crop = picture.crop(matrix, (columns * _FINER, rows * _FINER))
    points = landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    found = np.zeros(crop.shape[:2], np.float32)
    window, lines, between = _lines(crop, points, cv2.MORPH_RECT)
    if lines.size:
        found[window] = cv2.dilate(_long(lines, between), np.ones((_FINER, _FINER), np.uint8))
    return np.rint(255 * cv2.resize(found, (columns, rows), interpolation=cv2.INTER_AREA)).astype(np.uint8)


def _rims_matrix(points: np.ndarray) -> np.ndarray:
    """(2, 3) float64: from pixels of points (478, 2 or 3) to those of a picture of size RIMS around the eyes."""
    corners = points[[*_CORNERS[0], *_CORNERS[1]], :2].astype(np.float64).reshape(2, 2, 2).mean(1)
    across = corners[1] - corners[0]
    scale = RIMS[1] / _AROUND / max(float(np.hypot(*across)), 1e-6)
    cos, sin = scale * across / max(float(np.hypot(*across)), 1e-6)
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    middle = np.array([(RIMS[1] - 1) / 2, _HIGH * (RIMS[0] - 1)])
    matrix[:, 2] = middle - matrix[:, :2] @ corners.mean(0)
    return matrix


def _rims(
    crop: np.ndarray, points: np.ndarray, told: np.ndarray | None = None
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The rows and columns that `rims` are looked for in, and what it says there; told: see `sample_rims`."""
    window, lines, between = _lines(crop, points)
    if not lines.size:
        return window, lines
    if told is None:
        lines = _long(lines, between)
    else:
        matrix = _rims_matrix(points)
        matrix[:, 2] += matrix[:, :2] @ (window[1].start, window[0].start)
        size, flags = (lines.shape[1], lines.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # What was found half of the time is half a rim, always.
        lines = lines * np.minimum(cv2.warpAffine(told, matrix, size, flags=flags) * np.float32(_SURE / 255), 1)
    grown = cv2.dilate(lines, _disc(max(1, round(0.008 * between))))
    return window, cv2.GaussianBlur(grown, (0, 0), 0.8)


def _lines(
    crop: np.ndarray, points: np.ndarray, form: int = cv2.MORPH_ELLIPSE
) -> tuple[tuple[slice, slice], np.ndarray, float]:
    """The rows and columns around the eyes, thin lines there (h, w) float32 0..1, and the distance of the pupils.

    form: OpenCV's name of what a line is thinner than; a square is much quicker than a disc.
    """
    own = points[:, :2].astype(np.float32)
    between = float(np.linalg.norm(own[468] - own[473]))
    x0, y0, x1, y1 = _bounds(own[list(_EYEWEAR_ZONE)], crop.shape[:2])
    window = (slice(y0, y1), slice(x0, x1))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return window, np.zeros((max(0, y1 - y0), max(0, x1 - x0)), np.float32), between
    part = cv2.cvtColor(crop[window], cv2.COLOR_RGB2GRAY)
    own -= np.array((x0, y0), np.float32)
    reach = max(1, round(0.055 * between))
    kernel = cv2.getStructuringElement(form, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.morphologyEx(part, cv2.MORPH_CLOSE, kernel).astype(np.float32)
    dark = (closed - part) / (closed + 16)
    bright = cv2.morphologyEx(part, cv2.MORPH_TOPHAT, kernel).astype(np.float32) / (part.astype(np.float32) + 16)
    lines = np.maximum(smoothstep(dark, 0.12, 0.28), smoothstep(bright, 0.14, 0.28))
    zone = np.zeros(part.shape, np.uint8)
    hull = cv2.convexHull(own[list(_EYEWEAR_ZONE)])
    cv2.fillPoly(zone, [np.rint(hull * 16).astype(np.int32)], 1, shift=4)
    brows = _filled(own, (topology.RIGHT_BROW, topology.LEFT_BROW), part.shape)
    features = cv2.dilate(brows, _disc(max(1, round(0.02 * between))))
    eyes = _filled(own, (topology.RIGHT_EYE, topology.LEFT_EYE), part.shape)
    features |= cv2.dilate(eyes, _disc(max(1, round(0.05 * between))))
    return window, lines * (zone & (1 - features)), between


def _long(lines: np.ndarray, between: float) -> np.ndarray:
    """Lines (h, w) without those that are short: a rim is long; what is left of a brow or a crease is not."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.25).astype(np.uint8), connectivity=8)
    extent = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    return np.asarray(lines * (extent >= 0.25 * between)[labels])


def _bounds(points: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    size = np.array(shape[::-1])
    x0, y0 = np.clip(np.floor(points.min(0)) - 4, 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(points.max(0)) + 5, 0, size).astype(int).tolist()
    return x0, y0, x1, y1


def _filled(points: np.ndarray, rings: tuple[tuple[int, ...], ...], size: int | tuple[int, ...]) -> np.ndarray:
    mask = np.zeros((size, size) if isinstance(size, int) else size, np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [np.rint(points[list(ring)] * 16).astype(np.int32)], 1, shift=4)
    return mask


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
