"""Numbered pictures as a video: a folder of images, or a printf pattern such as shot_%04d.png.

Every picture is a file, so every frame can be read by itself. Names are put in natural order (2 before 10); frames
follow each other at a rate that the user gives, because pictures carry no times.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable, Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import ThreadType
from PIL import Image

from vidswap.graph.errors import InputError
from vidswap.storage import local_file, place

from .colour import Colour
from .complaints import complaints
from .hdr import Hdr
from .index import VideoIndex
from .planes import bit_depth, has_alpha

SEQUENCE = "image sequence"
"""What VideoIndex.container says of pictures."""
DEFAULT_RATE = Fraction(25)
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
_PATTERN = re.compile(r"%(?:0(?P<digits>\d{1,2}))?d")
# First bytes of a file, and FFmpeg's decoder for it.
_DECODERS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "mjpeg"),
    (b"RIFF", "webp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"BM", "bmp"),
)
_WHOLE_HASH_BYTES = 64 << 20
_END_BYTES = 1 << 12


def frame_rate(text: object) -> Fraction:
    """25, 23.976 or 24000/1001 as a fraction. Raises InputError for what is no rate above 0 and up to 1000."""
    try:
        rate = Fraction(str(text)).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise InputError(f"{text!r} is no frame rate; give frames per second as 25, 23.976 or 24000/1001")
    return rate


def is_sequence(path: Path) -> bool:
    """True for a folder, and for a pattern that is not itself the name of a file."""
    return path.is_dir() or (bool(_PATTERN.search(path.name)) and not path.exists())


def sequence_files(path: Path) -> list[Path]:
    """The pictures of a folder in natural order, or those of a pattern by number.

    Raises InputError for a folder without pictures, a pattern that nothing matches, and numbers that are left out.
    """
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
        if not found:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(f"{path} is a folder without pictures ({kinds}); give a video file or a folder of images")
        return sorted((p for p in found if p.is_file()), key=lambda p: natural_key(p.name))
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    numbers = numbers_of(path)
    if not numbers:
        raise InputError(f"no file matches the pattern {path}")
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            raise InputError(f"{numbered_name(path, before + 1)} is missing: {path} goes on with {after}")
    return [numbered_name(path, number) for number in numbers]


def numbers_of(pattern: Path) -> list[int]:
    """The numbers of the files that a pattern matches, in order."""
    if not pattern.parent.is_dir():
        return []
    place = _PATTERN.search(pattern.name)
    if place is None:
        raise ValueError(f"{pattern} is no pattern")
    before, after = re.escape(pattern.name[: place.start()]), re.escape(pattern.name[place.end() :])
    name = re.compile(f"{before}([0-9]+){after}$")
    matched = (name.match(p.name) for p in pattern.parent.iterdir())
    found = {int(m[1]) for m in matched if m is not None and m[0] == numbered_name(pattern, int(m[1])).name}
    return sorted(found)


def numbered_name(pattern: Path, number: int) -> Path:
    """The file of a pattern with this number: shot_%04d.png, 7 -> shot_0007.png."""
    return pattern.with_name(_PATTERN.sub(lambda m: f"{number:0{int(m['digits'] or 1)}d}", pattern.name, count=1))


def is_pattern(path: Path) -> bool:
    """True when the file name has a place for a number, such as %05d."""
    return bool(_PATTERN.search(path.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names by value.

    >>> sorted(["a10.png", "a2.png", "A1.png"], key=natural_key)
    ['A1.png', 'a2.png', 'a10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    key = [(int(part), "") if i % 2 else (0, part.lower()) for i, part in enumerate(parts)]
    return [*key, (0, name)]


def index_of_sequence(path: Path, first: VideoIndex, files: Sequence[Path], rate: Fraction) -> VideoIndex:
    """The index of a sequence.

    Args:
        path: the folder or pattern.
        first: the index of one of its pictures, which the others must be like.
        files: all pictures, in order.
        rate: frames per second.

    Raises InputError for a picture of another size or turned otherwise.
    """
    formats = _formats(path, first, files)
    count = len(files)
    numbers = np.arange(count, dtype=np.int64)
    mixed = len(formats) > 1
    return dataclasses.replace(
        first,
        path=path,
        content_hash=sequence_hash(files),
        container=SEQUENCE,
        pixel_format=_common_format(formats),
        colour=Colour() if mixed else first.colour,
        time_base=Fraction(1, rate.numerator),
        pts=numbers * rate.denominator,
        durations=np.full(count, rate.denominator, dtype=np.int64),
        keyframes=numbers,
        seek_timestamps=numbers,
        reorder_depth=0,
        timed=True,
        rate=rate,
        stamps=None,
        closed_groups=np.zeros((0, 2), dtype=np.int64),
        warnings=(),
        metadata={},
        video_metadata={},
        hdr=Hdr() if mixed else first.hdr,
        images=tuple(str(f) for f in files),
    )


def sequence_hash(files: Sequence[Path]) -> str:
    """The digest of a sequence: names, sizes and bytes of its files; above 64 MiB in total the first and last 4 KiB of
    each stand for its bytes (a PNG's end holds a checksum over all of it)."""
    sizes = [f.stat().st_size for f in files]
    whole = sum(sizes) <= _WHOLE_HASH_BYTES
    digest = hashlib.sha256()
    for file, size in zip(files, sizes, strict=True):
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as content:
            if whole:
                digest.update(content.read())
            else:
                digest.update(content.read(_END_BYTES))
                content.seek(max(0, size - _END_BYTES))
                digest.update(content.read(_END_BYTES))
    return f"{'' if whole else 'sampled-'}sha256:{digest.hexdigest()}"


class SequenceFrames:
    """Decodes the pictures of a sequence, each by itself, from number `first` on. What does not decode is left out."""

    def __init__(self, index: VideoIndex, first: int, threads: int) -> None:
        self._index, self._first, self._threads = index, first, threads

    def frames(self, complain: Callable[[int | None], None] | None) -> Generator[av.VideoFrame, None, None]:
        """The frames, with the index's pts; `complain` is called with the pts of one that does not decode whole."""
        for number in range(self._first, len(self._index.images)):
            pts = int(self._index.pts[number])
            said: list[str] = []
            with complaints(said):
                frame = decode_image(place(self._index.images[number]), self._threads)
            if complain is not None and (said or frame is None):
                complain(pts)
            if frame is not None:
                frame.pts = pts
                yield frame

    def close(self) -> None:
        """Nothing is held open between pictures."""


def decode_image(path: Path, threads: int = 1) -> av.VideoFrame | None:
    """The picture of a file, or None where it cannot be read or decoded."""
    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
        content = path.read_bytes()
        name = next((decoder for magic, decoder in _DECODERS if content.startswith(magic)), None)
        if name is None:
            return None
        context: Any = av.CodecContext.create(name, "r")
        context.thread_count, context.thread_type = threads, ThreadType.SLICE
        frames = context.decode(av.Packet(content)) or context.decode(None)
        return frames[0] if frames else None
    return None


def readable_image(files: Sequence[Path]) -> Path:
    """The first picture that decodes; the very first where none does, so that it is the one that is named."""
    return next((f for f in files if decode_image(f) is not None), files[0])


def _formats(path: Path, first: VideoIndex, files: Sequence[Path]) -> set[str]:
    """Pixel formats of the pictures. Headers alone are read; of each kind one picture is decoded."""
    known: dict[Any, str] = {}
    wanted: tuple[Any, ...] | None = None
    like = files[0]
    for file in files:
        header = _header(file)
        if header is None:
            continue
        shape, kind = header
        if wanted is None:
            wanted, like = shape, file
        if shape != wanted:
            width, height, turn = shape
            said = f"{width}x{height} pixels" + (f", EXIF orientation {turn}" if turn != wanted[2] else "")
            raise InputError(f"{file} has {said}, {like.name} {wanted[0]}x{wanted[1]}; pictures of {path} must agree")
        if kind not in known:
            frame = decode_image(file)
            if frame is not None:
                known[kind] = frame.format.name
    return set(known.values()) or {first.pixel_format}


def _header(path: Path) -> tuple[tuple[int, int, int], Any] | None:
    """((width, height, EXIF orientation), what decides the pixel format), or None for what is no picture."""
    try:
        with Image.open(local_file(path)) as image:
            turn = int(image.getexif().get(0x0112, 1)) if image.format == "JPEG" else 1
            raw = str(image.tile[0][3]) if image.tile else ""
            kind = (image.format, image.mode, raw, "transparency" in image.info, str(getattr(image, "layer", "")))
            return (image.width, image.height, turn), kind
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _common_format(formats: set[str]) -> str:
    """One pixel format that holds all of these without loss."""
    if len(formats) == 1:
        return next(iter(formats))
    deep = max(bit_depth(f) for f in formats) > 8
    alpha = any(has_alpha(f) for f in formats)
    return {(False, False): "rgb24", (False, True): "rgba", (True, False): "rgb48le", (True, True): "rgba64le"}[
        deep, alpha
    ]
