"""Encoders that segments can be written with: defaults, pixel formats, and what makes their segments joinable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import av.codec
import numpy as np

from vidswap.graph.errors import InputError
from vidswap.graph.registry import nearest

from .ffmpeg_binary import where_to_find
from .planes import Layout, has_alpha, layout


@dataclass(frozen=True)
class Encoder:
    """How one of FFmpeg's encoders is used here.

    Attributes:
        name: FFmpeg's name.
        crf: default quality, in the encoder's own scale; None for an encoder without that option.
        crf_option: name of the option that takes it.
        last_crf: where its scale ends.
        preset, preset_option: default of the option that trades speed for size; None where there is none.
        options: always set; they close groups of pictures and silence the encoder.
        even_chroma: sizes must be multiples of the chroma block.
        presets: all values that `preset` may have; empty where the encoder itself tells.
        segment_muxer: NUT keeps every time base; what it does not know lies in Matroska, whose rounded timestamps do no
            harm, because joining takes them from the index.
        codec: name of the format, as containers know it.
        alpha: pixel formats with alpha that it writes; None for all that it lists. Some list more than they can open.
        fields: it can code the two fields of interlaced frames by themselves, or at least mark them.
    """

    name: str
    codec: str
    crf: float | None = None
    crf_option: str = "crf"
    last_crf: float = 51
    preset: str | None = None
    preset_option: str = "preset"
    options: dict[str, str] = field(default_factory=dict)
    even_chroma: bool = False
    presets: tuple[str, ...] = ()
    segment_muxer: str = "nut"
    alpha: frozenset[str] | None = frozenset()
    fields: bool = False

    @property
    def segment_extension(self) -> str:
        """Extension of segment files."""
        return {"nut": ".nut", "matroska": ".mkv"}[self.segment_muxer]


_X26_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_SVT_PRESETS = tuple(map(str, range(14)))


# libx264 "veryfast" at CRF 18 is visually lossless on faces and keeps encoding cheaper than the work before it; slower
# presets make smaller files, not better faces.
ENCODERS = {
    e.name: e
    for e in (
        Encoder("libx264", "h264", crf=18, preset="veryfast", even_chroma=True, presets=_X26_PRESETS, fields=True),
        Encoder("libx265", "hevc", crf=20, preset="fast", even_chroma=True, presets=_X26_PRESETS),
        Encoder("libsvtav1", "av1", crf=24, last_crf=63, preset="8", even_chroma=True, presets=_SVT_PRESETS),
        Encoder(
            "libvpx-vp9",
            "vp9",
            crf=24,
            last_crf=63,
            preset="4",
            preset_option="cpu-used",
            options={"row-mt": "1"},
            presets=tuple(map(str, range(9))),
            # Its alpha lies in side data of the packets, which NUT does not hold.
            segment_muxer="matroska",
            alpha=frozenset({"yuva420p"}),
        ),
        Encoder(
            "prores_ks",
            "prores",
            segment_muxer="matroska",
            alpha=frozenset({"yuva444p10le"}),
            fields=True,
        ),
        Encoder("ffv1", "ffv1", options={"level": "3", "slicecrc": "1", "g": "1"}, alpha=None, fields=True),
        Encoder("h264_nvenc", "h264", crf=19, crf_option="cq", preset="p5", even_chroma=True),
        Encoder("hevc_nvenc", "hevc", crf=21, crf_option="cq", preset="p5", even_chroma=True),
        Encoder("av1_nvenc", "av1", crf=28, crf_option="cq", preset="p5", even_chroma=True),
        Encoder("h264_videotoolbox", "h264", even_chroma=True),
        Encoder("hevc_videotoolbox", "hevc", even_chroma=True),
    )
}


def available_encoders() -> list[str]:
    """Names of the encoders above that this build of FFmpeg has; hardware may still be missing."""
    return sorted(name for name in ENCODERS if name in av.codecs_available and _codec(name) is not None)


def encoder(name: str) -> Encoder:
    """The encoder called `name`. Raises InputError, with the nearest name, for one that is not to be had."""
    names = available_encoders()
    if name not in names:
        if name in ENCODERS:
            remedy = where_to_find(name) or f"there are: {', '.join(names)}"
            raise InputError(f"encoder {name!r} is not in this build of FFmpeg; {remedy}")
        raise InputError(f"unknown codec {name!r}; {where_to_find(name) or nearest(name, names)}")
    return ENCODERS[name]


def pixel_formats(name: str) -> list[str]:
    """Pixel formats that an encoder takes."""
    codec, alpha = _codec(name), ENCODERS[name].alpha
    found = [f.name for f in (codec.video_formats or [])] if codec is not None else []
    return [f for f in found if alpha is None or f in alpha or not has_alpha(f)]


def choose_pixel_format(name: str, source: str, width: int, height: int) -> str:
    """The encoder's format that is nearest to the source's: same chroma, same depth, else the least that is lost.

    RGB sources become 4:2:0 with encoders for the public, which players expect of them, and stay RGB with FFV1.

    Args:
        name: the encoder.
        source: working format of the video.
        width, height: of the stored planes.

    Raises InputError when the size does not fit any format of the encoder.
    """
    formats = pixel_formats(name)
    of = layout(source)
    if of is None:
        raise ValueError(f"{source} is no working format")
    fits = [f for f in formats if _fits(name, f, width, height)]
    if not fits:
        raise InputError(
            f"{name} cannot encode {width}x{height} pixels: both sizes must be even; "
            "choose libx264, libx265, libvpx-vp9 or ffv1"
        )
    if source in fits and not (of.kind == "rgb" and ENCODERS[name].codec != "ffv1"):
        return source
    if source.startswith("yuvj") and (plain := source.replace("yuvj", "yuv")) in fits:
        return plain
    return nearest_format(of, fits, keeps_rgb=ENCODERS[name].codec == "ffv1")


def nearest_format(of: Layout, formats: Sequence[str], *, keeps_rgb: bool) -> str:
    """The one of `formats`, not empty, in which the least is lost; with `keeps_rgb` RGB sources stay RGB."""
    return min(formats, key=lambda f: (_loss(of, f, keeps_rgb), formats.index(f)))


def steady_instructions(width: int) -> str | None:
    """Instruction sets that x264 may use here for pictures `width` pixels wide, or None for its own choice.

    x264's AVX-512 code for the macroblock tree (core 165) reads rows of macroblocks in eights, and beyond the end of a
    row what memory holds by chance: the same frames give other bits from run to run. Rows of whole eights (1280, 1920
    pixels) have the bits that all processors give; for others AVX2, which takes a twelfth more time, gives them.
    """
    if -(-width // 16) % 8 == 0:
        return None
    features = getattr(np.core, "_multiarray_umath", None)
    has = getattr(features, "__cpu_features__", {})
    if not (has.get("AVX512F") and has.get("AVX2") and has.get("FMA3")):
        return None
    return "MMX2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"


def _fits(name: str, pixel_format: str, width: int, height: int) -> bool:
    return not ENCODERS[name].even_chroma or whole_chroma(pixel_format, width, height)


def whole_chroma(pixel_format: str, width: int, height: int) -> bool:
    """True when frames of that size hold no half chroma sample."""
    block_x, block_y = _chroma_block(av.VideoFormat(pixel_format, 16, 16))
    return width % block_x == 0 and height % block_y == 0


def _chroma_block(described: av.VideoFormat) -> tuple[int, int]:
    """How many pixels share a chroma sample, across and down; PyAV calls only subsampled planes chroma."""
    chroma = [c for c in described.components if c.is_chroma]
    return (16 // chroma[0].width, 16 // chroma[0].height) if chroma else (1, 1)


def _loss(of: Layout, pixel_format: str, keeps_rgb: bool) -> tuple[float, ...]:
    """What is lost, gravest first, then what is wasted: colour, alpha, depth, chroma."""
    described = av.VideoFormat(pixel_format, 16, 16)
    bits = max(c.bits for c in described.components)
    alpha = any(c.is_alpha for c in described.components)
    rgb = described.is_rgb or described.has_palette
    shift_x, shift_y = _chroma_block(described)
    want_x, want_y = 1 << of.shift_x, 1 << of.shift_y
    if of.kind == "gray" or (of.kind == "rgb" and not keeps_rgb):
        want_x = want_y = 2
    usual = layout(pixel_format) is not None
    foreign_kind = rgb != (of.kind == "rgb" and keeps_rgb)
    colours = sum(not c.is_alpha for c in described.components) >= 3
    grey_lost = not colours and not rgb and of.kind != "gray"
    return (
        float(grey_lost),
        float(foreign_kind),
        float(of.alpha and not alpha),
        max(0, of.bits - bits),
        max(0, shift_x - want_x) + max(0, shift_y - want_y),
        float(pixel_format.startswith("yuvj")),
        max(0, bits - of.bits),
        max(0, want_x - shift_x) + max(0, want_y - shift_y),
        float(alpha and not of.alpha),
        float(not usual),
    )


def _codec(name: str) -> Any:
    try:
        return av.codec.Codec(name, "w")
    except (av.codec.codec.UnknownCodecError, ValueError):
        return None
