"""Writing one segment: a file of its own that begins with a keyframe and joins with its neighbours packet by packet."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags

from vidswap.graph.errors import InputError, VidswapError
from vidswap.graph.registry import nearest

from .codecs import Encoder, choose_pixel_format, encoder, pixel_formats, steady_instructions
from .colour import UNSPECIFIED
from .conforming import Conformer
from .hdr import Hdr, encoder_settings
from .index import VideoIndex
from .opening import address, reason
from .picture import Picture
from .planes import has_alpha, layout

_FULL, _LIMITED = 2, 1
NO_FULL_RANGE = frozenset({"prores"})
"""Formats that cannot say that codes have full range; players take them as limited."""
JPEG_COLOUR = frozenset({"mjpeg"})
"""Formats whose codes have full range and the matrix of BT.601 by definition (JFIF)."""
_BT601 = 5
_PROGRESSIVE, _TOP_FIRST, _BOTTOM_FIRST = 1, 2, 3
_OWN_PARAMETERS = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}


@dataclass(frozen=True)
class WriterOptions:
    """How segments are encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        crf: constant quality in the encoder's scale; None for its default (libx264: 18) unless `bitrate` is given.
        preset: the encoder's preset; None for its default (libx264: veryfast).
        bitrate: bits per second, instead of `crf`.
        pixel_format: None for the one nearest to the video's.
        threads: of the encoder, per segment. x264, SVT-AV1 and VP9 give other (equally good) frames with another
            number of threads, so it is a setting of the result and never taken from the machine.
        parameter_set: number of x264's parameter sets, 0..31, so that they can lie beside another stream's; None for
            its default.
    """

    codec: str = "libx264"
    crf: float | None = None
    preset: str | None = None
    bitrate: int | None = None
    pixel_format: str | None = None
    threads: int = 2
    parameter_set: int | None = None


@dataclass(frozen=True)
class SegmentReport:
    """What a segment holds: frames, first and last pts (the video's time base), bytes of the file."""

    frames: int
    first_pts: int
    last_pts: int
    file_bytes: int
    pixel_format: str


def output_pixel_format(index: VideoIndex, options: WriterOptions) -> str:
    """The pixel format that segments of this video will have. Raises InputError for one that the encoder lacks."""
    if options.pixel_format is None:
        return choose_pixel_format(options.codec, index.working_format, index.stored_width, index.stored_height)
    formats = pixel_formats(options.codec)
    if options.pixel_format not in formats:
        raise InputError(
            f"{options.codec} has no pixel format {options.pixel_format!r}; {nearest(options.pixel_format, formats)}"
        )
    return options.pixel_format


class SegmentWriter:
    """Encode pictures, in order, to one segment file.

    After a gap in the numbers of the pictures a new stretch begins, as independent of the one before as if it lay in
    a file of its own, so that other packets can be put between them. Used as `add` for each picture and then `close`,
    or `abort`; nothing stays behind after `abort` or a failure.
    """

    def __init__(self, path: str | Path, index: VideoIndex, options: WriterOptions | None = None) -> None:
        """Raises InputError for an encoder, option or size that does not work, or a file that cannot be made."""
        self.path, self.index, self.options = Path(path), index, options or WriterOptions()
        self._encoder = encoder(self.options.codec)
        self.pixel_format = output_pixel_format(index, self.options)
        self._frames = 0
        self._first = self._last = 0
        self._following: int | None = None
        self._encoding: Any = None
        self._matrix, self._full_range = output_colour(index, self.pixel_format, self._encoder.codec)
        self._conformer = Conformer(index, self.pixel_format, self._matrix, self._full_range)
        try:
            self._container = av.open(address(self.path), mode="w", format=self._encoder.segment_muxer)
            self._stream = self._encoding = self._add_stream(self._container)
            self._stream.codec_context.open()
        except (av.error.FFmpegError, ValueError, OSError) as error:
            self.abort()
            raise InputError(f"{self.options.codec} cannot be opened with these options ({reason(error)})") from error

    def add(self, picture: Picture) -> None:
        """Encode the next picture. Raises VidswapError when the encoder or the disk fails."""
        frame = self._conformer.conform(picture)
        if not self._frames:
            self._first = picture.pts
        elif picture.frame != self._following:
            self._begin_stretch()
        self._following = picture.frame + 1
        frame.pts = picture.pts - self._first
        frame.time_base = self.index.time_base
        # A decoded frame carries its old type, which the encoder would take for an order.
        frame.pict_type = 0
        try:
            self._mux(self._encoding.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._frames += 1
        self._last = picture.pts

    def close(self) -> SegmentReport:
        """Finish the file. Raises VidswapError when it cannot be finished or holds no frame."""
        if not self._frames:
            self.abort()
            raise VidswapError(f"segment {self.path.name} has no frames")
        try:
            self._mux(self._encoding.encode(None))
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        return SegmentReport(self._frames, self._first, self._last, self.path.stat().st_size, self.pixel_format)

    @property
    def header(self) -> bytes:
        """What the encoder wants to stand at the head of the track (FFmpeg's extradata)."""
        return bytes(self._stream.codec_context.extradata or b"")

    def _begin_stretch(self) -> None:
        """End the encoder and go on with a new one."""
        try:
            self._mux(self._encoding.encode(None))
            # PyAV's encoders belong to a stream of a container; this one is never written.
            nowhere = av.open(io.BytesIO(), mode="w", format=self._encoder.segment_muxer)
            self._encoding = self._add_stream(nowhere)
            self._encoding.codec_context.open()
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise self._failure(error) from error

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.stream = self._stream
            self._container.mux_one(packet)

    def abort(self) -> None:
        """Give up: no file is left. May be called at any time, also twice."""
        container = getattr(self, "_container", None)
        if container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                container.close()
        self.path.unlink(missing_ok=True)

    def _failure(self, error: BaseException) -> VidswapError:
        self.abort()
        return VidswapError(f"encoding {self.path.name} with {self.options.codec} failed: {reason(error)}")

    def _add_stream(self, container: Any) -> Any:
        index, options, chosen = self.index, self.options, self._encoder
        stream: Any = container.add_stream(options.codec, rate=index.rate, options=self._encoder_options())
        context = stream.codec_context
        context.width, context.height = index.stored_width, index.stored_height
        context.pix_fmt = self.pixel_format
        context.time_base = index.time_base
        context.sample_aspect_ratio = index.sample_aspect_ratio
        context.thread_count = options.threads
        if options.codec == "libx264" and options.threads > 1:
            # PyAV asks for slices, which cost a seventh more time.
            context.thread_type = "FRAME"
        if options.bitrate is not None:
            context.bit_rate = options.bitrate
        if chosen.codec == "ffv1":
            context.gop_size = 1
        context.color_range = output_range(index, self._full_range)
        context.color_primaries = index.colour.primaries
        context.color_trc = index.colour.transfer
        context.colorspace = self._matrix
        if chosen.codec == "vp9" and has_alpha(self.pixel_format):
            stream.metadata["alpha_mode"] = "1"
        if writes_fields(index, chosen):
            context.flags |= Flags.interlaced_dct
            set_field_order(context, index)
        return stream

    def _encoder_options(self) -> dict[str, str]:
        found = encoder_options(self.options, self.index.hdr, width=self.index.stored_width)
        if self.index.colour.chroma_location != "unspecified":
            found["chroma_sample_location"] = self.index.colour.chroma_location
        return found


def output_colour(index: VideoIndex, pixel_format: str, codec: str) -> tuple[int, bool]:
    """Matrix tag and full range of the encoded video: the video's own, except where RGB becomes YUV or the reverse, and
    where full range could not be told."""
    source, target = layout(index.working_format), av.VideoFormat(pixel_format, 16, 16)
    if target.is_rgb:
        return 0, True
    if codec in JPEG_COLOUR:
        return _BT601, True
    if source is not None and source.kind == "rgb":
        return index.colour.matrix_in_use(index.stored_width, index.stored_height), False
    matrix = index.colour.matrix
    return (matrix if matrix != 0 else UNSPECIFIED), index.full_range and codec not in NO_FULL_RANGE


def output_range(index: VideoIndex, full_range: bool) -> int:
    """The range tag of the encoded video; unspecified stays so."""
    return _FULL if full_range else (_LIMITED if index.colour.range else 0)


def writes_fields(index: VideoIndex, by: Encoder) -> bool:
    """True when the encoder is told that frames hold two fields. In 4:2:0 each field needs rows in pairs."""
    return index.interlaced and by.fields and index.stored_height % 4 == 0


def set_field_order(context: Any, index: VideoIndex) -> None:
    """Tell a codec context the order of fields. PyAV 17 cannot: there the marks within the stream alone tell it."""
    if hasattr(context, "field_order"):
        context.field_order = field_order(index)


def field_order(index: VideoIndex) -> int:
    """AVFieldOrder of the video."""
    if not index.interlaced:
        return _PROGRESSIVE
    return _TOP_FIRST if index.top_field_first else _BOTTOM_FIRST


def _check_taken(options: WriterOptions, chosen: Encoder) -> None:
    """FFmpeg passes over options that an encoder does not know, and takes the last of its scale for what is beyond."""
    for name, wanted, own in (("crf", options.crf, chosen.crf), ("preset", options.preset, chosen.preset)):
        if wanted is not None and own is None:
            raise InputError(f"{chosen.name} has no {name}; leave it out")
    if options.crf is not None and options.crf > chosen.last_crf:
        raise InputError(f"crf: that of {chosen.name} ends at {chosen.last_crf:g}, got {options.crf:g}")


def encoder_options(
    options: WriterOptions, hdr: Hdr | None = None, *, chosen: Encoder | None = None, width: int = 0
) -> dict[str, str]:
    """FFmpeg's options for the encoder; `hdr` is told to those that write it into their frames.

    `chosen` is one outside of PyAV's build; `width` is that of the pictures. Raises InputError for what the encoder
    lacks: a preset, a quality.
    """
    if chosen is None:
        chosen = encoder(options.codec)
        _check_taken(options, chosen)
    found = dict(chosen.options)
    if options.preset is not None and chosen.presets and options.preset not in chosen.presets:
        raise InputError(f"{options.codec} has no preset {options.preset!r}; there are: {', '.join(chosen.presets)}")
    if chosen.preset is not None or options.preset is not None:
        found[chosen.preset_option] = options.preset or chosen.preset or ""
    crf = options.crf if options.crf is not None else chosen.crf
    if options.bitrate is None and crf is not None:
        found[chosen.crf_option] = f"{crf:g}"
        if options.codec == "libvpx-vp9":
            found["b"] = "0"
    own = encoder_settings(options.codec, hdr or Hdr())
    if options.codec == "libx264" and (instructions := steady_instructions(width)):
        own["asm"] = instructions
    if options.codec == "libx264" and options.parameter_set is not None:
        own["sps-id"] = str(options.parameter_set)
    if options.codec == "libx265":
        threads = str(options.threads)
        own |= {"open-gop": "0", "log-level": "none", "frame-threads": threads, "pools": threads}
    if options.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; it writes to the terminal by itself
        # Its rate control follows the order in which its threads come to an end: another result each time.
        own["lp"] = str(options.threads if options.bitrate is None else 1)
    if own:
        found[_OWN_PARAMETERS[options.codec]] = ":".join(f"{name}={value}" for name, value in own.items())
    return found


__all__ = ["SegmentReport", "SegmentWriter", "WriterOptions"]
