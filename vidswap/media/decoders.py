"""Which decoder a stream is read with: its own, except where that leaves out a part of the pictures."""

from __future__ import annotations

from typing import Any

import av
import av.codec

# FFmpeg's own decoders of these pass over the alpha that Matroska keeps beside each packet.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def decoder_of(stream: Any) -> Any:
    """The codec context to decode packets of a video stream with; not opened, unless it is the stream's own."""
    context = stream.codec_context
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    if name is None or not says_alpha(stream):
        return context
    try:
        own = av.codec.CodecContext.create(name, "r")
    except (av.codec.codec.UnknownCodecError, ValueError):
        return context
    own.thread_count, own.thread_type = 1, "NONE"
    return own


def says_alpha(stream: Any) -> bool:
    """True for a track of VP8 or VP9 that says that it has alpha beside its packets."""
    return {name.lower(): value for name, value in stream.metadata.items()}.get("alpha_mode") == "1"
