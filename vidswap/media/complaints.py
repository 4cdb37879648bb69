"""What FFmpeg's decoders say is wrong with a packet: often the only sign that a frame was not decoded whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import av.logging

# Said as errors, but of what is no part of the picture, or of what encoders in the field write all the time.
_HARMLESS = re.compile(
    r"SEI|APP fields|EXIF|ICC|iccp|metadata|mmco|number of reference frames|co located POCs|VPS|Duplicate POC"
    r"|unavailable reference|^at \d|timecode|side data|Last message repeated",
    re.IGNORECASE,
)


@contextlib.contextmanager
def complaints(said: list[str]) -> Iterator[None]:
    """Add to `said`, at the context's end, what decoders complained of in this thread while it lasted."""
    level, skipping = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as lines:
            yield
            said += [text for kind, _, text in lines if kind <= av.logging.ERROR and not _HARMLESS.search(text)]
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skipping)
