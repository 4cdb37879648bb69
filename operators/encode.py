"""Encode: what becomes of the pictures. Segments are written by themselves and joined packet by packet."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from vidswap import media
from vidswap.graph.errors import InputError
from vidswap.media import codecs, containers, copying, outputs, writer
from vidswap.media.animation import write_animation
from vidswap.media.image_writing import write_images
from vidswap.media.losses import losses
from vidswap.media.picture_losses import picture_losses
from vidswap.media.webp_writing import LARGEST_SIDE
from vidswap.storage import place

from .segment_encoder import QualityOptions, SegmentEncoder


class EncodeOptions(QualityOptions):
    """Encoder, quality and speed of the result."""

    codec: str | None = Field(
        None, description="FFmpeg's name of the encoder; none: libx264, libvpx-vp9 for webm, lossless before pictures"
    )
    quality: int | None = Field(
        None, ge=0, le=100, description="of JPEG and WebP pictures; none: 95 for JPEG, lossless for WebP"
    )
    smart_copy: bool = Field(True, description="copy stretches that nothing changes instead of encoding them anew")

    @field_validator("codec")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None or value == "auto":
            return None
        try:
            codecs.encoder(value)
        except InputError as error:
            raise ValueError(str(error)) from error
        return value


class EncodePyAV(SegmentEncoder[EncodeOptions]):
    """Encodes with FFmpeg through PyAV."""

    writes_pictures = True
    Options = EncodeOptions

    def __init__(self, options: EncodeOptions) -> None:
        super().__init__(options)
        self.codec = options.codec or outputs.USUAL_CODEC
        self.extension = codecs.encoder(self.codec).segment_extension
        self._settings = options.settings(self.codec)

    def choices(self, output: Path) -> dict[str, Any]:
        """Options that the output decides where the user left them open. Raises InputError for what is not written."""
        return {"codec": self.options.codec or outputs.output_of(place(output)).codec}

    def check(self, index: media.VideoIndex, output: Path) -> list[str]:
        """Warnings of what the written video cannot keep of the input.

        Raises InputError when the output's container, the codec and the video do not go together.
        """
        output = place(output)
        if output.exists() and index.path.exists() and output.samefile(index.path):
            raise InputError(f"{output} is the input itself; choose another output")
        wanted = outputs.output_of(output)
        if wanted.kind is not outputs.OutputKind.CONTAINER:
            self._check_pictures(index, wanted)
            self._trial(index)
            return picture_losses(index, wanted)
        if self.options.quality is not None:
            raise InputError(f"quality is for pictures (WebP, JPEG); {output.suffix} files take crf or bitrate")
        container = containers.container_of(output)
        codec = codecs.encoder(self.codec).codec
        containers.check_codec(output, codec, self.codec)
        self._trial(index)
        return losses(index, self._settings, container)

    def _check_pictures(self, index: media.VideoIndex, wanted: outputs.Output) -> None:
        if self.codec != outputs.INTERMEDIATE:
            raise InputError(
                f"{wanted.suffix} pictures are made of lossless segments, not with {self.codec}; leave the codec out"
            )
        for name in ("crf", "preset", "bitrate", "pixel_format"):
            if getattr(self.options, name) is not None:
                raise InputError(f"{name} has no meaning for {wanted.suffix} pictures; leave it out")
        if self.options.quality is not None and wanted.suffix not in outputs.TAKE_QUALITY:
            raise InputError(f"quality is for {', '.join(outputs.TAKE_QUALITY)}; {wanted.suffix} loses nothing by it")
        if wanted.single and index.frame_count > 1:
            raise InputError(
                f"{wanted.path.name} holds one picture, {index.path.name} has {index.frame_count} frames; give a "
                f"pattern such as {wanted.path.stem}_%05d{wanted.suffix}, or a folder"
            )
        if wanted.suffix == ".webp" and max(index.width, index.height) > LARGEST_SIDE:
            raise InputError(f"WebP holds no more than {LARGEST_SIDE} pixels a side, not {index.width}x{index.height}")

    def _trial(self, index: media.VideoIndex) -> bytes:
        """Open the encoder for this video; returns its header."""
        with tempfile.TemporaryDirectory(prefix="vidswap-") as folder:
            trial = media.SegmentWriter(Path(folder) / f"trial{self.extension}", index, self._settings_for(index))
            header = trial.header
            trial.abort()
            return header

    def _settings_for(self, index: media.VideoIndex) -> media.WriterOptions:
        """The options of the writer. Parameter sets get a number beside the input's, so that packets can be copied."""
        number = index.free_parameter_set if self.options.smart_copy else None
        return dataclasses.replace(self._settings, parameter_set=number)

    def why_not_copied(self, index: media.VideoIndex, output: Path) -> str | None:
        """Why no stretch of this video can be copied into this output, in a few words; None when some can."""
        if not self.options.smart_copy:
            return "smart copy is turned off"
        if outputs.output_of(place(output)).kind is not outputs.OutputKind.CONTAINER:
            return "pictures are made anew"
        codec = codecs.encoder(self.codec).codec
        pixel_format = writer.output_pixel_format(index, self._settings)
        header = self._trial(index) if codec == index.codec else b""
        return copying.why_not(index, codec, pixel_format, header)

    def stretches(self, index: media.VideoIndex, changed: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
        """Parts of frames [start, stop) that can be copied; `changed` is (stop - start,) bool."""
        return copying.stretches(index, changed, start, stop)

    def begin(self, path: Path, index: media.VideoIndex, threads: int) -> None:
        """Start a segment file. `threads`, the worker's, is not used: it would make frames depend on the machine."""
        del threads
        self._writer = media.SegmentWriter(path, index, self._settings_for(index))

    def join(
        self,
        index: media.VideoIndex,
        segments: Sequence[Path],
        output: Path,
        metadata: Mapping[str, str],
        copied: Sequence[tuple[int, int]] = (),
    ) -> list[str]:
        """Join segments and copied stretches with the input's other streams into `output`; returns warnings."""
        wanted, quality = outputs.output_of(place(output)), self.options.quality
        if wanted.kind is outputs.OutputKind.ANIMATION:
            write_animation(index, segments, wanted.path, quality=quality, notes=metadata)
        elif wanted.kind is outputs.OutputKind.IMAGES:
            write_images(index, segments, wanted, quality=quality, notes=metadata)
        else:
            return media.join(index, segments, output, copied=copied, metadata=metadata)
        return []
