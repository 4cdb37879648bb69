"""Encoding sound and subtitles anew, for containers that cannot hold them as they are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.audio.resampler import AudioResampler

_RATES = {"libopus": (48000, 24000, 16000, 12000, 8000)}
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_BITS_PER_SECOND_AND_CHANNEL = 96_000


def can_transcode(source: Any) -> bool:
    """False for an audio stream that cannot be decoded, or whose header does not tell what it holds."""
    return source.codec_context is not None and source.rate > 0 and source.channels > 0


def layout_of(sound: Any) -> str:
    """The channel layout of an audio stream; the usual one for its number of channels where the file names none."""
    name, usual = str(sound.layout.name), _USUAL_LAYOUTS.get(int(sound.channels))
    return usual if usual is not None and name.endswith("channels") else name


class AudioTranscoder:
    """Decode packets of one audio stream and encode them into a new stream of `result`; timestamps are kept.

    Attributes:
        damaged: the last packet could not be decoded.
    """

    def __init__(self, result: Any, source: Any, encoder: str) -> None:
        self._source = source
        self.damaged = False
        rate = source.rate
        if encoder in _RATES and rate not in _RATES[encoder]:
            rate = _RATES[encoder][0]
        self.stream = result.add_stream(encoder, rate=rate)
        context = self.stream.codec_context
        # Opus knows one layout for each number of channels.
        context.layout = _USUAL_LAYOUTS.get(source.channels, "7.1") if encoder == "libopus" else layout_of(source)
        context.bit_rate = _BITS_PER_SECOND_AND_CHANNEL * max(1, source.channels)
        self._resampler = AudioResampler(format=context.format, layout=context.layout, rate=rate)

    def transcode(self, packet: Any | None) -> list[Any]:
        """Encoded packets that a packet completes; None flushes. Damaged packets are passed over."""
        frames: list[Any] = []
        resampled: list[Any] = []
        self.damaged = False
        try:
            frames = packet.decode() if packet is not None else self._source.codec_context.decode(None)
            resampled = [r for frame in frames for r in self._resampler.resample(frame)]
        except av.error.EOFError:
            pass
        except (av.error.FFmpegError, ValueError):
            # A damaged header in a packet of sound may also name another rate or layout.
            self.damaged = True
        if packet is None:
            resampled += self._resampler.resample(None)
        packets = [p for frame in resampled for p in self.stream.encode(frame)]
        return packets + (list(self.stream.encode(None)) if packet is None else [])


class SubtitleTranscoder:
    """Turn packets of one stream of text subtitles into another form of text; times are kept, styles if they can be.

    Attributes:
        damaged: the last packet could not be decoded.
    """

    def __init__(self, result: Any, source: Any, encoder: str) -> None:
        self.damaged = False
        self._context = source.codec_context
        self._context.open(strict=False)
        self.stream = result.add_stream(encoder)
        self.stream.codec_context.subtitle_header = self._context.subtitle_header

    def transcode(self, packet: Any | None) -> list[Any]:
        """The packet with its text in the new form; empty for None, for pauses, and for what cannot be decoded."""
        self.damaged = False
        if packet is None or packet.pts is None:
            return []
        try:
            text = self._context.decode2(packet)
            if text is None or not len(text):
                return []
            made = self.stream.codec_context.encode_subtitle(text)
        except (av.error.FFmpegError, ValueError):
            self.damaged = True
            return []
        made.stream, made.time_base = self.stream, packet.time_base
        made.pts = made.dts = packet.pts
        # Matroska's blocks have a length, those of others may leave it to the text's own.
        shown_s = Fraction(text.end_display_time - text.start_display_time, 1000)
        made.duration = packet.duration or round(shown_s / packet.time_base)
        return [made]


Transcoder = AudioTranscoder | SubtitleTranscoder
