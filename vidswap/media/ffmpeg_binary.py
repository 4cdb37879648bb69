"""The ffmpeg binary: where it is, which video encoders it has, and what they take. Asked once per process."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vidswap.graph.errors import InputError
from vidswap.graph.registry import nearest

INSTALL_BINARY = "install ffmpeg (apt install ffmpeg, brew install ffmpeg) or pip install imageio-ffmpeg"
INSTALL_WRAPPER = "pip install 'vidswap[ffmpeg]'"
_ASKING_S = 60.0
_ENCODER = re.compile(r"^ V[.\w]{5} (?P<name>\S+)\s+.*?(?:\(codec (?P<codec>\w+)\))?$")
_OPTION = re.compile(r"^  -(?P<name>\S+)\s+<\w+>\s+E")

# Follows from what was said before it, or says nothing.
_EMPTY_WORDS = re.compile(
    r"Error while opening encoder|Error sending frames|Task finished|Terminating thread|Nothing was written|"
    r"Could not open encoder before|Error opening output|Error splitting|Error selecting|Conversion failed|"
    r"Error reinitializing"
)
_SPEAKER = re.compile(r"^(?:\[[^\]]*\] )+")
_LONGEST_WORDS = 300


@dataclass(frozen=True)
class BinaryEncoder:
    """What an encoder of a binary takes: pixel formats by FFmpeg's names (none where it does not say) and options."""

    pixel_formats: tuple[str, ...]
    options: frozenset[str]


def find_binary(given: str | None = None) -> str | None:
    """The ffmpeg binary: the one given (a path, or a name on PATH), else PATH's, else imageio-ffmpeg's; or None."""
    if given is not None:
        return shutil.which(given)
    return shutil.which("ffmpeg") or _carried()


def wrapper_installed() -> bool:
    """Whether ffmpeg-python is there, and not another package that is imported as `ffmpeg`."""
    if importlib.util.find_spec("ffmpeg") is None:
        return False
    import ffmpeg

    return hasattr(ffmpeg, "input") and hasattr(ffmpeg, "compile")


@lru_cache(maxsize=4)
def version(binary: str) -> str:
    """The version that a binary tells. Raises InputError for a program that is no ffmpeg."""
    words = ask(binary, "-version").split()
    if words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise InputError(f"{binary} is no ffmpeg: it does not tell a version")
    return words[2]


@lru_cache(maxsize=4)
def video_encoders(binary: str) -> Mapping[str, str]:
    """The video encoders of a binary: name to codec, both in FFmpeg's words. Raises InputError as `ask` does."""
    _, _, listed = ask(binary, "-encoders").partition("------\n")
    found = (_ENCODER.match(line) for line in listed.splitlines())
    return {m["name"]: m["codec"] or m["name"] for m in found if m}


@lru_cache(maxsize=64)
def describe(binary: str, name: str) -> BinaryEncoder:
    """What the encoder `name` takes. Raises InputError, with the nearest name, for one that the binary lacks."""
    known = video_encoders(binary)
    if name not in known:
        raise InputError(f"{binary} has no video encoder {name!r}; {nearest(name, known)}")
    told = ask(binary, "-h", f"encoder={name}")
    formats = re.search(r"Supported pixel formats: (.*)", told)
    options = frozenset(m["name"] for m in map(_OPTION.match, told.splitlines()) if m)
    return BinaryEncoder(tuple(formats[1].split()) if formats else (), options)


@lru_cache(maxsize=4)
def common_options(binary: str) -> frozenset[str]:
    """Options that all encoders of a binary have. Raises InputError as `ask` does."""
    _, _, told = ask(binary, "-h", "full").partition("AVCodecContext AVOptions:\n")
    inside = told.partition("AVOptions:\n")[0]
    return frozenset(m["name"] for m in map(_OPTION.match, inside.splitlines()) if m)


def where_to_find(name: str) -> str | None:
    """How the video encoder `name` is to be had through the binary, in half a sentence; None where it is not."""
    binary = find_binary()
    try:
        if binary is None or name not in video_encoders(binary):
            return None
    except InputError:
        return None
    wrapper = "" if wrapper_installed() else f" (after {INSTALL_WRAPPER})"
    return f"the ffmpeg binary {binary} has it: add encode.use=encode.ffmpeg{wrapper}"


def last_words(said: Iterable[str], lines: int) -> str:
    """What ffmpeg complained of, from its standard error: so many lines, without names of its parts, in one."""
    plain = (_SPEAKER.sub("", line.strip()) for line in said)
    return "; ".join([line for line in plain if line and not _EMPTY_WORDS.search(line)][:lines])[:_LONGEST_WORDS]


def ask(binary: str, *arguments: str) -> str:
    """What the binary answers on standard output. Raises InputError, in one line, when it cannot be run."""
    try:
        command = [binary, "-hide_banner", "-nostdin", *arguments]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_ASKING_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"{binary} cannot be run: {error}") from error
    return done.stdout.decode(errors="replace")


def _carried() -> str | None:
    """The binary in imageio-ffmpeg's wheel, where that is installed; nothing is downloaded."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    import imageio_ffmpeg

    try:
        found = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None
    return found if Path(found).is_file() else None
