"""Scout: which stretches of a video are worth being searched for faces, frame by frame."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from vidswap.faces.detection import DetectionOptions
from vidswap.faces.models import FaceModel
from vidswap.faces.spotting import Spotter
from vidswap.faces.turned import Turned
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.media.cursor import Unreliable
from vidswap.media.index import VideoIndex
from vidswap.media.picture import Picture
from vidswap.media.scouting import Glancer

# Stretches are whole groups of pictures of at least so many frames; longer ones than this are searched throughout,
# because a segment that begins within one would have to scout it from its keyframe again.
_SHORTEST, _LONGEST = 40, 600


class ScoutOptions(Options):
    """How closely to look."""

    every: int = Field(8, ge=0, le=64, description="frames between two glances; 0 searches every frame")
    min_face: float = Field(60, ge=0, le=4096, description="height in px of the smallest face to look for; see detect")
    turned: bool = Field(False, description="look for faces that lie or stand on their head, too; see detect")


class DetectScout(Operator[ScoutOptions]):
    """Glances at a frame in eight, and only as long as no face is seen: the rest of such a stretch is searched.

    A glance is a search, unless nothing has changed since the one before (`vidswap.faces.spotting`). A stretch begins
    at a keyframe. From the last glance without a face on, `look` is true to its end; where no glance shows a face it is
    false, and those frames are not even decoded. A face that is seen for less than `every` frames, or a small one for
    less than twice as many, in a stretch without any other, is missed. What is true of a frame depends on the video
    alone, not on segments.
    """

    kind, each = "detect", "frame"
    gives = ("look",)
    Options = ScoutOptions

    @classmethod
    def preload(cls) -> None:
        """Import mediapipe."""
        from vidswap.faces.mediapipe_models import preload

        preload()

    def setup(self, setting: Setting) -> None:
        """Load the models."""
        from vidswap.faces.mediapipe_models import load_face_model

        self._video: VideoIndex = setting.video
        self._glancer = Glancer(self._video)
        model = load_face_model(None)
        self._model: FaceModel = Turned(model) if self.options.turned else model
        self._spotter = Spotter(self._model, DetectionOptions(min_face=self.options.min_face, largest=True, refine=0))
        self._edges = stretch_edges(self._video)
        self._known: dict[int, tuple[int, int]] = {}
        self._shared = -1, False

    def __call__(self, batch: Batch) -> Batch:
        """Adds look (N,) bool to each row."""
        frame = batch["frame"]
        look = np.ones(len(batch), dtype=bool)
        if self.options.every and self._video.timed and len(batch):
            first, last = np.searchsorted(self._edges, (frame[0], frame[-1]), side="right") - 1
            for number in range(max(0, int(first)), min(int(last) + 1, len(self._edges) - 1)):
                start, stop = int(self._edges[number]), int(self._edges[number + 1])
                if stop - start <= _LONGEST:
                    look[(frame >= start) & (frame < self._first_worth(start, stop))] = False
            # A decoder that is not needed for a while holds a dozen frames.
            self._glancer.close()
        return batch.with_columns(look=look)

    def _first_worth(self, start: int, stop: int) -> int:
        """The first frame of a stretch that is worth a search; `stop` when none is."""
        if start not in self._known:
            self._known = {k: v for k, v in self._known.items() if v[1] == start}
            self._known[start] = (self._scouted(start, stop), stop)
        return self._known[start][0]

    def _scouted(self, start: int, stop: int) -> int:
        # The keyframe of the next stretch is the last glance of this one.
        limit = min(stop + 1, self._video.frame_count)
        before = start
        self._spotter.begin()
        try:
            for picture in self._glancer.glances(start, limit, self.options.every, last=limit - 1):
                if self._shows_face(picture, by_itself=picture.frame in (start, stop)):
                    return before
                before = picture.frame
        except Unreliable:
            return start
        return stop

    def _shows_face(self, picture: Picture, *, by_itself: bool) -> bool:
        """Whether there is a face; `by_itself` where two stretches ask, and must be told the same."""
        if not by_itself:
            return self._spotter.sees(picture)
        if self._shared[0] != picture.frame:
            self._shared = picture.frame, self._spotter.searches(picture)
        elif not self._shared[1]:
            self._spotter.begin(picture)
        return self._shared[1]

    def teardown(self) -> None:
        """Free the models and close the file."""
        if hasattr(self, "_model"):
            self._model.close()
        if hasattr(self, "_glancer"):
            self._glancer.close()


def stretch_edges(video: VideoIndex) -> np.ndarray:
    """(M + 1,) int64: where the stretches of a video begin, and its end; what lies before the first has none."""
    edges: list[int] = []
    for key in video.keyframes.tolist():
        if not edges or key - edges[-1] >= _SHORTEST:
            edges.append(key)
    return np.array([*edges, video.frame_count], dtype=np.int64)
