"""What of a frame was changed, and how visible the border of the change is.

Lumas are (h, w), uint8 or uint16, of target and result; differences are told in grey levels of 255.
"""

from __future__ import annotations

import cv2
import numpy as np

_BLUR = 5
_VISIBLE = 1.5


def difference(target: np.ndarray, result: np.ndarray, bits: int = 8) -> np.ndarray:
    """(h, w) float32 absolute difference in grey levels of 255; `bits` per sample of both."""
    return np.asarray(cv2.absdiff(target, result), np.float32) * np.float32(255.0 / (2**bits - 1))


def changed_region(apart: np.ndarray, faces: np.ndarray, least: float) -> np.ndarray:
    """(h, w) bool: the connected region around faces in which the result is not the target.

    Args:
        apart: (h, w) float32, from `difference`.
        faces: (h, w) bool, where faces are; what is changed elsewhere is no part of the region.
        least: what differs by more is changed. 0 of a lossless result, every sample counts; above it the median of 5 x
            5 pixels does.
    """
    smooth = cv2.medianBlur(apart, _BLUR) if least > 0 else apart
    differs = (smooth > least).astype(np.uint8)
    # Single pixels within a region that come out as they were are part of it.
    differs = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((_BLUR, _BLUR), np.uint8))
    if least > 0:
        differs = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((_BLUR, _BLUR), np.uint8))
    count, numbers = cv2.connectedComponents(differs)
    chosen = np.zeros(count, bool)
    chosen[np.unique(numbers[faces])] = True
    chosen[0] = False
    return chosen[numbers]


def visible(apart: np.ndarray, outside: np.ndarray) -> float:
    """The least difference, grey levels, that `changed_region` can tell from coding noise.

    `outside` (h, w) bool are pixels near the face that no method changes: a quarter more than all but 2 % of them
    differ by, and 1.5 at least.
    """
    noise = cv2.medianBlur(apart, _BLUR)[outside]
    return max(_VISIBLE, 1.25 * float(np.percentile(noise, 98))) if noise.size else _VISIBLE


def border_band(region: np.ndarray, width: int) -> np.ndarray:
    """(h, w) bool: the pixels of `region` that lie within `width` pixels of its border; the picture's edge is none."""
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return region & (inside <= width)


def seam(apart: np.ndarray, region: np.ndarray, width: int) -> float | None:
    """Mean difference (grey levels of 255) in the border band of the changed region; None where nothing changed.

    A paste that ends at once shows there all that it changes; one that fades out shows little.
    """
    band = border_band(region, width)
    return float(apart[band].mean()) if band.any() else None
