"""What tells soon, for thousands of files, whether an input is still the one that it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidswap.graph import InputError
from vidswap.media.image_sequences import is_sequence, sequence_files

from .job import digest


def stamp(path: Path) -> list[Any]:
    """Path, size in bytes and time of change in ns of a file; for a sequence of pictures a digest of all of theirs.

    The path alone where there is nothing to be read.
    """
    try:
        if is_sequence(path):
            files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in sequence_files(path)]
            return [str(path), digest({"files": files})]
        found = path.stat()
    except (OSError, InputError):
        return [str(path)]
    return [str(path), found.st_size, found.st_mtime_ns]
