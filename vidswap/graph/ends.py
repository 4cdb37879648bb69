"""The two ends of a pipeline: what the engine asks of decoders and encoders beyond an Operator. Plain protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Video(Protocol):
    """The index of a video, made in one pass over the file, cheap to pickle. `pts` are int64, in presentation order."""

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        ...

    @property
    def pts(self) -> Sequence[int]:
        """Presentation timestamps, in units of the stream's time base."""
        ...

    @property
    def keyframes(self) -> Sequence[int]:
        """Indices of the frames from which decoding can start."""
        ...

    @property
    def width(self) -> int:
        """Width in pixels as displayed."""
        ...

    @property
    def height(self) -> int:
        """Height in pixels as displayed."""
        ...

    @property
    def content_hash(self) -> str:
        """A digest of the file's content."""
        ...


class Picture(Protocol):
    """One decoded frame: it stays in the worker that decoded it."""

    frame: int
    pts: int


class Decoder(Protocol):
    """An operator of kind decode."""

    def probe(self, path: Path) -> Video:
        """Index a video without decoding its pixels. Raises InputError for what is no video."""
        ...

    def read(self, video: Any, start: int, stop: int) -> Iterator[Any]:
        """Yield the pictures [start, stop), the same ones whatever start and stop."""
        ...


class Encoder(Protocol):
    """An operator of kind encode. Segments are encoded one by one, then joined without encoding again."""

    extension: str

    def check(self, video: Any, output: Path) -> list[str] | None:
        """Raise InputError when this video cannot be written to this output with these options. Before any work.

        May return warnings of what the output will not keep.
        """
        ...

    def begin(self, path: Path, video: Any, threads: int) -> None:
        """Start a segment at `path`, with that many threads; the frames must not depend on the number."""
        ...

    def write(self, picture: Any) -> None:
        """Encode the next picture."""
        ...

    def finish(self) -> Mapping[str, Any]:
        """End the segment; returns facts for the journal, `frames` among them."""
        ...

    def verify(self, path: Path, frames: int) -> None:
        """Read a finished segment again; raise VidswapError unless it holds that many frames and can be decoded."""
        ...

    def abort(self) -> None:
        """Give the segment up; leave no file. Must bear a `begin` that failed."""
        ...

    def join(self, video: Any, segments: Sequence[Path], output: Path, notes: Mapping[str, str]) -> Iterable[str]:
        """Join the segments in order, with the input's other streams and `notes` as metadata; returns warnings."""
        ...

    def can_copy(self, video: Any, output: Path) -> bool:
        """Whether the input's own packets may stand in this output."""
        ...

    def copy(self, video: Any, output: Path) -> Iterable[str]:
        """Copy the input packet by packet; returns warnings. Called only where `can_copy` says so."""
        ...
