"""Lanes: which of the tasks that may run a worker takes, so that its decoder can go on where it stands.

A decoder begins at keyframes alone, and what lies between there and a segment is decoded for nothing. Workers that take
whatever comes next would all decode all of a group of pictures; so each takes what its own decoders are nearest to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vidswap.graph import Segment


class Lanes:
    """Where the decoders of a run's workers stand. A seat is a worker's number, whatever it is."""

    def __init__(self, segments: Sequence[Segment], keyframes: Iterable[int] = (), kept: int = 2) -> None:
        """`keyframes` are frames from which decoding can start, beside the first; `kept` is how many decoders a worker
        keeps open (`media.decoders_kept`).
        """
        self._segments, self._kept = segments, kept
        keys = np.unique([0, *(int(k) for k in keyframes)])
        self._keys = [int(keys[np.searchsorted(keys, s.start, side="right") - 1]) for s in segments]
        self._stands: dict[int, list[int]] = {}

    def skipped(self, seat: int, segment: int) -> int:
        """Frames that the worker would decode for nothing, to come to a segment."""
        begin = self._from(seat, segment)
        return self._segments[segment].start - begin

    def note(self, seat: int, segment: int) -> None:
        """A worker reads a segment."""
        stands = self._stands.setdefault(seat, [])
        begin = self._from(seat, segment)
        if begin in stands:
            stands.remove(begin)
        stands.append(self._segments[segment].stop)
        del stands[: -self._kept]

    def _from(self, seat: int, segment: int) -> int:
        start, key = self._segments[segment].start, self._keys[segment]
        return max((at for at in self._stands.get(seat, ()) if key <= at <= start), default=key)
