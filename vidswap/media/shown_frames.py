"""Frames as they are shown: segments decoded again, in RGB and alpha where there is one, upright, in square pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.video.reformatter import VideoReformatter

from vidswap.graph.errors import VidswapError

from .colour import FULL_RANGE, LIMITED_RANGE, SCALER_MATRIX
from .index import VideoIndex
from .opening import open_segment
from .picture import CONVERT
from .planes import layout


@dataclass(frozen=True)
class FrameFormat:
    """How shown frames lie in memory: bits 8 or 16 per sample, three channels or four."""

    bits: int
    alpha: bool

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name."""
        if self.bits == 16:
            return "rgba64le" if self.alpha else "rgb48le"
        return "rgba" if self.alpha else "rgb24"


def shown_format(index: VideoIndex, *, deep: bool = True, alpha: bool = True) -> FrameFormat:
    """The least format that holds the video's frames; `deep` and `alpha` say what the receiver can hold."""
    of = layout(index.working_format)
    return FrameFormat(16 if deep and index.bit_depth > 8 else 8, bool(alpha and of is not None and of.alpha))


def shown_frames(index: VideoIndex, segments: Sequence[Path], form: FrameFormat) -> Iterator[np.ndarray]:
    """Yield the frames of all segments, in order, (height, width, 3 or 4) uint8 or uint16 RGB(A), one at a time.

    Raises VidswapError when they are not as many as the video has.
    """
    reformatter = VideoReformatter()
    width, height = index.width, index.height
    if index.orientation.swaps:
        width, height = height, width
    yuv = index.working_format.startswith("yuv")
    matrix = SCALER_MATRIX[index.colour.matrix_in_use(index.stored_width, index.stored_height)]
    full = index.full_range if yuv else index.colour.range != LIMITED_RANGE
    count = 0
    for segment in segments:
        with open_segment(segment) as container:
            for frame in container.decode(video=0):
                rgb = reformatter.reformat(
                    frame,
                    width,
                    height,
                    form.pixel_format,
                    src_colorspace=matrix if yuv else None,
                    src_color_range=FULL_RANGE if full else LIMITED_RANGE,
                    dst_color_range=FULL_RANGE,
                    interpolation=CONVERT,
                    threads=1,
                )
                count += 1
                yield index.orientation.apply(rgb.to_ndarray())
    if count != index.frame_count:
        raise VidswapError(f"the segments hold {count} of {index.frame_count} frames")
