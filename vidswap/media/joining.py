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

from vidswap.graph.errors import VidswapError
from vidswap.storage import place
from vidswap.storage.ranges import all_read

from . import mp4_cover, other_streams, video_packets
from .containers import Container, container_of, muxer_options
from .copying import Span
from .decoders import says_alpha
from .headers import picture_template, reserve_aspect_ratio, write_aspect_ratio
from .index import VideoIndex
from .opening import address, open_segment, open_video, reason
from .other_streams import kept_tags, stream_tags
from .video_packets import JoinedVideo
from .writer import output_colour, output_range, set_field_order


def join(
    index: VideoIndex,
    segments: Sequence[str | Path],
    output: str | Path,
    *,
    copied: Sequence[Span] = (),
    metadata: Mapping[str, str] | None = None,
    container: str | None = None,
) -> list[str]:
    """Copy the packets of `segments`, in order, and all other streams of the input into `output`.

    Frames get the input's pts and durations; dts are made of them. Display matrix, sample aspect ratio and colour tags,
    audio, subtitles, data, attachments, chapters and tags are those of the input; sound that the container cannot hold
    is encoded anew, other streams that it cannot hold are left out, and both are told. Of a trimmed video (one with a
    `whole`) all is cut to its frames' time and moved so that the first frame is at zero.

    Args:
        index: of the input; its file is read again.
        segments: files of SegmentWriter that together hold, in order, every frame that is not copied.
        output: file to write; overwritten. The caller gives a temporary name and renames.
        copied: stretches of frames [start, stop) whose packets are the input's own (vidswap.media.copying).
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
        with all_read(), contextlib.ExitStack() as stack:
            video = video_packets.plan(index, [place(s) for s in segments], copied)
            _join(video, output, target, dict(metadata or {}), warnings, stack)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        output.unlink(missing_ok=True)
        raise VidswapError(f"joining segments into {output.name} failed: {reason(error)}") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    return warnings


def _join(
    video: JoinedVideo,
    output: Path,
    target: Container,
    metadata: Mapping[str, str],
    warnings: list[str],
    stack: contextlib.ExitStack,
) -> None:
    index = video.index
    # Pictures have no other streams; a segment has none either.
    source = open_video(video.template if index.images and video.template else index.path)
    stack.callback(source.close)
    options = muxer_options(target, index.time_base)
    result = av.open(address(output), mode="w", format=target.muxer, container_options=options)
    stack.callback(_close_quietly, result)
    if video.template is not None:
        segment = open_segment(video.template)
        stack.callback(segment.close)
        encoded = segment.streams.video[0]
        with picture_template(segment, index, target) as template:
            stream = _add_video(video, result, target, template, alpha=says_alpha(encoded))
        fitting = video.fitting
        stream.codec_context.extradata = fitting.header if fitting else encoded.codec_context.extradata
    else:
        copied = source.streams[index.stream_index]
        stream = _add_video(video, result, target, copied, alpha=says_alpha(copied))
    window = other_streams.window_of(index, target)
    served, cover = other_streams.attach_covers(other_streams.covers_of(index, source), result, target)
    others = other_streams.add_streams(index, source, result, target, window, warnings, served)
    result.metadata.update(kept_tags(index.metadata))
    result.metadata.update(metadata)
    if chapters := other_streams.chapters_of(index, window):
        result.set_chapters(chapters)
    shaped = index.sample_aspect_ratio != 1 and not target.iso
    if shaped:
        reserve_aspect_ratio(stream)
    if window.shift and index.whole is None:
        warnings.append(
            f"timestamps start at {index.time_s(0):.3f} s; all streams are moved by {float(window.shift):.3f} s, "
            f"because {target.muxer} does not show what lies before zero"
        )
    lost = other_streams.Lost(index)
    pieces: list[Iterator[tuple[Fraction, int, av.Packet]]] = [video.packets(stream, window.shift)]
    if others:
        pieces.append(other_streams.packets(index, source, others, window, lost))
    for time, number, packet in heapq.merge(*pieces, key=lambda item: item[:2]):
        if packet.stream.index == stream.index:
            result.mux_one(packet)
            continue
        try:
            result.mux_one(packet)
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.PatchWelcomeError):
            lost.note(number, time)
    result.close()
    if shaped:
        write_aspect_ratio(output, index)
    if cover:
        mp4_cover.write_cover(output, *cover)
    warnings += lost.warnings(index)


def _add_video(video: JoinedVideo, result: Any, target: Container, template: Any, *, alpha: bool) -> Any:
    index = video.index
    stream = result.add_stream_from_template(template, opaque=True)
    stream.time_base = index.time_base
    context = stream.codec_context
    context.framerate = index.rate
    context.sample_aspect_ratio = index.sample_aspect_ratio
    matrix, full_range = output_colour(index, template.codec_context.pix_fmt, template.codec_context.name)
    context.color_range = output_range(index, full_range)
    context.color_primaries, context.color_trc = index.colour.primaries, index.colour.transfer
    context.colorspace = matrix
    set_field_order(context, index)
    if target.iso and template.codec_context.name == "hevc":
        # Apple's players know no other name of it; parameter sets lie in the header, as it asks for.
        context.codec_tag = "hvc1"
    if index.display_matrix is not None:
        stream.set_display_matrix(index.display_matrix)
    tags = {key: value for key, value in stream_tags(index.video_metadata).items() if key.lower() != "alpha_mode"}
    if alpha:
        tags["alpha_mode"] = "1"
    if index.first:
        # It is that of the first frame, which is no longer the first.
        tags = {key: value for key, value in tags.items() if key.lower() != "timecode"}
    stream.metadata.update(tags)
    return stream


def _close_quietly(container: Any) -> None:
    with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
        container.close()
