"""What FFHQ's recipe shows of a face beyond the edge of its picture: the picture mirrored, blurred and faded.

Encoders of aligned faces were trained on such crops. Karras et al. 2018, appendix C; the blur is that of StyleMask's
crops (0.01 of the square's side; FFHQ's own is twice as strong).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import alignment

_BORDER = 0.1  # of the square's side: what is cut out around it
_PADDING = 0.3  # what is mirrored at least
_NEAR = 4  # pixels from the picture's edge at which a square counts as leaving it
_BLUR = 0.01


@dataclass(frozen=True)
class Patch:
    """The upright part of a picture that a square is cut out of.

    shrink: whole number by which the picture is made smaller first. left, top, right, bottom: of the part, in pixels of
    the smaller picture. padding: how much is mirrored at the same four sides. side: of the square, in those pixels.
    """

    shrink: int
    left: int
    top: int
    right: int
    bottom: int
    padding: tuple[int, int, int, int]
    side: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the part."""
        return self.right - self.left, self.bottom - self.top

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3): pixels of the picture to pixels of the part."""
        scale, middle = 1 / self.shrink, 0.5 / self.shrink - 0.5
        return np.array([[scale, 0.0, middle - self.left], [0.0, scale, middle - self.top]])

    @property
    def padded_matrix(self) -> np.ndarray:
        """(2, 3): pixels of the picture to pixels of the padded part."""
        made = self.matrix
        made[:, 2] += self.padding[:2]
        return made


def patch(matrix: np.ndarray, side: int, width: int, height: int) -> Patch | None:
    """What has to be padded for the square of a similarity; None where the square lies within the picture.

    matrix: (2, 3) from pixels of a picture of `width` x `height` to those of the crop; side: px of the crop.
    """
    across = side / alignment.scale_of(matrix)
    shrink = max(1, int(across / side * 0.5))
    corners = np.array([[-0.5, -0.5], [-0.5, side - 0.5], [side - 0.5, side - 0.5], [side - 0.5, -0.5]])
    quad = (alignment.transform(alignment.inverse(matrix), corners) + 0.5) / shrink - 0.5
    width, height, across = round(width / shrink), round(height / shrink), across / shrink
    border = max(round(_BORDER * across), 3)
    (x0, y0), (x1, y1) = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    missing = border - x0, border - y0, x1 + border - width, y1 + border - height
    if max(missing) <= border - _NEAR:
        return None
    left, top = max(int(x0) - border, 0), max(int(y0) - border, 0)
    right, bottom = min(int(x1) + border, width), min(int(y1) + border, height)
    if right - left < 2 or bottom - top < 2:
        return None
    least = round(_PADDING * across)
    padding = tuple(max(least, int(m)) for m in missing)
    return Patch(shrink, left, top, right, bottom, padding, across)  # type: ignore[arg-type]


def padded(image: np.ndarray, where: Patch) -> np.ndarray:
    """(h', w', 3) float32: the part of a picture, (h, w, 3) of `where.size`, with its padding."""
    left, top, right, bottom = where.padding
    made = np.pad(image.astype(np.float32), ((top, bottom), (left, right), (0, 0)), "reflect")
    height, width = made.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = np.minimum(x / left, (width - 1 - x) / right)
    down = np.minimum(y / top, (height - 1 - y) / bottom)
    beyond = (1 - np.minimum(across, down))[..., None]  # 0 at the picture's edge, 1 at that of the padding
    sigma = _BLUR * where.side
    blurred = cv2.GaussianBlur(made, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    made += (blurred - made) * np.clip(3 * beyond + 1, 0, 1)
    made += (np.median(made, axis=(0, 1)) - made) * np.clip(beyond, 0, 1)
    return np.asarray(made)
