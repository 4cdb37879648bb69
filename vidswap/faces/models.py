"""What the rest of vidswap asks of a face model; who answers is decided in `vidswap.faces.mediapipe_models`.

All answers are functions of the one image that is given: no tracking, no previous frame, no smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

KEYPOINTS = ("right eye", "left eye", "nose tip", "mouth", "right ear", "left ear")
"""The six points of the detector; right and left are the subject's."""


@dataclass(frozen=True)
class Detections:
    """Faces found in one image, best score first.

    boxes (N, 4) float32 x0, y0, x1, y1; scores (N,) float32, 0..1; keypoints (N, 6, 2) float32 x, y in the order of
    `KEYPOINTS`. Pixels of the image that was given, centre of the first pixel at (0, 0); may lie outside of it.
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.keypoints.shape != (n, 6, 2):
            raise ValueError(f"{n} scores with boxes {self.boxes.shape} and keypoints {self.keypoints.shape}")

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Mesh:
    """Landmarks of the face in one square crop.

    points (478, 3) float32: x, y in pixels of the crop, centre of the first pixel at (0, 0), z in the same scale
    (smaller is nearer); presence: probability 0..1 that the crop shows a face, upright and of the expected size.
    """

    points: np.ndarray
    presence: float


class FaceModel(Protocol):
    """Detector, landmarks and person segmenter behind one face. Images are (h, w, 3) uint8 RGB, C-contiguous or not."""

    crop_size: int
    """Side in pixels of the square crop that `landmarks` likes best."""

    def detect(self, rgb: np.ndarray, *, far: bool = False, min_score: float = 0.5) -> Detections:
        """Faces in an image of any size; `far` takes the detector for small faces where the model has one."""
        ...

    def landmarks(self, rgb: np.ndarray) -> Mesh | None:
        """Landmarks of the face in an upright square crop that it fills by half to two thirds; None without a face."""
        ...

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w) float32, probability 0..1 that the pixel belongs to a person."""
        ...

    def hands(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 4) float32 x, y, radius in pixels and score 0..1 of circles around hands in an image (h, w, 3) uint8."""
        ...

    def take_warnings(self) -> list[str]:
        """What it turned out to lack since the last call, one line each."""
        ...

    def close(self) -> None:
        """Free the models; the object is of no use afterwards."""
        ...
