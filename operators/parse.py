"""Parse: what is where on a face, and how light falls on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from vidswap.faces import alignment, regions
from vidswap.faces.eyewear import sample_worn
from vidswap.faces.glasses import RIMS, sample_rims
from vidswap.faces.irises import sample_irises
from vidswap.faces.light import sample_light
from vidswap.faces.look import HANDS_EVERY, sample_look
from vidswap.faces.models import FaceModel
from vidswap.faces.resting import reading
from vidswap.faces.unseen import nostrils_facing
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import NoOptions, Operator, Options, Setting


class ParseOptions(Options):
    """Which models tell the person from the background."""

    task: Path | None = Field(None, description="a FaceLandmarker .task bundle instead of MediaPipe's own models")


class ParseMediaPipe(Operator[ParseOptions]):
    """The 12 region labels, from landmarks, the person segmenter and the colour of the skin."""

    kind = "parse"
    needs = ("crop", "matrix", "landmarks")
    gives = ("regions", "person")
    Options = ParseOptions

    @classmethod
    def preload(cls) -> None:
        """Import mediapipe, and have OpenCV's tables made."""
        from vidswap.faces.mediapipe_models import preload

        preload()
        regions.preload()

    def setup(self, setting: Setting) -> None:
        """Load the segmenter."""
        from vidswap.faces.mediapipe_models import load_face_model

        self._model: FaceModel = load_face_model(self.options.task)

    def __call__(self, batch: Batch) -> Batch:
        """Adds labels and the probability of the person to each row."""
        painted, person = [], []
        for crop, matrix, landmarks in zip(batch["crop"], batch["matrix"], batch["landmarks"], strict=True):
            person.append(self._model.segment(crop))
            points = alignment.transform(matrix, landmarks[:, :2])
            painted.append(regions.paint_regions(crop, points, person[-1]))
        return batch.with_columns(regions=object_column(painted), person=object_column(person))

    def take_warnings(self) -> list[str]:
        """What a bundle turned out to lack."""
        return self._model.take_warnings() if hasattr(self, "_model") else []

    def teardown(self) -> None:
        """Free the models."""
        if hasattr(self, "_model"):
            self._model.close()


class ParseLight(Operator[NoOptions]):
    """Mean linear colours of seven patches of skin, for colour matching that is steady over time."""

    kind = "parse"
    needs = ("picture", "landmarks")
    gives = ("light",)

    def __call__(self, batch: Batch) -> Batch:
        """Adds light (7, 3) to each row."""
        rows = zip(batch["picture"], batch["landmarks"], strict=True)
        return batch.with_columns(light=np.stack([sample_light(picture, points) for picture, points in rows]))


class ParseAppearance(Operator[ParseOptions]):
    """What each face looks like in the coordinates of a mean face, coarsely: what `smooth.occlusion` compares.

    Hands are looked for in every fourth frame, around the faces. What is said of a face for as long as it is seen, and
    is told badly by one frame, is here too: its darkest, the colour of its eyes, whether it wears glasses and where
    their rims are, how far its nostrils face the viewer, and how it lies along the directions in which faces move.
    """

    kind = "parse"
    needs = ("picture", "landmarks")
    gives = ("appearance", "darkest", "eyewear", "irises", "nostrils", "resting", "rims")
    Options = ParseOptions

    def setup(self, setting: Setting) -> None:
        """Load the model that finds hands."""
        from vidswap.faces.mediapipe_models import load_face_model

        self._model: FaceModel = load_face_model(self.options.task)

    def __call__(self, batch: Batch) -> Batch:
        """Adds appearance (K, 6), darkest (3,), eyewear (), irises (2, 4), nostrils (), resting (M,), rims (32, 48)."""
        rows = zip(batch["frame"], batch["picture"], batch["landmarks"], strict=True)
        seen = [
            (*sample_look(picture, points, self._model if frame % HANDS_EVERY == 0 else None), picture, points)
            for frame, picture, points in rows
        ]
        worn = [sample_worn(picture, points) for *_, picture, points in seen]
        rims = np.zeros((len(seen), *RIMS), np.uint8)
        for row, (*_, picture, points) in enumerate(seen):
            if worn[row] > 0:
                rims[row] = sample_rims(picture, points)
        return batch.with_columns(
            appearance=np.stack([look for look, *_ in seen]),
            darkest=np.stack([darkest for _, darkest, *_ in seen]),
            eyewear=np.array(worn, np.float32),
            irises=np.stack([sample_irises(picture, points) for *_, picture, points in seen]),
            nostrils=np.array([nostrils_facing(points) for *_, points in seen], np.float32),
            resting=np.stack([reading(points) for *_, points in seen]).astype(np.float32),
            rims=rims,
        )

    def take_warnings(self) -> list[str]:
        """What a bundle turned out to lack."""
        return self._model.take_warnings() if hasattr(self, "_model") else []

    def teardown(self) -> None:
        """Free the model."""
        if hasattr(self, "_model"):
            self._model.close()
