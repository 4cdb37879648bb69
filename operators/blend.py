"""Blend: generated faces, and what must be said of them, into the frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from vidswap.faces import blending, compositing
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options


class BlendFaceOptions(Options):
    """How the generated face is joined to the frame."""

    mode: Literal["multiband", "gradient", "feather"] = Field("multiband", description="how the edges are joined")
    strength: float = Field(1.0, ge=0, le=1, description="how far the generated face replaces the target's")


class BlendFace(Operator[BlendFaceOptions]):
    """Writes the generated face into the frame's planes, where `alpha` is above zero."""

    kind = "blend"
    needs = ("picture", "matrix", "crop", "image", "alpha")
    gives = ("picture",)
    Options = BlendFaceOptions

    def __call__(self, batch: Batch) -> Batch:
        """Changes each row's picture in place."""
        columns = (batch[name] for name in self.needs)
        for picture, matrix, crop, generated, cover in zip(*columns, strict=True):
            image, alpha = blending.join(crop, generated, cover, self.options.mode)
            if self.options.strength < 1:
                alpha = alpha * np.float32(self.options.strength)
            picture.composite(matrix, image, alpha)
        return batch


class BlendLabelOptions(Options):
    """The text and its place."""

    text: str = Field(min_length=1, max_length=500, description="what is written into every frame")
    corner: Literal["bottom-left", "bottom-right", "top-left", "top-right"] = Field(
        "bottom-left", description="where it stands"
    )
    size: float = Field(0.028, gt=0, le=0.2, description="height of capitals, as a share of the frame's shorter side")
    opacity: float = Field(0.9, gt=0, le=1, description="of the letters")


class BlendLabel(Operator[BlendLabelOptions]):
    """Writes a visible text into a corner of every frame, such as that faces were changed."""

    kind, each = "blend", "frame"
    needs = ("picture",)
    gives = ("picture",)
    Options = BlendLabelOptions

    def __call__(self, batch: Batch) -> Batch:
        """Changes each row's picture in place."""
        options = self.options
        for picture in batch["picture"]:
            size = (picture.width, picture.height)
            shorter = min(size)
            margin = max(2, round(0.02 * shorter))
            room = (size[0] - 2 * margin, (size[1] - 2 * margin) // 3)
            image, alpha = compositing.lettering(options.text, max(9, round(options.size * shorter)), *room)
            matrix = compositing.placed(options.corner, (alpha.shape[1], alpha.shape[0]), size, margin)
            picture.composite(matrix, image, alpha * np.float32(options.opacity))
        return batch
