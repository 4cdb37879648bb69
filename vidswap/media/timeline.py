"""Which frames a video has, when they are shown, and where decoding may start: one demux pass, or one of decoding."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np

from vidswap.graph.errors import InputError

from .closing import CleanCuts
from .cursor import frames_of
from .opening import UNREADABLE, opened, reason
from .restarts import Restarts, restarted
from .timestamps import LONGEST_GAP_S, increasing, without_jumps

# One packet of these is one frame, so that packets alone give the count; others are counted by decoding.
_PACKET_IS_FRAME = frozenset(
    {"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "ffv1", "prores", "mjpeg", "png", "gif", "apng"}
    | {"webp", "bmp", "tiff", "dnxhd", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "qtrle", "v210"}
)
# Demuxers that cannot seek, or whose frames are painted over the frames before them.
_NO_SEEKING = frozenset({"gif", "apng", "image2"})
# Demuxers whose pts are those of decoding order, and codecs where that is another order.
_NO_PTS = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
_REORDERED = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
# Demuxers that look for decoding timestamps when they seek; the others look for presentation timestamps.
_SEEK_BY_DTS = frozenset({"mpegts", "mpeg", "flv", "nut"})
# Demuxers that count timestamps from where they are: after damage, or a seek, they may count otherwise.
_COUNTED = frozenset({"avi"})
_CHECKED_KEYFRAMES = 24
# No codec holds back more frames; where timestamps say so, they are wrong.
_DEEPEST_REORDER = 32
# How much a file may fall short of what its header promises without a word, beside two frames.
_SHORTFALL_S = 0.25
_USUAL_STEP_S = Fraction(1, 25)
_NO_GROUPS = np.zeros((0, 2), dtype=np.int64)
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


@dataclass
class Timeline:
    """Frames in presentation order, and where decoding may start; fields as in VideoIndex."""

    pts: np.ndarray
    durations: np.ndarray
    keyframes: np.ndarray
    seek_timestamps: np.ndarray
    reorder_depth: int
    timed: bool
    closed_groups: np.ndarray
    free_parameter_set: int | None = None
    stamps: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    time_base: Fraction | None = None
    restarts: Restarts | None = None


class _Packets:
    """What one pass over the packets of a stream tells, in decoding order."""

    def __init__(self, path: Path, container: av.container.InputContainer, stream: Any) -> None:
        self.pts: list[int | None] = []
        self.dts: list[int | None] = []
        self.positions: list[int | None] = []
        self.durations: list[int] = []
        self.keys: list[bool] = []
        self.seen = 0
        self.broken: str | None = None
        codec = stream.codec_context.codec.canonical_name
        self.cuts = CleanCuts(codec, bytes(stream.codec_context.extradata or b""))
        try:
            for packet in container.demux(stream):
                self._take(packet)
        except UNREADABLE as error:
            if not self.pts:
                raise InputError(f"{path} cannot be read ({reason(error)})") from error
            self.broken = reason(error)

    def _take(self, packet: Any) -> None:
        if packet.size == 0 or packet.is_discard:
            self.seen += bool(packet.is_discard)
            if packet.is_discard:
                self.cuts.leave_out()
            return
        if packet.is_keyframe:
            self.cuts.look(packet)
        self.seen += 1
        self.pts.append(packet.pts)
        self.dts.append(packet.dts)
        self.positions.append(packet.pos)
        self.durations.append(packet.duration or 0)
        self.keys.append(packet.is_keyframe)


def timeline(path: Path, container: av.container.InputContainer, stream: Any) -> Timeline:
    """Read all packets of a stream, or decode it where those do not tell its frames.

    Raises InputError, in one line, when there is nothing that can be read.
    """
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    packets = _Packets(path, container, stream)
    step = _usual_step(stream, packets.durations)
    base = stream.time_base or Fraction(1, 1000)
    found = _by_packets(path, container, stream, packets, step)
    found = found or _by_decoding(path, container, stream, packets, step, base)
    found = _sane(path, found, step, base) if base <= LONGEST_GAP_S else _at_usual_rate(path, found)
    short = _shortfall(path, container, stream, packets, found, step * base)
    return found if short is None else _warned(found, short)


def _by_packets(
    path: Path, container: av.container.InputContainer, stream: Any, packets: _Packets, step: int
) -> Timeline | None:
    """The timeline that packets tell; None where frames must be counted by decoding them."""
    codec, name = stream.codec_context.codec.canonical_name, container.format.name
    known = [p for p in packets.pts if p is not None]
    one_to_one = codec in _PACKET_IS_FRAME
    if name in _NO_PTS and codec in _REORDERED:
        return None
    if not one_to_one or len(known) < len(packets.pts) or len(set(known)) < len(known):
        if len(packets.pts) == 1 and one_to_one:
            start = known[0] if known else 0
            length = packets.durations[0] or step
            return Timeline(_ints([start]), _ints([length]), _ints([0]), _ints([0]), 0, False, _NO_GROUPS)
        return None
    times, lengths, keys = _ints(known), _ints(packets.durations), np.array(packets.keys, dtype=bool)
    by_dts = name in _SEEK_BY_DTS
    clocks = _ints([p if d is None or not by_dts else d for p, d in zip(known, packets.dts, strict=True)])
    if not keys.any():
        return None
    if name in _COUNTED and not _seeks_truly(container, stream, packets):
        return None
    clock = [d for d in packets.dts if d is not None]
    goes_back = any(b < a for a, b in itertools.pairwise(clock))
    if not keys[0] or times.min() < times[keys].min():
        keep = _decodable_from_start(path, stream.index, times, keys)
        if not keep.any() or not keys[keep].any():
            return None
        packets.cuts.leave_out(set((np.cumsum(keys) - 1)[~keep].tolist()))
        times, lengths, keys, clocks = times[keep], lengths[keep], keys[keep], clocks[keep]
    order = np.argsort(times, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    depth = int(max(0, (np.arange(len(rank)) - rank).max())) if len(rank) else 0
    if depth > _DEEPEST_REORDER:
        return None
    presented = times[order]
    # Where time steps back in the file, seeking leads anywhere: it is decoded from its start.
    key_order = np.flatnonzero(keys[order])[: 1 if goes_back else None]
    return Timeline(
        pts=presented,
        durations=_durations(presented, int(lengths[order][-1]), step),
        keyframes=key_order,
        seek_timestamps=clocks[order][key_order],
        reorder_depth=depth,
        timed=not _NO_SEEKING & set(name.split(",")),
        closed_groups=_NO_GROUPS if goes_back else packets.cuts.result(keys, rank),
        free_parameter_set=packets.cuts.free_number,
    )


def _by_decoding(
    path: Path, container: av.container.InputContainer, stream: Any, packets: _Packets, step: int, base: Fraction
) -> Timeline:
    """Count frames by decoding them, as the reader does: for codecs that hide frames, and for files without usable
    timestamps. Such frames are told by their number alone."""
    even = container.format.name in _NO_PTS and stream.codec_context.codec.canonical_name in _REORDERED
    with opened(path) as again:
        video = again.streams[stream.index]
        video.thread_type = "NONE"
        given = [frame.pts for frame in frames_of(again, video)]
    if not given:
        raise InputError(f"no frame of {path} can be decoded")
    pieces = None if even else restarted(given, step, base, packets.dts, packets.positions)
    if pieces is not None:
        return _of_pieces(path, *pieces, step, base)
    times, wrong = (step * np.arange(len(given), dtype=np.int64), []) if even else increasing(given, step)
    made = Timeline(times, _durations(times, step, step), _ints([0]), times[:1].copy(), 0, False, _NO_GROUPS)
    if not wrong:
        return made
    return _warned(
        made,
        f"{path.name}: timestamps of {len(wrong)} of {len(given)} frames, from frame {wrong[0]} "
        f"({float(int(times[wrong[0]]) * base):.3f} s) on, are missing or do not follow those before; they are set "
        "between their neighbours, or at equal distances where too few are left",
    )


def _of_pieces(path: Path, times: np.ndarray, restarts: Restarts, step: int, base: Fraction) -> Timeline:
    """The timeline of a file in which the clock starts anew."""
    said = ", ".join(f"frame {f} ({float(int(times[f]) * base):.3f} s)" for f in restarts.frames[:4])
    more = f" and {len(restarts.frames) - 4} more places" if len(restarts.frames) > 4 else ""
    return Timeline(
        pts=times,
        durations=_durations(times, step, step),
        keyframes=_ints([0]),
        seek_timestamps=times[:1].copy(),
        reorder_depth=0,
        timed=False,
        closed_groups=_NO_GROUPS,
        warnings=(f"{path.name}: timestamps start anew at {said}{more}; picture and sound go on from what was before",),
        restarts=restarts,
    )


def _sane(path: Path, found: Timeline, step: int, base: Fraction) -> Timeline:
    """Close absurd gaps; seeking goes on by the stamps that the file has."""
    last = int(found.durations[-1])
    if last <= 0 or last * base > LONGEST_GAP_S:
        found.durations = _durations(found.pts, step, step)
    times, jumps = without_jumps(found.pts, step, base)
    if times is found.pts:
        return found
    found.stamps = found.pts if found.timed else None
    found.pts, found.durations = times, _durations(times, int(found.durations[-1]), step)
    found.closed_groups = _NO_GROUPS
    said = ", ".join(f"frame {j} ({float(int(times[j]) * base):.3f} s)" for j in jumps[:4].tolist())
    more = f" and {len(jumps) - 4} more places" if len(jumps) > 4 else ""
    what = f"jump by more than an hour at {said}{more}" if len(jumps) else "begin absurdly far from zero"
    return _warned(found, f"{path.name}: timestamps {what}; the video goes on without the jump")


def _at_usual_rate(path: Path, found: Timeline) -> Timeline:
    """Frames at 25 per second, for a file whose unit of time is absurd."""
    found.stamps = found.pts if found.timed else None
    found.time_base = _USUAL_STEP_S
    found.pts = np.arange(len(found.pts), dtype=np.int64)
    found.durations = np.ones(len(found.pts), dtype=np.int64)
    found.closed_groups = _NO_GROUPS
    return _warned(found, f"{path.name}: its header gives an absurd frame rate; 25 frames per second are taken")


def _warned(found: Timeline, warning: str) -> Timeline:
    found.warnings = (*found.warnings, warning)
    return found


def _shortfall(
    path: Path,
    container: av.container.InputContainer,
    stream: Any,
    packets: _Packets,
    found: Timeline,
    step_s: Fraction,
) -> str | None:
    """What a file lacks of that which its header promises, or None."""
    base = found.time_base or stream.time_base or Fraction(1, 1000)
    start = int(found.pts[0])
    end_s = float((int(found.pts[-1]) + int(found.durations[-1])) * base)
    length_s = float((int(found.pts[-1]) + int(found.durations[-1]) - start) * base)
    at = f"{path.name} ends at {end_s:.3f} s, after {len(found.pts)} frames"
    if "mp4" in container.format.name.split(","):
        promised = stream.frames
        if promised > packets.seen:
            return f"{at}; its header promises {promised} frames, the last {promised - packets.seen} are missing"
    elif found.time_base is None:
        promised_s = _promised_s(container, stream)
        if promised_s is not None and promised_s - max(length_s, end_s) > 2 * float(step_s) + _SHORTFALL_S:
            return f"{at}; its header promises {promised_s:.3f} s"
    if packets.broken:
        return f"{at}: it cannot be read on ({packets.broken})"
    return None


def _promised_s(container: av.container.InputContainer, stream: Any) -> float | None:
    """Seconds that the header gives the video; None where it says nothing of the video itself."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    match = _CLOCK.match(tags.get("duration", ""))
    if match:
        return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    alone = not any(s.type in ("audio", "subtitle") for s in container.streams)
    return container.duration / av.time_base if alone and container.duration else None


