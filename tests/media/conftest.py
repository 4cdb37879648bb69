"""Clips made on the spot: every frame carries its number as a barcode, so that a wrong frame is known by sight."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BITS = 10
BLOCK = 8


def barcode(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """(height, width, 3) uint8: bits of `number` as white and black blocks in the top row over a moving gradient."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([(x + 3 * number) % 200 + 20, (y * 2 + number) % 200 + 20, (x + y) % 180 + 30], -1)
    for bit in range(BITS):
        image[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if number >> bit & 1 else 16
    return image.astype(np.uint8)


def number_of(picture: Any) -> int:
    """The number that a picture's barcode shows."""
    rgb = picture.rgb(picture.width, picture.height)
    centres = rgb[BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK, 1]
    return int(sum(int(value > 128) << bit for bit, value in enumerate(centres)))


@pytest.fixture(scope="session")
def shown_number() -> Callable[[Any], int]:
    return number_of


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """Write a clip with barcoded frames and, on request, a tone; returns its path."""

    def make(
        path: Path,
        frames: int = 30,
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        size: tuple[int, int] = (160, 96),
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 25),
        rate: Fraction = Fraction(25),
        options: dict[str, str] | None = None,
        sound: str | None = None,
        sample_aspect_ratio: Fraction | None = None,
        rotation: tuple[float, bool, bool] | None = None,
        tags: tuple[int, int, int, int] | None = None,
        image: Callable[[int, int, int], np.ndarray] = barcode,
    ) -> Path:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height = size
            stream.pix_fmt = pixel_format
            stream.codec_context.time_base = time_base
            if sample_aspect_ratio:
                stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
            if rotation:
                stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
            if tags:
                context = stream.codec_context
                context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
            tone: Any = container.add_stream(sound, rate=48000) if sound else None
            container.metadata["title"] = "made for a test"
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(image(i, *size), format="rgb24")
                if pixel_format != "rgb24":
                    frame = frame.reformat(format=pixel_format)
                frame.pts = pts[i] if pts is not None else i
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if tone is not None:
                seconds = float(((pts[-1] if pts is not None else frames) + 1) * time_base)
                wave = 0.2 * np.sin(np.arange(int(seconds * 48000)) * 0.05)
                for start in range(0, len(wave), 960):
                    part = np.tile(wave[start : start + 960].astype(np.float32), (2, 1))
                    sound_frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                    sound_frame.sample_rate, sound_frame.pts = 48000, start
                    container.mux(tone.encode(sound_frame))
                container.mux(tone.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., str]:
    """Run the ffmpeg binary of imageio-ffmpeg; returns what it says on standard error. Skipped where there is none."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

    def run(*arguments: object) -> str:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr

    return run
