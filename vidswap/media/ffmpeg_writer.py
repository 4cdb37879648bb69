"""Writing one segment through an ffmpeg binary: planes go into a pipe as they are, a segment file comes out."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidswap.graph.errors import InputError, VidswapError
from vidswap.graph.registry import nearest

from . import ffmpeg_binary
from .codecs import ENCODERS, Encoder, nearest_format, whole_chroma
from .colour import UNSPECIFIED
from .conforming import Conformer
from .ffmpeg_binary import INSTALL_BINARY, INSTALL_WRAPPER
from .index import VideoIndex
from .opening import address
from .picture import Picture
from .planes import SAME_SAMPLES, has_alpha, layout, plane_views, working_format
from .writer import SegmentReport, WriterOptions, encoder_options, output_colour, output_range, writes_fields

_KEPT_LINES = 40
_ENDING_S = 10.0
_PIPE_BYTES = 1 << 20
_FASTEST = Fraction(500)
_MPEG_QUALITY: dict[str, Any] = {"crf": 2.0, "crf_option": "qscale"}
# Encoders of FFmpeg that PyAV's build lacks or vidswap.media.codecs does not list, with a quality that is hardly seen.
_MORE = {
    e.name: e
    for e in (
        *(
            Encoder(name, codec, segment_muxer="matroska", **_MPEG_QUALITY)
            for name, codec in {
                "mpeg4": "mpeg4",
                "libxvid": "mpeg4",
                "mpeg2video": "mpeg2video",
                "mjpeg": "mjpeg",
            }.items()
        ),
        Encoder("libtheora", "theora", crf=8.0, crf_option="qscale", segment_muxer="matroska"),
        Encoder("libaom-av1", "av1", crf=24.0, preset="6", preset_option="cpu-used"),
        Encoder("librav1e", "av1", crf=80.0, crf_option="qp", preset="8", preset_option="speed"),
    )
}


@dataclass(frozen=True)
class BinaryOptions:
    """Which binary encodes, and options of its encoder beyond WriterOptions, in FFmpeg's words."""

    binary: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """What a video is written with.

    Attributes:
        binary: path of the program.
        encoder: the encoder as vidswap.media.codecs describes it.
        piped: pixel format of the frames that go into the pipe.
        pixel_format: that the encoder takes; the same samples, maybe in another order.
        arguments: of the encoder, in FFmpeg's words.
    """

    binary: str
    encoder: Encoder
    piped: str
    pixel_format: str
    arguments: Mapping[str, str]


def encoder_of(binary: str, name: str) -> Encoder:
    """An encoder of the binary. Raises InputError, with the nearest name, for one that it lacks."""
    ffmpeg_binary.describe(binary, name)
    codec = ffmpeg_binary.video_encoders(binary)[name]
    return known(name) or Encoder(name, codec, segment_muxer="matroska", alpha=None)


def known(name: str) -> Encoder | None:
    """An encoder whose defaults are written down here or in vidswap.media.codecs, or None."""
    return ENCODERS.get(name) or _MORE.get(name)


def usable_binary(given: str | None) -> str:
    """The binary to encode with. Raises InputError, in one line, where it or ffmpeg-python is missing."""
    if not ffmpeg_binary.wrapper_installed():
        raise InputError(f"encode.ffmpeg needs ffmpeg-python, which is not installed: {INSTALL_WRAPPER}")
    binary = ffmpeg_binary.find_binary(given)
    if binary is None:
        what = f"no ffmpeg binary at {given}" if given else "encode.ffmpeg needs an ffmpeg binary, and there is none"
        raise InputError(f"{what}: {INSTALL_BINARY}")
    ffmpeg_binary.version(binary)
    return binary


def choose(index: VideoIndex, options: WriterOptions, own: BinaryOptions) -> Choice:
    """What to write a video with. Raises InputError for an encoder, option or pixel format that is not there."""
    binary = usable_binary(own.binary)
    chosen = encoder_of(binary, options.codec)
    described = ffmpeg_binary.describe(binary, chosen.name)
    piped, taken = _pixel_formats(index, options, chosen, described.pixel_formats)
    if options.crf is not None and chosen.crf_option != "qscale" and chosen.crf_option not in described.options:
        raise InputError(
            f"{chosen.name} has no {chosen.crf_option}; give bitrate, or its own measure in options, such as "
            "encode.options.qscale=3"
        )
    if options.preset is not None and chosen.preset_option not in described.options:
        raise InputError(f"{chosen.name} has no preset; its own options go to encode.options.NAME=VALUE")
    arguments = encoder_options(options, index.hdr, chosen=chosen, width=index.stored_width)
    if set(own.more) & {"qscale", "q", "b", "qp", "crf", "global_quality"}:
        arguments.pop(chosen.crf_option, None)
    for name, value in own.more.items():
        known = name == "qscale" or name in described.options or name in ffmpeg_binary.common_options(binary)
        if not known:
            raise InputError(f"{chosen.name} has no option {name!r}; {nearest(name, described.options)}")
        arguments[name] = value
    return Choice(binary, chosen, piped, taken, arguments)


