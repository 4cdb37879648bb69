"""Whether there is a face in any of some pictures, looked at one after the other until one shows a face."""

from __future__ import annotations

import cv2
import numpy as np

from .detection import DetectionOptions, overview, shows_face
from .landmarking import PictureLike
from .models import FaceModel

# Levels of 255 in the mean of 3 x 3 pixels of the overview. The faintest face that the detector finds, a seventh of its
# contrast laid upon what is behind it, changes such a mean by 13; grain and compression by up to 6.
_STIRRED = 8.0
# Pixels of the overview that the smallest face wanted has at least, for its coming to change such a mean as a whole.
_LEAST_FACE = 3.0


class Spotter:
    """Searches pictures for faces, and leaves out those in which nothing has changed since the last one searched.

    A picture that differs from one without a face in no place as large as the smallest face has none either. Of
    pictures that follow one another every other tile is searched for small faces, in turns; large ones are looked for
    in all. What has been searched is kept as its overview alone.
    """

    def __init__(self, model: FaceModel, options: DetectionOptions) -> None:
        self._model, self._options = model, options
        # The last picture without a face of which this half of the tiles was searched, for both halves.
        self._empty: list[np.ndarray | None] = [None, None]
        self._turn = 0

    def searches(self, picture: PictureLike) -> bool:
        """Whether a picture shows a face, by a search of the whole, whatever came before."""
        return self._search(picture, overview(picture), None)

    def begin(self, empty: PictureLike | None = None) -> None:
        """Forget what came before; go on from a picture that is known to show no face, if there is one."""
        small = None if empty is None else overview(empty)
        self._empty, self._turn = [small, small], 0

    def sees(self, picture: PictureLike) -> bool:
        """Whether a picture shows a face, by a search if it is not like the last one, which had none.

        A small face in a tile whose turn it is not is seen in the picture after this one.
        """
        small, turn = overview(picture), self._turn
        self._turn = 1 - turn
        before = self._empty[turn]
        if before is None:
            return self._search(picture, small, None)
        if self._is_fine(picture, small) and not _stirred(small, before):
            return False
        return self._search(picture, small, turn)

    def _search(self, picture: PictureLike, small: np.ndarray, half: int | None) -> bool:
        found = shows_face(picture, self._model, self._options, small, half)
        if found or half is None:
            self._empty = [None, None] if found else [small, small]
        else:
            self._empty[half] = small
        return found

    def _is_fine(self, picture: PictureLike, small: np.ndarray) -> bool:
        """Whether the smallest face is large enough in the overview."""
        smallest = self._options.min_face
        return not smallest or smallest * small.shape[1] / picture.width >= _LEAST_FACE


def _stirred(now: np.ndarray, before: np.ndarray) -> bool:
    if now.shape != before.shape:
        return True
    change = cv2.boxFilter(cv2.absdiff(now, before), cv2.CV_32F, (3, 3))
    return bool(change.max() > _STIRRED)
