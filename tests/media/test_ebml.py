"""EBML elements are read, changed and written again byte by byte."""

from __future__ import annotations

import io
import zlib

import av
import pytest

from vidswap.media import ebml
from vidswap.media.ebml import Element

VIDEO, WIDTH, NAME = 0xE0, 0xB0, 0x536E


def test_elements_are_written_as_they_were_read():
    inner = [ebml.unsigned(WIDTH, 320), Element(NAME, b"a name"), ebml.real(0x55D1, 0.68)]
    outer = ebml.parent(VIDEO, inner)
    (found,) = [Element(n, outer.encoded()[b:e]) for n, _, b, e in ebml.elements(outer.encoded())]
    assert found == outer
    assert found.children() == inner
    assert inner[0].encoded() == bytes([0xB0, 0x82, 0x01, 0x40])


@pytest.mark.parametrize(("size", "written"), [(0, b"\x80"), (126, b"\xfe"), (127, b"\x40\x7f"), (16382, b"\x7f\xfe")])
def test_lengths_take_as_few_bytes_as_they_can(size, written):
    assert ebml.size_bytes(size) == written


def test_children_are_replaced_and_the_checksum_made_anew():
    before = Element(VIDEO, Element(ebml.CRC32, b"\0\0\0\0").encoded() + ebml.unsigned(WIDTH, 1).encoded())
    after = ebml.with_children(before, {WIDTH: ebml.unsigned(WIDTH, 640)})
    checksum, width = after.children()
    assert width.body == (640).to_bytes(2, "big")
    assert checksum.body == zlib.crc32(width.encoded()).to_bytes(4, "little")


@pytest.mark.parametrize("data", [b"\0\0", b"\x1a\x45", b"\xe0\x01\x02"])
def test_what_is_no_ebml_is_refused(data):
    with pytest.raises(ValueError, match="EBML"):
        list(ebml.elements(data))


def test_the_checksum_of_a_header_of_ffmpeg_is_found_again():
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    data = file.getvalue()
    segment = next(body for number, _, body, _ in ebml.elements(data) if number == ebml.SEGMENT)
    tracks = next(Element(n, data[body:stop]) for n, _, body, stop in ebml.elements(data, segment) if n == ebml.TRACKS)
    checksum, *rest = tracks.children()
    assert tracks.body.endswith(rest[-1].body)
    assert checksum.body == zlib.crc32(tracks.body[len(checksum.encoded()) :]).to_bytes(4, "little")
    # FFmpeg writes lengths of tracks in eight bytes, here in as few as it takes.
    again = ebml.parent(ebml.TRACKS, tracks.children())
    assert again.children()[1:] == rest
    assert again.children()[0].body == zlib.crc32(again.body[6:]).to_bytes(4, "little")
