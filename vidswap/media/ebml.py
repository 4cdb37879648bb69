"""EBML, the syntax of Matroska, as far as its headers need it: elements read, changed and written again (RFC 8794)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

VOID, CRC32 = 0xEC, 0xBF
SEGMENT, TRACKS, TRACK_ENTRY = 0x18538067, 0x1654AE6B, 0xAE


@dataclass(frozen=True)
class Element:
    """One element: its identifier, with the length marker in it, and its content as bytes."""

    id: int
    body: bytes

    def children(self) -> list[Element]:
        """The elements inside of one that holds elements. Raises ValueError for one that does not."""
        return [Element(number, self.body[start:stop]) for number, _, start, stop in elements(self.body)]

    def encoded(self) -> bytes:
        """Identifier, length, content."""
        return id_bytes(self.id) + size_bytes(len(self.body)) + self.body


def elements(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """(identifier, offset, offset of the content, offset after it) of elements that follow each other.

    Content of unknown length goes to the end of `data`. Raises ValueError for what is no EBML.
    """
    while start < len(data):
        number, after = _number(data, start, keep_marker=True)
        length, body = _number(data, after, keep_marker=False)
        unknown = length == (1 << 7 * (body - after)) - 1
        stop = len(data) if unknown else body + length
        yield number, start, body, stop
        start = stop


def parent(number: int, children: list[Element]) -> Element:
    """An element made of others; a checksum among them is made anew (RFC 8794, section 11.3.1)."""
    kept = [c for c in children if c.id != CRC32]
    body = b"".join(c.encoded() for c in kept)
    if len(kept) < len(children):
        body = Element(CRC32, zlib.crc32(body).to_bytes(4, "little")).encoded() + body
    return Element(number, body)


def unsigned(number: int, value: int) -> Element:
    """An element that holds an unsigned integer."""
    return Element(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def real(number: int, value: float) -> Element:
    """An element that holds a floating-point number."""
    return Element(number, struct.pack(">d", value))


def with_children(element: Element, replacing: dict[int, Element]) -> Element:
    """The element with these children, by identifier, instead of the ones that it had."""
    kept = [child for child in element.children() if child.id not in replacing]
    return parent(element.id, [*kept, *replacing.values()])


def id_bytes(number: int) -> bytes:
    """An identifier as it is written."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def size_bytes(size: int, length: int = 0) -> bytes:
    """A length as it is written, in `length` bytes, or in as few as it takes."""
    length = length or next(n for n in range(1, 9) if size < (1 << 7 * n) - 1)
    return (size | 1 << 7 * length).to_bytes(length, "big")


def _number(data: bytes, start: int, *, keep_marker: bool) -> tuple[int, int]:
    if start >= len(data) or not data[start]:
        raise ValueError(f"no EBML at byte {start}")
    length = 9 - data[start].bit_length()
    if start + length > len(data):
        raise ValueError(f"EBML ends at byte {start}")
    value = int.from_bytes(data[start : start + length], "big")
    return (value if keep_marker else value & ~(1 << 7 * length)), start + length
