"""Standard output and error that outlive their reader: `vidswap ... | head` ends quietly, and the work is done."""

from __future__ import annotations

import io
from typing import TextIO


class Enduring(io.FileIO):
    """A file descriptor that swallows what cannot be written.

    Attributes:
        error: the first error that was no reader's leaving, such as a full disk; None while all is well.
    """

    error: OSError | None = None

    def write(self, data: object) -> int:
        """Write, or act as if."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            pass
        except OSError as error:
            self.error = self.error or error
        return memoryview(data).nbytes  # type: ignore[arg-type]


def enduring(stream: TextIO | None, descriptor: int) -> tuple[TextIO, Enduring | None]:
    """The stream on a descriptor of its own kind, and that descriptor; a closed stream (`>&-`) swallows all.

    Names of files that are no text in the stream's encoding are written with backslashes.
    """
    if stream is None:
        return io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), None
    stream.flush()
    raw = Enduring(descriptor, "w", closefd=False)
    made = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=bool(stream.line_buffering) or stream.isatty(),
    )
    return made, raw
