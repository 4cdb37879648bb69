"""Align: from landmarks to an upright square crop of the face."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from vidswap.faces import alignment
from vidswap.faces.landmarking import PictureLike
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import Operator, Options

_MARGIN = 0.03  # of the side, around the landmarks: so far a crop is sampled at its full size
_LEAST = 448  # px a side: of smaller crops, half would be less than what the segmenter is given


class AlignOptions(Options):
    """Size and reach of the crop."""

    size: Literal["auto"] | int = Field("auto", description="px a side; auto: that of the face in the frame, in steps")
    scale: float = Field(1.0, ge=0.25, le=4, description="reach of the crop, 1 being that of FFHQ")
    sharp: Literal["all", "face"] = Field(
        "all", description="what is sampled at full size: all, or the face, and half the size around it, for less time"
    )


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
        for picture, axes, landmarks in zip(batch["picture"], every, batch["landmarks"], strict=True):
            size = alignment.crop_size(axes, self.options.size, self.options.scale)
            matrix = alignment.matrix_of_axes(axes, size, self.options.scale)
            matrices.append(matrix)
            if self.options.sharp == "all" or size < _LEAST or size % 2:
                crops.append(picture.crop(matrix, (size, size)))
            else:
                crops.append(sharp_face(picture, matrix, size, alignment.transform(matrix, landmarks[:, :2])))
        return batch.with_columns(matrix=np.stack(matrices), crop=object_column(crops))


def sharp_face(picture: PictureLike, matrix: np.ndarray, size: int, points: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 RGB for `size` S: the face at full size, what is around it at half of it, enlarged.

    matrix (2, 3): from frame pixels to crop pixels; points (478, 2): landmarks in crop pixels. A face takes up a third
    of its crop, and sampling is what a crop costs.
    """
    half = picture.crop(alignment.resized(matrix, size, size // 2), (size // 2, size // 2))
    whole = cv2.resize(half, (size, size), interpolation=cv2.INTER_LINEAR)
    x0, y0 = (min(max(math.floor(v - _MARGIN * size), 0), size) for v in points.min(0))
    x1, y1 = (min(max(math.ceil(v + _MARGIN * size), 0), size) for v in points.max(0))
    if x1 > x0 and y1 > y0:
        shifted = matrix - np.array([[0.0, 0.0, x0], [0.0, 0.0, y0]])
        whole[y0:y1, x0:x1] = picture.crop(shifted, (x1 - x0, y1 - y0))
    return whole
