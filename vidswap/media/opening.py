"""Opening files through PyAV: one way to name them, one way to say what is wrong with them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.container

from vidswap.graph.errors import InputError
from vidswap.storage import RemotePath, readable
from vidswap.storage.fetching import SMALL_BYTES
from vidswap.storage.ranges import RangedFile, all_read

# FFmpeg takes any text for one of these "pictures made of letters".
_TEXT_FORMATS = frozenset({"tty", "bin", "adf", "idf", "xbin", "aqtitle", "ass", "srt", "webvtt", "subviewer"})
# How much PyAV asks for at a time of what is read by ranges; blocks are larger.
_RANGED_BUFFER_BYTES = 1 << 17
# What PyAV raises when a damaged file cannot be read on; IndexError where a stream appears out of nowhere.
UNREADABLE = (av.error.FFmpegError, OSError, ValueError, IndexError)


def address(path: Path) -> str:
    """The file's name as FFmpeg must be told it: with a colon in it, a bare name would be taken for a protocol."""
    return f"file:{path}"


def open_medium(path: Path, **options: Any) -> av.container.InputContainer:
    """Open a file or an object for reading, through PyAV; an object of a store from this machine's copy or by ranges of
    bytes. `options` are further ones of `av.open`. Raises what PyAV raises, FileNotFoundError, and StorageError."""
    source = readable(path) if isinstance(path, RemotePath) else path
    if isinstance(source, RangedFile):
        with all_read():
            return av.open(source, mode="r", metadata_errors="replace", buffer_size=_RANGED_BUFFER_BYTES, **options)
    return av.open(address(source), mode="r", metadata_errors="replace", **options)


def open_segment(path: Path, *, packets_alone: bool = False) -> av.container.InputContainer:
    """Open a segment of a job. One on a store is read whole, and not kept: it is read twice, and there are many.

    With `packets_alone` FFmpeg is kept from decoding the first picture, which it does to know more of the stream.
    """
    options: dict[str, Any] = {"stream_options": [{"skip_frame": "all"}]} if packets_alone else {}
    if isinstance(path, RemotePath) and (facts := path.facts()) is not None and facts.size <= SMALL_BYTES:
        return av.open(io.BytesIO(path.read_bytes()), mode="r", metadata_errors="replace", **options)
    return open_medium(path, **options)


def open_video(path: Path) -> av.container.InputContainer:
    """Open a file that exists for reading. Raises InputError, in one line, for what is no medium."""
    if isinstance(path, RemotePath):
        _check_object(path)
    elif not path.exists():
        raise InputError(f"no such file: {path}")
    elif path.is_dir():
        raise InputError(f"{path} is a folder; give a video file")
    elif not path.is_file():
        raise InputError(f"{path} is not a regular file; give a video file")
    elif path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)")
    try:
        container = open_medium(path)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied") from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if _lacks_its_index(path):
            raise InputError(
                f"{path} is cut off: its end, where MP4 and MOV keep the index of the frames (moov), is missing; "
                "get the whole file, or record or download it again"
            ) from error
        raise InputError(f"{path} is not a video that can be read ({reason(error)})") from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{path} is not a video (it reads as text)")
    return container


@contextlib.contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """`open_video` as a context manager."""
    container = open_video(path)
    try:
        yield container
    finally:
        container.close()


def _check_object(path: RemotePath) -> None:
    found = path.facts()
    if found is None:
        raise InputError(path.missing())
    if found.is_folder:
        raise InputError(f"{path} is a folder; give a video file")
    if found.size == 0:
        raise InputError(f"{path} is empty (0 bytes)")


def _lacks_its_index(path: Path) -> bool:
    """Whether a file begins as MP4 or MOV does and has no `moov` box (ISO/IEC 14496-12, section 4.2)."""
    kinds: list[bytes] = []
    with contextlib.suppress(OSError), path.open("rb") as file:
        length, at = path.stat().st_size, 0
        while at + 8 <= length and len(kinds) < 64:
            file.seek(at)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            kinds.append(kind)
            if size == 1 and len(head) == 16:
                size = int.from_bytes(head[8:], "big")
            if size < 8:
                break
            at += size
    return bool(kinds) and kinds[0] == b"ftyp" and b"mdat" in kinds and b"moov" not in kinds


def reason(error: BaseException) -> str:
    """FFmpeg's message without the error number and the file's name."""
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
