"""How E4S lays a swapped face over the target's crop: softly, or by Laplacian pyramids, both as released.

Everything happens on the aligned square. `labels` (S, S) uint8 and `hole` (S, S) bool are those of
`vidswap.faces.recombination`; images are (T, T, 3) uint8 RGB, T a multiple of S as a rule (1024 and 512).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from .regions import BACKGROUND, BELOWFACE, EAR_RINGS, EARS, HAIR

Kind = Literal["picture", "video"]
RADIUS = 5
"""Pixels of the label map by which the released program widens and narrows the face."""

_BANDS = 10
_SPECK = 0.05  # of the largest part's area
_BLUR = 5  # pixels of a crop of 1024: half of the Gaussian's window


def foreground(labels: np.ndarray, hole: np.ndarray, kind: Kind = "picture") -> np.ndarray:
    """(S, S) uint8, 1 where the swapped face is shown: all but background, hair and earrings, and all holes.

    For videos ears and neck stay the target's as well, whose borders would flicker.
    """
    kept = [BACKGROUND, HAIR, EAR_RINGS, *((EARS, BELOWFACE) if kind == "video" else ())]
    return ((~np.isin(labels, kept)) | hole).astype(np.uint8)


def without_specks(face: np.ndarray) -> np.ndarray:
    """A foreground (S, S) uint8 less what stands apart from the face and is small, as parsers see skin between hair."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(face, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    if count < 3:
        return face
    kept = areas >= _SPECK * areas[1:].max()
    kept[0] = False
    return kept[parts].astype(np.uint8)


def widened(mask: np.ndarray, radius: int) -> np.ndarray:
    """(S, S) uint8: the largest value in the square of `radius` around each pixel."""
    return np.asarray(cv2.dilate(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)))


def narrowed(mask: np.ndarray, radius: int) -> np.ndarray:
    """(S, S) uint8: the least value in the square of `radius` around each pixel; nothing is taken off at the edge."""
    return np.asarray(cv2.erode(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)))


def ring(mask: np.ndarray, radius: int) -> np.ndarray:
    """(S, S) uint8: 1 along the border of a mask, `radius` pixels to both sides."""
    return widened(mask, radius) - narrowed(mask, radius)


def soft_alpha(face: np.ndarray, size: int, radius: int = RADIUS) -> np.ndarray:
    """(size, size) float32 0..1 of a foreground (S, S): how far the swapped face is laid over the target's crop.

    Widened, enlarged (only what is wholly within counts), narrowed at the larger size and blurred. The radius is that
    of maps of 512 px and crops of 1024 px; for others it grows and shrinks with them.
    """
    large = _enlarged(widened(face, _scaled(radius, len(face), 512)).astype(np.float32), size) >= 1.0
    inner = narrowed(large.astype(np.uint8) * 255, _scaled(radius, size, 1024))
    side = 2 * _scaled(_BLUR, size, 1024) + 1
    return np.asarray(cv2.GaussianBlur(inner, (side, side), 0), np.float32) / np.float32(255)


def _scaled(radius: int, size: int, usual: int) -> int:
    return max(1, round(radius * size / usual))


def laplacian(target: np.ndarray, image: np.ndarray, face: np.ndarray, radius: int = RADIUS) -> np.ndarray:
    """(T, T, 3) uint8: image pasted into target (T, T, 3) uint8, the seam taken from the target band by band."""
    size = len(target)
    content = _enlarged(face.astype(np.float32), size)[..., None]
    pasted = (target * (1 - content) + image * content).astype(np.uint8)
    seam = _enlarged(ring(face, radius).astype(np.float32), size)
    joined = pyramid_blend(target, pasted, cv2.merge([seam] * 3), _BANDS)
    return np.asarray(np.clip(joined, 0, 255)).astype(np.uint8)


def pyramid_blend(one: np.ndarray, other: np.ndarray, weight: np.ndarray, levels: int) -> np.ndarray:
    """(H, W, 3) float32: `one` where weight is 1, `other` where it is 0, joined in bands (Burt and Adelson 1983).

    one, other (H, W, 3) uint8, rounded to whole numbers at each level as the released program has it; weight (H, W, 3)
    float32 0..1.
    """
    ones, others, weights = [one], [other], [weight]
    for _ in range(levels - 1):
        if min(ones[-1].shape[:2]) < 2:
            break
        for pyramid in (ones, others, weights):
            pyramid.append(cv2.pyrDown(pyramid[-1]))
    result = None
    for level in reversed(range(len(ones))):
        bands = []
        for pyramid in (ones, others):
            band = pyramid[level].astype(np.float32)
            if level + 1 < len(ones):
                size = (band.shape[1], band.shape[0])
                band = band - cv2.pyrUp(pyramid[level + 1].astype(np.float32), dstsize=size)
            bands.append(band)
        mixed = bands[0] * weights[level] + bands[1] * (1 - weights[level])
        if result is not None:
            mixed += cv2.pyrUp(result, dstsize=(mixed.shape[1], mixed.shape[0]))
        result = mixed
    assert result is not None
    return np.asarray(result, np.float32)


def _enlarged(mask: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR))
