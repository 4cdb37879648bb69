"""An open decoder: it seeks once, decodes forward, numbers the frames, and notices the first one that is missing or
damaged before any frame that may depend on it is given out."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

import av
import av.container
import numpy as np

from vidswap.graph.errors import InputError

from .animated_webp import ANIMATED_WEBP, WebPFrames
from .complaints import complaints
from .decoders import decoder_of
from .image_sequences import SequenceFrames
from .index import VideoIndex
from .opening import UNREADABLE, open_video, reason

Complain = Callable[[int | None], None]


class Unreliable(Exception):
    """Seeking did not lead to the frame that was sought."""


class Damaged(Exception):
    """The group of pictures that was read has a frame that does not decode, or not whole."""


class Cursor:
    """Decodes a video from one of its keyframes on.

    Frames come out in order, each once, by number. A frame is given only when those after it that may have been decoded
    before it (`reorder_depth` of them) are known to be whole, so that what is given does not depend on where decoding
    began.

    Attributes:
        position: number of the next frame that it can give without seeking.
    """

    def __init__(self, index: VideoIndex, keyframe: int | None, expected: int, threads: int) -> None:
        """`keyframe` is which of the index's keyframes to seek to, None for the file's start; `expected` is the frame
        that must come, and none after it before. Raises Unreliable when the file cannot be opened again."""
        self.index = index
        self.position = expected
        self._from_start = keyframe is None
        self._expected = expected
        self._seen_before = False
        self._queue: deque[tuple[int, av.VideoFrame]] = deque()
        self._trouble: int | None = None
        self._ended = False
        self._container, self._stream = opened_at(index, keyframe, threads)
        frames = frames_of(self._container, self._stream, self._hear)
        self._numbered = numbered(index, frames, from_start=self._from_start)

    def take(self, wanted: int) -> av.VideoFrame:
        """Frame `wanted`, which must not lie before `position`.

        Raises Damaged when it or one that it may depend on is missing or broken, Unreliable when decoding began in the
        wrong place.
        """
        depth = self.index.reorder_depth
        while not self._ended and (not self._queue or self._queue[-1][0] < wanted + depth):
            self._pull(wanted)
        if self._trouble is not None and self._trouble <= wanted + depth:
            group = self.index.group_of(wanted)
            if self.index.group_of(min(self._trouble, self.index.frame_count - 1)) <= group:
                raise Damaged(f"frame {self._trouble}")
        while self._queue and self._queue[0][0] < wanted:
            self._queue.popleft()
        if not self._queue or self._queue[0][0] != wanted:
            raise Damaged(f"frame {wanted} is missing")
        self.position = wanted + 1
        return self._queue.popleft()[1]

    def _pull(self, wanted: int) -> None:
        """Decode one more frame into the queue; frames before `wanted` are not kept."""
        following = next(self._numbered, None)
        if following is None:
            self._ended = True
            if self._expected < self.index.frame_count:
                self._fault(self._expected)
            return
        number, frame = following
        if number < self._expected:
            self._seen_before = True
            return
        if number > self._expected:
            self._fault(self._expected)
        elif frame.is_corrupt:
            self._fault(number)
        self._seen_before = True
        self._expected = number + 1
        if number >= wanted:
            self._queue.append((number, frame))

    def _hear(self, pts: int | None) -> None:
        """A packet did not decode whole. Before the frame that is sought, others may be without what they refer to."""
        number = frame_number(self.index, pts) if self.index.timed and pts is not None else self._expected
        if number is not None and number >= self._expected and self._trouble is None:
            self._trouble = number

    def _fault(self, number: int) -> None:
        if not self._seen_before and not self._from_start:
            raise Unreliable(f"frame {number} did not come")
        if self._trouble is None:
            self._trouble = number

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._queue.clear()
        self._numbered.close()
        if self._stream is not None:
            # PyAV frees a decoder with the interpreter's lock held. A thread of the decoder that still had something to
            # log would wait for that lock, and the decoder for the thread; flushing waits for threads without it.
            self._stream.codec_context.flush_buffers()
        self._container.close()

    def __del__(self) -> None:
        # Whoever gives up a range of pictures half-way may leave a cursor to the garbage collector.
        if hasattr(self, "_numbered"):
            self.close()


def opened_at(index: VideoIndex, keyframe: int | None, threads: int) -> tuple[Any, Any]:
    """Open the file and its video stream, placed at a keyframe; the caller closes it. Pictures have no stream: None.

    Raises Unreliable when the file cannot be opened or does not let itself be sought in.
    """
    if index.images:
        return SequenceFrames(index, keyframe or 0, threads), None
    try:
        if index.container == ANIMATED_WEBP:
            return WebPFrames(index), None
        container = open_video(index.path)
    except (InputError, OSError) as error:
        raise Unreliable(str(error)) from error
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
    except (av.error.FFmpegError, OSError, IndexError, OverflowError) as error:
        container.close()
        raise Unreliable(reason(error)) from error
    return container, stream


def frames_of(container: Any, stream: Any, complain: Complain | None = None) -> Generator[av.VideoFrame, None, None]:
    """Decode to the end of the stream, or to where the file cannot be read on; damaged packets are passed over.

    `complain` is called with the pts of each packet that does not decode whole, before any frame that follows from it;
    with None where it has no pts. Decoders are heard only when they use one thread: what others say cannot be ascribed.
    """
    if stream is None:
        yield from container.frames(complain)
        return
    packets = container.demux(stream)
    decoder = decoder_of(stream)
    listens = complain is not None and stream.codec_context.thread_type == av.codec.context.ThreadType.NONE
    while True:
        try:
            packet = next(packets, None)
        except UNREADABLE:
            break
        if packet is None:
            # The last packet was the empty one that flushes the decoder.
            return
        frames: list[av.VideoFrame] = []
        pts, failed = packet.pts, False
        said: list[str] = []
        with complaints(said) if listens else contextlib.nullcontext():
            try:
                frames = decoder.decode(packet)
            except (av.error.FFmpegError, OSError, ValueError):
                failed = True
        if complain is not None and (failed or said):
            complain(pts)
        yield from frames
    # Where reading broke off, the decoder still holds what it had reordered.
    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
        yield from decoder.decode(None)


def frame_number(index: VideoIndex, pts: int) -> int | None:
    """Which frame of a timed video carries a timestamp; None where none does."""
    stamps = index.pts if index.stamps is None else index.stamps
    number = int(np.searchsorted(stamps, pts))
    return number if number < index.frame_count and stamps[number] == pts else None


def numbered(
    index: VideoIndex, frames: Iterator[av.VideoFrame], *, from_start: bool
) -> Generator[tuple[int, av.VideoFrame], None, None]:
    """Number frames by their pts, or by counting from the file's start where pts say nothing."""
    if not index.timed:
        if not from_start:
            raise Unreliable("frames without timestamps are counted from the start")
        for number, frame in enumerate(frames):
            if number < index.frame_count:
                yield number, frame
        return
    for frame in frames:
        found = None if frame.pts is None else frame_number(index, frame.pts)
        if found is not None:
            yield found, frame
