"""The stage: one class with its options."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from vidswap.graph import Batch, Operator, Options


class PixelateOptions(Options):
    """Written in YAML under `options:`, or on the command line as `pixelate.cells=6`."""

    cells: int = Field(8, ge=2, le=64, description="cells across the face; fewer hide more")
    margin: float = Field(0.35, ge=0, le=2, description="reach beyond the landmarks, in sizes of the face's box")


class Pixelate(Operator[PixelateOptions]):
    """Covers faces with square cells of their mean colour."""

    kind = "blend"
    needs = ("picture", "box")
    gives = ("picture",)
    Options = PixelateOptions

    def __call__(self, batch: Batch) -> Batch:
        """Writes into the pictures; nothing outside the ellipse around each face is touched."""
        cells = self.options.cells
        for picture, box in zip(batch["picture"], batch["box"], strict=True):
            coarse = cells_of_box(box, cells, self.options.margin)
            # A crop that is coarser than the frame is averaged over the pixels of each cell.
            means = picture.crop(coarse, (cells, cells))
            image = np.kron(means, np.ones((16, 16, 1), np.uint8))
            fine = 16.0 * coarse
            fine[:, 2] += 7.5  # the centre of a cell's first pixel is (0, 0)
            picture.composite(fine, image, ellipse(16 * cells))
        return batch


def cells_of_box(box: np.ndarray, cells: int, margin: float) -> np.ndarray:
    """(2, 3) float64: from frame pixels to `cells` x `cells` cells over the square around box x0, y0, x1, y1."""
    x0, y0, x1, y1 = (float(v) for v in box)
    side = max(x1 - x0, y1 - y0) * (1 + margin)
    scale, half = cells / side, (cells - 1) / 2
    return np.array([[scale, 0, half - scale * (x0 + x1) / 2], [0, scale, half - scale * (y0 + y1) / 2]])


def ellipse(size: int) -> np.ndarray:
    """(size, size) float32 alpha: 1 inside the upright ellipse, 0 in the corners, three pixels between."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    outside = (np.hypot(x / 0.85, y) - 1) * size / 2
    return np.clip(-outside / 3, 0, 1).astype(np.float32)
