"""Files that are several put one after another, as recordings and streams in pieces often are: the clock starts anew.

The pieces are told by the video's timestamps, which step back, and by where in the file they do so; each is moved to
where the one before has ended, and so are the packets of other streams that lie in the same piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

# With fewer frames between two steps back, timestamps are damaged and no clock.
_FEWEST_FRAMES = 8
# Seconds. Packets of a stream step back by less where they are reordered or overlap.
_STEP_BACK_S = Fraction(1, 2)


@dataclass(frozen=True)
class Restarts:
    """Where pieces after the first one begin.

    frames (K,) numbers of their first frames; positions (K,) bytes of the file; shifts_s (K,) seconds by which what
    lies in each is later than it says.
    """

    frames: tuple[int, ...]
    positions: tuple[int, ...]
    shifts_s: tuple[Fraction, ...]


def restarted(
    given: Sequence[int | None], step: int, base: Fraction, clock: Sequence[int | None], places: Sequence[int | None]
) -> tuple[np.ndarray, Restarts] | None:
    """The timestamps of a file in pieces, joined end to end; None for one that is not such a file.

    Args:
        given: timestamps of frames in the order of presentation.
        step: the usual distance of two frames.
        base: seconds per unit of both.
        clock: decoding timestamps of the video's packets, in the order of the file.
        places: where those packets lie in the file.
    """
    if any(stamp is None for stamp in given) or not given:
        return None
    stamps = np.array(given, dtype=np.int64)
    starts = np.flatnonzero(np.diff(stamps) <= 0) + 1
    lengths = np.diff([0, *starts.tolist(), len(stamps)])
    least = _STEP_BACK_S / base
    if not len(starts) or lengths.min() < _FEWEST_FRAMES or (stamps[starts - 1] - stamps[starts]).min() < float(least):
        return None
    positions = _steps_back(clock, places, least)
    if len(positions) != len(starts):
        return None
    joined = stamps.copy()
    shifts = []
    for start in starts.tolist():
        shift = int(joined[start - 1]) + step - int(stamps[start])
        joined[start:] = stamps[start:] + shift
        shifts.append(shift * base)
    return joined, Restarts(tuple(starts.tolist()), tuple(positions), tuple(shifts))


def _steps_back(clock: Sequence[int | None], places: Sequence[int | None], least: Fraction) -> list[int]:
    found, last = [], None
    for stamp, place in zip(clock, places, strict=True):
        if stamp is None:
            continue
        if last is not None and stamp < last - least:
            if place is None:
                return []
            found.append(place)
        last = stamp
    return found


@dataclass
class Rejoining:
    """Moves packets of other streams, in the order of the file, to where their piece is."""

    restarts: Restarts
    _piece: dict[int, int] = field(default_factory=dict)
    _last: dict[int, Fraction] = field(default_factory=dict)
    _end: dict[int, Fraction] = field(default_factory=dict)
    _taken: dict[int, Fraction] = field(default_factory=dict)

    def takes(self, packet: Any) -> bool:
        """Move a packet; false for sound that would lie over that of the piece before."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return True
        number, base = packet.stream.index, packet.time_base
        time, before = stamp * base, self._piece.get(number, 0)
        piece = max(before, bisect_right(self.restarts.positions, packet.pos) if packet.pos is not None else 0)
        # What comes first in a piece may lie before the video's first packet of it.
        if (
            piece == before
            and piece < len(self.restarts.positions)
            and time < self._last.get(number, time) - _STEP_BACK_S
        ):
            piece += 1
        if piece != before:
            self._end[number] = self._taken.get(number, time)
        self._piece[number], self._last[number] = piece, time
        shift_s = self.restarts.shifts_s[piece - 1] if piece else Fraction(0)
        shift = round(shift_s / base)
        packet.pts = None if packet.pts is None else packet.pts + shift
        packet.dts = None if packet.dts is None else packet.dts + shift
        moved = (stamp + shift) * base
        if piece and packet.stream.type == "audio" and moved < self._end.get(number, moved):
            return False
        self._taken[number] = max(self._taken.get(number, moved), moved + (packet.duration or 0) * base)
        return True
