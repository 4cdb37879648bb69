"""VideoIndex: all that is known of a video before a pixel is worked on. Plain data; knows no decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .colour import FULL_RANGE, Colour
from .geometry import Orientation, square_size, stored_from_displayed
from .hdr import Hdr
from .planes import bit_depth, working_format
from .restarts import Restarts


@dataclass(frozen=True)
class StreamRecord:
    """One stream of the file; `kind` is video, audio, subtitle, data, attachment or unknown."""

    index: int
    kind: str
    codec: str
    language: str | None = None
    duration_s: float | None = None
    disposition: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chapter:
    """A chapter; `start` and `end` in units of `time_base` seconds."""

    start: int
    end: int
    time_base: Fraction
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """The index of one video: made by vidswap.media.probe, cheap to pickle, never changed.

    Frames are counted from 0 in presentation order, and there are as many as decoding yields.

    Attributes:
        path: absolute path of the file.
        content_hash: "sha256:..." of the whole file up to 64 MiB, "sampled-sha256:..." above: SHA-256 of the length in
            bytes (decimal, ASCII) and of 64 blocks of 1 MiB at offsets round(i * (length - 1 MiB) / 63). Of an object
            of a store "object:..." and what the store tells of its content.
        container: FFmpeg's name of the demuxer.
        stream_index: which of the file's streams is the video.
        codec: FFmpeg's name of the codec.
        stored_width, stored_height: size of the coded planes, in stored pixels.
        sample_aspect_ratio: width of a stored pixel over its height.
        orientation: how the stored picture is turned for display; the nearest of eight to `display_matrix`.
        display_matrix: nine integers as FFmpeg has them, or None.
        pixel_format: of the decoder's frames.
        colour: the stream's tags.
        time_base: seconds per unit of `pts`.
        pts: (N,) int64, strictly increasing.
        durations: (N,) int64, in units of time_base; the last is the coded one.
        keyframes: (K,) int64, frame indices from which decoding can start.
        seek_timestamps: (K,) int64, timestamps that a demuxer must be told to find them.
        reorder_depth: how many frames a decoder holds back.
        timed: frames can be told by their pts, so that the reader may seek; else it decodes from the start.
        rate: average frames per second.
        streams: all other streams.
        metadata, video_metadata: tags of the file and of the video stream.
        interlaced: the first frame says that it holds two fields, and they are not woven into one by `deinterlace`.
        top_field_first: of the two fields, the upper one is the earlier.
        deinterlace: FFmpeg's filter that makes one picture of the two fields of a frame when frames are read, or None.
        hdr: static HDR metadata, and which dynamic ones there are.
        warnings: what the file lacks or does that a user should know, each one line.
        codec_header: the stream's parameters as FFmpeg has them ("extradata").
        closed_groups: (G, 2) int64, frames [start, stop) of stretches whose packets stand by themselves, so that they
            can be cut out without decoding (vidswap.media.closing).
        free_parameter_set: for H.264, a number that none of the stream's parameter sets bears; for H.265, see
            `hevc_parameter_sets.numbers_at`.
        images: absolute paths of the pictures that are the frames, where the video is a sequence of them.
        first: for a part of a video, the number of its first frame in `whole`.
        whole: the index that this one is a part of, or None.
        stamps: (N,) int64, what decoded frames carry where that is too absurd to be `pts`, or None.
        restarts: where the clock of the file starts anew, because it is several put one after another, or None.
    """

    path: Path
    content_hash: str
    container: str
    stream_index: int
    codec: str
    stored_width: int
    stored_height: int
    sample_aspect_ratio: Fraction
    orientation: Orientation
    display_matrix: tuple[int, ...] | None
    pixel_format: str
    colour: Colour
    time_base: Fraction
    pts: np.ndarray
    durations: np.ndarray
    keyframes: np.ndarray
    seek_timestamps: np.ndarray
    reorder_depth: int
    timed: bool
    rate: Fraction
    streams: tuple[StreamRecord, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    interlaced: bool = False
    top_field_first: bool = True
    deinterlace: str | None = None
    hdr: Hdr = field(default_factory=Hdr)
    warnings: tuple[str, ...] = ()
    codec_header: bytes = b""
    closed_groups: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    free_parameter_set: int | None = None
    images: tuple[str, ...] = ()
    first: int = 0
    whole: VideoIndex | None = None
    stamps: np.ndarray | None = None
    restarts: Restarts | None = None

    def __repr__(self) -> str:
        return f"VideoIndex({self.path.name!r}, {self.frame_count} frames, {self.width}x{self.height}, {self.codec})"

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.pts)

    @cached_property
    def _displayed_size(self) -> tuple[int, int]:
        width, height = square_size(self.stored_width, self.stored_height, self.sample_aspect_ratio)
        return (height, width) if self.orientation.swaps else (width, height)

    @property
    def width(self) -> int:
        """Width in pixels as displayed: turned, with square pixels."""
        return self._displayed_size[0]

    @property
    def height(self) -> int:
        """Height in pixels as displayed."""
        return self._displayed_size[1]

    @cached_property
    def stored_from_displayed(self) -> np.ndarray:
        """(2, 3) float64: from displayed pixels to pixels of the stored luma plane."""
        return stored_from_displayed(self.stored_width, self.stored_height, self.sample_aspect_ratio, self.orientation)

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""
        return bit_depth(self.pixel_format)

    @property
    def working_format(self) -> str:
        """Pixel format of the pictures that the reader yields."""
        return working_format(self.pixel_format)

    @property
    def full_range(self) -> bool:
        """True when codes use the whole range of the bit depth."""
        return self.colour.range == FULL_RANGE or self.pixel_format.startswith("yuvj")

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        if not len(self.pts):
            return 0.0
        return float((int(self.pts[-1]) + int(self.durations[-1]) - int(self.pts[0])) * self.time_base)

    @property
    def variable_rate(self) -> bool:
        """True when frames differ in duration by more than the time base's rounding."""
        steps = np.diff(self.pts)
        return bool(len(steps) and int(steps.max()) - int(steps.min()) > 1)

    def group_of(self, frame: int) -> int:
        """Which group of pictures a frame is in: the one that the last keyframe at or before it begins."""
        return max(0, int(np.searchsorted(self.keyframes, frame, side="right")) - 1)

    def group_span(self, group: int) -> tuple[int, int]:
        """First frame of a group of pictures, and the one after its last."""
        start = int(self.keyframes[group]) if group > 0 else 0
        stop = int(self.keyframes[group + 1]) if group + 1 < len(self.keyframes) else self.frame_count
        return start, stop

    def time_s(self, frame: int) -> float:
        """When a frame is shown, in seconds of the file's clock."""
        return float(int(self.pts[frame]) * self.time_base)

    def summary(self) -> dict[str, Any]:
        """Everything in plain types for JSON: times in seconds, rates and ratios as "num/den"."""
        return {
            "path": str(self.path),
            "content_hash": self.content_hash,
            "container": self.container,
            "video_stream": self.stream_index,
            "codec": self.codec,
            "frames": self.frame_count,
            "duration_s": round(self.duration_s, 6),
            "start_s": round(self.time_s(0), 6) if self.frame_count else None,
            "rate": f"{self.rate.numerator}/{self.rate.denominator}",
            "variable_rate": self.variable_rate,
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "keyframes": len(self.keyframes),
            "width": self.width,
            "height": self.height,
            "stored_width": self.stored_width,
            "stored_height": self.stored_height,
            "sample_aspect_ratio": f"{self.sample_aspect_ratio.numerator}/{self.sample_aspect_ratio.denominator}",
            "orientation": self.orientation.name,
            "interlaced": self.interlaced and f"{'top' if self.top_field_first else 'bottom'} field first",
            "pixel_format": self.pixel_format,
            "bit_depth": self.bit_depth,
            "colour": self.colour.names(),
            "hdr": self.hdr.summary(),
            "streams": [
                {
                    "index": s.index,
                    "kind": s.kind,
                    "codec": s.codec,
                    "language": s.language,
                    "duration_s": s.duration_s,
                }
                for s in self.streams
            ],
            "chapters": [
                {
                    "start_s": round(float(c.start * c.time_base), 6),
                    "end_s": round(float(c.end * c.time_base), 6),
                    "title": c.metadata.get("title"),
                }
                for c in self.chapters
            ],
            "metadata": dict(self.metadata),
            "warnings": list(self.warnings),
        }
