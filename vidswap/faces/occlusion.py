"""What stands before the target's face: hair, glasses, a microphone, a hand."""

from __future__ import annotations

import cv2
import numpy as np

from .regions import BACKGROUND, HAIR
from .texture import smoothstep


def free_face(crop: np.ndarray, points: np.ndarray, regions: np.ndarray, person: np.ndarray) -> np.ndarray:
    """(S, S) float32: 1 where the target's face may be replaced, 0 where something stands before it."""
    hidden = ((regions == HAIR) | (regions == BACKGROUND)).astype(np.float32)
    sigma = max(0.7, 0.008 * crop.shape[0])
    hidden = smoothstep(cv2.GaussianBlur(hidden, (0, 0), sigma), 0.15, 0.7)
    there = smoothstep(cv2.GaussianBlur(person, (0, 0), sigma), 0.2, 0.6)
    return (1 - hidden) * there
