"""Where stored pixels stand on the screen: display matrix and sample aspect ratio.

Conventions: x to the right, y down, the centre of the first pixel at (0, 0); affine maps are (2, 3) float64 arrays that
take (x, y, 1). "Stored" pixels are those of the decoded planes, "displayed" ones are square and upright.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The (2, 3) affine map that applies `inner` first and `outer` then."""
    # Plain numbers: a matrix product of so few takes several times as long, and rounds as the processor's BLAS does.
    (a, b, x), (c, d, y) = outer.tolist()
    (e, f, u), (g, h, v) = inner.tolist()
    return np.array(
        [[a * e + b * g, a * f + b * h, a * u + b * v + x], [c * e + d * g, c * f + d * h, c * u + d * v + y]]
    )


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse (2, 3) affine map. Raises ValueError for a map that flattens the plane."""
    (a, b, x), (c, d, y) = affine.tolist()
    determinant = a * d - b * c
    if not math.isfinite(determinant) or abs(determinant) < 1e-12:
        raise ValueError(f"affine map {affine.tolist()} has no inverse")
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to turn and mirror a picture: x' = xx*x + xy*y, y' = yx*x + yy*y, each -1, 0 or 1."""

    xx: int = 1
    xy: int = 0
    yx: int = 0
    yy: int = 1

    @classmethod
    def from_display_matrix(cls, matrix: Sequence[int]) -> Orientation:
        """The nearest of the eight to FFmpeg's display matrix: nine integers, x' = (m0*x + m3*y) / 2**16."""
        xx, xy, yx, yy = matrix[0], matrix[3], matrix[1], matrix[4]
        if abs(xx) + abs(yy) >= abs(xy) + abs(yx):
            return cls(xx=-1 if xx < 0 else 1, xy=0, yx=0, yy=-1 if yy < 0 else 1)
        return cls(xx=0, xy=-1 if xy < 0 else 1, yx=-1 if yx < 0 else 1, yy=0)

    @classmethod
    def from_exif(cls, value: int) -> Orientation:
        """The orientation that the EXIF tag 0x0112 (1..8) names; anything else is upright."""
        table = {2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1)}
        table |= {5: (0, 1, 1, 0), 6: (0, -1, 1, 0), 7: (0, -1, -1, 0), 8: (0, 1, -1, 0)}
        return cls(*table.get(value, (1, 0, 0, 1)))

    @property
    def swaps(self) -> bool:
        """True when width and height change places."""
        return self.xx == 0

    @property
    def display_matrix(self) -> tuple[int, ...]:
        """Nine integers as FFmpeg writes them: 16.16 fixed point, the last 2.30."""
        return (self.xx << 16, self.yx << 16, 0, self.xy << 16, self.yy << 16, 0, 0, 0, 1 << 30)

    @property
    def name(self) -> str:
        """What is done to the stored picture: "upright", "rotated 90", ... (degrees clockwise), then "mirrored"."""
        mirrored = self.xx * self.yy - self.xy * self.yx < 0
        first = (-self.xx, -self.yx) if mirrored else (self.xx, self.yx)
        turn = {(1, 0): "", (0, 1): "rotated 90", (-1, 0): "rotated 180", (0, -1): "rotated 270"}[first]
        return " ".join(filter(None, ["mirrored" if mirrored else "", turn])) or "upright"

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn an (h, w, ...) array; returns a contiguous array."""
        if self.swaps:
            image = image.swapaxes(0, 1)
        if self.xx + self.xy < 0:
            image = image[:, ::-1]
        if self.yx + self.yy < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)

    def affine(self, width: int, height: int) -> np.ndarray:
        """The map from a point of a width x height picture to its place in the turned one."""
        out_width, out_height = (height, width) if self.swaps else (width, height)
        return np.array(
            [
                [self.xx, self.xy, out_width - 1 if self.xx + self.xy < 0 else 0],
                [self.yx, self.yy, out_height - 1 if self.yx + self.yy < 0 else 0],
            ],
            dtype=np.float64,
        )


def square_size(width: int, height: int, sample_aspect_ratio: Fraction) -> tuple[int, int]:
    """Width and height in square pixels, before turning; the height stays, as players do it."""
    return max(1, round(width * sample_aspect_ratio)), height


def stored_from_displayed(width: int, height: int, ratio: Fraction, orientation: Orientation) -> np.ndarray:
    """The map from displayed pixels to pixels of the stored width x height planes, (2, 3) float64."""
    square_width, square_height = square_size(width, height, ratio)
    scale = width / square_width
    squeeze = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, 1.0, 0.0]])
    return compose(squeeze, invert(orientation.affine(square_width, square_height)))
