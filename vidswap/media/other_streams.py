"""Everything in a file beside its video: sound, subtitles, data, attachments, chapters and tags."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.container

from . import mp4_cover
from .adts import gate_of, is_headless
from .containers import Container, holds_stream
from .headers import sound_template
from .index import VideoIndex
from .opening import UNREADABLE, opened, reason
from .restarts import Rejoining
from .timestamps import LONGEST_GAP_S
from .transcoding import AudioTranscoder, SubtitleTranscoder, Transcoder, can_transcode, layout_of

# Written anew by every muxer, or untrue of the joined video.
_STALE_TAGS = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "bps", "number_of_frames"}
)
_STALE_PREFIXES = ("_statistics", "duration-", "bps-", "number_of_", "vendor_id")
# Subtitles that are text, by FFmpeg's names of their codecs.
_TEXT = frozenset(
    {"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "microdvd", "subviewer", "sami", "ttml"}
)
# QuickTime has a list of languages, in which FFmpeg finds some by another of their codes alone (ISO 639-2).
_QUICKTIME_LANGUAGES = {
    **{"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "hye": "arm"},
    **{"kat": "geo", "mkd": "mac", "bod": "tib", "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq"},
    **{"fre": "fra", "rum": "ron", "cze": "ces", "slo": "slk"},
}
# Pictures that Matroska attaches, by FFmpeg's names of their codecs.
_PICTURES = {"mjpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp"}
# Sound whose own header MP4 asks for.
_WITH_HEADER = frozenset({"opus", "libopus", "flac", "alac", "vorbis"})
# How far before a trimmed video's first frame a subtitle may begin and still be found.
_LONGEST_SUBTITLE_S = 30


@dataclass(frozen=True)
class Window:
    """The part of the file's time that is kept, in seconds of its clock, and by how much all is moved.

    `stop` is None up to the end; `early` says that a packet may begin before `start`, because the container hides what
    lies before zero.
    """

    shift: Fraction
    start: Fraction | None = None
    stop: Fraction | None = None
    early: bool = False

    def holds(self, start: Fraction, end: Fraction, *, sound: bool) -> bool:
        """Whether what lasts from `start` to `end` is kept, or a part of it."""
        if self.start is None:
            return True
        # Sound that cannot be hidden before zero begins with the first packet that is wholly inside.
        begins = start >= self.start if sound and not self.early else end > self.start
        return begins and (self.stop is None or start < self.stop)


def window_of(index: VideoIndex, target: Container) -> Window:
    """What of the file's time goes into the output: all of it, or the times of a trimmed video's frames."""
    base = index.time_base
    first = int(index.pts[0]) * base if index.frame_count else Fraction(0)
    if index.whole is None:
        # MP4 hides what is before zero, Matroska has nothing there.
        return Window(-first if first < 0 else Fraction(0))
    end = (int(index.pts[-1]) + int(index.durations[-1])) * base
    ends_with_file = index.first + index.frame_count == index.whole.frame_count
    return Window(-first, first, None if ends_with_file else end, early=target.iso)


def chapters_of(index: VideoIndex, window: Window) -> list[Any]:
    """Chapters as PyAV sets them, moved and clipped as the window says."""
    kept: list[Any] = []
    for chapter in index.chapters:
        start, end = chapter.start * chapter.time_base, chapter.end * chapter.time_base
        if not window.holds(start, max(end, start + chapter.time_base), sound=False):
            continue
        start = start if window.start is None else max(start, window.start)
        end = end if window.stop is None else min(end, window.stop)
        kept.append(
            {
                "id": len(kept),
                "start": round((start + window.shift) / chapter.time_base),
                "end": round((end + window.shift) / chapter.time_base),
                "time_base": chapter.time_base,
                "metadata": dict(chapter.metadata),
            }
        )
    return kept


def add_streams(
    index: VideoIndex,
    source: Any,
    result: Any,
    target: Container,
    window: Window,
    warnings: list[str],
    served: Collection[int] = (),
) -> dict[int, Any]:
    """Streams of the result for all other streams of the source that it can hold, by the source's stream index.

    Those `served` are in the result already.
    """
    others: dict[int, Any] = {}
    for stream in source.streams:
        if stream.index == index.stream_index:
            continue
        record = next((r for r in index.streams if r.index == stream.index), None)
        if record is None:
            continue
        label = f"stream {stream.index} ({record.kind}, {record.codec})"
        if record.kind == "data" and "timecode" in map(str.lower, index.video_metadata):
            continue  # the time code is in the video's tag too, and MP4 and MOV make its track anew from there
        if record.kind == "data" and record.codec == "bin_data" and index.chapters and "mp4" in index.container:
            continue  # the titles of chapters, which are written anew
        cover = bool(record.disposition & av.stream.Disposition.attached_pic)
        if stream.index in served:
            continue
        if cover:
            warnings.append(f"{label} is a cover picture that {target.muxer} has no room for, and is left out")
        elif is_headless(index.path, stream) or _is_shapeless(stream):
            warnings.append(f"{label} is damaged: nothing tells how to decode it, and it is left out")
        elif not (target.iso and _lacks_header(stream)) and holds_stream(target, stream):
            hides = record.kind == "audio" and not target.iso and window.start is None
            with sound_template(index.path, stream, window.shift) if hides else contextlib.nullcontext(stream) as like:
                copy = result.add_stream_from_template(like, opaque=True)
            if record.kind == "audio" and (named := layout_of(stream)) != stream.layout.name:
                # MP4 refuses sound whose channels have no names.
                copy.codec_context.layout = named
            if record.kind == "attachment":
                copy.metadata.update(kept_tags(dict(stream.metadata)))
            else:
                _tag(copy, stream, target, record.disposition)
                others[stream.index] = copy
        elif record.kind == "audio" and can_transcode(stream):
            others[stream.index] = AudioTranscoder(result, stream, target.audio_encoder)
            _tag(others[stream.index].stream, stream, target, record.disposition)
            warnings.append(f"{label} cannot lie in {target.muxer} and is encoded anew as {target.audio_encoder}")
        elif record.codec in _TEXT and stream.codec_context is not None:
            others[stream.index] = SubtitleTranscoder(result, stream, target.text_encoder)
            _tag(others[stream.index].stream, stream, target, record.disposition)
            warnings.append(f"{label} cannot lie in {target.muxer} and is converted to {target.text_encoder}")
        else:
            warnings.append(f"{label} cannot lie in {target.muxer} and is left out")
    return others


def _is_shapeless(stream: Any) -> bool:
    """True for a video stream of which FFmpeg, though it has a decoder, has found no size or pixel format."""
    context = stream.codec_context
    return stream.type == "video" and context is not None and not (context.format and context.width)


def _lacks_header(stream: Any) -> bool:
    """True for sound that MP4 refuses at the end of the file, because its header is missing."""
    context = stream.codec_context
    return context is not None and context.name in _WITH_HEADER and not context.extradata


def covers_of(index: VideoIndex, source: Any) -> list[tuple[Any, bytes]]:
    """The streams that are cover pictures, with the bytes of the pictures; b"" where one cannot be read."""
    found: list[tuple[Any, bytes]] = []
    for stream in source.streams.video:
        if stream.index == index.stream_index or not stream.disposition & av.stream.Disposition.attached_pic:
            continue
        picture = b""
        with contextlib.suppress(*UNREADABLE), opened(index.path) as again:
            picture = next((bytes(p) for p in again.demux(again.streams[stream.index]) if p.size), b"")
        found.append((stream, picture))
    return found


def attach_covers(covers: list[tuple[Any, bytes]], result: Any, target: Container) -> tuple[set[int], Any]:
    """Attach pictures to a Matroska file, or keep room for the first in an MP4 file, which has one alone.

    Returns the source's streams that are served, and for MP4 the arguments of `mp4_cover.write_cover`, or None.
    """
    served: set[int] = set()
    for stream, picture in covers:
        codec = stream.codec_context.name if picture and stream.codec_context is not None else ""
        if target.iso and codec in mp4_cover.COVER_TYPES:
            result.metadata.update(mp4_cover.placeholder(picture))
            return {stream.index}, (picture, mp4_cover.COVER_TYPES[codec])
        if target.muxer == "matroska" and codec in _PICTURES:
            tags, kind = kept_tags(dict(stream.metadata)), _PICTURES[codec]
            name = tags.pop("filename", f"cover.{kind.removeprefix('image/').replace('jpeg', 'jpg')}")
            attached = result.add_attachment(name, tags.pop("mimetype", kind), picture)
            attached.metadata.update(tags)
            served.add(stream.index)
    return served, None


class Lost:
    """Packets of copied streams that could not be taken: damaged ones, and those whose time is absurd."""

    def __init__(self, index: VideoIndex) -> None:
        file = index.whole or index
        self._begins_s = float(int(file.pts[0]) * file.time_base)
        self._ends_s = self._begins_s + file.duration_s
        self._latest_s: dict[int, float] = {}
        self._times: dict[int, list[Fraction]] = {}
        self.broken: str | None = None

    def note(self, number: int, time: Fraction) -> None:
        """A packet of the source's stream `number` is left out."""
        self._times.setdefault(number, []).append(time)

    def is_absurd(self, number: int, time: Fraction) -> bool:
        """Whether a time lies more than an hour outside the video and off the packets before; then it is noted."""
        seconds = float(time)
        latest = max(self._latest_s.get(number, self._ends_s), self._ends_s)
        if not self._begins_s - LONGEST_GAP_S <= seconds <= latest + LONGEST_GAP_S:
            self.note(number, time)
            return True
        self._latest_s[number] = seconds
        return False

    def warnings(self, index: VideoIndex) -> list[str]:
        """One line for each stream that lacks something."""
        kinds = {record.index: f"{record.kind}, {record.codec}" for record in index.streams}
        found = [
            f"{index.path.name}: {len(times)} damaged packets of stream {number} ({kinds.get(number, 'unknown')}) "
            f"between {float(min(times)):.3f} and {float(max(times)):.3f} s are left out"
            for number, times in sorted(self._times.items())
        ]
        return found + ([f"{index.path.name}: the other streams end where {self.broken}"] if self.broken else [])


