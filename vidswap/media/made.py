"""The index of a video that is made of nothing but pictures: steady times, square RGB pixels, no other streams."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from .colour import HD_COLOUR
from .geometry import Orientation
from .index import VideoIndex


def made_index(path: Path, *, frames: int, rate: Fraction, width: int, height: int) -> VideoIndex:
    """An index for writing RGB pictures; `path` is that of the one segment that holds them.

    Frames per second `rate`, whose inverse is the time base; width and height in pixels.
    """
    none = np.zeros(0, np.int64)
    return VideoIndex(
        path=path,
        content_hash="",
        container="",
        stream_index=0,
        codec="",
        stored_width=width,
        stored_height=height,
        sample_aspect_ratio=Fraction(1),
        orientation=Orientation(),
        display_matrix=None,
        pixel_format="gbrp",
        colour=HD_COLOUR,
        time_base=1 / rate,
        pts=np.arange(frames, dtype=np.int64),
        durations=np.ones(frames, np.int64),
        keyframes=np.zeros(1, np.int64),
        seek_timestamps=none,
        reorder_depth=0,
        timed=True,
        rate=rate,
    )
