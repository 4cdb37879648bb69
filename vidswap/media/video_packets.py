"""The packets of the joined video: those of the segments and those that are copied, with the input's timestamps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidswap.graph.errors import VidswapError
from vidswap.graph.segments import complement, joined_spans

from . import copying
from .copying import Span
from .index import VideoIndex
from .opening import open_segment


@dataclass(frozen=True)
class _Run:
    """Frames [start, start + len(ranks)) that lie in one piece in a segment file; `ranks` in decoding order."""

    path: Path
    start: int
    ranks: np.ndarray


@dataclass(frozen=True)
class JoinedVideo:
    """What the joined track is made of.

    Attributes:
        template: a segment with encoded frames, or None when everything is copied.
        fitting: how encoded packets lie beside copied ones; None where there is but one kind.
        depth: how many frames decoding runs ahead of presentation, at most.
    """

    index: VideoIndex
    runs: tuple[_Run, ...]
    copied: tuple[Span, ...]
    template: Path | None
    fitting: copying.Fitting | None
    depth: int

    def packets(self, stream: Any, shift_s: Fraction) -> Iterator[tuple[Fraction, int, av.Packet]]:
        """Packets with the input's pts, `shift_s` later, keyed by decoding time and stream.

        dts are the sorted pts, `depth` frames late, so that none passes its pts.
        """
        index, base = self.index, self.index.time_base
        shift, step = round(shift_s / base), max(1, int(index.durations[0]))
        for decoded, (frame, packet) in enumerate(self._in_decoding_order()):
            late = decoded - self.depth
            dts = int(index.pts[late]) if late >= 0 else int(index.pts[0]) + late * step
            packet.stream = stream
            packet.time_base = base
            packet.pts, packet.dts = int(index.pts[frame]) + shift, dts + shift
            packet.duration = int(index.durations[frame])
            yield Fraction(packet.dts) * base, stream.index, packet

    def _in_decoding_order(self) -> Iterator[tuple[int, av.Packet]]:
        copies = copying.packets(self.index, self.copied)
        encoded = _encoded_packets(self.runs)
        pieces = [(r.start, len(r.ranks), False) for r in self.runs] + [(a, b - a, True) for a, b in self.copied]
        before_copies = {start - 1 for start, _ in self.copied}
        for start, count, is_copy in sorted(pieces):
            for left in range(count - 1, -1, -1):
                frame, packet = next(copies) if is_copy else next(encoded)
                if self.fitting is not None and not is_copy:
                    packet = self.fitting.fitted(packet, ends=not left and start + count - 1 in before_copies)
                yield frame, packet
        # Lets the readers close their files, and tells of segments that hold more than they should.
        if next(copies, None) is not None or next(encoded, None) is not None:
            raise VidswapError("the segments hold more frames than the video")


def plan(index: VideoIndex, segments: Sequence[Path], copied: Sequence[Span]) -> JoinedVideo:
    """Look through the segments: which frames are where. Segments of which everything is copied are empty files.

    Raises VidswapError when they differ in their parameters or do not, with the copied stretches, make up the video.
    """
    spans = joined_spans(copied)
    missing = complement(spans, 0, index.frame_count)
    counted = np.cumsum([0, *(b - a for a, b in missing)])
    runs: list[_Run] = []
    depth = index.reorder_depth if spans else 0
    template: Path | None = None
    parameters: tuple[object, ...] | None = None
    header = b""
    total = 0
    for path in segments:
        if path.stat().st_size == 0:
            continue
        found, stamps = _read(path)
        if parameters is not None and found != parameters:
            raise VidswapError(f"segment {path.name} was encoded with other parameters than the first one")
        parameters, header = found, bytes(found[-1])  # type: ignore[call-overload]
        template = template or path
        at = 0
        while at < len(stamps):
            start, room = _place(missing, counted, total)
            count = min(room, len(stamps) - at)
            if not count:
                break
            rank = np.empty(count, dtype=np.int32)
            rank[np.argsort(stamps[at : at + count], kind="stable")] = np.arange(count, dtype=np.int32)
            depth = max(depth, int((np.arange(count) - rank).max(initial=0)))
            runs.append(_Run(path, start, rank))
            at += count
            total += count
        total += len(stamps) - at
    if total != counted[-1]:
        raise VidswapError(
            f"the segments hold {total + index.frame_count - counted[-1]} frames, the video has {index.frame_count}"
        )
    fitting = copying.fitting(index, header) if spans and runs else None
    return JoinedVideo(index, tuple(runs), tuple(spans), template, fitting, depth)


def _read(path: Path) -> tuple[tuple[object, ...], np.ndarray]:
    """A segment's parameters, header last, and the timestamps of its packets."""
    with open_segment(path) as segment:
        stream = segment.streams.video[0]
        context = stream.codec_context
        shape = context.format and context.format.name
        found = (context.name, context.width, context.height, shape, bytes(context.extradata or b""))
        stamps = [p.pts for p in segment.demux(stream) if p.size]
    if any(s is None for s in stamps) or len(set(stamps)) < len(stamps):
        raise VidswapError(f"segment {path.name} has packets without a timestamp of their own")
    return found, np.array(stamps, dtype=np.int64)


def _place(missing: Sequence[Span], counted: np.ndarray, number: int) -> tuple[int, int]:
    """The frame that is the `number`th of those missing, and how many follow it without a gap, itself included."""
    if number >= counted[-1]:
        return 0, 0
    here = int(np.searchsorted(counted, number, side="right")) - 1
    start, stop = missing[here]
    offset = number - int(counted[here])
    return start + offset, stop - start - offset


def _encoded_packets(runs: Sequence[_Run]) -> Iterator[tuple[int, av.Packet]]:
    by_path: dict[Path, list[_Run]] = {}
    for run in runs:
        by_path.setdefault(run.path, []).append(run)
    for path, inside in by_path.items():
        with open_segment(path, packets_alone=True) as segment:
            found = (p for p in segment.demux(segment.streams.video[0]) if p.size)
            for run in inside:
                for place in run.ranks:
                    packet = next(found, None)
                    if packet is None:
                        raise VidswapError(f"segment {path.name} has fewer packets than before")
                    yield run.start + int(place), packet