def _demuxed(source: av.container.InputContainer, wanted: list[Any], lost: Lost) -> Iterator[Any]:
    """Packets up to where the file can be read."""
    try:
        yield from source.demux(wanted)
    except UNREADABLE as error:
        lost.broken = f"the file cannot be read on ({reason(error)})"


def packets(
    index: VideoIndex, source: av.container.InputContainer, others: Mapping[int, Any], window: Window, lost: Lost
) -> Iterator[tuple[Fraction, int, av.Packet]]:
    """Packets of the copied streams that the window holds, as they lie in the file, keyed by their time."""
    last: dict[int, Fraction] = dict.fromkeys(others, Fraction(0))
    for stream in source.streams:
        if stream.index not in others:
            stream.discard = av.stream.Discard.all
    wanted = [source.streams[i] for i in others]
    gates = {s.index: gate_of(index.path, s) for s in wanted if not isinstance(others[s.index], Transcoder)}
    rejoining = Rejoining(index.restarts) if index.restarts is not None else None
    if window.start is not None and window.start > _LONGEST_SUBTITLE_S and rejoining is None:
        source.seek(int((window.start - _LONGEST_SUBTITLE_S) * av.time_base), backward=True)
    passed: set[int] = set()
    for packet in _demuxed(source, wanted, lost):
        number, goes_to = packet.stream.index, others[packet.stream.index]
        if rejoining is not None and packet.size and not rejoining.takes(packet):
            continue
        if packet.size and not _clipped(packet, window):
            if window.stop is not None and _time(packet) >= window.stop:
                passed.add(number)
                if passed == set(others):
                    break
            continue
        if isinstance(goes_to, Transcoder):
            made = goes_to.transcode(packet if packet.size else None)
            if goes_to.damaged:
                lost.note(number, _time(packet))
        elif packet.size and (gate := gates.get(number)) is not None and not gate.passes(packet):
            lost.note(number, _time(packet))
            continue
        elif packet.size:
            made = [packet]
            packet.stream = goes_to
        else:
            continue
        yield from _moved(made, number, window, last, lost)
    for number in passed if passed == set(others) else ():
        if isinstance(others[number], Transcoder):
            yield from _moved(others[number].transcode(None), number, window, last, lost)


