"""Glances: some frames of a stretch of video, decoded as cheaply as can be, to see whether a closer look is worth it.

Frames between others (B-frames) are not decoded at all, and the rest without the filter that smooths block edges,
so that pictures may differ a little from those of the reader. Which frames are given, and what they show, depends on
the video alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
import av.container
import numpy as np

from vidswap.storage import place

from .cursor import Unreliable, frame_number, frames_of, opened_at
from .image_sequences import decode_image
from .index import VideoIndex
from .picture import Picture, PictureKind


class Glancer:
    """Decodes single frames of stretches that begin at keyframes. Not for use by several threads; close it."""

    def __init__(self, index: VideoIndex) -> None:
        self.index = index
        self._file = index.whole or index
        self._kind = PictureKind(index)
        self._opened: tuple[av.container.InputContainer, Any] | None = None
        self._clean = frozenset(self._file.closed_groups[:, 0].tolist())
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._reached: tuple[int, av.VideoFrame] | None = None

    def glances(self, start: int, stop: int, every: int, last: int | None = None) -> Iterator[Picture]:
        """Frame `start`, a keyframe, and after it frames before `stop`, at least `every` apart and mostly just so; and
        frame `last`, however near.

        Decoding goes on where the last call came to its `last`, if that is `start` and nothing after it refers to what
        was before. What does not decode is passed over. Raises Unreliable when the file does not let itself be sought
        in.
        """
        file, first = self._file, self.index.first
        if file.images:
            numbers = {*range(start + first, stop + first, every)}
            for number in sorted(numbers if last is None else numbers | {last + first}):
                image = decode_image(place(file.images[number]))
                if image is not None:
                    yield self._kind.picture(image, number - first)
            return
        following = start + first
        for frame in self._from(following):
            if frame.pts is None:
                continue
            found = frame_number(file, frame.pts)
            if found is None:
                continue
            if found >= stop + first:
                return
            is_last = last is not None and found == last + first
            if is_last and found in self._clean:
                self._reached = found, frame
            if found >= following or is_last:
                following = found + every
                yield self._kind.picture(frame, found - first)
            if is_last:
                return

    def close(self) -> None:
        """Close the file. The glancer may be used again."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None
        self._reached = None

    def _from(self, frame: int) -> Iterator[av.VideoFrame]:
        """Decoded frames, from a keyframe on."""
        reached, self._reached = self._reached, None
        if reached is not None and reached[0] == frame:
            # A chain does not close what it goes through, as `yield from` does when its caller stops.
            return chain([reached[1]], self._frames)
        self._frames = self._sought(frame)
        return chain(self._frames)

    def _sought(self, frame: int) -> Iterator[av.VideoFrame]:
        keyframe = int(np.searchsorted(self._file.keyframes, frame))
        if keyframe >= len(self._file.keyframes) or self._file.keyframes[keyframe] != frame:
            raise Unreliable(f"frame {frame} is no keyframe")
        if self._opened is None:
            container, stream = opened_at(self._file, None, threads=1)
            if stream is None:
                container.close()
                raise Unreliable("its pictures are not decoded by FFmpeg")
            stream.codec_context.skip_frame = "BIDIR"
            stream.codec_context.options = {"skip_loop_filter": "all"}
            self._opened = container, stream
        container, stream = self._opened
        try:
            container.seek(int(self._file.seek_timestamps[keyframe]), stream=stream, backward=True)
        except (av.error.FFmpegError, OSError, OverflowError) as error:
            raise Unreliable(str(error)) from error
        return frames_of(container, stream)
