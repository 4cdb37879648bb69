"""Reading frames by index: seek to the keyframe before, decode forward, yield exactly what was asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import av
import av.container
import numpy as np

from vidswap.graph.errors import VidswapError

from .index import VideoIndex
from .opening import open_video, reason
from .picture import Picture, PictureKind

# Keyframes to go back before decoding from the file's start.
_FARTHEST_RETRY = 4

log = logging.getLogger(__name__)


class DecodeError(VidswapError):
    """A frame that the index promises cannot be decoded; the message says which and when."""


class _Unreliable(Exception):
    """Seeking did not lead to the frame that was sought."""


def read(index: VideoIndex, start: int, stop: int, *, threads: int = 1) -> Iterator[Picture]:
    """Yield the pictures of frames [start, stop), the same ones whatever start and stop.

    Decoding begins at the last keyframe at or before `start`, or at the file's start where seeking proves unreliable.

    Args:
        index: of vidswap.media.probe.
        start, stop: frame indices, 0 <= start <= stop <= frame_count.
        threads: of the decoder; the frames do not depend on it.

    Raises ValueError for a range outside the video and DecodeError, with the time, for a frame that does not decode.
    """
    if not 0 <= start <= stop <= index.frame_count:
        raise ValueError(f"frames [{start}, {stop}) are not within [0, {index.frame_count})")
    kind = PictureKind(index)
    wanted = start
    keyframes_back = 0
    while wanted < stop:
        keyframe = _keyframe_before(index, wanted, keyframes_back)
        try:
            for picture in _decode(index, kind, wanted, stop, keyframe, threads):
                yield picture
                wanted = picture.frame + 1
            return
        except _Unreliable as error:
            if keyframe is None:
                raise DecodeError(
                    f"{index.path.name}: frame {wanted} at {index.time_s(wanted):.3f} s cannot be decoded ({error})"
                ) from error
            log.debug("seeking in %s is unreliable at frame %d: %s", index.path, wanted, error)
            keyframes_back = 3 * keyframes_back + 1


def _keyframe_before(index: VideoIndex, frame: int, back: int) -> int | None:
    """Which keyframe to seek to, the last one or the one `back` before it; None to decode from the start."""
    if not index.timed or back > _FARTHEST_RETRY:
        return None
    found = int(np.searchsorted(index.keyframes, frame, side="right")) - 1 - back
    return found if found > 0 else None


def _decode(
    index: VideoIndex, kind: PictureKind, wanted: int, stop: int, keyframe: int | None, threads: int
) -> Iterator[Picture]:
    container = open_video(index.path)
    try:
        stream: Any = container.streams[index.stream_index]
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        context = stream.codec_context
        context.thread_count = threads
        # Slice threads dead-lock under load in some FFmpeg builds; frame threads do not.
        context.thread_type = "FRAME" if threads > 1 else "NONE"
        if keyframe is not None:
            container.seek(int(index.seek_timestamps[keyframe]), stream=stream, backward=True)
            # A flushed decoder forgets how many frames it must hold back, and would drop reordered ones.
            context.reorder_depth = max(context.reorder_depth, index.reorder_depth)
        for number, frame in _numbered(index, _frames(container, stream), from_start=keyframe is None):
            if number < wanted:
                continue
            if number > wanted:
                raise _Unreliable(f"frame {number} came in its place")
            yield kind.picture(frame, number)
            wanted += 1
            if wanted == stop:
                return
        raise _Unreliable("the stream ends before it")
    finally:
        container.close()


def _frames(container: av.container.InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    """Decode to the end of the stream; damaged packets are passed over, as players do."""
    failure = None
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.InvalidDataError as error:
                failure = error
    except (av.error.FFmpegError, OSError) as error:
        raise _Unreliable(reason(error)) from error
    if failure is not None:
        raise _Unreliable(reason(failure))


def _numbered(
    index: VideoIndex, frames: Iterator[av.VideoFrame], *, from_start: bool
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Number frames by their pts, or by counting from the file's start where pts say nothing."""
    if not index.timed:
        if not from_start:
            raise _Unreliable("frames without timestamps are counted from the start")
        yield from enumerate(frames)
        return
    for frame in frames:
        if frame.pts is None:
            continue
        number = int(np.searchsorted(index.pts, frame.pts))
        if number < index.frame_count and index.pts[number] == frame.pts:
            yield number, frame
