"""Tuned generators in a pipeline: which file of differences is for which face."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

_TRACK = re.compile(r"track-(\d+)\.safetensors")


def tuned_file(digest: str) -> Path:
    """Where `invert.pti` keeps the generator of this digest."""
    from vidswap.inversion.keeping import default_folder

    return default_folder() / f"tuned-{digest}.safetensors"


class Tuned:
    """One file of differences for all faces, or a folder of `vidswap tune`, which has one for each track.

    Raises InputError for what is neither.
    """

    def __init__(self, named: str) -> None:
        from vidswap.graph.errors import InputError

        path = Path(named)
        self._for_all = path if path.is_file() else None
        self._by_track: dict[int, Path] = {}
        if path.is_dir():
            found = {file: _TRACK.fullmatch(file.name) for file in path.iterdir()}
            self._by_track = {int(match[1]): file for file, match in found.items() if match}
        if self._for_all is None and not self._by_track:
            raise InputError(f"tuned {named}: is neither a tuned generator nor a folder of vidswap tune")

    @property
    def files(self) -> list[Path]:
        """All files of differences."""
        return [self._for_all] if self._for_all else [self._by_track[track] for track in sorted(self._by_track)]

    def check(self, net: nn.Module) -> None:
        """Hold all files against the generator. Raises InputError where one was tuned on another."""
        from vidswap.latents import differences

        known = differences.state_digest(net)
        for file in self.files:
            differences.check(differences.read(file)[0], known, file)

    def groups(self, tracks: np.ndarray | None, count: int) -> Iterator[tuple[Path | None, Sequence[int]]]:
        """Rows by file; None for faces of tracks that were not tuned."""
        if self._for_all is not None:
            yield self._for_all, range(count)
            return
        files = [self._by_track.get(int(track)) for track in tracks] if tracks is not None else [None] * count
        for file in dict.fromkeys(files):
            yield file, [row for row, other in enumerate(files) if other == file]
