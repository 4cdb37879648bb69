"""From the pixel format in which pictures are worked on to the one that an encoder takes."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .colour import FULL_RANGE, LIMITED_RANGE, LUMA_WEIGHTS, SCALER_MATRIX
from .index import VideoIndex
from .picture import CONVERT, Picture
from .planes import layout, plane_views


class Conformer:
    """Brings the pictures of one video to a pixel format and range; they stay as they are where nothing differs."""

    def __init__(self, index: VideoIndex, pixel_format: str, matrix: int, full_range: bool) -> None:
        """`matrix` and `full_range` are those of the encoded video (vidswap.media.writer.output_colour)."""
        self.index, self.pixel_format = index, pixel_format
        self._reformatter = VideoReformatter()
        source = layout(index.working_format)
        self._source_is_yuv = source is not None and source.kind == "yuv"
        # The scaler takes grey for full range whatever it says; limited grey keeps its codes if YUV is called so, too.
        limited_grey = source is not None and source.kind == "gray" and index.colour.range == LIMITED_RANGE
        self._scaled_to_full = full_range or limited_grey
        self._own_matrix = index.colour.matrix_in_use(index.stored_width, index.stored_height)
        self._matrix = matrix if matrix in LUMA_WEIGHTS else self._own_matrix
        self._same_codes = index.working_format == pixel_format and (
            not self._source_is_yuv
            or (full_range == index.full_range and SCALER_MATRIX[self._matrix] == SCALER_MATRIX[self._own_matrix])
        )

    def conform(self, picture: Picture) -> av.VideoFrame:
        """The picture's frame in the encoder's pixel format."""
        frame = picture.native
        if not self._same_codes:
            frame = self._reformatter.reformat(
                frame,
                format=self.pixel_format,
                src_colorspace=SCALER_MATRIX[self._own_matrix] if self._source_is_yuv else None,
                dst_colorspace=SCALER_MATRIX[self._matrix],
                src_color_range=FULL_RANGE if self.index.full_range or not self._source_is_yuv else LIMITED_RANGE,
                dst_color_range=FULL_RANGE if self._scaled_to_full else LIMITED_RANGE,
                interpolation=CONVERT,
                threads=1,
            )
            _scale_alpha(picture.native, frame)
        return frame


def _scale_alpha(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Bring alpha to another depth so that opaque stays so: FFmpeg's scaler makes 1020 of 255, not 1023."""
    of, to = layout(source.format.name), layout(target.format.name)
    if of is None or to is None or not (of.alpha and to.alpha) or of.bits == to.bits:
        return
    most, all_of_it = (1 << of.bits) - 1, (1 << to.bits) - 1
    alpha = plane_views(source, of)[-1].astype(np.uint32)
    plane_views(target, to)[-1][...] = (alpha * all_of_it + most // 2) // most
