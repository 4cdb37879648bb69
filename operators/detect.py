"""Detect: frames become rows of faces; faces of successive frames become tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from vidswap import media
from vidswap.faces import shape
from vidswap.faces.detection import DetectionOptions, Faces, find_faces, overview, signature
from vidswap.faces.following import Follower
from vidswap.faces.models import FaceModel
from vidswap.faces.selection import LIKE, SelectionOptions, SelectionState, choices, choose
from vidswap.faces.tracking import TrackingOptions, TrackState, advance
from vidswap.faces.turned import Turned
from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.storage import addresses


class DetectOptions(Options):
    """How hard to look for faces; see `vidswap.faces.detection.DetectionOptions`."""

    min_score: float = Field(0.5, ge=0.5, le=1, description="least score of the detector")
    min_presence: float = Field(0.5, ge=0, le=1, description="least probability by the landmark model of a face")
    min_face: float = Field(
        60, ge=0, le=4096, description="height in px of the smallest face to look for in tiles; 0: none"
    )
    tiles: Literal["alone", "always"] = Field("alone", description="tiles where the frame shows no face, or always")
    face: str = Field("all", description="which faces will be wanted; with largest, a large one is enough")
    refine: int = Field(1, ge=0, le=8, description="further passes of the landmark model")
    max_faces: int = Field(32, ge=1, le=256, description="at most so many faces per frame, best first")
    every: int = Field(
        8, ge=1, le=64, description="with largest: frames between two searches; between them faces are followed"
    )
    turned: bool = Field(False, description="look for faces that lie or stand on their head, too")
    task: Path | None = Field(None, description="a FaceLandmarker .task bundle instead of MediaPipe's own models")


class DetectMediaPipe(Operator[DetectOptions]):
    """Faces of each frame: detector on the scaled frame, landmarks on crops of native pixels.

    Where the largest face of a video is wanted, a frame in `every` is searched and faces are followed from there; see
    `vidswap.faces.following`. Faces that come between two searches while others are there are seen by the next one,
    well within the `hold` of a choice. Otherwise each frame is searched by itself.
    """

    kind, each, yields = "detect", "frame", "face"
    needs = ("picture",)
    gives = ("box", "score", "landmarks", "signature", "track")
    Options = DetectOptions

    @classmethod
    def preload(cls) -> None:
        """Import mediapipe."""
        from vidswap.faces.mediapipe_models import preload

        preload()

    def setup(self, setting: Setting) -> None:
        """Load the models."""
        from vidswap.faces.mediapipe_models import load_face_model

        model = load_face_model(self.options.task)
        self._model: FaceModel = Turned(model) if self.options.turned else model
        told = self.options.model_dump(exclude={"task", "turned", "face", "every"})
        # Of a source's faces all are counted, because the user chooses among them.
        largest = self.options.face == "largest" and setting.video is not None
        self._how = DetectionOptions(**told, largest=largest)
        self._follower: Follower | None = None
        video = setting.video
        # Only such a video can be read again, where a segment begins between two searches.
        if largest and self.options.every > 1 and isinstance(video, media.VideoIndex):
            self._follower = Follower(
                self._model, self._how, self.options.every, video.keyframes, lambda a, b: media.read(video, a, b)
            )

    def __call__(self, batch: Batch) -> Batch:
        """One row per face, left to right within a frame; frames without faces have none."""
        small = [overview(picture) for picture in batch["picture"]]
        frames = zip(batch["frame"].tolist(), batch["picture"], small, strict=True)
        found = [self._faces(frame, picture, seen) for frame, picture, seen in frames]
        counts = [len(faces) for faces in found]
        rows = np.repeat(np.arange(len(batch)), counts)
        return batch.take(rows).with_columns(
            box=np.concatenate([f.boxes for f in found]),
            score=np.concatenate([f.scores for f in found]),
            landmarks=np.concatenate([f.landmarks for f in found]),
            signature=np.stack([signature(s) for s in small])[rows],
            track=np.full(len(rows), -1, np.int64),
        )

    def _faces(self, frame: int, picture: media.Picture, small: np.ndarray) -> Faces:
        if self._follower is not None:
            return self._follower(frame, picture, small)
        return find_faces(picture, self._model, self._how, small)

    def teardown(self) -> None:
        """Free the models."""
        if hasattr(self, "_model"):
            self._model.close()


class TracksOptions(Options):
    """How faces are joined and which are kept; see `vidswap.faces.tracking` and `vidswap.faces.selection`."""

    face: str = Field(
        "largest",
        description="largest, all, left, right, a number (0 is the leftmost face) or like:PORTRAIT; "
        "or a list, one for each person who is put in",
    )
    max_gap: int = Field(5, ge=0, le=100, description="frames that a face may be missing without its track ending")
    cut: float = Field(0.05, gt=0, le=1, description="least change of the luma thumbnail that is a shot cut")
    hold: int = Field(12, ge=0, le=1000, description="frames on end after which another face takes the choice over")
    patience: int = Field(24, ge=0, le=1000, description="frames to wait for a lost face before another is taken")

    @field_validator("face", mode="before")
    @classmethod
    def _known(cls, face: Any) -> str:
        try:
            return ",".join(choices(str(face)))
        except InputError as error:
            raise ValueError(str(error)) from None


class DetectTracks(Operator[TracksOptions]):
    """Joins faces into tracks, in order, from boxes alone, and drops the faces that were not asked for.

    `source` says which of the choices a face was taken by, and so which person it becomes.
    """

    kind = "detect"
    needs = ("box", "signature")
    uses = ("landmarks",)
    gives = ("track", "source")
    ordered = True
    Options = TracksOptions

    def __init__(self, options: TracksOptions) -> None:
        super().__init__(options)
        self._choices = choices(options.face)
        self._wanted: dict[int, np.ndarray] = {}

    def files(self) -> list[Path]:
        """The portraits of `like:`. Raises InputError for one that is not there."""
        found = [addresses.place(c[len(LIKE) :]) for c in self._choices if c.startswith(LIKE)]
        for path in found:
            if not path.is_file():
                raise InputError(f"--face-like: no such file: {path}")
        return found

    def setup(self, setting: Setting) -> None:
        """Measure the faces of the portraits that are looked for. Raises InputError for one without a face."""
        places = [i for i, c in enumerate(self._choices) if c.startswith(LIKE)]
        self._wanted = dict(zip(places, portrait_shapes(self.files()), strict=True)) if places else {}

    def scan(self, batch: Batch, carry: dict[str, Any] | None) -> tuple[Batch, dict[str, Any] | None]:
        """Tracks of the rows of one segment; the carry is plain lists and numbers."""
        if not len(batch):
            return batch, carry
        tracks = TrackState.from_dict(carry["tracks"]) if carry else TrackState()
        states = [SelectionState.from_dict(s) for s in carry["selection"]] if carry else []
        states = states or [SelectionState() for _ in self._choices]
        likeness: list[dict[int, list[float]]] = carry["likeness"] if carry else [{} for _ in self._choices]
        joining = TrackingOptions(max_gap=self.options.max_gap, cut=self.options.cut)
        choosing = [SelectionOptions(c, self.options.hold, self.options.patience) for c in self._choices]
        frame, box, thumbnail = batch["frame"], batch["box"], batch["signature"]
        numbers, source = np.full(len(batch), -1, np.int64), np.full(len(batch), -1, np.int64)
        starts = np.flatnonzero(np.r_[True, frame[1:] != frame[:-1]])
        for start, stop in zip(starts, np.r_[starts[1:], len(batch)], strict=True):
            numbers[start:stop] = advance(tracks, int(frame[start]), box[start:stop], thumbnail[start], joining)
            self._compare(likeness, numbers[start:stop], batch, slice(start, stop))
            for place, (state, how) in enumerate(zip(states, choosing, strict=True)):
                taken = {s.chosen for s in states if s is not state}
                distances = {n: total / count for n, (total, count) in likeness[place].items()}
                chosen = choose(state, tracks, how, taken=taken, distances=distances)
                source[start:stop][np.isin(numbers[start:stop], chosen)] = place
            living = {t.number for t in tracks.tracks}
            likeness = [{n: sums for n, sums in known.items() if n in living} for known in likeness]
        result = batch.with_columns(track=numbers, source=source).take(source >= 0)
        left = {"tracks": tracks.to_dict(), "selection": [s.to_dict() for s in states], "likeness": likeness}
        return result, left

    def _compare(self, likeness: list[dict[int, list[float]]], numbers: np.ndarray, batch: Batch, rows: slice) -> None:
        """Add a frame's faces to the mean distances of their tracks from the portraits that are looked for."""
        for place, wanted in self._wanted.items():
            for number, points in zip(numbers, batch["landmarks"][rows], strict=True):
                sums = likeness[place].setdefault(int(number), [0.0, 0.0])
                sums[0] += shape.distance(shape.identity_shape(points), wanted)
                sums[1] += 1


def portrait_shapes(paths: list[Path]) -> list[np.ndarray]:
    """(478, 3) float64 for each picture: the shape of its largest face. Raises InputError where none is found."""
    from vidswap.faces.mediapipe_models import load_face_model

    model: FaceModel = load_face_model(None)
    found = []
    try:
        for path in paths:
            picture = next(iter(media.read(media.probe(path), 0, 1)))
            faces = find_faces(picture, model, DetectionOptions(), overview(picture))
            if not len(faces.boxes):
                raise InputError(f"{path}: no face found in it; give a picture of the person in the video")
            sizes = faces.boxes[:, 3] - faces.boxes[:, 1]
            found.append(shape.identity_shape(faces.landmarks[int(np.argmax(sizes))]))
    finally:
        model.close()
    return found
