"""The 12 region labels of E4S, painted from landmarks, the person's silhouette and the colour of the skin.

What landmarks outline (lips, mouth, eyes, brows, nose, face) is filled as polygons. The rest of the person's silhouette
is told apart by place and by colour: like the skin of the cheeks or unlike it, like what lies above the forehead or
unlike it. Glasses and earrings are never found; hats are hair, as far as they are unlike skin; clothes are background.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidswap.compiled import compiled

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

_BESIDE_BROWS, _TEMPLE = 0.34, 0.44  # of the face's width from its middle: where brows end, and temples lie
_COLOUR_SIDE = 128  # colours are judged at this size: finer detail is noise to them
_SAMPLES = 2000
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


def preload() -> None:
    """Have OpenCV make its tables of Lab, which takes a tenth of a second: for a process of which copies are made."""
    cv2.cvtColor(np.zeros((1, 1, 3), np.uint8), cv2.COLOR_RGB2LAB)


def paint_regions(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """(S, S) uint8 labels of an upright crop.

    crop (S, S, 3) uint8 RGB; points (478, 2) landmarks in its pixels; person (S, S) float32, 0..1.
    """
    size = crop.shape[0]
    small = min(size, _COLOUR_SIDE)
    scale = small / size
    own = (points[:, :2] + 0.5) * scale - 0.5
    silhouette = shrunk(person, small)
    around = _around(shrunk(crop, small), own, silhouette)
    labels = _enlarged(around, size) if small < size else around
    # Above the brows the outline leaves a fringe as it is, and beside them what hangs over the temples.
    low, high = float(points[list(topology.BROWS), 1].min()), float(points[list(topology.EYES), 1].mean())
    left, right = float(points[234, 0]), float(points[454, 0])
    above = labels[: int(np.clip(np.ceil(max(low, high)), 0, size))]
    fringe = above == HAIR
    _under_fringe(fringe, low, high, 0.5 * (left + right), max(1.0, abs(right - left)))
    _fill(labels, points[list(topology.FACE_OVAL)], SKIN)
    above[fringe] = HAIR
    for label, ring in _PAINTED:
        _fill(labels, points[list(ring)], label)
    return labels


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """image (S, S[, C]) with `side` pixels a side, S or less: halved as often as that goes, linearly for the rest."""
    while image.shape[0] >= 2 * side and image.shape[0] % 2 == 0:
        half = image.shape[0] // 2
        image = cv2.resize(image, (half, half), interpolation=cv2.INTER_AREA)
    if image.shape[0] == side:
        return image
    # Less than a half, between neighbours: means over areas that are no whole pixels take ten times as long.
    fine = image.shape[0] < 2 * side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR if fine else cv2.INTER_AREA)


@compiled("(int64, float64, float64, float64, float64)")
def _fringe_end(x: float, brow: float, eye: float, middle: float, width: float) -> float:
    """How far down hair within the outline is hair and not beard or shadow: to the brows, beside them to the eyes."""
    aside = (abs(x - middle) / width - _BESIDE_BROWS) / (_TEMPLE - _BESIDE_BROWS)
    return brow + min(max(aside, 0.0), 1.0) * max(eye - brow, 0.0)


@compiled("(boolean[:,::1], float64, float64, float64, float64)")
def _under_fringe(fringe: np.ndarray, brow: float, eye: float, middle: float, width: float) -> None:
    """Clear fringe (h, w) bool below where a fringe may end."""
    for y in range(fringe.shape[0]):
        for x in range(fringe.shape[1]):
            if fringe[y, x] and y >= _fringe_end(x, brow, eye, middle, width):
                fringe[y, x] = False


def _around(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Hair, ears, neck and the skin above the outline, judged by place and colour, at the small size."""
    size = crop.shape[0]
    lab = cv2.cvtColor(cv2.GaussianBlur(crop, (5, 5), 0), cv2.COLOR_RGB2LAB)
    oval = np.zeros((size, size), np.uint8)
    _fill(oval, points[list(topology.FACE_OVAL)], 1)
    top, chin = points[topology.FOREHEAD], points[topology.CHIN]
    left, right = float(points[234, 0]), float(points[454, 0])
    levels = np.array(
        [
            *(points[list(ring), 1].mean() for ring in (topology.BROWS, topology.EYES, topology.LIPS_INNER)),
            float(chin[1]),
        ]
    )
    height, width = max(1.0, float(chin[1] - top[1])), max(1.0, abs(right - left))
    arch = np.array([float(top[1]), 0.15 * height, 0.5 * (left + right), 0.5 * width])
    labels = np.empty((size, size), np.uint8)
    _judged(lab, oval, _skin_sample(points, size), person, levels, left, right, width, arch, labels)
    result = np.empty_like(labels)
    _median_of_labels(labels, result)
    return result


