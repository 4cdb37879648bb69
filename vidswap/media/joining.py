"""Joining segments to the final file, packet by packet, with everything else that the input holds."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np

from vidswap.graph.errors import VidswapError

from .containers import Container, container_of, holds_stream, muxer_options
from .index import VideoIndex
from .opening import address, open_video, reason
from .transcoding import AudioTranscoder
from .writer import field_order, output_colour, output_range

# Written anew by every muxer, or untrue of the joined video.
_STALE_TAGS = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "number_of_frames"}
)
# These tell the aspect ratio of their pixels themselves; PyAV 18.1 cannot write it into Matroska's own header.
_OWN_RATIO = frozenset({"h264", "hevc"})
_STALE_PREFIXES = ("_statistics", "duration-", "bps-", "number_of_", "vendor_id")


def join(
    index: VideoIndex,
    segments: Sequence[str | Path],
    output: str | Path,
    *,
    metadata: Mapping[str, str] | None = None,
    container: str | None = None,
) -> list[str]:
    """Copy the packets of `segments`, in order, and all other streams of the input into `output`.

    Frames get the input's pts and durations; dts are made of them. Display matrix, sample aspect ratio and colour tags,
    audio, subtitles, data, attachments, chapters and tags are those of the input; sound that the container cannot hold
    is encoded anew, other streams that it cannot hold are left out, and both are told.

    Args:
        index: of the input; its file is read again.
        segments: files of SegmentWriter that together hold every frame once, in order.
        output: file to write; overwritten. The caller gives a temporary name and renames.
        metadata: tags to add to the file.
        container: extension of the final name (".mp4") where `output` has another.

    Returns warnings, each one line. Memory does not grow with the length of the video.

    Raises InputError for a container that is not written, and VidswapError when the segments do not fit together or
    writing fails; then `output` is removed.
    """
    output = Path(output)
    target = container_of(Path(f"x{container}") if container else output)
    warnings: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            _join(index, [Path(s) for s in segments], output, target, dict(metadata or {}), warnings, stack)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        output.unlink(missing_ok=True)
        raise VidswapError(f"joining segments into {output.name} failed: {reason(error)}") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    return warnings


def _join(
    index: VideoIndex,
    segments: Sequence[Path],
    output: Path,
    target: Container,
    metadata: Mapping[str, str],
    warnings: list[str],
    stack: contextlib.ExitStack,
) -> None:
    ranks, depth = _presentation_ranks(index, segments)
    source = open_video(index.path)
    stack.callback(source.close)
    options = muxer_options(target, index.time_base)
    result = av.open(address(output), mode="w", format=target.muxer, container_options=options)
    stack.callback(_close_quietly, result)
    template = av.open(address(segments[0]), mode="r")
    stack.callback(template.close)
    video = _add_video(index, result, template.streams.video[0])
    others = _add_others(index, source, result, target, warnings)
    result.metadata.update(_kept(index.metadata))
    result.metadata.update(metadata)
    if index.chapters:
        result.set_chapters(
            [
                {
                    "id": i,
                    "start": c.start + _ticks(_shift_s(index, target), c.time_base),
                    "end": c.end + _ticks(_shift_s(index, target), c.time_base),
                    "time_base": c.time_base,
                    "metadata": dict(c.metadata),
                }
                for i, c in enumerate(index.chapters)
            ]
        )
    codec = template.streams.video[0].codec_context.name
    if index.sample_aspect_ratio != 1 and not target.iso and codec not in _OWN_RATIO:
        warnings.append(
            f"pixels of {index.sample_aspect_ratio} aspect ratio cannot be marked in {target.muxer} with this codec; "
            "write MP4 or MOV, or H.264 or HEVC, to keep the picture's shape"
        )
    shift = _shift_s(index, target)
    if shift:
        warnings.append(
            f"timestamps start at {index.time_s(0):.3f} s; all streams are moved by {float(shift):.3f} s, because "
            f"{target.muxer} does not show what lies before zero"
        )
    pieces: list[Iterator[tuple[Fraction, int, av.Packet]]] = [
        _video_packets(index, segments, ranks, depth, video, shift)
    ]
    if others:
        pieces.append(_other_packets(source, others, shift))
    for _, _, packet in heapq.merge(*pieces, key=lambda item: item[:2]):
        result.mux_one(packet)
    result.close()


def _shift_s(index: VideoIndex, target: Container) -> Fraction:
    """Seconds to add to all timestamps: MP4 hides what is before zero."""
    first = int(index.pts[0]) * index.time_base if index.frame_count else Fraction(0)
    return -first if target.iso and first < 0 else Fraction(0)


def _ticks(seconds: Fraction, time_base: Fraction) -> int:
    return round(seconds / time_base)


def _presentation_ranks(index: VideoIndex, segments: Sequence[Path]) -> tuple[list[np.ndarray], int]:
    """For each segment, the presentation rank of each packet in decoding order; and how far decoding runs ahead.

    Raises VidswapError when segments differ in their parameters or do not hold the video's frames.
    """
    ranks: list[np.ndarray] = []
    depth, total = 0, 0
    parameters: tuple[object, ...] | None = None
    for path in segments:
        with av.open(address(path), mode="r") as segment:
            stream = segment.streams.video[0]
            context = stream.codec_context
            found = (context.name, context.width, context.height, context.pix_fmt, bytes(context.extradata or b""))
            if parameters is not None and found != parameters:
                raise VidswapError(f"segment {path.name} was encoded with other parameters than the first one")
            parameters = found
            stamps = [p.pts for p in segment.demux(stream) if p.size]
            if any(s is None for s in stamps) or len(set(stamps)) < len(stamps):
                raise VidswapError(f"segment {path.name} has packets without a timestamp of their own")
        rank = np.empty(len(stamps), dtype=np.int32)
        rank[np.argsort(np.array(stamps, dtype=np.int64), kind="stable")] = np.arange(len(stamps), dtype=np.int32)
        depth = max(depth, int((np.arange(len(rank)) - rank).max(initial=0)))
        total += len(rank)
        ranks.append(rank)
    if total != index.frame_count:
        raise VidswapError(f"the segments hold {total} frames, the video has {index.frame_count}")
    return ranks, depth


def _video_packets(
    index: VideoIndex,
    segments: Sequence[Path],
    ranks: Sequence[np.ndarray],
    depth: int,
    stream: Any,
    shift_s: Fraction,
) -> Iterator[tuple[Fraction, int, av.Packet]]:
    """Packets with the input's pts. dts are the sorted pts, `depth` frames late, so that none passes its pts."""
    shift, base = _ticks(shift_s, index.time_base), index.time_base
    step = max(1, int(index.durations[0]))
    decoded = 0
    first = 0
    for path, rank in zip(segments, ranks, strict=True):
        with av.open(address(path), mode="r") as segment:
            packets = (p for p in segment.demux(segment.streams.video[0]) if p.size)
            for packet, place in zip(packets, rank, strict=True):
                frame = first + int(place)
                late = decoded - depth
                dts = int(index.pts[late]) if late >= 0 else int(index.pts[0]) + late * step
                packet.stream = stream
                packet.time_base = base
                packet.pts, packet.dts = int(index.pts[frame]) + shift, dts + shift
                packet.duration = int(index.durations[frame])
                yield Fraction(packet.dts) * base, stream.index, packet
                decoded += 1
        first += len(rank)


