"""Pixel formats: which ones are worked on as they are, what the others are turned into, and views of their planes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import numpy as np

_CHROMA = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0), "410": (2, 2)}
_YUV = re.compile(r"yuv(?P<kind>[ja]?)(?P<chroma>4\d\d)p(?P<bits>9|10|12|14|16)?(?:le)?$")
_GRAY = re.compile(r"gray(?P<bits>9|10|12|14|16)?(?:le)?$")
_RGB = re.compile(r"gbr(?P<alpha>a?)p(?P<bits>9|10|12|14|16)?(?:le)?$")
# Formats that carry the same samples in another order; the planar one on the right loses nothing.
SAME_SAMPLES = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "y210le": "yuv422p10le",
    "monow": "gray",
    "monob": "gray",
    "pal8": "gbrap",
    "ya8": "gbrap",
    "ya16le": "gbrap16le",
    "ya16be": "gbrap16le",
}


@dataclass(frozen=True)
class Layout:
    """A planar pixel format: `kind` is yuv, gray or rgb (planes G, B, R); chroma is 2**shift times coarser than luma.

    `shift_x`, `shift_y` are 0 for rgb and gray; alpha, where there is one, is the last plane; samples lie in the low
    `bits` bits of uint8 or little-endian uint16.
    """

    name: str
    kind: str
    bits: int
    shift_x: int
    shift_y: int
    alpha: bool
    full_range: bool

    @property
    def dtype(self) -> np.dtype:
        """uint8, or uint16 above 8 bits."""
        return np.dtype(np.uint8 if self.bits == 8 else "<u2")

    @property
    def colour_planes(self) -> int:
        """Number of planes without alpha."""
        return 1 if self.kind == "gray" else 3


@lru_cache(maxsize=256)
def layout(pixel_format: str) -> Layout | None:
    """The layout of a format that is worked on as it is, or None for one that is converted first."""
    if match := _YUV.match(pixel_format):
        x, y = _CHROMA.get(match["chroma"], (-1, -1))
        if x < 0:
            return None
        return Layout(pixel_format, "yuv", int(match["bits"] or 8), x, y, match["kind"] == "a", match["kind"] == "j")
    if match := _GRAY.match(pixel_format):
        # FFmpeg treats gray as full range where the frame does not say.
        return Layout(pixel_format, "gray", int(match["bits"] or 8), 0, 0, False, True)
    if match := _RGB.match(pixel_format):
        return Layout(pixel_format, "rgb", int(match["bits"] or 8), 0, 0, match["alpha"] == "a", True)
    return None


@lru_cache(maxsize=256)
def working_format(pixel_format: str) -> str:
    """The planar format in which a frame of `pixel_format` is worked on; itself wherever possible."""
    if layout(pixel_format) is not None:
        return pixel_format
    if pixel_format in SAME_SAMPLES:
        return SAME_SAMPLES[pixel_format]
    if pixel_format.endswith("be") and layout(little := pixel_format[:-2] + "le") is not None:
        return little
    described = av.VideoFormat(pixel_format, 16, 16)
    bits = max(component.bits for component in described.components)
    # Floats, of EXR and the like, too: their samples beyond white and between 65536 steps are not kept.
    depth = "" if bits <= 8 else next((f"{b}le" for b in (10, 12, 14) if bits <= b), "16le")
    alpha = any(component.is_alpha for component in described.components)
    if described.is_rgb or described.has_palette:
        return f"gbrap{depth}".replace("p14", "p16") if alpha else f"gbrp{depth}"
    return f"yuva444p{depth}".replace("p14", "p16") if alpha else f"yuv444p{depth}"


def bit_depth(pixel_format: str) -> int:
    """Bits per sample of any pixel format that FFmpeg knows."""
    return int(max(component.bits for component in av.VideoFormat(pixel_format, 16, 16).components))


def has_alpha(pixel_format: str) -> bool:
    """True when samples of this format say how opaque they are."""
    return any(component.is_alpha for component in av.VideoFormat(pixel_format, 16, 16).components)


def plane_views(frame: av.VideoFrame, of: Layout) -> list[np.ndarray]:
    """Views of a frame's planes, (rows, columns) of `of.dtype`; they live as long as the frame does."""
    views = []
    plane: Any
    for plane in frame.planes:
        stride = abs(plane.line_size) // of.dtype.itemsize
        view = np.frombuffer(plane, dtype=of.dtype).reshape(plane.height, stride)[:, : plane.width]
        views.append(view[::-1] if plane.line_size < 0 else view)
    return views
