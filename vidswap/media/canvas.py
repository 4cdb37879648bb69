"""Canvas: the index of a video that keeps a video's times and streams and shows other pictures."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from .colour import HD_COLOUR
from .geometry import Orientation
from .hdr import Hdr
from .index import VideoIndex


def canvas(index: VideoIndex, width: int, height: int, *, sound: bool = True) -> VideoIndex:
    """The index with upright, square, progressive 8-bit pictures (yuv420p, BT.709) of another size.

    Args:
        index: of the video whose times are kept.
        width, height: in pixels, even.
        sound: keep the other streams; without it the result has pictures alone.
    """
    return dataclasses.replace(
        index,
        stored_width=width,
        stored_height=height,
        sample_aspect_ratio=Fraction(1),
        orientation=Orientation(),
        display_matrix=None,
        pixel_format="yuv420p",
        colour=HD_COLOUR,
        streams=index.streams if sound else (),
        interlaced=False,
        deinterlace=None,
        hdr=Hdr(),
        codec="",
        codec_header=b"",
        closed_groups=np.zeros((0, 2), dtype=np.int64),
        free_parameter_set=None,
    )
