"""AAC that bears its header in each packet (ADTS), as MPEG-TS does: telling packets from what damage has made of them.

Muxers that keep one header for the whole stream make it of the first packet that they get, and refuse all when that one
is no ADTS. Source: ISO/IEC 14496-3, 1.A.2.2 (adts_fixed_header, 28 bits).
"""

from __future__ import annotations

import collections
import contextlib
import itertools
from pathlib import Path
from typing import Any

from .opening import UNREADABLE, opened

_LOOKED_AT = 32
_FIXED_MASK = 0xFFFFFFF0
_FEWEST_COMMON = 0.5


class AdtsGate:
    """Lets packets of one stream pass: first one with the stream's usual header, then all that begin as ADTS does."""

    def __init__(self, usual: int) -> None:
        self._usual, self._begun = usual, False

    def passes(self, packet: Any) -> bool:
        """False for a packet that is damaged where its header lies."""
        fixed = _fixed_header(packet)
        self._begun = self._begun or fixed == self._usual
        return self._begun and fixed is not None


def gate_of(path: Path, stream: Any) -> AdtsGate | None:
    """The gate for a stream of the file `path`; None for one that is not AAC in ADTS, or hardly any longer."""
    if not _has_no_header(stream):
        return None
    found: list[int | None] = []
    with contextlib.suppress(*UNREADABLE), opened(path) as source:
        packets = (p for p in source.demux(source.streams[stream.index]) if p.size)
        found.extend(_fixed_header(p) for p in itertools.islice(packets, _LOOKED_AT))
    headers = collections.Counter(header for header in found if header is not None)
    if not headers or headers.total() < _FEWEST_COMMON * len(found):
        return None
    return AdtsGate(headers.most_common(1)[0][0])


def is_headless(path: Path, stream: Any) -> bool:
    """True for AAC that nobody can decode, because neither the file's header nor its packets tell how."""
    return _has_no_header(stream) and gate_of(path, stream) is None


def _has_no_header(stream: Any) -> bool:
    context = stream.codec_context
    return stream.type == "audio" and context is not None and context.name == "aac" and not context.extradata


def _fixed_header(packet: Any) -> int | None:
    """The first 28 bits, or None where they are not those of ADTS: twelve set bits, layer 0."""
    if packet.size < 7:
        return None
    first = int.from_bytes(bytes(memoryview(packet)[:4]), "big")
    return first & _FIXED_MASK if first >> 20 == 0xFFF and not first >> 17 & 3 else None
