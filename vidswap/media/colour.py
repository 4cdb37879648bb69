"""From coded luma and chroma to RGB and back: matrices, ranges, and what is taken for granted where a file is silent.

Code points are those of ITU-T H.273, as FFmpeg numbers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNSPECIFIED = 2
LIMITED_RANGE, FULL_RANGE = 1, 2

# H.273 table 4: matrix coefficients -> (Kr, Kb). 10 (constant luminance) is taken as 9, as players do.
LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
# SWS_CS_*: the scaler has one number for both BT.601 variants.
SCALER_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""Matrix coefficients -> what FFmpeg's scaler calls them."""
RANGES = {0: "unspecified", 1: "limited", 2: "full"}
MATRICES = {
    0: "gbr",
    1: "bt709",
    2: "unspecified",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
PRIMARIES = {
    1: "bt709",
    2: "unspecified",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    2: "unspecified",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}


@dataclass(frozen=True)
class Colour:
    """Colour tags as the stream has them: code points of H.273; `range` 0 unspecified, 1 limited, 2 full.

    `chroma_location` is where 4:2:0 and 4:2:2 chroma samples stand: unspecified, left, center, topleft, top, bottomleft
    or bottom.
    """

    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    chroma_location: str = "unspecified"

    def names(self) -> dict[str, str]:
        """The tags in FFmpeg's words."""
        return {
            "range": RANGES.get(self.range, str(self.range)),
            "primaries": PRIMARIES.get(self.primaries, str(self.primaries)),
            "transfer": TRANSFERS.get(self.transfer, str(self.transfer)),
            "matrix": MATRICES.get(self.matrix, str(self.matrix)),
            "chroma_location": self.chroma_location,
        }

    def matrix_in_use(self, width: int, height: int) -> int:
        """The matrix to convert with: the tagged one, else BT.709 from 1280 wide or 577 high on and BT.601 below.

        That is what players guess (mpv does); FFmpeg's scaler alone would take BT.601 for everything.
        """
        if self.matrix in LUMA_WEIGHTS:
            return self.matrix
        return 1 if width >= 1280 or height > 576 else 6

    def chroma_offset(self) -> tuple[float, float]:
        """How far the chroma sample of a 2x2 block stands from the middle of the block, in luma pixels (x, y).

        Unspecified is taken as left, as H.264, HEVC and MPEG-2 say.
        """
        return {
            "center": (0.0, 0.0),
            "topleft": (-0.5, -0.5),
            "top": (0.0, -0.5),
            "bottomleft": (-0.5, 0.5),
            "bottom": (0.0, 0.5),
        }.get(self.chroma_location, (-0.5, 0.0))


HD_COLOUR = Colour(LIMITED_RANGE, primaries=1, transfer=1, matrix=1, chroma_location="left")
"""What players take untagged video of today for: BT.709, limited range."""


def rgb_from_codes(matrix: int, full_range: bool, bits: int) -> np.ndarray:
    """(3, 4) float64: RGB 0..255 = A @ (Y, Cb, Cr, 1) in code values of `bits` bits (H.273, equations 20 to 44)."""
    return _inverse(codes_from_rgb(matrix, full_range, bits))


def codes_from_rgb(matrix: int, full_range: bool, bits: int) -> np.ndarray:
    """(3, 4) float64: code values (Y, Cb, Cr) of `bits` bits = A @ (R, G, B, 1) with RGB 0..255."""
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    unit = np.array(
        [
            [kr, kg, kb],
            [-kr / (2 * (1 - kb)), -kg / (2 * (1 - kb)), 0.5],
            [0.5, -kg / (2 * (1 - kr)), -kb / (2 * (1 - kr))],
        ]
    )
    step = 2.0 ** (bits - 8)
    if full_range:
        scale, offset = np.full(3, 2.0**bits - 1), np.array([0, 128 * step, 128 * step])
    else:
        scale, offset = np.array([219, 224, 224]) * step, np.array([16, 128, 128]) * step
    return np.hstack([unit * (scale / 255.0)[:, None], offset[:, None]])


def _inverse(affine: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(affine[:, :3])
    return np.hstack([linear, -linear @ affine[:, 3:]])
