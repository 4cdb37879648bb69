"""Writing GIF, APNG and animated WebP from segments, a frame at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.filter import Graph

from vidswap.graph.errors import VidswapError

from .index import VideoIndex
from .loops import LONGEST_GIF_HEAD, gif_head_bytes, loop_count
from .notes import PNG_END, gif_comments, png_text
from .opening import address, reason
from .shown_frames import FrameFormat, shown_format, shown_frames
from .webp_writing import WebPWriter

GIF_BASE, WEBP_BASE = Fraction(1, 100), Fraction(1, 1000)
# Browsers show a GIF's frames that are shorter than this for a tenth of a second.
SHORTEST_GIF_TICKS = 2


def times(index: VideoIndex, base: Fraction) -> list[int]:
    """Starts of all frames and the end of the last, from 0, in units of `base` seconds.

    Each is rounded by itself, so that nothing adds up; where frames are closer than `base`, each still gets one unit.
    """
    ends = [*index.pts.tolist(), int(index.pts[-1]) + int(index.durations[-1])]
    found: list[int] = []
    for pts in ends:
        tick = round((pts - ends[0]) * index.time_base / base)
        found.append(max(tick, found[-1] + 1) if found else tick)
    return found


def write_animation(
    index: VideoIndex,
    segments: Sequence[Path],
    output: Path,
    *,
    quality: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Decode segments and write them as the animated picture that `output`'s suffix names.

    Frames, times and transparency are the video's as far as the format holds them; it is played as often as the input
    is, else for ever. `notes` become a comment (GIF), text chunks (PNG) or XMP (WebP). `quality`, 0..100, is that of
    lossy WebP; None writes lossless WebP.

    Raises VidswapError when decoding or writing fails; then `output` is removed.
    """
    write = {".gif": _write_gif, ".webp": _write_webp}.get(output.suffix.lower(), _write_apng)
    loops = loop_count(index.path)
    try:
        write(index, segments, output, quality, dict(notes or {}), 0 if loops is None else loops)
    except (av.error.FFmpegError, ValueError) as error:
        output.unlink(missing_ok=True)
        raise VidswapError(f"writing {output.name} failed: {reason(error)}") from error
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def _write_webp(
    index: VideoIndex, segments: Sequence[Path], output: Path, quality: int | None, notes: dict[str, str], loops: int
) -> None:
    form = shown_format(index, deep=False)
    size = (index.width, index.height)
    writer = WebPWriter(output, size, alpha=form.alpha, loops=loops, quality=quality, notes=notes)
    ticks = times(index, WEBP_BASE)
    try:
        for number, image in enumerate(shown_frames(index, segments, form)):
            writer.add(image, ticks[number + 1] - ticks[number])
        writer.close()
    finally:
        writer.abort()


def _write_gif(
    index: VideoIndex, segments: Sequence[Path], output: Path, quality: int | None, notes: dict[str, str], loops: int
) -> None:
    del quality
    form = shown_format(index, deep=False)
    ticks = times(index, GIF_BASE)
    # FFmpeg counts repetitions, and says -1 for none: its 0 goes on for ever.
    again = {0: "0", 1: "-1"}.get(loops, str(loops - 1))
    options = {"loop": again, "final_delay": str(ticks[-1] - ticks[-2])}
    with output.open("wb") as file, av.open(_Commented(file, notes), "w", format="gif", options=options) as container:
        stream = _add_stream(container, "gif", "pal8", index, GIF_BASE)
        # The filter repeats the last frame when it is told of the end.
        reduced = islice(_reduced(shown_frames(index, segments, form), form, index), index.frame_count)
        for number, frame in enumerate(reduced):
            frame.pts, frame.time_base = ticks[number], GIF_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class _Commented:
    """A file to which a GIF is written, and that puts comments behind its head: some readers take one at the end for a
    frame."""

    def __init__(self, file: BinaryIO, notes: Mapping[str, str]) -> None:
        self._file, self._comments = file, gif_comments(notes)
        self._head: bytes | None = b""

    def write(self, content: bytes) -> int:
        """Called by FFmpeg."""
        if self._head is None:
            return self._file.write(content)
        self._head += bytes(content)
        if len(self._head) > LONGEST_GIF_HEAD:
            at = gif_head_bytes(self._head)
            self._file.write(self._head[:at] + self._comments + self._head[at:])
            self._head = None
        return len(content)

    def close(self) -> None:
        """Called by FFmpeg at the end."""
        if self._head:
            at = gif_head_bytes(self._head)
            self._file.write(self._head[:at] + self._comments + self._head[at:])
        self._head = None


def _reduced(images: Iterator[np.ndarray], form: FrameFormat, index: VideoIndex) -> Iterator[av.VideoFrame]:
    """Frames of 256 colours, each with a palette of its own; up to 255 colours are kept as they are."""
    graph = Graph()
    source = graph.add_buffer(
        width=index.width, height=index.height, format=av.VideoFormat(form.pixel_format), time_base=GIF_BASE
    )
    split, make = graph.add("split"), graph.add("palettegen", "stats_mode=single")
    use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a:diff_mode=rectangle"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(make, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format=form.pixel_format)
        frame.pts, frame.time_base = number, GIF_BASE
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Any) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _write_apng(
    index: VideoIndex, segments: Sequence[Path], output: Path, quality: int | None, notes: dict[str, str], loops: int
) -> None:
    del quality
    form = shown_format(index)
    base = index.time_base
    last = int(index.durations[-1]) * base
    options = {"plays": str(min(loops, 0xFFFF)), "final_delay": f"{last.numerator}/{last.denominator}"}
    name = form.pixel_format.replace("le", "be")
    with av.open(address(output), "w", format="apng", options=options) as container:
        stream = _add_stream(container, "apng", name, index, base)
        for number, image in enumerate(shown_frames(index, segments, form)):
            frame = av.VideoFrame.from_ndarray(image, format=name)
            frame.pts, frame.time_base = int(index.pts[number] - index.pts[0]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _insert_at_end(output, PNG_END, png_text(notes))


def _add_stream(container: Any, codec: str, pixel_format: str, index: VideoIndex, base: Fraction) -> Any:
    stream = container.add_stream(codec, rate=index.rate)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt, context.time_base = index.width, index.height, pixel_format, base
    stream.time_base = base
    return stream


def _insert_at_end(path: Path, end: bytes, content: bytes) -> None:
    """Put bytes before the mark that ends a file."""
    with path.open("rb+") as file:
        file.seek(-len(end), os.SEEK_END)
        if file.read(len(end)) != end:
            raise VidswapError(f"{path.name} does not end as it should")
        file.seek(-len(end), os.SEEK_END)
        file.write(content + end)
