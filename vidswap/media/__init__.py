"""Containers, streams, timestamps, colour: index a video, read its frames, write segments, join them."""

from __future__ import annotations

from .canvas import canvas
from .deinterlacing import deinterlaced
from .index import Chapter, StreamRecord, VideoIndex
from .joining import join
from .picture import Picture, PictureKind
from .probing import probe
from .reader import DecodeError, Reader, decoders_kept, read
from .trimming import trim
from .writer import SegmentReport, SegmentWriter, WriterOptions

__all__ = [
    "Chapter",
    "DecodeError",
    "Picture",
    "PictureKind",
    "Reader",
    "SegmentReport",
    "SegmentWriter",
    "StreamRecord",
    "VideoIndex",
    "WriterOptions",
    "canvas",
    "decoders_kept",
    "deinterlaced",
    "join",
    "probe",
    "read",
    "trim",
]
