"""Reading videos through decord, where that gives the frames that PyAV gives: videos whose samples are RGB already.

decord hands out 8-bit RGB alone, made by its FFmpeg's scaler. Of planar YUV, more bits or alpha that is another frame
than the one in the file, and pixels that nothing changes would not come through; such videos are refused.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from vidswap.graph.errors import InputError, first_line
from vidswap.storage import local_file

from .index import VideoIndex
from .picture import Picture, PictureKind
from .planes import layout, plane_views
from .reader import DecodeError

INSTALL = "pip install 'vidswap[decord]'"
_RGB = "gbrp"
# decord tells times as 32-bit seconds.
_RELATIVE, _ABSOLUTE_S = 2.0**-22, 1e-6


def decord_module() -> Any:
    """decord, imported. Raises InputError where it is not installed."""
    if importlib.util.find_spec("decord") is None:
        raise InputError(f"decode.decord needs decord, which is not installed: {INSTALL}")
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord


def why_not(index: VideoIndex) -> str | None:
    """Why decord's frames of a video would not be those of PyAV, by what the index says; None where it may do."""
    if index.working_format != _RGB:
        return f"decord gives 8-bit RGB alone; frames of a {index.pixel_format} video would not be what they were"
    if index.images or not index.timed:
        return "decord does not tell the frames of this file by their times"
    if index.display_matrix is not None:
        return "decord turns frames that the file says are to be turned"
    return "the video is interlaced and is to be made whole" if index.deinterlace else None


def check(index: VideoIndex, threads: int) -> None:
    """Raise InputError, in one line, unless decord finds the index's frames, at the index's times and of its size."""
    reason = why_not(index)
    if reason is None:
        reader = _opened(index, threads)
        reason = _difference(index, reader)
    if reason is not None:
        raise InputError(f"{index.path.name}: {reason}: use decode.pyav")


def _opened(index: VideoIndex, threads: int) -> Any:
    decord = decord_module()
    try:
        return decord.VideoReader(str(local_file(index.path)), num_threads=threads)
    except (RuntimeError, OSError) as error:
        raise InputError(f"{index.path.name}: decord cannot open it ({_told(error)}): use decode.pyav") from error


def _difference(index: VideoIndex, reader: Any) -> str | None:
    if len(reader) != index.frame_count:
        return f"decord counts {len(reader)} frames, there are {index.frame_count}"
    try:
        shape = tuple(reader[0].shape[:2])
        times = np.asarray(reader.get_frame_timestamp(list(range(len(reader)))), np.float64)[:, 0]
    except (RuntimeError, IndexError) as error:
        return f"decord cannot read it ({_told(error)})"
    if shape != (index.stored_height, index.stored_width):
        return f"decord's frames have {shape[1]}x{shape[0]} pixels, not {index.stored_width}x{index.stored_height}"
    # decord counts from the first frame, wherever the file puts that.
    times, own = times - times[0], (index.pts - index.pts[0]) * float(index.time_base)
    wrong = np.flatnonzero(np.abs(times - own) > _ABSOLUTE_S + _RELATIVE * np.abs(own))
    if len(wrong):
        return (
            f"decord puts frame {wrong[0]} {times[wrong[0]]:.6f} s after the first, it is {own[wrong[0]]:.6f} s after"
        )
    return None


class DecordReader:
    """Reads pictures of one video that `check` has passed. Not for use by several threads."""

    def __init__(self, index: VideoIndex, *, threads: int = 1) -> None:
        """`threads` are those of the decoder. Raises InputError where decord or the file is missing."""
        self.index = index
        self._kind = PictureKind(index)
        self._reader = _opened(index, threads)
        self._next: int | None = None

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        """Yield the pictures of frames [start, stop), the same ones whatever start and stop.

        Raises ValueError for a range outside the video, DecodeError for a frame that decord cannot decode.
        """
        if not 0 <= start <= stop <= self.index.frame_count:
            raise ValueError(f"frames {start} to {stop} are not within [0, {self.index.frame_count})")
        first = self.index.first
        for number in range(start, stop):
            try:
                if self._next != number + first:
                    self._reader.seek_accurate(number + first)
                self._next = None
                rgb = self._reader.next().asnumpy()
            except (RuntimeError, StopIteration, IndexError) as error:
                raise DecodeError(
                    f"{self.index.path.name}: decord cannot decode frame {number} at {self.index.time_s(number):.3f} s "
                    f"({_told(error)}): use decode.pyav"
                ) from error
            self._next = number + first + 1
            yield self._kind.picture(_planar(rgb), number)


def _planar(rgb: np.ndarray) -> av.VideoFrame:
    """(h, w, 3) uint8 as a frame with planes G, B, R."""
    of = layout(_RGB)
    assert of is not None
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], _RGB)
    for view, channel in zip(plane_views(frame, of), (1, 2, 0), strict=True):
        view[...] = rgb[:, :, channel]
    return frame


def _told(error: BaseException) -> str:
    """What decord says, without the place in its own source and the trace below."""
    return first_line(error, 500).rsplit("] ", 1)[-1][:200]
