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

    def trim(self, video: Any, start: str | None, end: str | None) -> Video:
        """The part of a video between two times, as the user wrote them. Raises InputError for what is no such part."""
        ...

    def read(self, video: Any, start: int, stop: int) -> Iterator[Any]:
        """Yield the pictures [start, stop), the same ones whatever start and stop."""
        ...

    def take_warnings(self) -> list[str]:
        """What was wrong with the frames read since the last call, in one line each; empty where nothing was."""
        ...


class Encoder(Protocol):
    """An operator of kind encode. Segments are encoded one by one, then joined without encoding again.

    Stretches of frames that nothing changes may be left out of the segments and copied when they are joined.

    Two things are asked only of those that have them: `choices(output)`, a mapping of options that the output's name
    decides, and `writes_pictures`, true of one that writes folders of pictures and printf patterns.
    """

    extension: str

    def check(self, video: Any, output: Path) -> list[str] | None:
        """Raise InputError when this video cannot be written to this output with these options. Before any work.

        May return warnings of what the output will not keep.
        """
        ...

    def why_not_copied(self, video: Any, output: Path) -> str | None:
        """Why no stretch of this video can be copied into this output, in a few words; None when some can."""
        ...

    def stretches(self, video: Any, changed: Any, start: int, stop: int) -> Sequence[tuple[int, int]]:
        """Parts of frames [start, stop) that can be copied, in order and apart from each other.

        `changed` is (stop - start,) bool: frames that will not be what they were. Asked only where `why_not_copied`
        says nothing.
        """
        ...

    def begin(self, path: Path, video: Any, threads: int) -> None:
        """Start a segment at `path`, with that many threads; the frames must not depend on the number."""
        ...

    def write(self, picture: Any) -> None:
        """Encode the next picture; where numbers of frames are left out, a copied stretch will stand between."""
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

    def join(
        self,
        video: Any,
        segments: Sequence[Path],
        output: Path,
        notes: Mapping[str, str],
        copied: Sequence[tuple[int, int]] = (),
    ) -> Iterable[str]:
        """Join the segments in order, with the input's other streams and `notes` as metadata; returns warnings.

        `copied` are stretches that are to be copied from the input; a segment of which all is copied is an empty file.
        """
        ...

    def can_copy(self, video: Any, output: Path) -> bool:
        """Whether the input, when nothing changes at all, may be the output as it is."""
        ...

    def copy(self, video: Any, output: Path) -> Iterable[str]:
        """Copy the input; returns warnings. Called only where `can_copy` says so."""
        ...