def _pixel_formats(
    index: VideoIndex, options: WriterOptions, chosen: Encoder, listed: tuple[str, ...]
) -> tuple[str, str]:
    """Of the pipe and of the encoder."""
    if options.pixel_format is not None:
        if listed and options.pixel_format not in listed:
            raise InputError(
                f"{chosen.name} has no pixel format {options.pixel_format!r}; {nearest(options.pixel_format, listed)}"
            )
        return working_format(options.pixel_format), options.pixel_format
    if not listed:
        return index.working_format, index.working_format
    # Formats that hold the samples of a planar one in another order count as that one.
    planar: dict[str, str] = {}
    for name in filter(_can_be_piped, listed):
        same = working_format(name)
        if (same == name or same not in planar) and (
            chosen.alpha is None or name in chosen.alpha or not has_alpha(name)
        ):
            planar[same] = name
    source = layout(index.working_format)
    if source is None or not planar:
        raise InputError(f"{chosen.name} takes none of the pixel formats that can be piped to it: {', '.join(listed)}")
    width, height = index.stored_width, index.stored_height
    there = [name for name in planar if not chosen.even_chroma or whole_chroma(name, width, height)]
    if not there:
        raise InputError(f"{chosen.name} cannot encode {width}x{height} pixels: both sizes must be even")
    lossless = chosen.codec in ("ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv")
    if index.working_format in there and (source.kind != "rgb" or lossless):
        return index.working_format, planar[index.working_format]
    plain = index.working_format.replace("yuvj", "yuv")
    if plain in there and source.kind == "yuv":
        return plain, planar[plain]
    nearest_there = nearest_format(source, there, keeps_rgb=lossless)
    return nearest_there, planar[nearest_there]


def _can_be_piped(name: str) -> bool:
    """Whether a pixel format holds the samples of a planar one: not those in a GPU's memory, nor a palette."""
    try:
        described = av.VideoFormat(name, 16, 16)
    except ValueError:
        return False
    components = described.components
    if not components or described.has_palette or min(c.bits for c in components) < 8:
        return False
    same = working_format(name)
    return described.is_rgb or layout(name) is not None or (same != name and same in SAME_SAMPLES.values())


def check(index: VideoIndex, options: WriterOptions, own: BinaryOptions) -> Choice:
    """Encode one frame for trial. Raises InputError, with ffmpeg's last words, when that does not work."""
    with tempfile.TemporaryDirectory(prefix="vidswap-") as folder:
        writer = FFmpegWriter(Path(folder) / "trial", index, options, own)
        frame = av.VideoFrame(index.stored_width, index.stored_height, writer.choice.piped)
        try:
            writer.pipe(frame)
            writer.close()
        except VidswapError as error:
            raise InputError(
                str(error).replace("encoding trial with ", "").replace(" failed: ", " cannot encode this: ")
            ) from error
        return writer.choice


