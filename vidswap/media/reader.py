"""Reading frames by index, exactly what was asked for; decoders stay open for the range that comes next.

What does not decode is concealed as players do it: with what the decoder makes of it, or with the picture before. So
that this does not depend on where reading began, a damaged group of pictures is always decoded from its own keyframe,
by one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import av

from vidswap.graph.errors import VidswapError

from .cursor import Cursor, Damaged, Unreliable, frame_number, frames_of, numbered, opened_at
from .deinterlacing import MARGIN_AFTER, MARGIN_BEFORE, woven
from .index import VideoIndex
from .picture import Picture, PictureKind
from .planes import layout, plane_views, working_format

# Groups to go back for a keyframe that can be sought, before decoding from the file's start.
_FARTHEST_RETRY = 4
_FARTHEST_CONCEALMENT = 32
# Opening the file and seeking costs about as much as decoding this many frames.
_SEEK_COST_FRAMES = 4
# Decoders that are kept open: the analysis of a video and its compositing read it in two places. Of frames larger than
# those of 1080p (which are stored in 1088 rows) one alone, because a decoder holds up to 16 of them.
_KEPT = 2
_LARGE_FRAME_PIXELS = 1920 * 1088
_RANGES_TOLD = 6

log = logging.getLogger(__name__)


def decoders_kept(pixels: int) -> int:
    """How many decoders a reader keeps open for frames of so many pixels."""
    return _KEPT if pixels <= _LARGE_FRAME_PIXELS else 1


class DecodeError(VidswapError):
    """Frames that the index promises cannot be read at all; the message says which and when."""


class Reader:
    """Reads pictures of one video. Not for use by several threads; close it, or use it in a `with` statement."""

    def __init__(self, index: VideoIndex, *, threads: int = 1) -> None:
        """`index` is that of vidswap.media.probe; frames do not depend on `threads`, those of the decoder."""
        self.index = index
        self._file = index.whole or index
        self._kind = PictureKind(index)
        self._threads = threads
        self._idle: list[Cursor] = []
        self._kept = decoders_kept(index.stored_width * index.stored_height)
        self._keyframes_back = 0
        self._damaged: set[int] = set()
        self._dead: tuple[int, av.VideoFrame] | None = None
        self._concealed: set[int] = set()
        self._resized: dict[int, tuple[int, int]] = {}
        self._reformed: dict[int, str] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all decoders. The reader may be used again."""
        while self._idle:
            self._idle.pop().close()
        self._dead = None

    def read(self, start: int, stop: int) -> Iterator[Picture]:
        """Yield the pictures of frames [start, stop), the same ones whatever start, stop and what was read before.

        Decoding goes on where an earlier range ended, or begins at the last keyframe at or before `start`, or at the
        file's start where seeking proves unreliable.

        Raises ValueError for a range outside the video, 0 <= start <= stop <= frame_count, and DecodeError when not one
        frame can be decoded any more.
        """
        if not 0 <= start <= stop <= self.index.frame_count:
            raise ValueError(f"frames [{start}, {stop}) are not within [0, {self.index.frame_count})")
        first = self.index.first
        read = self._deinterlaced if self.index.deinterlace else self._frames
        for number, frame in read(start + first, stop + first):
            self._note_kind(number, frame)
            yield self._kind.picture(frame, number - first)

    def _deinterlaced(self, start: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
        begin, end = max(0, start - MARGIN_BEFORE), min(self._file.frame_count, stop + MARGIN_AFTER)

        def whole() -> Iterator[tuple[int, av.VideoFrame]]:
            for number, frame in self._frames(begin, end):
                if start <= number < stop:
                    self._note_kind(number, frame)
                yield number, self._kind.conformed(frame)

        for number, frame in woven(self.index, whole()):
            if start <= number < stop:
                yield number, frame

    def _note_kind(self, number: int, frame: av.VideoFrame) -> None:
        if (frame.width, frame.height) != (self.index.stored_width, self.index.stored_height):
            self._resized[number] = (frame.width, frame.height)
        # Of pictures in a folder, the richest format was chosen beforehand; a GIF's alpha is known to hide nothing.
        chosen = self.index.images or self.index.container == "gif"
        if working_format(frame.format.name) != self.index.working_format and not chosen:
            self._reformed[number] = frame.format.name

    def take_warnings(self) -> list[str]:
        """What was wrong with the frames read since the last call, each one line with times."""
        name, found = self.index.path.name, []
        if self._concealed:
            found.append(f"{name} is damaged at {self._told(self._concealed)}; what does not decode is concealed")
        sizes = {size: {n for n, s in self._resized.items() if s == size} for size in self._resized.values()}
        for (width, height), numbers in sizes.items():
            found.append(
                f"{name} changes to {width}x{height} pixels at {self._told(numbers)}; those frames are scaled to "
                f"{self.index.stored_width}x{self.index.stored_height}"
            )
        for name_of in dict.fromkeys(self._reformed.values()):
            numbers = {n for n, f in self._reformed.items() if f == name_of}
            found.append(
                f"{name} changes to {name_of} at {self._told(numbers)}; those frames are converted to "
                f"{self.index.working_format}"
            )
        self._concealed.clear()
        self._resized.clear()
        self._reformed.clear()
        return found

    def _told(self, numbers: set[int]) -> str:
        """Times and frames of numbers in the file, as ranges."""
        ranges: list[tuple[int, int]] = []
        for number in sorted(numbers):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        told = [
            f"{self._file.time_s(a):.3f} s (frame {a}{self._picture(a)})"
            if a == b
            else f"{self._file.time_s(a):.3f} to {self._file.time_s(b):.3f} s (frames {a} to {b})"
            for a, b in ranges[:_RANGES_TOLD]
        ]
        more = len(ranges) - len(told)
        return ", ".join(told) + (f" and {more} more places" if more else "")

    def _picture(self, number: int) -> str:
        """Which file of a sequence a frame is."""
        return f", {Path(self._file.images[number]).name}" if self._file.images else ""

    def _frames(self, wanted: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
        file = self._file
        while wanted < stop:
            group = file.group_of(wanted)
            end = min(stop, file.group_span(group)[1])
            if group in self._damaged:
                yield from self._concealing(group, wanted, end)
                wanted = end
                continue
            cursor: Cursor | None = None
            try:
                cursor = self._cursor(wanted)
                while wanted < stop:
                    if wanted >= end:
                        group = file.group_of(wanted)
                        end = min(stop, file.group_span(group)[1])
                        if group in self._damaged:
                            break
                    frame = cursor.take(wanted)
                    wanted += 1
                    yield wanted - 1, frame
            except Unreliable as error:
                log.debug("seeking in %s is unreliable at frame %d: %s", file.path, wanted, error)
                if self._keyframe(wanted) is None:
                    self._damaged.add(group)
                else:
                    self._keyframes_back = 3 * self._keyframes_back + 1
                self._drop(cursor)
                cursor = None
            except Damaged as error:
                log.debug("%s is damaged in the group of frame %d: %s", file.path, wanted, error)
                self._damaged.add(group)
                # It was damage that made seeking look unreliable.
                self._keyframes_back = 0
                self._drop(cursor)
                cursor = None
            finally:
                if cursor is not None:
                    self._keep(cursor)

    def _cursor(self, wanted: int) -> Cursor:
        """A decoder that comes by frame `wanted`: one that is open and near, or a new one."""
        start = self._file.group_span(self._file.group_of(wanted))[0]
        near = [c for c in self._idle if c.position <= wanted]
        best = max(near, key=lambda c: c.position, default=None)
        keyframe = self._keyframe(wanted)
        if best is not None and (keyframe is None or best.position >= start - _SEEK_COST_FRAMES):
            self._idle.remove(best)
            return best
        while len(self._idle) >= self._kept:
            self._idle.pop(0).close()
        return Cursor(self._file, keyframe, start if keyframe is not None else 0, self._threads)

    def _keyframe(self, frame: int) -> int | None:
        """Which keyframe to seek to, the last one or one before it; None to decode from the start."""
        if not self._file.timed or self._keyframes_back > _FARTHEST_RETRY:
            return None
        found = self._file.group_of(frame) - self._keyframes_back
        return found if found > 0 else None

    def _keep(self, cursor: Cursor) -> None:
        self._idle.append(cursor)
        while len(self._idle) > self._kept:
            self._idle.pop(0).close()

    def _drop(self, cursor: Cursor | None) -> None:
        if cursor is not None:
            cursor.close()

    def _concealing(self, group: int, first: int, end: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames [first, end) of a damaged group, decoded from its keyframe or, where that shows nothing, from those
        before it."""
        for number, frame, concealed in self._repaired(group):
            if number >= end:
                return
            if number >= first:
                if concealed:
                    self._concealed.add(number)
                yield number, _copy(frame) if concealed else frame

    def _repaired(self, group: int) -> Iterator[tuple[int, av.VideoFrame, bool]]:
        file = self._file
        start, stop = file.group_span(group)
        # From the group before, whose pictures a decoder conceals the first one with, as a player's does.
        starts = [g if g > 0 else None for g in range(max(0, group - 1), max(-1, group - _FARTHEST_CONCEALMENT), -1)]
        for tries, keyframe in enumerate(dict.fromkeys([*starts, None]) if file.timed else (None,)):
            last: av.VideoFrame | None = None
            following = start
            if tries and self._dead is not None and self._dead[0] == group - 1:
                last = self._dead[1]
            else:
                for number, frame, whole in self._decoded(keyframe):
                    if number < start:
                        if following == start:
                            last = frame
                        continue
                    if number >= stop or number < following:
                        if number >= stop and last is None and keyframe is None:
                            last = frame
                        if number >= stop:
                            break
                        continue
                    # A copy, because what is yielded may be written on.
                    copy = _copy(frame)
                    for missing in range(following, number):
                        yield missing, last if last is not None else copy, True
                    yield number, frame, not whole or bool(frame.is_corrupt)
                    last, following = copy, number + 1
            if last is not None:
                if following == start:
                    self._dead = (group, last)
                for missing in range(following, stop):
                    yield missing, last, True
                return
        raise DecodeError(
            f"{file.path.name}: frame {start} at {file.time_s(start):.3f} s cannot be decoded, nor any other"
        )

    def _decoded(self, keyframe: int | None) -> Iterator[tuple[int, av.VideoFrame, bool]]:
        """Frames from a keyframe on, and whether their packets decoded whole."""
        heard: list[int | None] = []
        try:
            container, stream = opened_at(self._file, keyframe, threads=1)
        except Unreliable:
            return
        try:
            frames = frames_of(container, stream, heard.append)
            for number, frame in numbered(self._file, frames, from_start=keyframe is None):
                counted = not self._file.timed
                blamed = [p for p in heard if counted or p is None or frame_number(self._file, p) == number]
                heard[:] = [p for p in heard if p not in blamed]
                yield number, frame, not blamed
        finally:
            container.close()


def read(index: VideoIndex, start: int, stop: int, *, threads: int = 1) -> Iterator[Picture]:
    """Yield the pictures of frames [start, stop), as Reader.read does, for a single range."""
    with Reader(index, threads=threads) as reader:
        yield from reader.read(start, stop)


def _copy(frame: av.VideoFrame) -> av.VideoFrame:
    """A frame with planes of its own, because a picture that is shown twice may be written on twice."""
    of = layout(frame.format.name)
    if of is None:
        return frame.reformat(format=working_format(frame.format.name))
    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for target, source in zip(plane_views(copy, of), plane_views(frame, of), strict=True):
        target[...] = source
    return copy
