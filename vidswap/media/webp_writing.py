"""Writing animated WebP, a frame at a time. FFmpeg's and Pillow's writers hold the whole animation in memory.

Every frame is a rectangle that holds what differs from the frame before, encoded as a still and put into an ANMF chunk
(https://developers.google.com/speed/webp/docs/riff_container).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vidswap.graph.errors import InputError, VidswapError

from .notes import xmp

LARGEST_SIDE = 16383
"""libwebp's limit for stills, which frames are here."""
_LONGEST_MS = (1 << 24) - 1
_LARGEST_FILE_BYTES = (1 << 32) - 10
_ALPHA, _XMP, _ANIMATED = 0x10, 0x04, 0x02
_DO_NOT_BLEND = 0x02


def encode_webp(image: np.ndarray, quality: int | None) -> bytes:
    """A still of an (h, w, 3 or 4) uint8 array; lossless where `quality`, 0..100, is None. Raises OSError."""
    file = io.BytesIO()
    picture = Image.fromarray(image)
    if quality is None:
        picture.save(file, "WEBP", lossless=True, exact=True, quality=50, method=2)
    else:
        picture.save(file, "WEBP", quality=quality, method=4, exact=True)
    return file.getvalue()


class WebPWriter:
    """Write an animation: `add` for each frame, then `close`."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        alpha: bool,
        loops: int,
        quality: int | None,
        notes: Mapping[str, str],
    ) -> None:
        """`size` is (width, height); `loops` 0 for ever. Raises InputError for a size that WebP does not hold."""
        width, height = size
        if max(size) > LARGEST_SIDE:
            raise InputError(f"WebP holds no more than {LARGEST_SIDE} pixels a side, not {width}x{height}")
        self._quality, self._notes = quality, dict(notes)
        self._before: np.ndarray | None = None
        self._file = path.open("wb")
        flags = _ANIMATED | (_ALPHA if alpha else 0) | (_XMP if notes else 0)
        self._file.write(b"RIFF\0\0\0\0WEBP")
        self._chunk(b"VP8X", struct.pack("<I", flags) + _uint24(width - 1) + _uint24(height - 1))
        self._chunk(b"ANIM", struct.pack("<IH", 0, min(loops, 0xFFFF)))

    def add(self, image: np.ndarray, duration_ms: int) -> None:
        """Write the next frame, an (h, w, 3 or 4) uint8 array that is not written on later. Raises VidswapError."""
        x, y, x1, y1 = _changed(self._before, image)
        self._before = image
        still = encode_webp(np.ascontiguousarray(image[y:y1, x:x1]), self._quality)
        place = _uint24(x // 2) + _uint24(y // 2) + _uint24(x1 - x - 1) + _uint24(y1 - y - 1)
        header = place + _uint24(min(duration_ms, _LONGEST_MS)) + bytes([_DO_NOT_BLEND])
        self._chunk(b"ANMF", header + _picture_chunks(still))
        if self._file.tell() > _LARGEST_FILE_BYTES:
            raise VidswapError("a WebP file holds no more than 4 GiB; write MKV, or a folder of pictures")

    def close(self) -> None:
        """Finish the file."""
        if self._notes:
            self._chunk(b"XMP ", xmp(self._notes))
        length = self._file.tell() - 8
        self._file.seek(4)
        self._file.write(struct.pack("<I", length))
        self._file.close()

    def abort(self) -> None:
        """Close an unfinished file."""
        self._file.close()

    def _chunk(self, name: bytes, content: bytes) -> None:
        self._file.write(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2))


def _changed(before: np.ndarray | None, image: np.ndarray) -> tuple[int, int, int, int]:
    """The rectangle x0, y0, x1, y1 in which two frames differ; x0 and y0 even, as WebP wants them."""
    height, width = image.shape[:2]
    if before is None:
        return 0, 0, width, height
    differs = (before != image).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return 0, 0, 1, 1
    return int(columns[0]) & ~1, int(rows[0]) & ~1, int(columns[-1]) + 1, int(rows[-1]) + 1


def _picture_chunks(still: bytes) -> bytes:
    """The chunks ALPH, VP8 and VP8L of a still."""
    found, at = b"", 12
    while at + 8 <= len(still):
        name, length = struct.unpack_from("<4sI", still, at)
        end = at + 8 + length + length % 2
        if name in (b"ALPH", b"VP8 ", b"VP8L"):
            found += still[at:end]
        at = end
    return found


def _uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")
