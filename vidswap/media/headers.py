"""Stream parameters that PyAV's objects have no attributes for, brought into a muxer by way of Matroska headers.

PyAV 18.1 copies all parameters of a stream that was read from a file to one that is written. So a header in memory that
says them is the way to tell them: HDR metadata, where chroma stands, how much sound a decoder shall leave out. Only the
sample aspect ratio does not go that way; in Matroska it is written into the finished file.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from . import ebml
from .containers import Container
from .ebml import Element, real, unsigned, with_children
from .hdr import Hdr, Mastering
from .index import VideoIndex
from .opening import opened

_VIDEO, _COLOUR, _NAME = 0xE0, 0x55B0, 0x536E
_CODEC_DELAY = 0x56AA
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT, _IS_RATIO = 0x54B0, 0x54BA, 0x54B2, 3
_SITING_X, _SITING_Y, _MAX_CLL, _MAX_FALL, _MASTERING = 0x55B7, 0x55B8, 0x55BC, 0x55BD, 0x55D0
# Matroska: 1 at the left or top edge of the block, 2 in its middle.
_SITINGS = {"left": (1, 2), "topleft": (1, 1), "top": (2, 1), "center": (2, 2)}
# Letters of a placeholder in the track's name: more than the new elements take.
_ROOM = 64
_HEAD_BYTES = 1 << 22
# Formats whose own headers do not tell where chroma stands.
_SILENT_ON_SITING = frozenset({"vp8", "vp9", "ffv1", "prores"})


@contextlib.contextmanager
def picture_template(segment: Any, index: VideoIndex, container: Container) -> Iterator[Any]:
    """The stream to copy an output's video stream from: an opened segment's, with what the output shall say of it.

    That is static HDR metadata and, where only the container can tell, where chroma stands. The caller brings the
    extradata over, of which Matroska has a form of its own. Reads the first packet of `segment`.
    """
    template = segment.streams.video[0]
    place = index.colour.chroma_location
    siting = template.codec_context.name in _SILENT_ON_SITING and not container.iso and place in _SITINGS
    if not (siting or index.hdr.mastering or index.hdr.light):
        yield template
        return

    def change(track: Element) -> Element:
        video = _child(track, _VIDEO)
        colour = with_children(_child(video, _COLOUR), _colour_elements(index.hdr, place))
        return with_children(track, {_VIDEO: with_children(video, {_COLOUR: colour})})

    with _restated(template, next(p for p in segment.demux(template) if p.size), change) as stream:
        yield stream


@contextlib.contextmanager
def sound_template(path: Path, stream: Any, shift_s: Fraction) -> Iterator[Any]:
    """The stream to copy a Matroska file's sound from: `stream` of the file `path`, saying what of it precedes time 0.

    MP4 files say that with an edit list and give such packets times below 0. Matroska has none; without being told that
    a decoder shall leave this part out, FFmpeg would move all streams. `shift_s` is added to all times.
    """
    with opened(path) as source:
        sound = source.streams[stream.index]
        packet = next((p for p in source.demux(sound) if p.size), None)
        early = Fraction(0) if packet is None or packet.pts is None else -(packet.pts * packet.time_base + shift_s)
        if packet is None or early <= 0:
            yield stream
            return

        def change(track: Element) -> Element:
            return with_children(track, {_CODEC_DELAY: unsigned(_CODEC_DELAY, round(early * 10**9))})

        with _restated(sound, packet, change) as restated:
            yield restated


def reserve_aspect_ratio(stream: Any) -> None:
    """Keep room in a Matroska header for `write_aspect_ratio`; before the first packet is written."""
    stream.metadata["title"] = stream.metadata.get("title", "") + " " * _ROOM


def write_aspect_ratio(path: Path, index: VideoIndex) -> None:
    """Write the shape of pixels into a finished Matroska file, in the room that `reserve_aspect_ratio` has kept.

    Raises ValueError where there is none.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        segment = next(body for number, _, body, _ in ebml.elements(head) if number == ebml.SEGMENT)
        start, stop = next((b, e) for number, _, b, e in ebml.elements(head, segment) if number == ebml.TRACKS)
        tracks = Element(ebml.TRACKS, head[start:stop]).children()
        place = next(i for i, t in enumerate(tracks) if t.id == ebml.TRACK_ENTRY and _child(t, _VIDEO).body)
        tracks[place] = _with_aspect_ratio(tracks[place], index)
        left = stop - start - len(ebml.parent(ebml.TRACKS, tracks).body)
        body = ebml.parent(ebml.TRACKS, [*tracks, Element(ebml.VOID, bytes(left - 2))]).body
        if len(body) != stop - start:
            raise ValueError("no room for the aspect ratio")
        file.seek(start)
        file.write(body)


