"""Landmarks of the face in a region of a frame: cut out upright, seen by the model, which tells the next region."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from .models import FaceModel
from .topology import FACE_OVAL, LEFT_EYE_OUTER, RIGHT_EYE_OUTER


class PictureLike(Protocol):
    """What is asked of a frame; `vidswap.media.Picture` is one."""

    @property
    def width(self) -> int:
        """Displayed width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Displayed height in pixels."""
        ...

    def rgb(self, width: int, height: int) -> np.ndarray:
        """The whole frame scaled to (height, width, 3) uint8 RGB."""
        ...

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) uint8 RGB of `size` (w, h); `matrix` (2, 3) maps frame pixels to crop pixels."""
        ...


_FURTHER_PASSES, _HOPELESS = 4, 0.02  # after those asked for; presence below which none of them is worth its time
_CUT_SCALE = 1.4  # side of what is cut out of the frame for all passes, in sides of the first one's crop
# The mesh is larger than the detector's box, and its middle higher: medians over five people, near and far.
_MESH_TO_BOX, _MESH_ABOVE_BOX = 1.1, 0.02
_ROI_SCALE = 1.5  # side of the landmark model's crop, in longer sides of the face: what it was trained on
_ROOT, _TIP, _BELOW = 6, 4, 0.6  # of the nose, and how far down it what is left of a face ends
_GREY = 200


