"""Which keyframes are clean cuts: decoding can begin there, and end before them, and nothing is missing or wrong.

An H.264 or HEVC keyframe is one only when it is an IDR picture (HEVC: any intra random access point) and no picture
around it refers across it; others may be left with pictures that need what was before them ("open" groups).
Sources: ITU-T H.264, table 7-1; ITU-T H.265, table 7-1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import hevc_parameter_sets
from .hevc_parameter_sets import HevcSets, kind_of
from .parameter_sets import IDR, PICTURE, SEQUENCE, ParameterSets, split_start_codes

# Every keyframe of these starts anew, whatever came before.
_ALWAYS_CLEAN = frozenset({"vp8", "vp9", "av1", "prores", "mjpeg", "ffv1", "dnxhd", "huffyuv", "utvideo", "rawvideo"})
_HEVC_RANDOM_ACCESS = range(16, 22)
# Parameter sets and the first slice lie at a packet's start; what comes after need not be looked at.
_LOOKED_AT_BYTES = 4096


@dataclass
class CleanCuts:
    """Looks at keyframes one after the other, in decoding order, as they are demuxed."""

    codec: str
    header: bytes
    _own: ParameterSets | None = None
    _hevc: HevcSets | None = None
    _hevc_numbers: tuple[set[int], set[int], set[int]] = (set(), set(), set())
    _clean: list[bool] = field(default_factory=list)
    _complete: list[bool] = field(default_factory=list)
    _numbers: set[int] = field(default_factory=set)
    _foreign: bool = False
    _dirty: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            if self.codec == "h264":
                self._own = ParameterSets.parse(self.header)
                self._numbers = self._own.numbers()
            elif self.codec == "hevc":
                self._hevc = HevcSets.parse(self.header)
                self._hevc_numbers = self._hevc.numbers()
        except ValueError:
            self._own = self._hevc = None

    def look(self, packet: bytes | memoryview) -> None:
        """Take the next keyframe's packet."""
        if self.codec in _ALWAYS_CLEAN:
            self._note(True, True)
            return
        data = bytes(memoryview(packet)[:_LOOKED_AT_BYTES])
        if self.codec == "h264" and self._own is not None:
            self._look_h264(data)
        elif self.codec == "hevc" and self._hevc is not None:
            units = _units(data, self._hevc.length_bytes)
            # Sets that are not in the header: what they are a part of cannot stand beside other packets.
            self._foreign |= not HevcSets.among(units, None).all() <= self._hevc.all()
            first = next((k for k in map(kind_of, units) if k < hevc_parameter_sets.VIDEO), -1)
            self._note(first in _HEVC_RANDOM_ACCESS, False)
        else:
            self._note(False, False)

    def _look_h264(self, data: bytes) -> None:
        own = self._own
        assert own is not None
        units = _units(data, own.length_bytes)
        kinds = [unit[0] & 31 for unit in units]
        inside = ParameterSets.among(units, own.length_bytes)
        if not inside.all() <= own.all():
            self._foreign = True
        try:
            self._numbers |= inside.numbers()
        except ValueError:
            self._note(False, False)
            return
        self._note(next((k for k in kinds if k < 6), 0) == IDR, SEQUENCE in kinds and PICTURE in kinds)

    def _note(self, clean: bool, complete: bool) -> None:
        self._clean.append(clean)
        self._complete.append(complete)

    def leave_out(self, groups: set[int] | None = None) -> None:
        """Note that the group of the last keyframe, or those `groups`, has packets that are no frames of the video."""
        self._dirty |= {len(self._clean) - 1} if groups is None else groups

    def result(self, keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """(G, 2) int64: frames [start, stop) of the stretches between neighbouring clean cuts, in order.

        Args:
            keys: (N,) bool, the keyframes among all packets in decoding order.
            ranks: (N,) int64, place of each packet's frame in presentation order.
        """
        clean = np.array(self._clean, dtype=bool)
        if self._foreign:
            # Sets that are not in the header: only where they are sent again can decoding begin.
            clean &= np.array(self._complete, dtype=bool)
        places = np.flatnonzero(keys)
        if len(places) != len(clean):
            return np.zeros((0, 2), dtype=np.int64)
        before = np.concatenate([[-1], np.maximum.accumulate(ranks)])[:-1]
        clean &= (ranks[places] == places) & (before[places] == places - 1)
        starts = places[clean]
        stops = np.append(starts[1:], len(ranks))[: len(starts)]
        incomplete = places[[g for g in sorted(self._dirty) if 0 <= g < len(places)]]
        whole = [not ((incomplete >= a) & (incomplete < b)).any() for a, b in zip(starts, stops, strict=True)]
        return np.stack([starts, stops], axis=1)[whole].astype(np.int64)

    @property
    def free_number(self) -> int | None:
        """For H.264, the smallest number that no parameter set of the stream bears, for H.265 the place of such numbers
        (`hevc_parameter_sets.numbers_at`); None where there is none.
        """
        if self._hevc is not None:
            return hevc_parameter_sets.free_place(self._hevc_numbers)
        if self._own is None:
            return None
        return next((n for n in range(32) if n not in self._numbers), None)


def _units(data: bytes, length_bytes: int | None) -> list[bytes]:
    """NAL units at the start of a packet; the last may be cut off."""
    if length_bytes is None:
        return split_start_codes(data)
    units, at = [], 0
    while at + length_bytes < len(data):
        length = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        units.append(data[at : at + length])
        at += length
        if not length:
            break
    return [unit for unit in units if unit]
