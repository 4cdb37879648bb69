"""Faces of a video's frames where not every frame is searched: between two searches faces are followed.

Each group of pictures is cut, from its keyframe on, into short runs. The first frame of a run is searched; in those
after it the landmark model looks where the frame before had its faces, once where the face has hardly moved. What is
doubtful is searched. So a frame's faces are a function of the frames of its run and of nothing before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .detection import DetectionOptions, Faces, box_of_landmarks, find_faces, iou, overview, shows_again, signature
from .landmarking import Cutter, PictureLike, landmarks_at, plausible, roi_of_landmarks, settled
from .models import FaceModel

_PASSES = 3
_CLEAR = 0.8  # presence below which a face that is followed is searched
_STILL = 0.03  # mean change of the luma thumbnail from frame to frame above which a frame may begin a shot
_LEAST_OVERLAP = 0.4  # IoU of a face's boxes in two frames on end

Reader = Callable[[int, int], Iterable[Any]]


def follow_faces(
    picture: PictureLike, model: FaceModel, before: Faces, options: DetectionOptions | None = None
) -> Faces | None:
    """The faces of the frame `before`, found again in the next one; None where one is in doubt.

    Scores stay those of the search. A function of the picture and of `before`; a face that is new is not seen.
    """
    options = options or DetectionOptions()
    meshes: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    for box, landmarks in zip(before.boxes, before.landmarks, strict=True):
        points = _again(picture, model, roi_of_landmarks(landmarks), max(_CLEAR, options.min_presence))
        if points is None or not plausible(points):
            return None
        here = box_of_landmarks(points)
        if float(iou(here, box[None])[0]) < _LEAST_OVERLAP or (boxes and shows_again(here, np.array(boxes))):
            return None
        meshes.append(points)
        boxes.append(here)
    order = np.argsort([float(b[0] + b[2]) for b in boxes], kind="stable")
    return Faces(np.stack(boxes)[order], before.scores[order], np.stack(meshes)[order]) if boxes else None


def _again(picture: PictureLike, model: FaceModel, roi: np.ndarray, clear: float) -> np.ndarray | None:
    """Landmarks of the face in a region, by as many passes as it takes for the region to stay; None in doubt."""
    cutter = Cutter(picture, model.crop_size, margin=0)
    for _ in range(_PASSES):
        answer = landmarks_at(cutter, model, roi)
        if answer is None or answer[1] < clear:
            return None
        before, roi = roi, roi_of_landmarks(answer[0])
        if settled(before, roi):
            return answer[0]
    return None


class Follower:
    """Faces of the frames of one video, asked for one by one.

    What it keeps of the frame before only saves work: where that is not the one needed, the run's frames are read.
    """

    def __init__(
        self, model: FaceModel, options: DetectionOptions, every: int, keyframes: np.ndarray, read: Reader
    ) -> None:
        """`every` is how many frames a run has; `keyframes` (K,) int64, ascending, are frames that begin one; `read`
        gives the pictures of frames [start, stop)."""
        self._model, self._options, self._every = model, options, every
        self._keyframes, self._read = keyframes, read
        self._last: tuple[int, Faces, np.ndarray] | None = None

    def run_start(self, frame: int) -> int:
        """The frame, at or before `frame`, that begins its run."""
        group = int(np.searchsorted(self._keyframes, frame, side="right")) - 1
        key = max(0, int(self._keyframes[group])) if group >= 0 else 0
        return frame - (frame - key) % self._every

    def __call__(self, frame: int, picture: PictureLike, small: np.ndarray) -> Faces:
        """Faces of a frame; `small` is its `overview`."""
        start = self.run_start(frame)
        if start < frame and (self._last is None or self._last[0] != frame - 1):
            for number, earlier in enumerate(self._read(start, frame), start):
                self._step(number, earlier, overview(earlier), searched=number == start)
        return self._step(frame, picture, small, searched=start == frame)

    def _step(self, frame: int, picture: PictureLike, small: np.ndarray, *, searched: bool) -> Faces:
        thumbnail = signature(small)
        found = None
        if not searched and self._last is not None and self._last[0] == frame - 1:
            _, before, earlier = self._last
            if len(before) and float(np.abs(thumbnail - earlier).mean()) < _STILL:
                found = follow_faces(picture, self._model, before, self._options)
        if found is None:
            found = find_faces(picture, self._model, self._options, small)
        self._last = (frame, found, thumbnail)
        return found