class Cutter:
    """Crops of one frame for the landmark model: cut out of the native pixels once, then turned and moved from there.

    Sampling planes costs as much as the model; a small image is cheap to sample again.
    """

    def __init__(self, picture: PictureLike, size: int, margin: int | None = None) -> None:
        """`margin` is how many pixels more are cut out on each side, for further passes; none suits a single pass."""
        self._picture, self._size = picture, size
        self._margin = round((_CUT_SCALE - 1) * size / 2) if margin is None else margin
        self._cut: np.ndarray | None = None
        self._matrix = np.zeros((2, 3))

    def crop(self, matrix: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 RGB; `matrix` (2, 3) maps frame pixels to crop pixels."""
        size = self._size
        if self._cut is not None:
            between = _compose(matrix, cv2.invertAffineTransform(self._matrix))
            corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float64)
            back = cv2.invertAffineTransform(between)
            reached = corners @ back[:, :2].T + back[:, 2]
            scale = float(np.hypot(between[0, 0], between[1, 0]))
            if 0.6 < scale < 1.25 and reached.min() >= 0 and reached.max() <= self._cut.shape[0] - 1:
                return cv2.warpAffine(self._cut, between, (size, size), flags=cv2.INTER_LINEAR)
        margin = self._margin
        self._matrix = np.array(matrix, np.float64)
        self._matrix[:, 2] += margin
        self._cut = self._picture.crop(self._matrix, (size + 2 * margin, size + 2 * margin))
        return np.ascontiguousarray(self._cut[margin : margin + size, margin : margin + size])


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.hstack([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]])


def landmarks_at(cutter: Cutter, model: FaceModel, roi: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Landmarks (478, 3) float32 in frame pixels, and presence, of the face in `roi` (centre x, y, side, angle)."""
    size = model.crop_size
    matrix = roi_matrix(roi, size)
    mesh = model.landmarks(cutter.crop(matrix))
    if mesh is None:
        return None
    inverse = cv2.invertAffineTransform(matrix)
    points = np.empty((478, 3), np.float64)
    points[:, :2] = mesh.points[:, :2].astype(np.float64) @ inverse[:, :2].T + inverse[:, 2]
    points[:, 2] = mesh.points[:, 2] * (roi[2] / size)
    return points.astype(np.float32), mesh.presence


def roi_matrix(roi: np.ndarray, size: int) -> np.ndarray:
    """(2, 3) float64 similarity from frame pixels to a crop of `size` pixels a side that holds `roi` upright.

    `roi` is centre x, centre y, side (frame pixels) and angle (radians, from the frame's x axis to the face's own).
    """
    x, y, side, angle = (float(v) for v in roi)
    scale = size / side
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = (size - 1) / 2
    return np.array([[cos, sin, middle - cos * x - sin * y], [-sin, cos, middle + sin * x - cos * y]])


def roi_of_detection(box: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Region (centre x, y, side, angle) for the landmark model, from the detector's box (4,) and points (6, 2)."""
    right, left = keypoints[0].astype(np.float64), keypoints[1].astype(np.float64)
    x0, y0, x1, y1 = (float(v) for v in box)
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    side = _ROI_SCALE * _MESH_TO_BOX * max(x1 - x0, y1 - y0)
    up = _MESH_ABOVE_BOX * side * np.array([np.sin(angle), -np.cos(angle)])
    return np.array([(x0 + x1) / 2 + up[0], (y0 + y1) / 2 + up[1], side, angle])


def roi_of_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Region (centre x, y, side, angle) of the next pass: upright by the eyes' outer corners, centred on the hull."""
    points = landmarks[:, :2].astype(np.float64)
    across = points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    own = points @ turn.T
    low, high = own.min(0), own.max(0)
    centre = turn.T @ ((low + high) / 2)
    return np.array([centre[0], centre[1], _ROI_SCALE * float((high - low).max()), angle])


def settled_landmarks(
    picture: PictureLike, model: FaceModel, roi: np.ndarray, refine: int
) -> tuple[np.ndarray | None, float]:
    """Landmarks (478, 3) and presence by `refine` more passes from a region on, or until it stays where it is."""
    points, presence = None, 0.0
    cutter = Cutter(picture, model.crop_size)
    for count in range(refine + 1 + _FURTHER_PASSES):
        answer = landmarks_at(cutter, model, roi)
        if answer is None:
            break
        points, presence = answer
        before, roi = roi, roi_of_landmarks(points)
        if count >= refine and (presence < _HOPELESS or settled(before, roi)):
            break
    return points, presence


def settled(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a pass has left its region nearly where it was, so that the next one would tell the same."""
    moved = float(np.hypot(*(after[:2] - before[:2])))
    return moved < 0.06 * after[2] and abs(float(after[2] / before[2]) - 1.0) < 0.06


def plausible(landmarks: np.ndarray) -> bool:
    """Whether landmarks (478, 3) can be a face: finite, of some size, as wide as faces are, its outline not folded."""
    points = landmarks[:, :2].astype(np.float64)
    if not np.isfinite(landmarks).all():
        return False
    right, left = points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER]
    top, chin = points[10], points[152]
    length = float(np.linalg.norm(chin - top))
    across = float(np.linalg.norm(left - right))
    if length < 4 or not 0.05 < across / length < 1.2:
        return False
    oval = points[list(FACE_OVAL)]
    following = np.roll(oval, -1, 0)
    area = 0.5 * float(np.sum(oval[:, 0] * following[:, 1] - following[:, 0] * oval[:, 1]))
    hull = float(cv2.contourArea(cv2.convexHull(oval.astype(np.float32))))
    return area > 0.7 * hull > 0


def shows_eyes(picture: PictureLike, model: FaceModel, landmarks: np.ndarray) -> float:
    """Probability, 0..1, that there is a face, told by its upper half alone: eyes, brows and forehead.

    With a mask or a hand before the mouth it is near 1; with something before the eyes near 0, whatever the model says
    of the whole.
    """
    size = model.crop_size
    matrix = roi_matrix(roi_of_landmarks(landmarks), size)
    crop = picture.crop(matrix, (size, size)).copy()
    root, tip = (float(matrix[1, :2] @ landmarks[i, :2] + matrix[1, 2]) for i in (_ROOT, _TIP))
    crop[max(0, round(root + _BELOW * (tip - root))) :] = _GREY
    mesh = model.landmarks(crop)
    return 0.0 if mesh is None else mesh.presence
