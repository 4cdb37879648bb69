"""Static HDR metadata: the mastering display (SMPTE ST 2086) and the light of the content (CTA-861.3).

Decoders hang them on frames. An encoder that is opened through PyAV does not see them there, so each is told in the
words of its own options; containers are told by vidswap.media.headers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

# AVMasteringDisplayMetadata: x, y of red, green, blue and white, least and greatest luminance, as num/den; two flags.
_MASTERING = struct.Struct("=22i")
_LIGHT = struct.Struct("=2I")
# What changes from scene to scene, in the words of FFmpeg's showinfo; encoders write their own frames without it.
_DYNAMIC = {
    "Dolby Vision": ("Dolby Vision RPU", "Dolby Vision Metadata"),
    "HDR10+": ("SMPTE2094-40", "HDR10+"),
    "HDR Vivid": ("CUVA 005.1",),
}


@dataclass(frozen=True)
class Mastering:
    """The display that a video was graded on: CIE 1931 x, y of its primaries and white, luminance in cd/m2."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    darkest: Fraction
    brightest: Fraction


@dataclass(frozen=True)
class Hdr:
    """Static HDR metadata of a video.

    Attributes:
        mastering: the mastering display, or None.
        light: greatest light level of a pixel and of a frame's average, in cd/m2 (MaxCLL, MaxFALL), or None.
        dynamic: names of metadata that change from frame to frame, which no encoder here writes.
    """

    mastering: Mastering | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()

    def summary(self) -> dict[str, object]:
        """In plain numbers, for `vidswap inspect`; empty where there is nothing."""
        found: dict[str, object] = {}
        if self.mastering is not None:
            m = self.mastering
            found |= {
                "mastering": " ".join(f"{float(x):g},{float(y):g}" for x, y in (m.red, m.green, m.blue, m.white)),
                "luminance": f"{float(m.darkest):g}..{float(m.brightest):g} cd/m2",
            }
        if self.light is not None:
            found |= {"max_cll": self.light[0], "max_fall": self.light[1]}
        if self.dynamic:
            found["dynamic"] = ", ".join(self.dynamic)
        return found

    def warnings(self) -> tuple[str, ...]:
        """What of it is lost when frames are encoded anew, each one line."""
        if not self.dynamic:
            return ()
        return (
            f"{' and '.join(self.dynamic)} metadata change from frame to frame and cannot be kept in frames that are "
            "encoded anew; the static HDR metadata and colour tags are kept",
        )


def hdr_of(side_data: Mapping[str, bytes], description: str) -> Hdr:
    """What a frame's side data hold: the bytes of FFmpeg's structures by PyAV's names, and showinfo's text."""
    mastering = light = None
    if len(found := side_data.get("MASTERING_DISPLAY_METADATA", b"")) >= _MASTERING.size:
        mastering = _mastering(_MASTERING.unpack_from(found))
    if len(found := side_data.get("CONTENT_LIGHT_LEVEL", b"")) >= _LIGHT.size:
        light = _LIGHT.unpack_from(found)
    dynamic = tuple(name for name, words in _DYNAMIC.items() if any(word in description for word in words))
    return Hdr(mastering, light if light and any(light) else None, dynamic)


def _mastering(values: tuple[int, ...]) -> Mastering | None:
    *numbers, has_primaries, has_luminance = values
    pairs = [(numbers[i], numbers[i + 1]) for i in range(0, 20, 2)]
    # Encoders and containers hold both parts or none.
    if not (has_primaries and has_luminance) or any(den == 0 for _, den in pairs):
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, least, most = (Fraction(*p) for p in pairs)
    return Mastering((red_x, red_y), (green_x, green_y), (blue_x, blue_y), (white_x, white_y), least, most)


def encoder_settings(codec: str, hdr: Hdr) -> dict[str, str]:
    """Static HDR metadata in the words of an encoder's own parameters (x264-params, x265-params, svtav1-params).

    `codec` is FFmpeg's name of the encoder; empty for one that has no such parameters.
    """
    names = {
        "libx264": ("mastering-display", "cll"),
        "libx265": ("master-display", "max-cll"),
        "libsvtav1": ("mastering-display", "content-light"),
    }.get(codec)
    if names is None:
        return {}
    found = {}
    if hdr.mastering is not None:
        m = hdr.mastering
        points = {"G": m.green, "B": m.blue, "R": m.red, "WP": m.white}
        if codec == "libsvtav1":
            told = "".join(f"{name}({float(x):.5f},{float(y):.5f})" for name, (x, y) in points.items())
            told += f"L({float(m.brightest):.4f},{float(m.darkest):.4f})"
        else:
            # Steps of 0.00002 and of 0.0001 cd/m2, as in the SEI message (H.265, D.3.28).
            told = "".join(f"{name}({round(x * 50000)},{round(y * 50000)})" for name, (x, y) in points.items())
            told += f"L({round(m.brightest * 10000)},{round(m.darkest * 10000)})"
        found[names[0]] = told
    if hdr.light is not None:
        found[names[1]] = f"{hdr.light[0]},{hdr.light[1]}"
    return found
