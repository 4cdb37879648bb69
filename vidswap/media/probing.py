"""Making the index of a video: one demux pass, and the first frame for what only frames tell."""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.logging
import numpy as np

from vidswap.graph.errors import InputError

from .closing import CleanCuts
from .colour import Colour
from .decoders import decoder_of
from .geometry import Orientation
from .hdr import hdr_of
from .index import Chapter, StreamRecord, VideoIndex
from .opening import opened, reason

# One packet of these is one frame, so that packets alone give the count; others are counted by decoding.
_PACKET_IS_FRAME = frozenset(
    {"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "ffv1", "prores", "mjpeg", "png", "gif", "apng"}
    | {"webp", "bmp", "tiff", "dnxhd", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "qtrle", "v210"}
)
# Demuxers that cannot seek, or whose frames are painted over the frames before them.
_NO_SEEKING = frozenset({"gif", "apng", "image2"})
# Demuxers whose pts are those of decoding order, and codecs where that is another order.
_NO_PTS = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
_REORDERED = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
# Demuxers that look for decoding timestamps when they seek; the others look for presentation timestamps.
_SEEK_BY_DTS = frozenset({"mpegts", "mpeg", "flv", "nut"})
_WHOLE_HASH_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_BLOCKS = 64
_EXIF_WINDOW_BYTES = 1 << 18
_NO_GROUPS = np.zeros((0, 2), dtype=np.int64)


@dataclass
class _Timeline:
    """Frames in presentation order, and where decoding may start."""

    pts: np.ndarray
    durations: np.ndarray
    keyframes: np.ndarray
    seek_timestamps: np.ndarray
    reorder_depth: int
    timed: bool
    closed_groups: np.ndarray
    free_parameter_set: int | None = None


def probe(path: str | Path) -> VideoIndex:
    """Index a video or a still image (a video of one frame).

    Raises InputError, in one line, when there is no such file, when it is no video, has no video stream, or not one
    frame of it can be decoded.
    """
    path = Path(path).absolute()
    with opened(path) as container:
        stream = _video_stream(path, container)
        first, description = _first_frame(path, stream.index)
        timeline = _timeline(path, container, stream, first)
        ratio = stream.sample_aspect_ratio
        matrix, orientation = _orientation(path, first, description)
        return VideoIndex(
            path=path,
            content_hash=content_hash(path),
            container=container.format.name,
            stream_index=stream.index,
            codec=stream.codec_context.codec.canonical_name,
            stored_width=first.width,
            stored_height=first.height,
            sample_aspect_ratio=ratio if ratio and ratio > 0 else Fraction(1),
            orientation=orientation,
            display_matrix=matrix,
            pixel_format=first.format.name,
            colour=_colour(first, stream, description),
            time_base=stream.time_base or Fraction(1, 1000),
            pts=timeline.pts,
            durations=timeline.durations,
            keyframes=timeline.keyframes,
            seek_timestamps=timeline.seek_timestamps,
            reorder_depth=timeline.reorder_depth,
            timed=timeline.timed,
            closed_groups=timeline.closed_groups,
            free_parameter_set=timeline.free_parameter_set,
            codec_header=bytes(stream.codec_context.extradata or b""),
            rate=_rate(stream, timeline),
            streams=tuple(_record(s) for s in container.streams if s.index != stream.index),
            chapters=tuple(
                Chapter(c["start"], c["end"], c["time_base"] or Fraction(1, 1000), dict(c["metadata"]))
                for c in container.chapters()
            ),
            metadata=dict(container.metadata),
            video_metadata=dict(stream.metadata),
            interlaced=bool(first.interlaced_frame),
            top_field_first=" i:B" not in description,
            hdr=hdr_of(_side_data(first, description), description),
        )


def content_hash(path: Path) -> str:
    """The digest of a file as VideoIndex.content_hash defines it."""
    length = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if length <= _WHOLE_HASH_BYTES:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
            return f"sha256:{digest.hexdigest()}"
        digest.update(str(length).encode())
        for i in range(_BLOCKS):
            file.seek(round(i * (length - _BLOCK_BYTES) / (_BLOCKS - 1)))
            digest.update(file.read(_BLOCK_BYTES))
    return f"sampled-sha256:{digest.hexdigest()}"


def _video_stream(path: Path, container: av.container.InputContainer) -> Any:
    pictures = [s for s in container.streams.video if s.codec_context is not None and s.codec_context.width > 0]
    videos = [s for s in pictures if not s.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best("video")
    if best in videos:
        return best
    if videos:
        return videos[0]
    if pictures:
        raise InputError(f"{path} has no video stream, only a cover picture; give a video")
    kinds = sorted({s.type for s in container.streams})
    if kinds == ["audio"]:
        raise InputError(f"{path} holds sound alone; give a video")
    raise InputError(f"{path} has no video stream that can be decoded (streams: {', '.join(kinds) or 'none'})")


def _first_frame(path: Path, stream_index: int) -> tuple[av.VideoFrame, str]:
    """The first frame that decodes, and FFmpeg's description of it."""
    with opened(path) as container:
        stream: Any = container.streams[stream_index]
        failure = "it holds no frame"
        decoder = decoder_of(stream)
        try:
            for packet in container.demux(stream):
                try:
                    frames = decoder.decode(packet)
                except av.error.EOFError:
                    break
                except av.error.InvalidDataError as error:
                    failure = reason(error)
                    continue
                if frames:
                    first: Any = frames[0]
                    return first, _described(stream, first)
        except (av.error.FFmpegError, OSError) as error:
            failure = reason(error)
    raise InputError(f"no frame of {path} can be decoded ({failure})")


def _described(stream: Any, frame: av.VideoFrame) -> str:
    """What FFmpeg's filter showinfo says of a frame; PyAV tells no chroma location and not what side data there is."""
    level = av.logging.get_level()
    try:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
        )
        info, sink = graph.add("showinfo"), graph.add("buffersink")
        source.link_to(info)
        info.link_to(sink)
        av.logging.set_level(av.logging.INFO)
        with av.logging.Capture(local=True) as lines:
            graph.configure()
            graph.push(frame)
            graph.pull()
        return "".join(text for _, name, text in lines if name == "showinfo")
    except (av.error.FFmpegError, ValueError, OSError):
        return ""
    finally:
        av.logging.set_level(level)


def _timeline(path: Path, container: av.container.InputContainer, stream: Any, first: av.VideoFrame) -> _Timeline:
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    pts: list[int | None] = []
    dts: list[int | None] = []
    duration: list[int] = []
    key: list[bool] = []
    codec = stream.codec_context.codec.canonical_name
    cuts = CleanCuts(codec, bytes(stream.codec_context.extradata or b""))
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                if packet.is_discard:
                    cuts.leave_out()
                continue
            if packet.is_keyframe:
                cuts.look(packet)
            pts.append(packet.pts)
            dts.append(packet.dts)
            duration.append(packet.duration or 0)
            key.append(packet.is_keyframe)
    except (av.error.FFmpegError, OSError) as error:
        if not pts:
            raise InputError(f"{path} cannot be read ({reason(error)})") from error
    step = _usual_step(stream, duration)
    known = [p for p in pts if p is not None]
    one_to_one = codec in _PACKET_IS_FRAME
    if container.format.name in _NO_PTS and codec in _REORDERED:
        return _timeline_by_decoding(path, stream, step, even=True)
    if not one_to_one or len(known) < len(pts) or len(set(known)) < len(known):
        if len(pts) == 1 and one_to_one:
            start = known[0] if known else 0
            return _Timeline(_ints([start]), _ints([duration[0] or step]), _ints([0]), _ints([0]), 0, False, _NO_GROUPS)
        return _timeline_by_decoding(path, stream, step)
    times, lengths, keys = _ints(known), _ints(duration), np.array(key, dtype=bool)
    by_dts = container.format.name in _SEEK_BY_DTS
    clocks = _ints([p if d is None or not by_dts else d for p, d in zip(known, dts, strict=True)])
    if not keys.any():
        return _timeline_by_decoding(path, stream, step)
    if not keys[0] or times.min() < times[keys].min():
        keep = _decodable_from_start(path, stream.index, times, keys)
        cuts.leave_out(set((np.cumsum(keys) - 1)[~keep].tolist()))
        times, lengths, keys, clocks = times[keep], lengths[keep], keys[keep], clocks[keep]
    order = np.argsort(times, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    depth = int(max(0, (np.arange(len(rank)) - rank).max())) if len(rank) else 0
    presented = times[order]
    key_order = np.flatnonzero(keys[order])
    return _Timeline(
        pts=presented,
        durations=_durations(presented, int(lengths[order][-1]), step),
        keyframes=key_order,
        seek_timestamps=clocks[order][key_order],
        reorder_depth=depth,
        timed=not _NO_SEEKING & set(container.format.name.split(",")),
        closed_groups=cuts.result(keys, rank),
        free_parameter_set=cuts.free_number,
    )


def _timeline_by_decoding(path: Path, stream: Any, step: int, *, even: bool = False) -> _Timeline:
    """Count frames by decoding them: for codecs that hide frames, and for files without usable timestamps.

    With `even`, frames follow each other by `step`, whatever timestamps they carry.
    """
    pts: list[int] = []
    with opened(path) as container:
        video = container.streams[stream.index]
        video.thread_type = "FRAME"
        try:
            for frame in container.decode(video):
                given = frame.pts if frame.pts is not None and not even else (pts[-1] + step if pts else 0)
                pts.append(max(given, pts[-1] + 1) if pts else given)
        except (av.error.FFmpegError, OSError) as error:
            if not pts:
                raise InputError(f"{path} cannot be decoded ({reason(error)})") from error
    times = _ints(pts)
    return _Timeline(times, _durations(times, step, step), _ints([0]), times[:1].copy(), 0, False, _NO_GROUPS)


def _decodable_from_start(path: Path, stream_index: int, times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which packets yield a frame when the file does not start with a keyframe, or frames precede the first one."""
    key_times = np.sort(times[keys])
    limit = key_times[1] if len(key_times) > 1 else times.max() + 1
    seen: set[int] = set()
    with opened(path) as container:
        stream = container.streams[stream_index]
        try:
            for frame in container.decode(stream):
                if frame.pts is not None:
                    seen.add(frame.pts)
                    if frame.pts >= limit:
                        break
        except (av.error.FFmpegError, OSError):
            return np.ones(len(times), dtype=bool)
    return (times >= limit) | np.isin(times, _ints(sorted(seen)))


def _usual_step(stream: Any, durations: list[int]) -> int:
    positive = [d for d in durations if d > 0]
    if positive:
        return int(np.median(positive))
    rate, base = stream.average_rate or stream.base_rate, stream.time_base
    return max(1, round(1 / (rate * base))) if rate and base else 1


def _durations(pts: np.ndarray, last: int, step: int) -> np.ndarray:
    return np.append(np.diff(pts), last if last > 0 else step).astype(np.int64)


def _ints(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def _rate(stream: Any, timeline: _Timeline) -> Fraction:
    if stream.average_rate and 0 < stream.average_rate <= 1000:
        return Fraction(stream.average_rate)
    span = int(timeline.pts[-1] + timeline.durations[-1] - timeline.pts[0])
    measured = len(timeline.pts) / (span * stream.time_base) if span > 0 and stream.time_base else Fraction(25)
    return Fraction(min(max(measured, Fraction(1, 1000)), Fraction(1000))).limit_denominator(100_000)


def _colour(frame: av.VideoFrame, stream: Any, description: str) -> Colour:
    location = re.search(r" cl:(\w+)", description)
    context = stream.codec_context
    return Colour(
        range=int(frame.color_range) or int(context.color_range),
        primaries=_tag(frame.color_primaries, context.color_primaries),
        transfer=_tag(frame.color_trc, context.color_trc),
        matrix=_tag(frame.colorspace, context.colorspace),
        chroma_location=location[1] if location and location[1] != "unknown" else "unspecified",
    )


def _tag(of_frame: int, of_stream: int) -> int:
    return int(of_stream) if int(of_frame) == 2 else int(of_frame)


def _orientation(path: Path, frame: av.VideoFrame, description: str) -> tuple[tuple[int, ...] | None, Orientation]:
    if "displaymatrix" not in description and not frame.rotation:
        return None, Orientation()
    value = _exif_orientation(path)
    if value is not None:
        turned = Orientation.from_exif(value)
        return turned.display_matrix, turned
    if found := _side_data(frame, description).get("DISPLAYMATRIX"):
        matrix = struct.unpack("=9i", found[:36])
        return matrix, Orientation.from_display_matrix(matrix)
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
    turned = (Orientation(), Orientation(0, 1, -1, 0), Orientation(-1, 0, 0, -1), Orientation(0, -1, 1, 0))[
        quarter_turns
    ]
    return turned.display_matrix, turned


def _side_data(frame: av.VideoFrame, description: str) -> dict[str, bytes]:
    """A frame's side data by name. PyAV 18.1 frees the notes on one twice (an ICC profile has some): then none."""
    found: dict[str, bytes] = {}
    if "side data" in description and "ICC profile" not in description:
        # Kinds that PyAV does not know raise ValueError.
        with contextlib.suppress(ValueError):
            side_data: Any = frame.side_data
            for i in range(len(side_data)):
                found[side_data[i].type.name] = bytes(side_data[i])
    return found


def _exif_orientation(path: Path) -> int | None:
    """The value of tag 0x0112 in the first TIFF header within the file's first 256 KiB (EXIF 2.32, section 4.6)."""
    with path.open("rb") as file:
        head = file.read(_EXIF_WINDOW_BYTES)
    for match in re.finditer(rb"(?:Exif\x00\x00|eXIf|EXIF....)(II\*\x00|MM\x00\*)", head, re.DOTALL):
        start, order = match.start(1), "<" if match[1][:2] == b"II" else ">"
        try:
            (offset,) = struct.unpack_from(f"{order}I", head, start + 4)
            (count,) = struct.unpack_from(f"{order}H", head, start + offset)
            for i in range(count):
                tag, _, _, value = struct.unpack_from(f"{order}HHIH", head, start + offset + 2 + 12 * i)
                if tag == 0x0112:
                    return int(value)
        except struct.error:
            continue
    return None


def _record(stream: Any) -> StreamRecord:
    context = stream.codec_context
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    return StreamRecord(
        index=stream.index,
        kind=stream.type,
        codec=context.name if context is not None else (stream.name or "unknown"),
        language=stream.language,
        duration_s=seconds,
        disposition=int(stream.disposition),
        metadata=dict(stream.metadata),
    )