def _skin_sample(points: np.ndarray, size: int) -> np.ndarray:
    """(S, S) uint8, 1 where skin is sure to be: cheeks, nose and the middle of the forehead, from brows to mouth."""
    mask = np.zeros((size, size), np.uint8)
    for ring in _SURE_SKIN:
        _fill(mask, points[list(ring)], 1)
    return mask


_SURE_SKIN = (
    (116, 117, 118, 119, 100, 36, 206, 207, 187, 123),
    (345, 352, 411, 427, 426, 266, 329, 348, 347, 346),
    topology.NOSE,
    (108, 151, 337, 336, 9, 107),
)


@compiled(
    "(uint8[:,:,::1], uint8[:,::1], uint8[:,::1], float32[:,::1], float64[::1], float64, float64, float64, "
    "float64[::1], uint8[:,::1])"
)
def _judged(
    lab: np.ndarray,
    oval: np.ndarray,
    sure: np.ndarray,
    person: np.ndarray,
    levels: np.ndarray,
    left: float,
    right: float,
    width: float,
    arch: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Writes labels (S, S) uint8 of colours lab (S, S, 3) uint8.

    oval and sure (S, S) uint8: 1 within the outline, and on sure skin; person (S, S) float32; levels (4,): heights of
    brows, eyes, mouth and chin; left, right and width of the outline; arch (4,): top, rise, middle and half the width
    of the arc above which hair begins.
    """
    size = lab.shape[0]
    brow, eye, mouth, chin = levels
    middle, spread = np.zeros(3, np.float32), np.ones(3, np.float32)
    skin, hair = np.zeros((size, size), np.bool_), np.zeros((size, size), np.bool_)
    _find_alike(lab, sure, middle, spread, skin)
    crown = np.zeros((size, size), np.uint8)
    count = 0
    for y in range(size):
        if y >= eye:
            break
        for x in range(size):
            if person[y, x] > np.float32(0.5) and not skin[y, x] and not oval[y, x]:
                crown[y, x] = 1
                count += 1
    if count >= 0.01 * size * size:
        _find_alike(lab, crown, middle, spread, hair)
    for y in range(size):
        for x in range(size):
            label = BACKGROUND
            if oval[y, x]:
                fringe = hair[y, x] and not skin[y, x] and y < _fringe_end(x, brow, eye, arch[2], width)
                label = SKIN
                if fringe:
                    label = HAIR if person[y, x] > np.float32(0.5) and (y < chin or hair[y, x]) else BACKGROUND
            elif person[y, x] > np.float32(0.5):
                if not skin[y, x]:
                    label = HAIR if y < chin or hair[y, x] else BACKGROUND
                elif y <= brow:
                    # The outline ends near the hairline: light hair higher up is hair, however like skin it looks.
                    away = (x - arch[2]) / arch[3]
                    label = SKIN if y > arch[0] - arch[1] * (1.0 - away * away) else HAIR
                elif y < mouth and min(abs(x - left), abs(x - right)) < 0.2 * width:
                    label = EARS
                elif y > mouth and left < x < right:
                    label = BELOWFACE
            labels[y, x] = label


@compiled("(uint8[:,:,::1], uint8[:,::1], float32[::1], float32[::1], boolean[:,::1])")
def _find_alike(lab: np.ndarray, sample: np.ndarray, middle: np.ndarray, spread: np.ndarray, alike: np.ndarray) -> None:
    """Writes to alike (S, S) bool which colours are the sample's (S, S) uint8: within three spreads of its median."""
    size = lab.shape[0]
    count = 0
    for y in range(size):
        for x in range(size):
            count += sample[y, x]
    if count == 0:
        return
    # Some thousand colours tell a median as well as all of them.
    step = 1 + count // _SAMPLES
    some = np.empty(((count + step - 1) // step, 3), np.int64)
    at = 0
    for y in range(size):
        for x in range(size):
            if sample[y, x]:
                if at % step == 0:
                    for channel in range(3):
                        some[at // step, channel] = lab[y, x, channel]
                at += 1
    tally = np.empty(512, np.int64)
    for channel in range(3):
        tally[:] = 0
        for value in some[:, channel]:
            tally[2 * value] += 1
        doubled = _twice_the_median(tally, len(some)) // 2
        tally[:] = 0
        for value in some[:, channel]:
            tally[abs(2 * value - doubled)] += 1
        usual = np.float32(0.25) * np.float32(_twice_the_median(tally, len(some)))
        middle[channel] = np.float32(0.5) * np.float32(doubled)
        spread[channel] = max(np.float32(1.4826) * usual, _LAB_FLOOR[channel])
    for y in range(size):
        for x in range(size):
            total = np.float32(0)
            for channel in range(3):
                apart = (np.float32(lab[y, x, channel]) - middle[channel]) / spread[channel]
                total += apart * apart
            alike[y, x] = total < np.float32(9)


@compiled("(int64[::1], int64)")
def _twice_the_median(tally: np.ndarray, count: int) -> int:
    """Twice the median of `count` whole numbers, of which tally[n] are n."""
    below, value = 0, 0
    while below + tally[value] <= (count - 1) // 2:
        below += tally[value]
        value += 1
    lower = value
    while below + tally[value] <= count // 2:
        below += tally[value]
        value += 1
    return lower + value


@compiled("(uint8[:,::1], uint8[:,::1])")
def _median_of_labels(labels: np.ndarray, result: np.ndarray) -> None:
    """The median of 5 x 5 labels (S, S) around each, those of the edge repeated, as `cv2.medianBlur` has it."""
    size = labels.shape[0]
    # Five bits of a word for each of the twelve labels count how often it is there.
    columns = np.zeros(size, np.int64)
    for y in range(-2, 3):
        for x in range(size):
            columns[x] += np.int64(1) << (5 * labels[min(max(y, 0), size - 1), x])
    for y in range(size):
        if y > 0:
            gone, new = max(y - 3, 0), min(y + 2, size - 1)
            for x in range(size):
                columns[x] += (np.int64(1) << (5 * labels[new, x])) - (np.int64(1) << (5 * labels[gone, x]))
        counts = 3 * columns[0] + columns[min(1, size - 1)] + columns[min(2, size - 1)]
        for x in range(size):
            label = labels[y, x]
            # What fills more than half of the places is the median.
            if (counts >> (5 * label)) & 31 <= 12:
                total, label = counts & 31, 0
                while total <= 12:
                    label += 1
                    total += (counts >> (5 * label)) & 31
            result[y, x] = label
            counts += columns[min(x + 3, size - 1)] - columns[max(x - 2, 0)]


def _enlarged(labels: np.ndarray, size: int) -> np.ndarray:
    """Labels at a larger size, with smooth borders: each pixel has the label with the largest interpolated share."""
    result = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST)
    _smooth_borders(labels, result)
    return result


@compiled("(uint8[:,::1], uint8[:,::1])")
def _smooth_borders(labels: np.ndarray, result: np.ndarray) -> None:
    """Writes to result (T, T) what lies between unequal neighbours among labels (S, S)."""
    small, size = labels.shape[0], result.shape[0]
    scale = small / size
    # first[i + 1]: the first pixel at or beyond the middle of the smaller one i; share: how far beyond.
    first = np.zeros(small + 2, np.int64)
    share = np.empty(size, np.float32)
    begun = 0
    for x in range(size):
        place = np.float32((x + 0.5) * scale - 0.5)
        own = int(np.floor(place))
        share[x] = place - np.float32(own)
        while begun <= own:
            begun += 1
            first[begun] = x
    first[small + 1] = size
    names, shares = np.empty(4, np.uint8), np.empty(4, np.float32)
    for i in range(-1, small):
        above, below = max(i, 0), min(i + 1, small - 1)
        for j in range(-1, small):
            before, after = max(j, 0), min(j + 1, small - 1)
            names[0], names[1] = labels[above, before], labels[above, after]
            names[2], names[3] = labels[below, before], labels[below, after]
            if names[0] == names[1] and names[0] == names[2] and names[0] == names[3]:
                continue
            for y in range(first[i + 1], first[i + 2]):
                for x in range(first[j + 1], first[j + 2]):
                    shares[0] = (np.float32(1) - share[x]) * (np.float32(1) - share[y])
                    shares[1] = share[x] * (np.float32(1) - share[y])
                    shares[2] = (np.float32(1) - share[x]) * share[y]
                    shares[3] = share[x] * share[y]
                    best, label = np.float32(0), np.uint8(255)
                    for a in range(4):
                        total = np.float32(0)
                        for b in range(4):
                            if names[b] == names[a]:
                                total += shares[b]
                        if total > best or (total == best and names[a] < label):
                            best, label = total, names[a]
                    result[y, x] = label


def _fill(labels: np.ndarray, ring: np.ndarray, label: int) -> None:
    cv2.fillPoly(labels, [np.round(ring[:, :2] * 16).astype(np.int32)], label, shift=4)
