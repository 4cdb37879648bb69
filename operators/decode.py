"""Decode: where the pictures of a video come from."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from vidswap import media
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options
from vidswap.media.image_sequences import frame_rate


class DecodeOptions(Options):
    """How frames are decoded."""

    input_rate: str = Field("25", description="frames per second of image folders and patterns, as 25 or 24000/1001")
    video_stream: int | None = Field(
        None, ge=0, description="which of several video streams, by its index in the file; none: FFmpeg's choice"
    )
    # Workers fill the cores, and FFmpeg's frame threads can hang for ever when a damaged file is closed.
    threads: int = Field(1, ge=1, le=64, description="threads of the decoder; more than one may hang on damaged files")
    deinterlace: bool | Literal["all"] = Field(
        False, description="one whole picture of the two fields of frames that are marked as interlaced, or of all"
    )

    @field_validator("input_rate", mode="before")
    @classmethod
    def _rate(cls, value: object) -> str:
        try:
            return str(frame_rate(value))
        except InputError as error:
            raise ValueError(str(error)) from error


class DecodePyAV(Operator[DecodeOptions]):
    """Decodes with FFmpeg through PyAV, in native planes. The engine calls `probe` once and `read` per segment."""

    kind = "decode"
    each = "frame"
    gives = ("frame", "pts", "picture")
    Options = DecodeOptions

    def __init__(self, options: DecodeOptions) -> None:
        super().__init__(options)
        self._reader: media.Reader | None = None

    def probe(self, path: str | Path) -> media.VideoIndex:
        """Index a video or a still image. Raises InputError for what cannot be read."""
        index = media.probe(path, image_rate=Fraction(self.options.input_rate), video_stream=self.options.video_stream)
        wanted = self.options.deinterlace
        return media.deinterlaced(index, all_frames=wanted == "all") if wanted else index

    def trim(self, index: media.VideoIndex, start: str | None, end: str | None) -> media.VideoIndex:
        """The frames between two times. Raises InputError where there are none."""
        return media.trim(index, start, end)

    def read(self, index: media.VideoIndex, start: int, stop: int) -> Iterator[media.Picture]:
        """The pictures of frames [start, stop), the same whatever start and stop; cheap where the last range ended."""
        if self._reader is None or self._reader.index is not index:
            self.teardown()
            self._reader = media.Reader(index, threads=self.options.threads)
        return self._reader.read(start, stop)

    def take_warnings(self) -> list[str]:
        """What was wrong with the frames read since the last call."""
        return self._reader.take_warnings() if self._reader is not None else []

    def teardown(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
