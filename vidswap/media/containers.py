"""Output containers: which ones are written, what they hold, how they are told to keep what they get."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import av.container

from vidswap.graph.errors import InputError

_ISO = {"movflags": "+faststart+use_metadata_tags"}
_MAX_TIMESCALE = 2**31 - 1


@dataclass(frozen=True)
class Container:
    """An output container: FFmpeg's muxer, and the encoders for sound and for text that it cannot hold as it is."""

    muxer: str
    audio_encoder: str
    text_encoder: str
    iso: bool = False


CONTAINERS: Mapping[str, Container] = {
    ".mp4": Container("mp4", "aac", "mov_text", iso=True),
    ".m4v": Container("mp4", "aac", "mov_text", iso=True),
    ".mov": Container("mov", "aac", "mov_text", iso=True),
    ".mkv": Container("matroska", "aac", "subrip"),
    ".webm": Container("webm", "libopus", "webvtt"),
}


def container_of(output: Path) -> Container:
    """The container that a file name asks for. Raises InputError for another extension."""
    found = CONTAINERS.get(output.suffix.lower())
    if found is None:
        raise InputError(
            f"cannot write {output.name}: the extension {output.suffix or '(none)'} is not one of "
            f"{', '.join(sorted(CONTAINERS))}"
        )
    return found


def muxer_options(container: Container, time_base: Fraction) -> dict[str, str]:
    """Options that keep timestamps exact and own tags readable."""
    if not container.iso:
        return {}
    # Edit lists count in the movie's time scale; milliseconds, the default, would move the first frame.
    scale = time_base.denominator * max(1, math.ceil(1000 / time_base.denominator))
    return {**_ISO, "movie_timescale": str(scale)} if scale <= _MAX_TIMESCALE else dict(_ISO)


@lru_cache(maxsize=128)
def holds_codec(container: Container, codec: str) -> bool:
    """True when the container can hold video of this codec (a name such as "h264")."""

    def add(trial: Any) -> None:
        trial.add_mux_stream(codec, width=64, height=64, time_base=Fraction(1, 25))

    # MOV refuses some codecs only when the header is written; Matroska wants to see the codec's own header for that.
    return _accepted(container, add, write_header=container.iso)


def check_codec(output: Path, codec: str, encoder: str) -> None:
    """Raise InputError, naming containers that can, when the output's cannot hold what the encoder writes."""
    if not holds_codec(container_of(output), codec):
        fitting = [extension for extension, other in CONTAINERS.items() if holds_codec(other, codec)]
        raise InputError(
            f"{output.suffix} files cannot hold {codec} ({encoder}); "
            f"write one of {', '.join(fitting)}, or choose another codec"
        )


def holds_stream(container: Container, template: Any) -> bool:
    """True when a copy of a stream can be written into the container, found out by writing a header to memory."""
    return _accepted(container, lambda trial: trial.add_stream_from_template(template, opaque=True), write_header=True)


def _accepted(container: Container, add: Callable[[Any], object], *, write_header: bool) -> bool:
    trial = av.open(io.BytesIO(), mode="w", format=container.muxer)
    try:
        add(trial)
        if write_header:
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError, NotImplementedError):
        return False
    finally:
        with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
            trial.close()
    return True
