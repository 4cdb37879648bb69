"""Writing frames as numbered pictures: PNG and TIFF with 8 or 16 bits, JPEG and WebP with 8."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import ThreadType
from PIL import Image

from vidswap.graph.errors import VidswapError

from .image_sequences import numbered_name
from .index import VideoIndex
from .notes import PNG_END, plain, png_text, xmp
from .opening import reason
from .outputs import FOLDER_PATTERN, NOTES_FILE, Output
from .shown_frames import FrameFormat, shown_format, shown_frames

DEEP = frozenset({".png", ".tif", ".tiff"})
NO_ALPHA = frozenset({".jpg", ".jpeg"})
_JPEG_QUALITY = 95
_FULL_CHROMA_FROM = 90
_MOST_THREADS = 4

Encoded = Iterator[bytes]


def write_images(
    index: VideoIndex,
    segments: Sequence[Path],
    output: Output,
    *,
    quality: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Decode segments and write each frame as a picture, numbered from 1.

    A folder is made where `output` names one, and gets PNG pictures and a note in vidswap.json: rate, start of each
    frame, and what was done. `notes` also go into every picture: text chunks (PNG), a comment (JPEG), XMP (WebP), a
    description (TIFF). `quality`, 0..100, is that of JPEG (None: 95) and WebP (None: lossless).

    Raises VidswapError when decoding or writing fails. What was written till then stays: the caller gives a place that
    it removes.
    """
    told = dict(notes or {})
    pattern = output.path
    if output.folder:
        output.path.mkdir(parents=True, exist_ok=True)
        pattern = output.path / FOLDER_PATTERN
    form = shown_format(index, deep=output.suffix in DEEP, alpha=output.suffix not in NO_ALPHA)
    frames = shown_frames(index, segments, form)
    encode = _ENCODERS[output.suffix]
    try:
        for number, content in enumerate(encode(frames, form, quality, told), 1):
            place = output.path if output.single else numbered_name(pattern, number)
            place.write_bytes(content)
        if output.folder:
            (output.path / NOTES_FILE).write_text(json.dumps(_about(index, told), indent=1) + "\n")
    except (av.error.FFmpegError, ValueError) as error:
        raise VidswapError(f"writing {output.path.name} failed: {reason(error)}") from error


def _about(index: VideoIndex, notes: Mapping[str, str]) -> dict[str, Any]:
    starts = (index.pts - index.pts[0]).tolist()
    return {
        "rate": f"{index.rate.numerator}/{index.rate.denominator}",
        "time_base": f"{index.time_base.numerator}/{index.time_base.denominator}",
        "pts": starts if index.variable_rate else f"0, {int(index.durations[0])} ...",
        "frames": index.frame_count,
        **notes,
    }


def _png(frames: Iterable[np.ndarray], form: FrameFormat, quality: int | None, notes: Mapping[str, str]) -> Encoded:
    del quality
    name = form.pixel_format.replace("le", "be")
    text = png_text(notes)
    context: Any = None
    for image in frames:
        if context is None:
            context = av.CodecContext.create("png", "w")
            context.width, context.height, context.pix_fmt = image.shape[1], image.shape[0], name
            context.options = {"pred": "mixed"}
            context.thread_count, context.thread_type = min(_MOST_THREADS, os.cpu_count() or 1), ThreadType.FRAME
        frame = av.VideoFrame.from_ndarray(image, format=name)
        yield from (_with_text(bytes(packet), text) for packet in context.encode(frame))
    if context is not None:
        yield from (_with_text(bytes(packet), text) for packet in context.encode(None))


def still_png(image: np.ndarray, notes: Mapping[str, str]) -> bytes:
    """A PNG of an (h, w, 3) uint8 RGB array, with notes in text chunks."""
    return _with_text(_by_pillow(image, "PNG", compress_level=4), png_text(notes))


def _with_text(png: bytes, text: bytes) -> bytes:
    return png[: -len(PNG_END)] + text + PNG_END


def _jpeg(frames: Iterable[np.ndarray], form: FrameFormat, quality: int | None, notes: Mapping[str, str]) -> Encoded:
    del form
    wanted = _JPEG_QUALITY if quality is None else max(1, quality)
    chroma = "4:4:4" if wanted >= _FULL_CHROMA_FROM else "4:2:0"
    for image in frames:
        yield _by_pillow(image, "JPEG", quality=wanted, subsampling=chroma, comment=plain(notes).encode())


def _webp(frames: Iterable[np.ndarray], form: FrameFormat, quality: int | None, notes: Mapping[str, str]) -> Encoded:
    del form
    how: dict[str, Any] = {"lossless": True, "quality": 50, "method": 2}
    if quality is not None:
        how = {"quality": quality, "method": 4}
    for image in frames:
        yield _by_pillow(image, "WEBP", exact=True, **how, **({"xmp": xmp(notes)} if notes else {}))


def _by_pillow(image: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def _tiff(frames: Iterable[np.ndarray], form: FrameFormat, quality: int | None, notes: Mapping[str, str]) -> Encoded:
    del form, quality
    for image in frames:
        yield tiff(image, plain(notes))


def tiff(image: np.ndarray, description: str) -> bytes:
    """A little-endian baseline TIFF 6.0 of an (h, w, 3 or 4) uint8 or uint16 RGB(A) array, deflated in one strip."""
    height, width, channels = image.shape
    bits = 8 * image.dtype.itemsize
    pixels = zlib.compress(np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<")).tobytes(), 6)
    text = description.encode("ascii", "replace") + b"\0"
    after = deque[bytes]()
    at = 8 + len(pixels) + len(pixels) % 2

    def elsewhere(content: bytes) -> int:
        nonlocal at
        after.append(content + b"\0" * (len(content) % 2))
        at += len(after[-1])
        return at - len(after[-1])

    short, long, ascii_text = 3, 4, 2
    depths = elsewhere(struct.pack(f"<{channels}H", *[bits] * channels))
    said = int.from_bytes(text.ljust(4, b"\0"), "little") if len(text) <= 4 else elsewhere(text)
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, channels, depths),
        (259, short, 1, 8),
        (262, short, 1, 2),
        (270, ascii_text, len(text), said),
        (273, long, 1, 8),
        (277, short, 1, channels),
        (278, long, 1, height),
        (279, long, 1, len(pixels)),
    ]
    if channels == 4:
        entries.append((338, short, 1, 2))
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    padded = pixels + b"\0" * (len(pixels) % 2)
    return b"II*\0" + struct.pack("<I", at) + padded + b"".join(after) + directory


_ENCODERS: dict[str, Callable[..., Encoded]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