def _with_aspect_ratio(track: Element, index: VideoIndex) -> Element:
    shape = Fraction(index.stored_width, index.stored_height) * index.sample_aspect_ratio
    told = {
        _DISPLAY_WIDTH: unsigned(_DISPLAY_WIDTH, shape.numerator),
        _DISPLAY_HEIGHT: unsigned(_DISPLAY_HEIGHT, shape.denominator),
        _DISPLAY_UNIT: unsigned(_DISPLAY_UNIT, _IS_RATIO),
    }
    named = ebml.parent(track.id, [c for c in track.children() if c.id != _NAME])
    name = _child(track, _NAME).body[:-_ROOM]
    changed = {_VIDEO: with_children(_child(track, _VIDEO), told)}
    return with_children(named, changed | ({_NAME: Element(_NAME, name)} if name else {}))


def _colour_elements(hdr: Hdr, chroma_location: str) -> dict[int, Element]:
    found: dict[int, Element] = {}
    if chroma_location in _SITINGS:
        x, y = _SITINGS[chroma_location]
        found |= {_SITING_X: unsigned(_SITING_X, x), _SITING_Y: unsigned(_SITING_Y, y)}
    if hdr.light is not None:
        found |= {_MAX_CLL: unsigned(_MAX_CLL, hdr.light[0]), _MAX_FALL: unsigned(_MAX_FALL, hdr.light[1])}
    if hdr.mastering is not None:
        found[_MASTERING] = _mastering_element(hdr.mastering)
    return found


def _mastering_element(mastering: Mastering) -> Element:
    points = (mastering.red, mastering.green, mastering.blue, mastering.white)
    values = [*(value for point in points for value in point), mastering.brightest, mastering.darkest]
    # 0x55D1 to 0x55DA: red, green, blue and white, x and y; greatest and least luminance.
    return ebml.parent(_MASTERING, [real(0x55D1 + i, float(value)) for i, value in enumerate(values)])


@contextlib.contextmanager
def _restated(template: Any, packet: Any, change: Callable[[Element], Element]) -> Iterator[Any]:
    """A stream of a Matroska file in memory whose track is `template`'s, changed."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="matroska") as result:
        stream = result.add_stream_from_template(template, opaque=True)
        source, base, stamps = packet.stream, packet.time_base, (packet.pts, packet.dts)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        result.mux_one(packet)
    packet.stream, packet.time_base = source, base
    packet.pts, packet.dts = stamps
    data = file.getvalue()
    top = list(ebml.elements(data))
    start = next(body for number, _, body, _ in top if number == ebml.SEGMENT)
    changed = [data[: top[0][3]], ebml.id_bytes(ebml.SEGMENT), ebml.size_bytes((1 << 56) - 1, 8)]
    for number, offset, body, stop in ebml.elements(data, start):
        if number == ebml.TRACKS:
            tracks = Element(number, data[body:stop]).children()
            whole = ebml.parent(number, [change(t) if t.id == ebml.TRACK_ENTRY else t for t in tracks])
            changed.append(whole.encoded())
        elif number not in _POSITIONS:
            changed.append(data[offset:stop])
    with av.open(io.BytesIO(b"".join(changed)), mode="r") as container:
        yield container.streams[0]


def _child(element: Element, number: int) -> Element:
    return next((c for c in element.children() if c.id == number), Element(number, b""))


# SeekHead and Cues tell where other elements are, and are left out where those move.
_POSITIONS = frozenset({0x114D9B74, 0x1C53BB6B})