class FFmpegWriter:
    """Encode pictures, in order, to one segment file. Used as SegmentWriter is; frames come at a constant rate."""

    def __init__(self, path: str | Path, index: VideoIndex, options: WriterOptions, own: BinaryOptions) -> None:
        """Raises InputError for an encoder, option or size that does not work, VidswapError when nothing starts."""
        self.path, self.index, self.options = Path(path), index, options
        self.choice = choose(index, options, own)
        self._frames = self._first = self._last = 0
        self._matrix, self._full_range = output_colour(index, self.choice.piped, self.choice.encoder.codec)
        self._conformer = Conformer(index, self.choice.piped, self._matrix, self._full_range)
        of = layout(self.choice.piped)
        if of is None:
            raise InputError(f"{self.choice.piped} frames cannot be piped to {options.codec}; choose another format")
        self._layout = of
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Ctrl-C is for the driver; what it decides reaches the binary as the end of the pipe.
                start_new_session=True,
            )
        except OSError as error:
            raise VidswapError(f"{self.choice.binary} cannot be started: {error}") from error
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        _widen(self._process.stdin)

    def command(self) -> list[str]:
        """The command line, made by ffmpeg-python."""
        import ffmpeg

        index, choice, colour = self.index, self.choice, self.index.colour
        tags: dict[str, Any] = {}
        if index.colour.range or self._full_range:
            tags["color_range"] = output_range(index, self._full_range)
        if colour.primaries != UNSPECIFIED:
            tags["color_primaries"] = colour.primaries
        if colour.transfer != UNSPECIFIED:
            tags["color_trc"] = colour.transfer
        if self._matrix != UNSPECIFIED:
            tags["colorspace"] = self._matrix
        if colour.chroma_location != "unspecified":
            tags["chroma_sample_location"] = colour.chroma_location
        rate = min(index.rate, _FASTEST).limit_denominator(1001)
        stream = ffmpeg.input(
            "pipe:",
            format="rawvideo",
            pix_fmt=choice.piped,
            s=f"{index.stored_width}x{index.stored_height}",
            framerate=str(rate),
            **tags,
        )
        given: dict[str, Any] = {"c:v": choice.encoder.name, "pix_fmt": choice.pixel_format, **tags}
        given["threads"] = self.options.threads
        filters = []
        if index.sample_aspect_ratio != 1:
            ratio = index.sample_aspect_ratio
            filters.append(f"setsar=sar={ratio.numerator}/{ratio.denominator}:max={2**31 - 1}")
        if writes_fields(index, choice.encoder):
            filters.append(f"setfield=mode={'tff' if index.top_field_first else 'bff'}")
            given["flags"] = "+ildct"
        if filters:
            given["vf"] = ",".join(filters)
        if choice.encoder.codec == "vp9" and has_alpha(choice.pixel_format):
            given["metadata:s:v:0"] = "alpha_mode=1"
        if self.options.bitrate is not None:
            given["b:v"] = self.options.bitrate
        given |= {"q:v" if name == "qscale" else name: value for name, value in choice.arguments.items()}
        # Matroska would else write numbers drawn by chance; what the encoder does is its own matter.
        given |= {"fflags": "+bitexact", "format": choice.encoder.segment_muxer}
        made = ffmpeg.output(stream, address(self.path), **given)
        made = made.global_args("-hide_banner", "-nostdin", "-loglevel", "error").overwrite_output()
        return list(map(str, ffmpeg.compile(made, cmd=choice.binary)))

    def add(self, picture: Picture) -> None:
        """Encode the next picture. Raises VidswapError, with ffmpeg's last words, when it has ended."""
        self.pipe(self._conformer.conform(picture))
        if self._frames == 1:
            self._first = picture.pts
        self._last = picture.pts

    def pipe(self, frame: av.VideoFrame) -> None:
        """Encode a frame that is in the pipe's pixel format already. Raises VidswapError as `add` does."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            for plane in plane_views(frame, self._layout):
                pipe.write(plane.data if plane.flags.c_contiguous else plane.tobytes())
        except (ValueError, OSError) as error:
            raise self._failure() from error
        self._frames += 1

    def close(self) -> SegmentReport:
        """Finish the file. Raises VidswapError when ffmpeg fails or no frame was given."""
        if not self._frames:
            self.abort()
            raise VidswapError(f"segment {self.path.name} has no frames")
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self._process.wait() != 0 or not self.path.exists():
            raise self._failure()
        self._listener.join(_ENDING_S)
        size = self.path.stat().st_size
        return SegmentReport(self._frames, self._first, self._last, size, self.choice.pixel_format)

    def abort(self) -> None:
        """Give up: neither a file nor a process is left. May be called at any time, also twice."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
            self._listener.join(_ENDING_S)
        self.path.unlink(missing_ok=True)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as heard:
            for line in heard:
                self._said.append(line.decode(errors="replace"))

    def _failure(self) -> VidswapError:
        """Gives up; the error says what ffmpeg said."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_S)
        code = self._process.poll()
        self._listener.join(_ENDING_S)
        self.abort()
        ended = f"it was ended by signal {-code}" if code is not None and code < 0 else f"it ended with code {code}"
        told = ffmpeg_binary.last_words(self._said, 2) or ended
        return VidswapError(f"encoding {self.path.name} with {self.options.codec} through ffmpeg failed: {told}")


def _widen(pipe: Any) -> None:
    """A larger pipe, where the system has that, spares switches between the two processes."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[attr-defined, unused-ignore]
