"""Distances between landmarks and between poses of heads."""

from __future__ import annotations

import numpy as np


def interocular(landmarks: np.ndarray, right_outer: int, left_outer: int) -> float:
    """Distance of the eyes' outer corners, in the landmarks' own units; with depth where there is one.

    `landmarks` (N, 2) or (N, 3); `right_outer` and `left_outer` are the corners' indices (33 and 263 of MediaPipe's).
    In three dimensions it does not shrink as the head turns.
    """
    return float(np.linalg.norm(landmarks[left_outer].astype(np.float64) - landmarks[right_outer]))


def normalised_mean_error(a: np.ndarray, b: np.ndarray, size: float) -> float:
    """NME: mean distance in the image between landmarks a and b (N, 2 or 3), over `size`: inter-ocular distance."""
    return float(np.linalg.norm(a[:, :2].astype(np.float64) - b[:, :2], axis=1).mean()) / size


def angles_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., 3) absolute differences, 0..180 degrees, of yaw, pitch and roll.

    >>> angles_apart(np.array([179.0, 0.0, 1.0]), np.array([-179.0, 3.0, 1.0])).tolist()
    [2.0, 3.0, 0.0]
    """
    return np.abs((np.asarray(a, np.float64) - np.asarray(b, np.float64) + 180.0) % 360.0 - 180.0)
