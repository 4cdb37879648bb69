"""Driving without weights: a portrait takes the pose and the expression that a target has at this moment.

What E4S asks of its driver is not motion but likeness in place: the source's face as it would stand where the target's
stands, so that label maps can be exchanged. So pose and expression are absolute, frame by frame, with no neutral moment
to begin from: expression is what the directions in which faces move (`vidswap.faces.shape`) have of the difference of
two faces. Heads turn by 22 degrees of yaw at most, softly held there; what lies behind is not invented.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from . import alignment, shape, topology
from .puppet import Pose
from .reenactment import Mouth, Reenactor

PORTRAIT_SCALE = 1.5
"""Reach of the square that a driver is given of its portrait, FFHQ's being 1: what turns in from outside is there."""


class Driven(Reenactor):
    """A portrait (h, w, 3) uint8 RGB with the landmarks (478, 3) of its face, ready to stand in for targets.

    Raises InputError for a face too small to be moved.
    """

    def __init__(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        # With itself as the neutral moment, turns are those between portrait and target.
        super().__init__(image, landmarks, landmarks)
        self._weights = shape.region_weights()

    def as_target(self, landmarks: np.ndarray, size: int, mouth: Mouth | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The portrait as the target's landmarks (478, 3) have it, aligned as FFHQ, and its own landmarks there.

        (size, size, 3) uint8 and (478, 2) float32, in pixels of the square. mouth: what the target shows between the
        lips.
        """
        pose = self._turn(landmarks, 1.0)
        points = self._puppet.carried(self._placed(shape.in_mean_frame(landmarks), 1.0), pose)
        matrix = alignment.matrix_of_axes(alignment.ffhq_axes(points), size)
        turned = self.perform(landmarks, 1.0, mouth)
        aligned = cv2.warpAffine(turned, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(aligned), alignment.transform(matrix, points).astype(np.float32)

    def _turn(self, landmarks: np.ndarray, share: float) -> Pose:
        # Where in its frame the target stands says nothing: the square is aligned.
        return replace(super()._turn(landmarks, share), sway=(0.0, 0.0))

    def _change(self, shape_there: np.ndarray) -> np.ndarray:
        # An opening is that beyond the portrait's own already: nothing of it is absorbed.
        difference = shape_there - self._neutral_shape
        total = np.zeros_like(difference)
        for weights, (read, write) in zip(self._weights, shape.motion(), strict=True):
            total += weights[:, None] * ((read @ difference.ravel()) @ write).reshape(difference.shape)
        for iris, ring in ((topology.RIGHT_IRIS, topology.RIGHT_EYE), (topology.LEFT_IRIS, topology.LEFT_EYE)):
            total[list(iris)] = total[list(ring)].mean(0)
        return total
