"""Cover pictures in MP4 files beside tags of one's own, which FFmpeg's muxer writes only without the other.

Own tags lie in `moov/udta/meta` with a handler "mdta" (QuickTime File Format, "Metadata"), a cover in another such box
with the handler "mdir", as iTunes writes it. While the file is written, a tag of the cover's length keeps its room;
then that is exchanged for the cover, and no other box moves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PLACEHOLDER = "vidswap_cover"
_HANDLER = struct.pack(">8x4s4s9x", b"mdir", b"appl")
# Types of a cover's data: 13 JPEG, 14 PNG, 27 BMP.
COVER_TYPES = {"mjpeg": 13, "png": 14, "bmp": 27}
# Of the boxes around the picture, and of a box that fills what is left.
_ROOM = 160


def placeholder(picture: bytes) -> dict[str, str]:
    """A tag that keeps room for the picture, to be written with the others."""
    return {_PLACEHOLDER: " " * (len(picture) + _ROOM)}


def write_cover(path: Path, picture: bytes, kind: int) -> None:
    """Put a cover into the room that `placeholder` has kept in a finished file; `kind` is one of COVER_TYPES.

    Raises ValueError where there is no such room.
    """
    with path.open("r+b") as file:
        start, size = _moov(file)
        file.seek(start)
        moov = file.read(size)
        changed = _with_cover(moov[8:], picture, kind)
        left = size - 8 - len(changed)
        if left < 8:
            raise ValueError("no room for the cover")
        file.seek(start + 8)
        file.write(changed + _box(b"free", bytes(left - 8)))


def _moov(file: BinaryIO) -> tuple[int, int]:
    """Where the box begins, and its size with its head."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            raise ValueError("no moov box")
        size, kind = struct.unpack(">I4s", head[:8])
        if kind == b"moov":
            return at, size
        if size == 1:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:
            raise ValueError("no moov box")
        at += size


def _with_cover(moov: bytes, picture: bytes, kind: int) -> bytes:
    data = _box(b"data", struct.pack(">II", kind, 0) + picture)
    cover = _box(b"meta", bytes(4) + _box(b"hdlr", _HANDLER) + _box(b"ilst", _box(b"covr", data)))
    made = []
    for name, body in _boxes(moov):
        if name == b"udta":
            inner = [_box(n, _without_placeholder(b) if n == b"meta" else b) for n, b in _boxes(body)]
            made.append(_box(name, b"".join(inner) + cover))
        else:
            made.append(_box(name, body))
    return b"".join(made)


def _without_placeholder(meta: bytes) -> bytes:
    """The content of a `meta` box less the tag; numbers of the tags behind it are one less."""
    inside = dict(_boxes(meta[4:]))
    keys, tags = inside.get(b"keys"), inside.get(b"ilst")
    if keys is None or tags is None:
        return meta
    names = list(_boxes(keys[8:]))
    place = next((i for i, (_, name) in enumerate(names, 1) if name == _PLACEHOLDER.encode()), None)
    if place is None:
        return meta
    kept = b"".join(_box(space, name) for i, (space, name) in enumerate(names, 1) if i != place)
    entries = []
    for number, content in _boxes(tags):
        (index,) = struct.unpack(">I", number)
        if index != place:
            entries.append(_box(struct.pack(">I", index - (index > place)), content))
    inside[b"keys"] = keys[:4] + struct.pack(">I", len(names) - 1) + kept
    inside[b"ilst"] = b"".join(entries)
    return meta[:4] + b"".join(_box(name, body) for name, body in inside.items())


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8:
            raise ValueError(f"a box {name!r} of {size} bytes")
        yield name, data[at + 8 : at + size]
        at += size