def _other_packets(
    source: av.container.InputContainer, others: Mapping[int, Any], shift_s: Fraction
) -> Iterator[tuple[Fraction, int, av.Packet]]:
    """Packets of the copied streams, as they lie in the file, keyed by their time."""
    last: dict[int, Fraction] = dict.fromkeys(others, Fraction(0))
    for stream in source.streams:
        if stream.index not in others:
            stream.discard = av.stream.Discard.all
    wanted = [source.streams[i] for i in others]
    for packet in source.demux(wanted):
        number, goes_to = packet.stream.index, others[packet.stream.index]
        if isinstance(goes_to, AudioTranscoder):
            made = goes_to.transcode(packet if packet.size else None)
        elif packet.size:
            made = [packet]
            packet.stream = goes_to
        else:
            continue
        for out in made:
            shift = _ticks(shift_s, out.time_base)
            if out.pts is not None:
                out.pts += shift
            if out.dts is not None:
                out.dts += shift
            stamp = out.dts if out.dts is not None else out.pts
            time = stamp * out.time_base if stamp is not None else last[number]
            # heapq.merge asks for sorted keys; a stream that steps back is passed on in its own order.
            last[number] = time = max(time, *last.values())
            yield time, number, out


def _add_video(index: VideoIndex, result: Any, template: Any) -> Any:
    stream = result.add_stream_from_template(template, opaque=True)
    stream.time_base = index.time_base
    context = stream.codec_context
    context.framerate = index.rate
    context.sample_aspect_ratio = index.sample_aspect_ratio
    matrix, full_range = output_colour(index, template.codec_context.pix_fmt, template.codec_context.name)
    context.color_range = output_range(index, full_range)
    context.color_primaries, context.color_trc = index.colour.primaries, index.colour.transfer
    context.colorspace = matrix
    context.field_order = field_order(index)
    if index.display_matrix is not None:
        stream.set_display_matrix(index.display_matrix)
    stream.metadata.update(_kept(index.video_metadata))
    return stream


def _add_others(index: VideoIndex, source: Any, result: Any, target: Container, warnings: list[str]) -> dict[int, Any]:
    """Streams of the result for all other streams of the source that it can hold, by the source's stream index."""
    others: dict[int, Any] = {}
    for stream in source.streams:
        if stream.index == index.stream_index:
            continue
        record = next(r for r in index.streams if r.index == stream.index)
        label = f"stream {stream.index} ({record.kind}, {record.codec})"
        if record.kind == "data" and "timecode" in map(str.lower, index.video_metadata):
            continue  # the time code is in the video's tag too, and MP4 and MOV make its track anew from there
        cover = bool(record.disposition & av.stream.Disposition.attached_pic)
        if cover:
            # MP4 has room for a cover or for tags of one's own, and the tags say that faces were changed.
            warnings.append(f"{label} is a cover picture and is left out")
        elif holds_stream(target, stream):
            copy = result.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(_kept(dict(stream.metadata)))
            if record.kind != "attachment":
                copy.disposition = record.disposition
                others[stream.index] = copy
        elif record.kind == "audio" and stream.codec_context is not None:
            others[stream.index] = AudioTranscoder(result, stream, target.audio_encoder)
            others[stream.index].stream.metadata.update(_kept(dict(stream.metadata)))
            warnings.append(f"{label} cannot lie in {target.muxer} and is encoded anew as {target.audio_encoder}")
        else:
            warnings.append(f"{label} cannot lie in {target.muxer} and is left out")
    return others


def _kept(tags: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in _STALE_TAGS and not key.lower().startswith(_STALE_PREFIXES)
    }


def _close_quietly(container: Any) -> None:
    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
        container.close()
