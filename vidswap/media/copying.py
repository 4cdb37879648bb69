"""Smart copy: stretches that nothing changes go from the input to the output packet by packet, without re-encoding.

A stretch can be copied when its packets stand by themselves (vidswap.media.closing) and when the track's header serves
them and the encoder's packets alike. For H.264 and H.265 a header with the parameter sets of both is made; other codecs
carry all that they need in every keyframe, or have equal headers, or are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from vidswap.graph.errors import VidswapError
from vidswap.graph.segments import joined_spans

from . import hevc_parameter_sets, parameter_sets
from .hevc_parameter_sets import HevcSets
from .index import VideoIndex
from .opening import opened
from .parameter_sets import ParameterSets

# Their keyframes carry everything that a decoder must know.
_SELF_CONTAINED = frozenset({"vp8", "vp9", "mjpeg"})

Span = tuple[int, int]


def why_not(index: VideoIndex, codec: str, pixel_format: str, header: bytes) -> str | None:
    """Why no stretch of a video can be copied between encoded ones, in a few words; None when some can.

    Args:
        index: of the input.
        codec: name of the format that the encoder writes, such as "h264".
        pixel_format: that the encoder writes.
        header: of the encoder (extradata); of no account for H.264, whose parameter sets got numbers of their own.
    """
    if index.images:
        return "the input is a sequence of pictures"
    if index.stamps is not None:
        return "the input's timestamps had to be mended"
    if index.codec != codec:
        return f"the input is {index.codec}, the output {codec}"
    if _plain(index.pixel_format) != _plain(pixel_format):
        return f"the input is {index.pixel_format}, the output {pixel_format}"
    if not len(index.closed_groups):
        return "the input has no closed groups of pictures that could be cut out"
    if codec == "h264":
        return None if index.free_parameter_set is not None else "the input's header has no room for a second encoder"
    if codec == "hevc" and header != index.codec_header:
        try:
            _hevc_header(index, header)
        except ValueError as error:
            return f"the input's hevc header and the encoder's do not go together: {error}"
    elif codec not in _SELF_CONTAINED and header != index.codec_header:
        return f"the input's {codec} header differs from the encoder's"
    return None


def _plain(pixel_format: str) -> str:
    return pixel_format.replace("yuvj", "yuv")


def stretches(index: VideoIndex, changed: np.ndarray, start: int, stop: int) -> list[Span]:
    """Parts [a, b) of frames [start, stop) that can be copied, in order, none touching the next.

    `changed` is (stop - start,) bool: frames that will not be what they were.
    """
    # cumulative[i] counts the changed frames before start + i.
    cumulative = np.concatenate([[0], np.cumsum(changed)])
    groups = index.closed_groups
    inside = groups[(groups[:, 0] >= start) & (groups[:, 1] <= stop)]
    untouched = cumulative[inside[:, 1] - start] == cumulative[inside[:, 0] - start]
    return joined_spans((int(a), int(b)) for a, b in inside[untouched])


@dataclass(frozen=True)
class Fitting:
    """How an encoder's packets come to lie beside copied ones: the track's header, and what becomes of them.

    `length_bytes`: how long the lengths before their NAL units are to be, None for start codes. `place`: that of the
    numbers of H.265's parameter sets; None where they stay as they are.
    """

    header: bytes
    length_bytes: int | None = None
    place: int | None = None

    def fitted(self, packet: av.Packet, *, ends: bool) -> av.Packet:
        """An encoder's packet among copied ones; `ends` where copied ones follow it. Raises VidswapError."""
        if self.place is not None:
            try:
                data = hevc_parameter_sets.packet_anew(bytes(packet), self.place, self.length_bytes, ends=ends)
            except ValueError as error:
                raise _unfit(error) from error
        elif self.length_bytes is not None:
            data = parameter_sets.with_lengths(bytes(packet), self.length_bytes)
        else:
            return packet
        made = av.Packet(data)
        made.is_keyframe = packet.is_keyframe
        return made


def fitting(index: VideoIndex, header: bytes) -> Fitting:
    """How packets of an encoder with this header fit between copied ones.

    Raises VidswapError where they cannot, which `why_not` should have told.
    """
    try:
        if index.codec == "h264":
            own = ParameterSets.parse(index.codec_header)
            return Fitting(parameter_sets.merged(own, ParameterSets.parse(header)), own.length_bytes)
        if index.codec == "hevc" and header != index.codec_header:
            lengths = HevcSets.parse(index.codec_header).length_bytes
            return Fitting(_hevc_header(index, header), lengths, index.free_parameter_set)
    except ValueError as error:
        raise _unfit(error) from error
    return Fitting(header)


def _unfit(error: ValueError) -> VidswapError:
    return VidswapError(f"copied and encoded stretches do not fit together: {error}")


def _hevc_header(index: VideoIndex, header: bytes) -> bytes:
    if index.free_parameter_set is None:
        raise ValueError("there is no room for a second encoder")
    if HevcSets.parse(index.codec_header).layered:
        raise ValueError("the input has several layers")
    own = hevc_parameter_sets.numbered_anew(HevcSets.parse(header), index.free_parameter_set)
    return hevc_parameter_sets.merged(index.codec_header, own)


def packets(index: VideoIndex, spans: Sequence[Span]) -> Iterator[tuple[int, av.Packet]]:
    """The input's packets of `spans`, in decoding order, each with its frame's number in `index`.

    Raises VidswapError when the file does not give them as the index says.
    """
    if not spans:
        return
    file = index.whole or index
    with opened(file.path) as container:
        stream: Any = container.streams[file.stream_index]
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        for start, stop in spans:
            for frame, packet in _of_span(file, container, stream, start + index.first, stop + index.first):
                yield frame - index.first, packet


def _of_span(file: VideoIndex, container: Any, stream: Any, start: int, stop: int) -> Iterator[tuple[int, av.Packet]]:
    wanted = int(file.pts[start])
    keyframe = int(np.searchsorted(file.keyframes, start))
    # A demuxer that misses the keyframe is asked for one before it.
    for back in (0, 1, 4):
        container.seek(int(file.seek_timestamps[max(0, keyframe - back)]), stream=stream, backward=True)
        found = 0
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard or packet.pts is None:
                continue
            if not found and (packet.pts != wanted or not packet.is_keyframe):
                if packet.pts > wanted and packet.is_keyframe:
                    break
                continue
            number = int(np.searchsorted(file.pts, packet.pts))
            if not start <= number < stop or file.pts[number] != packet.pts:
                raise VidswapError(f"{file.path.name}: the packets of frames {start} to {stop - 1} are not as indexed")
            yield number, packet
            found += 1
            if found == stop - start:
                return
        if found:
            break
    raise VidswapError(f"{file.path.name}: the packets of frames {start} to {stop - 1} cannot be found again")
