"""Reading animated WebP. FFmpeg decodes still WebP alone; Pillow paints the frames, the container's chunks tell times.

The layout is that of https://developers.google.com/speed/webp/docs/riff_container: RIFF, then chunks of a four-letter
name, a little-endian length and content padded to an even length.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from vidswap.graph.errors import InputError
from vidswap.storage import local_file

from .colour import Colour
from .geometry import Orientation
from .index import VideoIndex

ANIMATED_WEBP = "animated webp"
"""What VideoIndex.container says of them."""
_ANIMATED, _ALPHA = 0x02, 0x10
# A duration of zero is shown by browsers for as long as they show a GIF's.
_DEFAULT_DURATION_MS = 100


@dataclass(frozen=True)
class _Animation:
    width: int
    height: int
    alpha: bool
    loops: int
    durations_ms: tuple[int, ...]


def is_animated_webp(path: Path) -> bool:
    """True for a WebP file whose header says that it is an animation."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & _ANIMATED)


def loops_of_webp(path: Path) -> int:
    """How often the animation is played; 0 for ever."""
    return _parse(path).loops


def index_of_webp(path: Path, content_hash: str) -> VideoIndex:
    """The index of an animated WebP. Raises InputError for one without a whole frame."""
    found = _parse(path)
    try:
        with Image.open(local_file(path)) as image:
            image.load()
            shown = int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"no frame of {path} can be decoded ({error})") from error
    durations = np.array(found.durations_ms[:shown], dtype=np.int64)
    if not len(durations):
        raise InputError(f"no frame of {path} can be decoded (it holds no frame)")
    pts = np.concatenate([[0], np.cumsum(durations)[:-1]]).astype(np.int64)
    return VideoIndex(
        path=path,
        content_hash=content_hash,
        container=ANIMATED_WEBP,
        stream_index=0,
        codec="webp",
        stored_width=found.width,
        stored_height=found.height,
        sample_aspect_ratio=Fraction(1),
        orientation=Orientation(),
        display_matrix=None,
        pixel_format="rgba" if found.alpha else "rgb24",
        colour=Colour(),
        time_base=Fraction(1, 1000),
        pts=pts,
        durations=durations,
        keyframes=np.zeros(1, dtype=np.int64),
        seek_timestamps=np.zeros(1, dtype=np.int64),
        reorder_depth=0,
        # Each frame is painted over the one before, so that reading begins with the first.
        timed=False,
        rate=Fraction(1000 * len(durations), int(durations.sum())).limit_denominator(100_000),
    )


class WebPFrames:
    """Decodes the frames of an animated WebP from the first one on."""

    def __init__(self, index: VideoIndex) -> None:
        self._index = index
        self._image: Any = Image.open(local_file(index.path))

    def frames(self, complain: Callable[[int | None], None] | None) -> Generator[av.VideoFrame, None, None]:
        """The frames, up to the end or to what does not decode; then `complain` is called with its pts."""
        mode = "RGBA" if self._index.pixel_format == "rgba" else "RGB"
        for number in range(self._index.frame_count):
            try:
                self._image.seek(number)
                pixels = np.asarray(self._image.convert(mode))
            except (OSError, ValueError, EOFError, SyntaxError):
                if complain is not None:
                    complain(int(self._index.pts[number]))
                return
            frame = av.VideoFrame.from_ndarray(pixels, format=self._index.pixel_format)
            frame.pts = int(self._index.pts[number])
            yield frame

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError, ValueError):
            self._image.close()


def _parse(path: Path) -> _Animation:
    width = height = loops = 0
    alpha = False
    durations: list[int] = []
    with path.open("rb") as file:
        for name, content in _chunks(file):
            if name == b"VP8X" and len(content) >= 10:
                alpha = bool(content[0] & _ALPHA)
                width, height = 1 + _uint24(content, 4), 1 + _uint24(content, 7)
            elif name == b"ANIM" and len(content) >= 6:
                loops = struct.unpack_from("<H", content, 4)[0]
            elif name == b"ANMF" and len(content) >= 16:
                durations.append(_uint24(content, 12) or _DEFAULT_DURATION_MS)
    return _Animation(width, height, alpha, loops, tuple(durations))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Name and first 16 bytes of each chunk that is whole."""
    end = file.seek(0, 2)
    at = 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if at + 8 + length > end:
            return
        yield name, file.read(min(16, length))
        at += 8 + length + length % 2


def _uint24(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 3], "little")
