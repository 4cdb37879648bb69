"""What a choice of encoder and container cannot keep of a video, told before any work."""

from __future__ import annotations

import av

from .codecs import Encoder, encoder
from .containers import Container
from .index import VideoIndex
from .planes import Layout, bit_depth, has_alpha, layout
from .writer import NO_FULL_RANGE, WriterOptions, output_pixel_format, writes_fields

_USUAL_PLACES = frozenset({"unspecified", "left"})
# H.264 and HEVC say in their own headers where chroma stands, AV1 for these two places; Matroska says it for all.
_OWN_PLACE = {"h264": None, "hevc": None, "av1": frozenset({"left", "topleft"})}
_MATROSKA_PLACES = frozenset({"left", "topleft", "top", "center"})
# Before 18, PyAV tells muxers no frame rate where packets are copied, and without one MP4 takes no time code.
_WRITES_TIME_CODES = int(av.__version__.split(".")[0]) >= 18


def losses(
    index: VideoIndex,
    options: WriterOptions,
    container: Container,
    *,
    chosen: Encoder | None = None,
    pixel_format: str | None = None,
) -> list[str]:
    """Warnings, each one line, in which way the written video will be less than `index`. Empty for most videos.

    `chosen` and `pixel_format` are what an encoder outside of PyAV's build is and writes.
    """
    chosen = chosen or encoder(options.codec)
    found = [*index.hdr.warnings(), *_fields(index, chosen)]
    source = layout(index.working_format)
    if options.pixel_format is None and source is not None:
        found += _samples(source, options, pixel_format or output_pixel_format(index, options))
    if index.full_range and source is not None and source.kind == "yuv" and chosen.codec in NO_FULL_RANGE:
        found.append(f"{chosen.codec} cannot say that colours have full range; they are brought to limited range")
    place, own = index.colour.chroma_location, _OWN_PLACE.get(chosen.codec, frozenset())
    told = own is None or place in own or (not container.iso and place in _MATROSKA_PLACES)
    if source is not None and (source.shift_x or source.shift_y) and place not in _USUAL_PLACES and not told:
        found.append(f"{chosen.codec} in {container.muxer} cannot say that chroma stands at {place}")
    code = next((value for key, value in index.video_metadata.items() if key.lower() == "timecode"), None)
    if code is not None and container.iso and not _WRITES_TIME_CODES:
        found.append(f"time code {code} is not written: that takes PyAV 18, and so Python 3.11")
    return found


def _fields(index: VideoIndex, chosen: Encoder) -> list[str]:
    if not index.interlaced:
        return []
    order = "top" if index.top_field_first else "bottom"
    kept = (
        "stays so" if writes_fields(index, chosen) else f"{chosen.name} cannot mark it; frames stay as they are woven"
    )
    return [f"the video is interlaced ({order} field first) and {kept}; --deinterlace makes whole pictures of it"]


def _samples(source: Layout, options: WriterOptions, name: str) -> list[str]:
    """Alpha, depth and chroma that the encoder's nearest format lacks. RGB becomes YUV unsaid, as players ask."""
    found = []
    if source.alpha and not has_alpha(name):
        found.append(
            f"{options.codec} has no alpha: the video's transparency is dropped; prores_ks (mov), ffv1 (mkv) and "
            "libvpx-vp9 (webm) keep it"
        )
    bits = bit_depth(name)
    if bits < source.bits:
        found.append(f"{options.codec} takes no more than {bits} bits here; the video's {source.bits} bits are rounded")
    target = layout(name)
    coarser = target is not None and (target.shift_x > source.shift_x or target.shift_y > source.shift_y)
    if source.kind == "yuv" and target is not None and target.kind == "yuv" and coarser:
        found.append(f"{options.codec} takes {name} at best; the video's chroma becomes coarser")
    return found
