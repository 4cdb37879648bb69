"""What FFmpeg does not tell of animated pictures: how often they are played, whether a GIF can become transparent."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .animated_webp import is_animated_webp, loops_of_webp

_HEAD_BYTES = 1 << 16
_NETSCAPE = b"!\xff\x0bNETSCAPE2.0"
LONGEST_GIF_HEAD = 13 + 3 * 256 + 19
_BACKGROUND = 2


@dataclass(frozen=True)
class GifFacts:
    """`loops`: times that it is played, 0 for ever, 1 where the file does not say; `clears`: some frame is wiped to
    transparency when its time is over."""

    loops: int
    clears: bool


def loop_count(path: Path) -> int | None:
    """How often an animated picture is played, 0 for ever; None for what is none."""
    if path.is_dir() or not path.exists():
        return None
    if is_animated_webp(path):
        return loops_of_webp(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"GIF8"):
        return gif_facts(path).loops
    if head.startswith(b"\x89PNG") and (at := head.find(b"acTL")) > 0 and len(head) >= at + 12:
        return int(struct.unpack_from(">I", head, at + 8)[0])
    return None


def gif_facts(path: Path) -> GifFacts:
    """Walk the blocks of a GIF (GIF89a specification, sections 17 to 27; Netscape's extension for loops)."""
    loops, clears = 1, False
    with path.open("rb") as file:
        header = file.read(13)
        if len(header) < 13:
            return GifFacts(loops, clears)
        file.seek(_table_bytes(header[10]), 1)
        while kind := file.read(1):
            if kind == b"!":
                label = file.read(1)
                blocks = _sub_blocks(file)
                if label == b"\xf9" and blocks and blocks[0]:
                    clears |= (blocks[0][0] >> 2 & 7) == _BACKGROUND
                elif label == b"\xff" and blocks[:1] == [b"NETSCAPE2.0"] and len(blocks) > 1 and len(blocks[1]) == 3:
                    # The extension counts repetitions, 0 for ever.
                    repeats = struct.unpack_from("<H", blocks[1], 1)[0]
                    loops = repeats + 1 if repeats else 0
            elif kind == b",":
                descriptor = file.read(9)
                if len(descriptor) < 9:
                    break
                file.seek(_table_bytes(descriptor[8]) + 1, 1)
                _sub_blocks(file)
            else:
                break
    return GifFacts(loops, clears)


def gif_head_bytes(content: bytes) -> int:
    """Length of a GIF's head: header, global colours, Netscape's extension where it follows at once."""
    end = 13 + _table_bytes(content[10])
    return end + 19 if content.startswith(_NETSCAPE, end) else end


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(file: BinaryIO) -> list[bytes]:
    """The first bytes of each sub-block."""
    found = []
    while length := int.from_bytes(file.read(1), "little"):
        found.append(file.read(length)[:16])
        if not found[-1]:
            break
    return found
