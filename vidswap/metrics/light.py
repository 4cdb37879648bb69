"""Brightness of faces, for flicker."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114])


def mean_luma(rgb: np.ndarray, where: np.ndarray) -> float | None:
    """Mean BT.601 luma, 0..255, of the pixels of `rgb` (h, w, 3) uint8 in `where` (h, w) bool; None of no pixel."""
    pixels = rgb[where]
    return float(pixels.mean(0, dtype=np.float64) @ _LUMA) if len(pixels) else None
