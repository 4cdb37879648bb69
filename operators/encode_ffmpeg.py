"""Encode through an ffmpeg binary: encoders that PyAV's build of FFmpeg lacks, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from vidswap import media
from vidswap.graph.errors import InputError
from vidswap.media import containers, ffmpeg_writer, outputs
from vidswap.media.losses import losses
from vidswap.storage import place

from .segment_encoder import QualityOptions, SegmentEncoder


class EncodeFFmpegOptions(QualityOptions):
    """Encoder, quality and speed of the result, and the binary that writes it."""

    codec: str | None = Field(
        None, description="any video encoder that the binary lists; none: libx264, libvpx-vp9 for webm"
    )
    options: dict[str, str | int | float] = Field(
        {}, description="further options of the encoder in FFmpeg's words, such as encode.options.tune=grain"
    )
    binary: str | None = Field(None, description="path of ffmpeg; none: the one on PATH, else imageio-ffmpeg's")


class EncodeFFmpeg(SegmentEncoder[EncodeFFmpegOptions]):
    """Encodes through an ffmpeg binary, with any encoder that it has."""

    Options = EncodeFFmpegOptions

    def __init__(self, options: EncodeFFmpegOptions) -> None:
        super().__init__(options)
        self.codec = options.codec if options.codec not in (None, "auto") else outputs.USUAL_CODEC
        self._settings = options.settings(self.codec)
        more = {name: str(value) for name, value in options.options.items()}
        self._own = ffmpeg_writer.BinaryOptions(options.binary, more)

    @property
    def extension(self) -> str:
        """Extension of segment files."""
        known = ffmpeg_writer.known(self.codec)
        return known.segment_extension if known is not None else ".mkv"

    def choices(self, output: Path) -> dict[str, Any]:
        """Options that the output decides where the user left them open. Raises InputError for what is not written."""
        named = self.options.codec if self.options.codec != "auto" else None
        return {"codec": named or outputs.output_of(place(output)).codec}

    def check(self, index: media.VideoIndex, output: Path) -> list[str]:
        """Warnings of what the written video cannot keep of the input.

        Raises InputError when binary, container, codec and video do not go together; one frame is encoded for trial.
        """
        output = place(output)
        if output.exists() and index.path.exists() and output.samefile(index.path):
            raise InputError(f"{output} is the input itself; choose another output")
        if outputs.output_of(output).kind is not outputs.OutputKind.CONTAINER:
            raise InputError(f"encode.ffmpeg writes no pictures; {output.name} is written by encode.pyav")
        container = containers.container_of(output)
        chosen = ffmpeg_writer.encoder_of(ffmpeg_writer.usable_binary(self.options.binary), self.codec)
        containers.check_codec(output, chosen.codec, self.codec)
        choice = ffmpeg_writer.check(index, self._settings, self._own)
        return losses(index, self._settings, container, chosen=choice.encoder, pixel_format=choice.piped)

    def why_not_copied(self, index: media.VideoIndex, output: Path) -> str | None:
        """Nothing is copied between encoded stretches: one process writes a segment from beginning to end."""
        del index, output
        return "encode.ffmpeg encodes every frame"

    def stretches(self, index: media.VideoIndex, changed: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
        """None."""
        del index, changed, start, stop
        return []

    def begin(self, path: Path, index: media.VideoIndex, threads: int) -> None:
        """Start a segment file. `threads`, the worker's, is not used: it would make frames depend on the machine."""
        del threads
        self._writer = ffmpeg_writer.FFmpegWriter(path, index, self._settings, self._own)

    def join(
        self,
        index: media.VideoIndex,
        segments: Sequence[Path],
        output: Path,
        metadata: Mapping[str, str],
        copied: Sequence[tuple[int, int]] = (),
    ) -> list[str]:
        """Join segments with the input's other streams into `output`; returns warnings."""
        return media.join(index, segments, output, copied=copied, metadata=metadata)
