"""Encoders in hardware: which ones FFmpeg was built with, and whether they open here. Found out by one frame each.

Being in the build says nothing of the driver or of the chip, and drivers may hang: every trial has its own process and
a time limit.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import av

from .ffmpeg_binary import last_words, video_encoders

LIMIT_S = 20.0
_HARDWARE = re.compile(r"_(nvenc|qsv|vaapi|videotoolbox|amf)$")
_TOGETHER = 4
_TRY_IN_PYAV = """
import sys, fractions, av
av.logging.set_level(av.logging.ERROR)
av.logging.restore_default_callback()
context = av.CodecContext.create(sys.argv[1], "w")
context.width = context.height = 256
context.time_base = fractions.Fraction(1, 25)
formats = [f.name for f in context.codec.video_formats or []]
plain = [f for f in ("yuv420p", "nv12", "p010le") if f in formats]
if not plain:
    sys.exit("takes frames in the GPU's memory alone")
context.pix_fmt = plain[0]
try:
    frame = av.VideoFrame(256, 256, plain[0])
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
except Exception as error:
    sys.exit(getattr(error, "strerror", None) or str(error))
sys.exit(0 if packets else "gives no packet")
"""


@dataclass(frozen=True)
class Trial:
    """How an encoder in hardware fared: `where` is "pyav" or "binary", `reason` why it does not open, in one line."""

    name: str
    where: str
    opens: bool
    reason: str = ""

    @property
    def family(self) -> str:
        """nvenc, qsv, vaapi, videotoolbox or amf."""
        return self.name.rsplit("_", 1)[1]


def in_pyav(limit_s: float = LIMIT_S) -> list[Trial]:
    """Try the hardware encoders of PyAV's build."""
    names = sorted(name for name in av.codecs_available if _HARDWARE.search(name) and _encodes(name))
    return _tried("pyav", {name: [sys.executable, "-c", _TRY_IN_PYAV, name] for name in names}, limit_s)


def in_binary(binary: str, limit_s: float = LIMIT_S) -> list[Trial]:
    """Try the hardware encoders of an ffmpeg binary. Raises InputError when it cannot be asked for its encoders."""
    frame = ["-f", "lavfi", "-i", "color=size=256x256:rate=25:duration=0.04"]
    commands = {}
    for name in sorted(video_encoders(binary)):
        if not _HARDWARE.search(name):
            continue
        upload = name.endswith("_vaapi")
        device = ["-init_hw_device", "vaapi=gpu", "-filter_hw_device", "gpu"] if upload else []
        filters = ["-vf", "format=nv12,hwupload"] if upload else []
        quiet = ["-hide_banner", "-nostdin", "-loglevel", "error"]
        commands[name] = [binary, *quiet, *device, *frame, *filters, "-c:v", name, "-f", "null", "-"]
    return _tried("binary", commands, limit_s)


def _tried(where: str, commands: dict[str, list[str]], limit_s: float) -> list[Trial]:
    def attempt(name: str) -> Trial:
        reason = _run(commands[name], limit_s)
        return Trial(name, where, not reason, reason)

    with ThreadPoolExecutor(_TOGETHER) as threads:
        return list(threads.map(attempt, commands))


def _run(command: Sequence[str], limit_s: float) -> str:
    """Why a trial failed; empty when it did not."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return f"does not answer within {limit_s:g} s"
    except OSError as error:
        return f"cannot be tried: {error}"
    if done.returncode == 0:
        return ""
    return last_words(done.stderr.decode(errors="replace").splitlines(), 1) or f"ended with code {done.returncode}"


def _encodes(name: str) -> bool:
    try:
        return bool(av.codec.Codec(name, "w").is_encoder)
    except (av.codec.codec.UnknownCodecError, ValueError):
        return False
