"""Smart copy: stretches that nothing changes go from the input to the output packet by packet, without re-encoding.

A stretch can be copied when its packets stand by themselves (vidswap.media.closing) and when the track's header serves
them and the encoder's packets alike. For H.264 a header with the parameter sets of both is made; other codecs carry all
that they need in every keyframe, or have equal headers, or are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np

from vidswap.graph.errors import VidswapError
from vidswap.graph.segments import joined_spans

from . import parameter_sets
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
        header: of the encoder (extradata); of no account for H.264.
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
    if codec not in _SELF_CONTAINED and header != index.codec_header:
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


def common_header(index: VideoIndex, header: bytes) -> bytes:
    """The track's header for copied packets of the input and encoded ones; `header` is the encoder's.

    Raises VidswapError when there can be none, which `why_not` should have told.
    """
    if index.codec != "h264":
        return header
    try:
        return parameter_sets.merged(ParameterSets.parse(index.codec_header), ParameterSets.parse(header))
    except ValueError as error:
        raise VidswapError(f"copied and encoded stretches do not fit together: {error}") from error


def length_bytes(index: VideoIndex) -> int | None:
    """How long the lengths before the NAL units of the input's packets are; None where they have start codes."""
    if index.codec != "h264":
        return None
    return ParameterSets.parse(index.codec_header).length_bytes


def with_lengths(packet: av.Packet, lengths: int) -> av.Packet:
    """An encoder's packet with start codes, as one with lengths before its NAL units."""
    made = av.Packet(parameter_sets.with_lengths(bytes(packet), lengths))
    made.is_keyframe = packet.is_keyframe
    return made


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
