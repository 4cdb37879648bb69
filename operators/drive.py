"""Drive: the source's face as it would stand where the target's face stands."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from vidswap.faces import alignment, driving
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import NoOptions, Operator, Options, Setting

from .generate import people_of
from .reenact import mouth_of

PORTRAIT_SIDE = 512


class InvertHead(Operator[NoOptions]):
    """The source's head in an aligned square, wider than FFHQ's, and the landmarks of its face there."""

    kind = "invert"
    needs = ("picture", "landmarks")
    gives = ("portrait", "portrait_landmarks")
    batch_size = 1

    def __call__(self, batch: Batch) -> Batch:
        """Adds portrait (512, 512, 3) uint8 and portrait_landmarks (478, 3) float32 to each row."""
        images, points = [], []
        for picture, landmarks in zip(batch["picture"], batch["landmarks"], strict=True):
            axes = alignment.ffhq_axes(landmarks)
            matrix = alignment.matrix_of_axes(axes, PORTRAIT_SIDE, driving.PORTRAIT_SCALE)
            images.append(picture.crop(matrix, (PORTRAIT_SIDE, PORTRAIT_SIDE)))
            points.append(alignment.transform(matrix, landmarks).astype(np.float32))
        return batch.with_columns(portrait=np.stack(images), portrait_landmarks=np.stack(points))


class GenerateDrivenOptions(Options):
    """Size of the driven face."""

    size: int = Field(512, ge=64, le=1024, description="px a side of the driven face")


class GenerateDriven(Operator[GenerateDrivenOptions]):
    """The first portrait of each person in pose and expression of the target's face, aligned as FFHQ.

    Needs no weights: the portrait is warped by landmarks (`vidswap.faces.driving`).
    """

    kind = "generate"
    needs = ("picture", "landmarks")
    uses = ("source",)
    gives = ("driven", "driven_landmarks")
    needs_source = ("portrait", "portrait_landmarks")
    Options = GenerateDrivenOptions

    def setup(self, setting: Setting) -> None:
        """Prepare the portraits. Raises InputError for a face too small to be moved."""
        self._people = [
            driving.Driven(person["portrait"][0], person["portrait_landmarks"][0]) for person in setting.people()
        ]

    def __call__(self, batch: Batch) -> Batch:
        """Adds driven (S, S, 3) uint8 and driven_landmarks (478, 2) float32, in its pixels, to each row."""
        images, points = [], []
        for row, person in zip(batch.rows(), people_of(batch, len(self._people)), strict=True):
            mouth = mouth_of(row["picture"], row["landmarks"])
            image, placed = self._people[person].as_target(row["landmarks"], self.options.size, mouth)
            images.append(image)
            points.append(placed)
        return batch.with_columns(driven=object_column(images), driven_landmarks=np.stack(points))
