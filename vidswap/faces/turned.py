"""Faces that lie on their side or stand on their head, for a detector that knows upright ones alone."""

from __future__ import annotations

import numpy as np

from .detection import joined, suppress
from .models import Detections, FaceModel, Mesh

_SURE = 0.8  # score of an upright face beside which no other is looked for


class Turned:
    """A `FaceModel` that looks at an image turned by quarters, too, where it sees no face surely in it as it is.

    Landmarks need none of this: their crops are cut upright by the detector's eyes.
    """

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self.crop_size = model.crop_size

    def detect(self, rgb: np.ndarray, *, far: bool = False, min_score: float = 0.5) -> Detections:
        """Faces in an image, upright or turned."""
        found = [self._model.detect(rgb, far=far, min_score=min_score)]
        if len(found[0]) and float(found[0].scores.max()) >= _SURE:
            return found[0]
        for quarters in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(rgb, quarters))
            seen = self._model.detect(turned, far=far, min_score=min_score)
            found.append(turned_back(seen, quarters, rgb.shape[1], rgb.shape[0]))
        return suppress(joined(found))

    def landmarks(self, rgb: np.ndarray) -> Mesh | None:
        """Landmarks of the face in an upright square crop."""
        return self._model.landmarks(rgb)

    def segment(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w) float32, probability that the pixel belongs to a person."""
        return self._model.segment(rgb)

    def hands(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 4) float32, circles around hands."""
        return self._model.hands(rgb)

    def take_warnings(self) -> list[str]:
        """What the model lacks."""
        return self._model.take_warnings()

    def close(self) -> None:
        """Free the models."""
        self._model.close()


def turned_back(found: Detections, quarters: int, width: int, height: int) -> Detections:
    """Detections of `numpy.rot90(image, quarters)` in pixels of the image, which is (height, width) large."""
    boxes, points = found.boxes.reshape(-1, 2, 2), found.keypoints
    if quarters % 2:
        width, height = height, width
    for _ in range(quarters % 4):
        # Undoes one quarter.
        boxes, points = (np.stack([height - 1 - v[..., 1], v[..., 0]], -1) for v in (boxes, points))
        width, height = height, width
    boxes = np.concatenate([boxes.min(1), boxes.max(1)], 1).astype(np.float32)
    return Detections(boxes.reshape(-1, 4), found.scores, points.astype(np.float32).reshape(-1, 6, 2))