def _seeks_truly(container: av.container.InputContainer, stream: Any, packets: _Packets) -> bool:
    """Whether packets have the same timestamps after seeking as they have when all are read in order."""
    places = dict(zip(packets.positions, packets.pts, strict=True))
    keys = [p for p, key in zip(packets.pts, packets.keys, strict=True) if key and p is not None]
    for wanted in keys[:: max(1, len(keys) // _CHECKED_KEYFRAMES)] + keys[-1:]:
        try:
            container.seek(wanted, stream=stream, backward=True)
            packet = next((p for p in container.demux(stream) if p.size), None)
        except UNREADABLE:
            return False
        if packet is None or packet.pts is None or packet.pts > wanted or places.get(packet.pos) != packet.pts:
            return False
    return True


def _decodable_from_start(path: Path, stream_index: int, times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which packets yield a frame when the file does not start with a keyframe, or frames precede the first one."""
    key_times = np.sort(times[keys])
    limit = key_times[1] if len(key_times) > 1 else times.max() + 1
    seen: set[int] = set()
    with opened(path) as container:
        stream: Any = container.streams[stream_index]
        stream.thread_type = "NONE"
        for frame in frames_of(container, stream):
            if frame.pts is not None:
                seen.add(frame.pts)
                if frame.pts >= limit:
                    break
    return (times >= limit) | np.isin(times, _ints(sorted(seen)))


def _usual_step(stream: Any, durations: list[int]) -> int:
    base = stream.time_base or Fraction(1, 1000)
    positive = [d for d in durations if 0 < d and d * base <= LONGEST_GAP_S]
    if positive:
        return int(np.median(positive))
    rate = stream.average_rate or stream.base_rate
    seconds = 1 / rate if rate and rate > 0 else _USUAL_STEP_S
    return max(1, round((seconds if seconds <= LONGEST_GAP_S else _USUAL_STEP_S) / base))


def _durations(pts: np.ndarray, last: int, step: int) -> np.ndarray:
    return np.append(np.diff(pts), last if last > 0 else step).astype(np.int64)


def _ints(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)
