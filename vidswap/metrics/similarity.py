"""PSNR and SSIM of pictures.

Arrays are (h, w) or (h, w, channels), uint8, uint16 or float, codes from 0 to `peak`; both of one shape.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def squared_error(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> tuple[float, int]:
    """Sum of squared differences, and the number of samples that it is a sum of.

    `where` (h, w) bool chooses the pixels. Sums are exact for integer samples. Raises ValueError when shapes differ.
    """
    _check(a, b)
    if where is not None:
        a, b = a[where], b[where]
    if a.dtype == b.dtype and a.dtype.kind == "u":
        apart = a.astype(np.int64) - b.astype(np.int64)
        return float((apart * apart).sum()), a.size
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float((difference * difference).sum()), a.size


def psnr_of(error: float, samples: int, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB of a sum of squared errors; inf without error, nan without samples."""
    if samples == 0:
        return math.nan
    return math.inf if error == 0 else 10.0 * math.log10(peak * peak * samples / error)


def psnr(a: np.ndarray, b: np.ndarray, *, peak: float = 255.0, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all samples (of the pixels in `where`); inf where they are equal.

    >>> psnr(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8))
    0.0
    """
    return psnr_of(*squared_error(a, b, where), peak)


def ssim(a: np.ndarray, b: np.ndarray, *, peak: float = 255.0) -> float:
    """Structural similarity, -1..1, the mean over pixels and channels.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment" (2004): Gaussian window of 11 x 11 pixels, sigma 1.5,
    K1 0.01, K2 0.03, population (not sample) moments; pixels whose window passes the border are left out. Raises
    ValueError when shapes differ or a side is below 11 pixels.
    """
    _check(a, b)
    if min(a.shape[:2]) < _WINDOW:
        least = f"{_WINDOW} x {_WINDOW} pixels or more"
        raise ValueError(f"SSIM takes pictures of {least}, got {a.shape[1]} x {a.shape[0]}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x * mean_x
    variance_y = _blurred(y * y) - mean_y * mean_y
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar /= (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    return float(similar.mean())


def _blurred(image: np.ndarray) -> np.ndarray:
    rim = _WINDOW // 2
    return cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA)[rim:-rim, rim:-rim]


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"pictures of one shape were expected, got {a.shape} and {b.shape}")
