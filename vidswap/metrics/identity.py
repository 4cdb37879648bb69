"""Likeness from embeddings of a recogniser, and how steady it is over time.

Embeddings are vectors of any length that is not 0; similarity is the cosine of their angle. Which recogniser made them
is for the caller to know (`vidswap.metrics.installed`).
"""

from __future__ import annotations

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity, -1..1, of two vectors."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


class IdentityOverTime:
    """Mean cosine of neighbouring frames and of all pairs of frames, streamed.

    The mean over all pairs needs the sum of the unit vectors alone: |sum|^2 = n + 2 (sum over pairs).
    """

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None
        self._last: np.ndarray | None = None
        self._frames = self._neighbours = 0
        self._near = 0.0

    def add(self, embedding: np.ndarray) -> None:
        """Take the embedding (D,) of the next frame."""
        unit = np.asarray(embedding, np.float64)
        unit = unit / np.linalg.norm(unit)
        if self._last is not None:
            self._near += float(unit @ self._last)
            self._neighbours += 1
        self._last = unit
        self._sum = unit if self._sum is None else self._sum + unit
        self._frames += 1

    def cut(self) -> None:
        """The next frame is no neighbour of the last one."""
        self._last = None

    def merge(self, other: IdentityOverTime) -> None:
        """Take the neighbours of another clip; pairs of frames of different clips do not count, nor do its own."""
        self._near += other._near
        self._neighbours += other._neighbours

    @property
    def local(self) -> float | None:
        """Mean cosine of neighbours; None without any."""
        return self._near / self._neighbours if self._neighbours else None

    @property
    def overall(self) -> float | None:
        """Mean cosine of all pairs of different frames; None of fewer than two frames."""
        n = self._frames
        return (float(self._sum @ self._sum) - n) / (n * (n - 1)) if self._sum is not None and n > 1 else None


def temporal_identity(source: np.ndarray, edited: np.ndarray) -> tuple[float, float]:
    """TL-ID and TG-ID of clips (frames, D): their local and overall consistency, edited over source.

    Tzaban et al., "Stitch it in time" (2022). Both may exceed 1; the distance from 1 is what counts. Raises ValueError
    for clips of fewer than two frames.
    """
    measured: list[tuple[float, float]] = []
    for clip in (edited, source):
        over_time = IdentityOverTime()
        for embedding in clip:
            over_time.add(embedding)
        if over_time.local is None or over_time.overall is None:
            raise ValueError(f"clips of two frames or more were expected, got {len(clip)}")
        measured.append((over_time.local, over_time.overall))
    (local, overall), (local_source, overall_source) = measured
    return local / local_source, overall / overall_source