def _moved(
    made: list[Any], number: int, window: Window, last: dict[int, Fraction], lost: Lost
) -> Iterator[tuple[Fraction, int, av.Packet]]:
    for out in made:
        if (out.pts is not None or out.dts is not None) and lost.is_absurd(number, _time(out)):
            continue
        shift = round(window.shift / out.time_base)
        if out.pts is not None:
            out.pts += shift
        if out.dts is not None:
            out.dts += shift
        stamp = out.dts if out.dts is not None else out.pts
        time = stamp * out.time_base if stamp is not None else last[number]
        # heapq.merge asks for sorted keys; a stream that steps back is passed on in its own order.
        last[number] = time = max(time, *last.values())
        yield time, number, out


def _time(packet: Any) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return Fraction(stamp or 0) * packet.time_base


def _clipped(packet: Any, window: Window) -> bool:
    """Whether a packet is kept; text that reaches over an end of the window is shortened to it."""
    if window.start is None or (packet.pts is None and packet.dts is None):
        return True
    start, base = _time(packet), packet.time_base
    end = start + max(1, packet.duration or 0) * base
    sound = packet.stream.type == "audio"
    if not window.holds(start, end, sound=sound):
        return False
    if packet.stream.type == "subtitle" and packet.pts is not None:
        inside_start, inside_end = max(start, window.start), end if window.stop is None else min(end, window.stop)
        packet.pts = packet.dts = round(inside_start / base)
        if packet.duration:
            packet.duration = max(1, round((inside_end - inside_start) / base))
    return True


def _tag(stream: Any, like: Any, target: Container, disposition: int) -> None:
    """Give a stream the tags, the language and the dispositions of another."""
    stream.metadata.update(stream_tags(dict(like.metadata)))
    language = stream.metadata.get("language")
    if target.muxer == "mov" and language in _QUICKTIME_LANGUAGES:
        stream.metadata["language"] = _QUICKTIME_LANGUAGES[language]
    stream.disposition = disposition


def stream_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a stream that are true of the joined one; what MP4 calls its name is a title elsewhere."""
    kept = kept_tags(tags)
    name = kept.pop("name", None)
    return {"title": name, **kept} if name is not None else kept


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a file or stream less those that would not be true of the joined one."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in _STALE_TAGS and not key.lower().startswith(_STALE_PREFIXES)
    }
