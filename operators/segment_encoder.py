"""What encoders of segments have in common: options of quality, and what becomes of a finished segment."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import Field, field_validator, model_validator

from vidswap import media
from vidswap.graph.operator import Operator, Options
from vidswap.media import outputs
from vidswap.media.verifying import verify_segment
from vidswap.storage import local_file, place

_BITRATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKmM]?)$")
_UNITS = {"": 1, "k": 1000, "m": 1_000_000}


def bits_per_second(text: str) -> int:
    """4M -> 4000000; the text is as EncodeOptions accepts it."""
    match = _BITRATE.match(text)
    return int(float(match["number"]) * _UNITS[match["unit"].lower()]) if match else 0


class QualityOptions(Options):
    """Quality and speed of what is written."""

    crf: float | None = Field(None, ge=0, le=63, description="constant quality in the encoder's scale; lower is better")
    preset: str | None = Field(None, description="the encoder's preset; slower ones make smaller files")
    bitrate: str | None = Field(None, description="bits per second instead of crf, as 4M or 800k")
    pixel_format: str | None = Field(None, description="none: the encoder's nearest to the input's")
    threads: int = Field(
        2, ge=1, le=64, description="threads of the encoder per segment; another number gives other bits with x264"
    )

    @field_validator("bitrate")
    @classmethod
    def _number(cls, value: str | None) -> str | None:
        if value is not None and (not _BITRATE.match(value) or not bits_per_second(value)):
            raise ValueError(f"bitrate {value!r} is not a number of bits per second, such as 4M, 800k or 2500000")
        return value

    @model_validator(mode="after")
    def _one_measure(self) -> QualityOptions:
        if self.crf is not None and self.bitrate is not None:
            raise ValueError("give crf or bitrate, not both")
        return self

    def settings(self, codec: str) -> media.WriterOptions:
        """What a writer of segments is told."""
        return media.WriterOptions(
            codec=codec,
            crf=self.crf,
            preset=self.preset,
            bitrate=bits_per_second(self.bitrate) if self.bitrate else None,
            pixel_format=self.pixel_format,
            threads=self.threads,
        )


class Writer(Protocol):
    """What writes one segment."""

    def add(self, picture: media.Picture) -> None:
        """Encode the next picture."""
        ...

    def close(self) -> media.SegmentReport:
        """Finish the file."""
        ...

    def abort(self) -> None:
        """Give up; no file is left."""
        ...


QualityT = TypeVar("QualityT", bound=QualityOptions)


class SegmentEncoder(Operator[QualityT]):
    """What encoders have in common, whoever does the encoding: pictures go to a writer, segments are read again.

    The engine calls `check` before any work, `begin`, `write` and `finish` (or `abort`) in the worker of a segment, and
    `join` once, or `copy` when no frame was changed.
    """

    kind = "encode"
    each = "frame"
    needs = ("picture",)

    def __init__(self, options: QualityT) -> None:
        super().__init__(options)
        self._writer: Writer | None = None

    def write(self, picture: media.Picture) -> None:
        """Encode the next picture of the segment; after a gap in their numbers a new stretch begins."""
        if self._writer is None:
            raise RuntimeError("write was called before begin")
        self._writer.add(picture)

    def finish(self) -> dict[str, Any]:
        """Close the segment; returns its facts: frames, bytes, first_pts, last_pts, pixel_format."""
        if self._writer is None:
            raise RuntimeError("finish was called before begin")
        finished, self._writer = self._writer, None
        report = finished.close()
        return {
            "frames": report.frames,
            "bytes": report.file_bytes,
            "first_pts": report.first_pts,
            "last_pts": report.last_pts,
            "pixel_format": report.pixel_format,
        }

    def verify(self, path: Path, frames: int) -> None:
        """Raises VidswapError unless the finished segment, read again, holds that many frames and can be decoded."""
        verify_segment(path, frames)

    def abort(self) -> None:
        """Give the segment up; no file is left. May be called at any time."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def can_copy(self, index: media.VideoIndex, output: Path) -> bool:
        """True when the input file itself can be the output: the whole of it as it is, and both are named alike."""
        as_it_is = index.whole is None and index.deinterlace is None and not index.images
        alike = place(output).suffix.lower() == index.path.suffix.lower()
        return as_it_is and alike and not outputs.is_image_output(place(output))

    def copy(self, index: media.VideoIndex, output: Path) -> list[str]:
        """Copy the input to `output`, byte by byte; returns warnings."""
        shutil.copyfile(local_file(index.path), output)
        return []
