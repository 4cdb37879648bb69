"""The 12 region labels of E4S, painted from landmarks, the person's silhouette and the colour of the skin.

What landmarks outline (lips, mouth, eyes, brows, nose, face) is filled as polygons. The rest of the person's silhouette
is told apart by place and by colour: like the skin of the cheeks or unlike it, like what lies above the forehead or
unlike it. Glasses and earrings are never found; hats are hair, as far as they are unlike skin; clothes are background.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import topology

REGIONS = (
    "background",
    "lip",
    "eyebrows",
    "eyes",
    "hair",
    "nose",
    "skin",
    "ears",
    "belowface",
    "mouth",
    "eye_glass",
    "ear_rings",
)
"""Names of the labels 0..11; lip is the red of the lips, mouth is what lies between them, belowface is the neck."""

BACKGROUND, LIP, EYEBROWS, EYES, HAIR, NOSE, SKIN, EARS, BELOWFACE, MOUTH, EYE_GLASS, EAR_RINGS = range(12)

_COLOUR_SIDE = 128  # colours are judged at this size: finer detail is noise to them
_LAB_FLOOR = np.array([16.0, 5.0, 6.0], np.float32)  # least spread of a colour class in OpenCV's 8-bit Lab

_PAINTED = (
    (NOSE, topology.NOSE),
    (EYEBROWS, topology.RIGHT_BROW),
    (EYEBROWS, topology.LEFT_BROW),
    (EYES, topology.RIGHT_EYE),
    (EYES, topology.LEFT_EYE),
    (LIP, topology.LIPS_OUTER),
    (MOUTH, topology.LIPS_INNER),
)


def paint_regions(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """(S, S) uint8 labels of an upright crop.

    crop (S, S, 3) uint8 RGB; points (478, 2) landmarks in its pixels; person (S, S) float32, 0..1.
    """
    size = crop.shape[0]
    small = min(size, _COLOUR_SIDE)
    scale = small / size
    own = (points[:, :2] + 0.5) * scale - 0.5
    silhouette = cv2.resize(person, (small, small), interpolation=cv2.INTER_AREA)
    around = _around(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), own, silhouette)
    labels = _enlarged(around, size) if small < size else around
    face = _filled(points[list(topology.FACE_OVAL)], size) & ~((labels == HAIR) & _above_brows(points, size))
    labels[face] = SKIN
    for label, ring in _PAINTED:
        _fill(labels, points[list(ring)], label)
    return labels


def _around(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Hair, ears, neck and the skin above the outline, judged by place and colour, at the small size."""
    size = crop.shape[0]
    lab = cv2.cvtColor(cv2.GaussianBlur(crop, (5, 5), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    oval = _filled(points[list(topology.FACE_OVAL)], size)
    skin = _like(lab, _skin_sample(points, size))
    body = person > 0.5
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    top, chin = points[topology.FOREHEAD], points[topology.CHIN]
    left, right = float(points[234, 0]), float(points[454, 0])
    height, width = max(1.0, float(chin[1] - top[1])), max(1.0, abs(right - left))
    eye_y = float(points[list(topology.EYES), 1].mean())
    mouth_y = float(points[list(topology.LIPS_INNER), 1].mean())
    brow_y = float(points[list(topology.BROWS), 1].mean())

    crown = body & (y < eye_y) & ~skin & ~oval
    hair_like = _like(lab, crown) if crown.sum() >= 0.01 * size * size else np.zeros_like(body)
    beside = np.minimum(np.abs(x - left), np.abs(x - right)) < 0.2 * width
    under = (y > mouth_y) & (x > left) & (x < right)

    labels = np.zeros((size, size), np.uint8)
    labels[body & ~skin & ((y < chin[1]) | hair_like)] = HAIR
    labels[body & skin & under & ~oval] = BELOWFACE
    labels[body & skin & beside & (y > brow_y) & (y < mouth_y) & ~oval] = EARS
    # The outline ends near the hairline: light hair higher up is hair, however like skin it looks.
    labels[body & skin & (y <= brow_y) & ~oval] = HAIR
    arch = top[1] - 0.15 * height * (1.0 - ((x - 0.5 * (left + right)) / (0.5 * width)) ** 2)
    labels[body & skin & (y <= brow_y) & (y > arch) & ~oval] = SKIN
    # Only a fringe is hair within the outline: below the brows it is beard or shadow.
    labels[oval & ~(hair_like & ~skin & (y < brow_y))] = SKIN
    return cv2.medianBlur(labels, 5)


def _skin_sample(points: np.ndarray, size: int) -> np.ndarray:
    """Where skin is sure to be: cheeks, nose and the middle of the forehead, between brows and mouth."""
    mask = np.zeros((size, size), np.uint8)
    for ring in _SURE_SKIN:
        _fill(mask, points[list(ring)], 1)
    return mask > 0


_SURE_SKIN = (
    (116, 117, 118, 119, 100, 36, 206, 207, 187, 123),
    (345, 352, 411, 427, 426, 266, 329, 348, 347, 346),
    topology.NOSE,
    (108, 151, 337, 336, 9, 107),
)


def _like(lab: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Pixels (S, S) bool whose colour is one of the sample's: within three robust spreads of its median."""
    colours = lab[sample]
    if not len(colours):
        return np.zeros(lab.shape[:2], bool)
    # Some thousand colours tell a median as well as all of them.
    colours = colours[:: 1 + len(colours) // 2000]
    middle = np.median(colours, 0)
    spread = np.maximum(np.float32(1.4826) * np.median(np.abs(colours - middle), 0), _LAB_FLOOR)
    apart = (lab - middle) / spread
    apart *= apart
    return np.asarray(apart[..., 0] + apart[..., 1] + apart[..., 2] < 9.0)


def _enlarged(labels: np.ndarray, size: int) -> np.ndarray:
    """Labels at a larger size, with smooth borders: each pixel has the label with the largest interpolated share."""
    best = np.zeros((size, size), np.float32)
    result = np.zeros((size, size), np.uint8)
    for label in np.unique(labels):
        share = cv2.resize((labels == label).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        nearer = cv2.compare(share, best, cv2.CMP_GT)
        cv2.max(share, best, best)
        np.copyto(result, label, where=nearer.view(bool))
    return result


def _above_brows(points: np.ndarray, size: int) -> np.ndarray:
    return np.broadcast_to((np.arange(size) < points[list(topology.BROWS), 1].min())[:, None], (size, size))


def _filled(ring: np.ndarray, size: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    _fill(mask, ring, 1)
    return mask > 0


def _fill(labels: np.ndarray, ring: np.ndarray, label: int) -> None:
    cv2.fillPoly(labels, [np.round(ring[:, :2] * 16).astype(np.int32)], label, shift=4)
