"""A second look at faces that the detector has seen faintly, or that show no landmarks: closer, and turned.

Detectors know upright faces. Of one that lies on its side or stands on its head the near one still sees that there is a
face, but faintly and not which way up it is, and the landmark model then makes up a face that is not there. Cut out of
the frame and turned by quarters, such a face is seen surely in one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .landmarking import (
    PictureLike,
    plausible,
    roi_matrix,
    roi_of_detection,
    roi_of_landmarks,
    settled_landmarks,
    shows_eyes,
)
from .models import FaceModel

_CUT, _SIDE = 1.6, 128  # side of what is cut out for the near detector in sides of the box; its pixels
_CLEAR = 0.9  # presence at a second look
_UNSURE = 0.82  # score at the first look below which landmarks are held against a second
_SURE = 0.8  # score at the second look of a face that stands as its landmarks say
_ASKEW = np.radians(15)  # between the eyes that the detector sees and those of the landmarks, if they are one face's
_OTHERWISE, _MORE = 0.75, 0.1  # score of a face that stands otherwise, and by how much it is above the first one's


@dataclass(frozen=True)
class Seen:
    """A face as a detector sees it: box (4,) and keypoints (6, 2) float32 in frame pixels; score, 0..1."""

    box: np.ndarray
    score: float
    keypoints: np.ndarray


def landmarks_of(
    picture: PictureLike, model: FaceModel, seen: Seen, refine: int, min_presence: float, min_score: float
) -> tuple[Seen, np.ndarray, float] | None:
    """Landmarks (478, 3) float32 in frame pixels and presence, 0..1, of a detected face; None where it shows none.

    What comes with them is the face as it was seen at the look that they come from.
    """
    points, presence = settled_landmarks(picture, model, roi_of_detection(seen.box, seen.keypoints), refine)
    if points is None:
        return None
    if presence >= min_presence and _possible(points, seen):
        if seen.score >= _UNSURE:
            return seen, points, presence
        own = float(roi_of_landmarks(points)[3])
        here = _look(picture, model, seen.box, own, min_score)
        askew = here is not None and abs(_tilt(here, own)) >= _ASKEW
        if here is not None and here.score >= _SURE and not askew:
            return seen, points, presence
        turned = _turned(picture, model, seen.box, own, here, min_score, askew=askew)
        return _clearly(picture, model, turned, refine) or (seen, points, presence)
    upright = _look(picture, model, seen.box, 0.0, min_score)
    turned = _turned(picture, model, seen.box, 0.0, upright, min_score)
    return _clearly(picture, model, turned, refine) or _clearly(picture, model, upright, refine)


def agrees(landmarks: np.ndarray, box: np.ndarray, keypoints: np.ndarray) -> bool:
    """Whether a mesh lies where the detector saw a face: its eyes and mouth near the detector's, its size alike."""
    points = landmarks[:, :2].astype(np.float64)
    mesh = np.stack([points[468], points[473], (points[13] + points[14]) / 2])
    size = float(max(box[2] - box[0], box[3] - box[1]))
    own = points.max(0) - points.min(0)
    apart = np.linalg.norm(mesh - keypoints[[0, 1, 3]], axis=1)
    return bool(apart.mean() < 0.25 * size and 0.5 < float(own.max()) / size < 2.2)


def _possible(points: np.ndarray, seen: Seen) -> bool:
    return plausible(points) and agrees(points, seen.box, seen.keypoints)


def _clearly(
    picture: PictureLike, model: FaceModel, seen: Seen | None, refine: int
) -> tuple[Seen, np.ndarray, float] | None:
    """Landmarks at a second look, where presence has to be clear. A face whose eyes are not seen has none, because what
    covers them is seldom told from it.
    """
    if seen is None:
        return None
    roi = roi_of_detection(seen.box, seen.keypoints)
    points, presence = settled_landmarks(picture, model, roi, max(1, refine))
    if points is None or presence < _CLEAR:
        return None
    presence = min(presence, shows_eyes(picture, model, points))
    return (seen, points, presence) if presence >= _CLEAR and _possible(points, seen) else None


def _turned(
    picture: PictureLike,
    model: FaceModel,
    box: np.ndarray,
    angle: float,
    here: Seen | None,
    min_score: float,
    *,
    askew: bool = False,
) -> Seen | None:
    """The face seen best at quarters of a turn from `angle`, where it is seen better than `here`, at the angle itself;
    that one, too, if its landmarks are known to be `askew`.
    """
    least = max(_OTHERWISE, 0.0 if here is None or askew else here.score + _MORE)
    if least > 1:
        return None
    quarters = (_look(picture, model, box, angle + turn, min_score) for turn in (np.pi / 2, np.pi, -np.pi / 2))
    looks = [look for look in (*quarters, here if askew else None) if look is not None]
    best = max(looks, key=lambda look: look.score, default=None)
    return best if best is not None and best.score >= least else None


def _look(picture: PictureLike, model: FaceModel, box: np.ndarray, angle: float, min_score: float) -> Seen | None:
    """What the near detector sees of a face that was seen before, cut out for it, turned upright from `angle`.

    The box fits where that of the first look is a head's. Of faces behind masks and of ones amid long hair those are
    half as large again.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    side = max(_CUT * max(x1 - x0, y1 - y0), 1.0)
    matrix = roi_matrix(np.array([(x0 + x1) / 2, (y0 + y1) / 2, side, angle]), _SIDE)
    found = model.detect(picture.crop(matrix, (_SIDE, _SIDE)), far=False, min_score=min_score)
    if not len(found.boxes):
        return None
    best = int(np.argmax(found.scores))
    back = cv2.invertAffineTransform(matrix)
    low, high = found.boxes[best, :2].astype(np.float64), found.boxes[best, 2:].astype(np.float64)
    middle = back[:, :2] @ ((low + high) / 2) + back[:, 2]
    half = (high - low) / 2 * (side / _SIDE)
    keypoints = found.keypoints[best].astype(np.float64) @ back[:, :2].T + back[:, 2]
    return Seen(np.r_[middle - half, middle + half].astype(np.float32), float(found.scores[best]), keypoints)


def _tilt(seen: Seen, angle: float) -> float:
    """From an angle to that of the line through the eyes, in radians, -pi to pi."""
    right, left = seen.keypoints[0], seen.keypoints[1]
    between = float(np.arctan2(left[1] - right[1], left[0] - right[0])) - angle
    return float((between + np.pi) % (2 * np.pi) - np.pi)
