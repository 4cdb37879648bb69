"""Making the index of a video: one demux pass, and the first frame for what only frames tell."""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.logging

from vidswap.graph.errors import InputError
from vidswap.storage import RemotePath, place
from vidswap.storage.fetching import bring
from vidswap.storage.ranges import all_read

from .animated_webp import index_of_webp, is_animated_webp
from .colour import Colour
from .decoders import decoder_of
from .geometry import Orientation
from .hdr import hdr_of
from .image_sequences import DEFAULT_RATE, index_of_sequence, is_sequence, readable_image, sequence_files
from .index import Chapter, StreamRecord, VideoIndex
from .loops import gif_facts
from .opening import opened, reason
from .timeline import Timeline, timeline

_WHOLE_HASH_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_BLOCKS = 64
_EXIF_WINDOW_BYTES = 1 << 18


def probe(path: str | Path, *, image_rate: Fraction = DEFAULT_RATE, video_stream: int | None = None) -> VideoIndex:
    """Index a video, an animated picture, a still image (a video of one frame), or a sequence of images: a folder, or a
    printf pattern such as shot_%04d.png, whose frames follow each other at `image_rate` per second.

    `video_stream` is the index of one of several video streams; by default FFmpeg's choice, which is then told in
    `warnings`. Cover pictures are not taken for the video.

    Raises InputError, in one line, when there is no such file, when it is no video, has no such video stream, or not
    one frame of it can be decoded.
    """
    path = place(path).absolute()
    if not is_sequence(path):
        bring(path)
    with all_read():
        return _probe(path, image_rate, video_stream)


def _probe(path: Path, image_rate: Fraction, video_stream: int | None) -> VideoIndex:
    if is_sequence(path):
        files = sequence_files(path)
        return index_of_sequence(path, _probe_file(readable_image(files)), files, image_rate)
    if path.is_file() and is_animated_webp(path):
        return index_of_webp(path, content_hash(path))
    return _probe_file(path, video_stream)


def _probe_file(path: Path, video_stream: int | None = None) -> VideoIndex:
    with opened(path) as container:
        stream, told = _video_stream(path, container, video_stream)
        first, description = _first_frame(path, stream.index)
        times = timeline(path, container, stream)
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
            pixel_format=_pixel_format(path, container, first),
            colour=_colour(first, stream, description),
            time_base=times.time_base or stream.time_base or Fraction(1, 1000),
            pts=times.pts,
            durations=times.durations,
            keyframes=times.keyframes,
            seek_timestamps=times.seek_timestamps,
            reorder_depth=times.reorder_depth,
            timed=times.timed,
            closed_groups=times.closed_groups,
            free_parameter_set=times.free_parameter_set,
            stamps=times.stamps,
            restarts=times.restarts,
            warnings=(*told, *times.warnings),
            codec_header=bytes(stream.codec_context.extradata or b""),
            rate=_rate(stream, times),
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
    if isinstance(path, RemotePath):
        return f"object:{path.fingerprint()}"
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


def _video_stream(path: Path, container: av.container.InputContainer, chosen: int | None) -> tuple[Any, list[str]]:
    """The stream that is worked on, and what is to be said of the choice."""
    pictures = [s for s in container.streams.video if s.codec_context is not None and s.codec_context.width > 0]
    videos = [s for s in pictures if not s.disposition & av.stream.Disposition.attached_pic]
    # Damaged headers make streams appear that nobody can decode.
    videos = [s for s in videos if s.codec_context.format] or videos
    if not videos and pictures:
        raise InputError(f"{path} has no video stream, only a cover picture; give a video")
    if not videos:
        kinds = sorted({s.type for s in container.streams})
        if kinds == ["audio"]:
            raise InputError(f"{path} holds sound alone; give a video")
        raise InputError(f"{path} has no video stream that can be decoded (streams: {', '.join(kinds) or 'none'})")
    if len(videos) == 1:
        # A portrait beside a video of several streams is read with the same options.
        other = chosen not in (None, videos[0].index) and len(container.streams) > 1
        said = f"{path.name} has one video stream, {videos[0].index}: the choice of stream {chosen} has no effect"
        return videos[0], [said] if other else []
    there = ", ".join(f"{s.index} ({s.codec_context.width}x{s.codec_context.height})" for s in videos)
    if chosen is not None:
        found = next((s for s in videos if s.index == chosen), None)
        if found is None:
            raise InputError(f"{path} has no video stream {chosen}; there are {there}")
        return found, []
    best: Any = container.streams.best("video")
    taken = best if best in videos else videos[0]
    said = f"{path.name} has {len(videos)} video streams: {there}; {taken.index} is worked on"
    return taken, [f"{said}, the others stay as they are; --video-stream chooses"]


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


def _pixel_format(path: Path, container: av.container.InputContainer, first: av.VideoFrame) -> str:
    """The decoder's, less the alpha of a GIF that is opaque from its first frame to its last."""
    name = first.format.name
    if container.format.name == "gif" and name == "bgra":
        opaque = bool((first.to_ndarray()[..., 3] == 255).all())
        return "bgr0" if opaque and not gif_facts(path).clears else name
    return name


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


def _rate(stream: Any, times: Timeline) -> Fraction:
    base = times.time_base or stream.time_base
    if stream.average_rate and 0 < stream.average_rate <= 1000 and times.time_base is None:
        return Fraction(stream.average_rate)
    span = int(times.pts[-1] + times.durations[-1] - times.pts[0])
    measured = len(times.pts) / (span * base) if span > 0 and base else Fraction(25)
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
        codec=context.name if context is not None else (getattr(stream, "name", None) or "unknown"),
        language=stream.language,
        duration_s=seconds,
        disposition=int(stream.disposition),
        metadata=dict(stream.metadata),
    )
