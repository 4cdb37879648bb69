"""Landmarks that move one face as another does, without that other's shape.

The driver's shape in the frame of the mean face, less the same at a neutral moment, is what its expression changes, and
who it is where another person comes (`shape.expression` tells them apart). The former on the portrait's own shape, in
the driver's pose, is what the portrait's landmarks would be: who the driver is does not show in them.
"""

from __future__ import annotations

import numpy as np

from .pose import fit_pose
from .shape import expression, in_mean_frame


class Calibration:
    """A portrait's and a neutral driver's landmarks, both (478, 3)."""

    def __init__(self, portrait: np.ndarray, neutral: np.ndarray) -> None:
        self._portrait, self._neutral = in_mean_frame(portrait), in_mean_frame(neutral)

    def driven(self, landmarks: np.ndarray) -> np.ndarray:
        """(478, 3) float64: the portrait's landmarks in pose and expression of the driver's (478, 3)."""
        pose = fit_pose(landmarks)
        shape = self._portrait + expression(in_mean_frame(landmarks) - self._neutral)
        return np.asarray(pose.translation + pose.scale * shape @ pose.rotation.T)
