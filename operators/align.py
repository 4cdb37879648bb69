"""Align: from landmarks to an upright square crop of the face."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from vidswap.faces import alignment
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import Operator, Options


class AlignOptions(Options):
    """Size and reach of the crop."""

    size: Literal["auto"] | int = Field("auto", description="px a side; auto: that of the face in the frame, in steps")
    scale: float = Field(1.0, ge=0.25, le=4, description="reach of the crop, 1 being that of FFHQ")


class AlignFFHQ(Operator[AlignOptions]):
    """The square of the FFHQ data set around each face: `matrix` from frame to crop, and the crop of native pixels.

    Reads `quad_axes` where landmarks were smoothed over time, else makes them from the landmarks. Beyond the edge of
    the frame its outermost pixels are repeated.
    """

    kind = "align"
    needs = ("picture", "landmarks")
    uses = ("quad_axes",)
    gives = ("matrix", "crop")
    Options = AlignOptions

    def __init__(self, options: AlignOptions) -> None:
        super().__init__(options)
        if options.size != "auto":
            alignment.crop_size(np.zeros((3, 2)), options.size)

    def __call__(self, batch: Batch) -> Batch:
        """Adds matrix and crop to each row."""
        every = batch["quad_axes"] if "quad_axes" in batch else alignment.ffhq_axes(batch["landmarks"])
        matrices, crops = [], []
        for picture, axes in zip(batch["picture"], every, strict=True):
            size = alignment.crop_size(axes, self.options.size, self.options.scale)
            matrices.append(alignment.matrix_of_axes(axes, size, self.options.scale))
            crops.append(picture.crop(matrices[-1], (size, size)))
        return batch.with_columns(matrix=np.stack(matrices), crop=object_column(crops))
