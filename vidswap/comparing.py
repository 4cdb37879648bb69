"""What all measuring of a result needs: frames that belong together, squares around faces, and a recogniser, if any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import media
from .faces import topology
from .faces.detection import find_faces
from .faces.landmarking import roi_matrix, roi_of_landmarks
from .faces.models import FaceModel
from .graph import InputError
from .metrics import installed

CROP = 128
_CROP_SHARE = 0.8  # of the landmark model's square: the face with little around it
_FIVE_POINTS = (468, 473, topology.NOSE_TIP, topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER)


class Recognised:
    """Embeddings of faces, where a recogniser is installed.

    Attributes:
        source: of the largest face of the portrait; None without a portrait or a recogniser.
        missing: why there are none.

    Raises InputError where the portrait has no face.
    """

    def __init__(self, source: Path | None, model: FaceModel) -> None:
        self._recogniser, told = installed.find(installed.RECOGNISERS)
        self.missing = told if self._recogniser is None else "no source or no face"
        self.source: np.ndarray | None = None
        if source is None:
            return
        index = media.probe(source)
        if self._recogniser is None:
            return
        picture = next(iter(media.read(index, 0, 1)))
        faces = find_faces(picture, model)
        if not len(faces):
            raise InputError(f"no face was found in {source}; give a portrait")
        self.source = self.embedding(picture, faces.landmarks[largest(faces.boxes)])

    def embedding(self, picture: media.Picture, landmarks: np.ndarray) -> np.ndarray | None:
        """(D,) of the face with landmarks (478, 3) in the picture; None without a recogniser."""
        if self._recogniser is None:
            return None
        side = installed.FACE_SIDE
        crop = picture.crop(installed.aligning(landmarks[list(_FIVE_POINTS), :2]), (side, side))
        return np.asarray(self._recogniser(crop[None])[0])


def largest(boxes: np.ndarray) -> int:
    """Which of boxes (N, 4), x0, y0, x1, y1, covers the most."""
    return int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))


def side_by_side(
    target: media.VideoIndex, result: media.VideoIndex, pairs: np.ndarray, warnings: list[str]
) -> Iterator[tuple[media.Picture, media.Picture]]:
    """Pictures of both videos by `pairs` (N, 2) of `paired_frames`; what is wrong with them is added to `warnings`."""
    with media.Reader(target) as targets, media.Reader(result) as results:
        for start, stop, shift in _stretches(pairs):
            yield from zip(targets.read(start, stop), results.read(start + shift, stop + shift), strict=True)
        warnings += (*targets.take_warnings(), *results.take_warnings())


def paired_frames(target: media.VideoIndex, result: media.VideoIndex) -> np.ndarray:
    """(N, 2) numbers of frames that belong together: by order where both have as many, else by time from the start."""
    if target.frame_count == result.frame_count:
        return np.repeat(np.arange(target.frame_count)[:, None], 2, 1)
    tick = max(target.time_base, result.time_base)
    times = [np.array([float(int(p) - int(i.pts[0])) * float(i.time_base) for p in i.pts]) for i in (target, result)]
    nearest = np.searchsorted(times[1], times[0] - float(tick))
    there = nearest < len(times[1])
    there[there] &= np.abs(times[1][nearest[there]] - times[0][there]) <= 1.001 * float(tick)
    return np.stack([np.flatnonzero(there), nearest[there]], 1)


def _stretches(pairs: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """First and last+1 target frame, and what is to be added for the result's, of runs of successive pairs."""
    breaks = np.flatnonzero((np.diff(pairs[:, 0]) != 1) | (np.diff(pairs[:, 1]) != 1)) + 1
    for run in np.split(pairs, breaks):
        yield int(run[0, 0]), int(run[-1, 0]) + 1, int(run[0, 1] - run[0, 0])


def face_matrix(landmarks: np.ndarray) -> np.ndarray:
    """(2, 3) float64: from pixels of the displayed frame to a square of `CROP` a side around landmarks (478, 3)."""
    roi = roi_of_landmarks(landmarks)
    roi[2] *= _CROP_SHARE
    return roi_matrix(roi, CROP)
