"""Decode through decord, for videos whose frames it gives as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from vidswap import media
from vidswap.graph.operator import Operator, Options
from vidswap.media import decord_reader
from vidswap.media.image_sequences import IMAGE_SUFFIXES


class DecodeDecordOptions(Options):
    """How frames are decoded."""

    threads: int = Field(1, ge=1, le=64, description="threads of the decoder")


class DecodeDecord(Operator[DecodeDecordOptions]):
    """Decodes RGB videos through decord; others, of which it would give other frames than are there, are refused.

    Pictures, such as the portrait of a source, are read as `decode.pyav` reads them: decord is for videos.
    """

    kind = "decode"
    each = "frame"
    gives = ("frame", "pts", "picture")
    Options = DecodeDecordOptions

    def __init__(self, options: DecodeDecordOptions) -> None:
        super().__init__(options)
        self._reader: decord_reader.DecordReader | media.Reader | None = None

    def probe(self, path: str | Path) -> media.VideoIndex:
        """Index a video, and see that decord finds the same frames at the same times. Raises InputError."""
        decord_reader.decord_module()
        index = media.probe(path)
        if not _is_picture(index):
            decord_reader.check(index, self.options.threads)
        return index

    def trim(self, index: media.VideoIndex, start: str | None, end: str | None) -> media.VideoIndex:
        """The frames between two times. Raises InputError where there are none."""
        return media.trim(index, start, end)

    def read(self, index: media.VideoIndex, start: int, stop: int) -> Iterator[media.Picture]:
        """The pictures of frames [start, stop), the same whatever start and stop."""
        if self._reader is None or self._reader.index is not index:
            self.teardown()
            if _is_picture(index):
                self._reader = media.Reader(index)
            else:
                self._reader = decord_reader.DecordReader(index, threads=self.options.threads)
        return self._reader.read(start, stop)

    def take_warnings(self) -> list[str]:
        """What was wrong with the frames read since the last call; decord itself says nothing of that."""
        return self._reader.take_warnings() if isinstance(self._reader, media.Reader) else []

    def teardown(self) -> None:
        """Close the file."""
        if isinstance(self._reader, media.Reader):
            self._reader.close()
        self._reader = None


def _is_picture(index: media.VideoIndex) -> bool:
    return index.frame_count == 1 and index.path.suffix.lower() in IMAGE_SUFFIXES
