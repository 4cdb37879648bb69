"""Damaged copies of small clips, and what must hold of each: used by the fuzz test and by tools/fuzz.py.

Run as a program with a JSON list of files, it tries one after the other and prints, per file, a line when it begins and
a line with what came of it; so that the culprit of a crash in native code is known by name.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (96, 64)
FRAMES = 24
CONTAINERS = (".mkv", ".mp4")
_X264 = {"g": "8", "bf": "2", "preset": "veryfast", "threads": "1"}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=8:pools=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "8"}
CLIPS: dict[str, dict[str, Any]] = {
    "h264_aac.mp4": {"codec": "libx264", "options": _X264, "sound": "aac"},
    "front.mp4": {"codec": "libx264", "options": _X264, "sound": "aac", "muxer": {"movflags": "+faststart"}},
    "fragments.mp4": {"codec": "libx264", "options": _X264, "muxer": {"movflags": "frag_keyframe+empty_moov"}},
    "open_gop.mp4": {"codec": "libx264", "options": {**_X264, "x264-params": "open-gop=1:bframes=3:keyint=8"}},
    "hevc.mkv": {"codec": "libx265", "options": _X265},
    "vp9.webm": {"codec": "libvpx-vp9", "options": _VP9, "sound": "libopus"},
    "stream.ts": {"codec": "libx264", "options": _X264, "sound": "aac"},
    "surround.ts": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}, "sound": "ac3"},
    "layer2.ts": {"codec": "libx264", "options": _X264, "sound": "mp2"},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "8", "bf": "2"}},
    "picture.gif": {"codec": "gif", "pixel_format": "rgb8"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p", "sound": "pcm_s16le"},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}},
    "ffv1.mkv": {"codec": "ffv1", "options": {"g": "1", "level": "3", "slicecrc": "1"}},
    "prores.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le", "sound": "pcm_s16le"},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12", "g": "8", "svtav1-params": "lp=1"}},
    "raw.h264": {"codec": "libx264", "options": _X264},
}


def make_clips(folder: Path, names: list[str] | None = None) -> dict[str, Path]:
    """Write the clips named, or all of them."""
    os.environ.setdefault("SVT_LOG", "1")
    return {name: _clip(folder / name, **CLIPS[name]) for name in names or CLIPS}


def _clip(
    path: Path,
    *,
    codec: str,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    sound: str | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    noise = np.random.default_rng(7).integers(0, 60, (SIZE[1], SIZE[0], 3))
    with av.open(str(path), "w", container_options=muxer or {}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(25), options=options or {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixel_format
        tone: Any = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for i in range(FRAMES):
            image = np.stack([(x * 2 + 5 * i) % 190, (y * 3 + i) % 190, (x + y) % 190], -1) + np.roll(noise, i, 1)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
            if tone is not None:
                wave = 0.2 * np.sin((np.arange(1920) + 1920 * i) * 0.05)
                kind = "s16" if tone.codec_context.format.name.startswith("s16") else "fltp"
                stereo = np.tile(wave.astype(np.float32), (2, 1))
                if kind == "s16":
                    stereo = (stereo.T.reshape(1, -1) * 32767).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(stereo, format=kind, layout="stereo")
                heard.sample_rate, heard.pts = 48000, 1920 * i
                container.mux(tone.encode(heard))
        container.mux(stream.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    return path


def _cut(data: bytearray, random: np.random.Generator) -> bytearray:
    return data[: int(random.integers(1, len(data)))]


def _tail_lost(data: bytearray, random: np.random.Generator) -> bytearray:
    return data[: -int(random.integers(1, max(2, len(data) // 20)))]


def _flips(data: bytearray, random: np.random.Generator) -> bytearray:
    for at in random.integers(0, len(data), int(2 ** random.uniform(0, 7))):
        data[at] ^= 1 << int(random.integers(8))
    return data


def _bytes(data: bytearray, random: np.random.Generator) -> bytearray:
    for at in random.integers(0, len(data), int(2 ** random.uniform(0, 8))):
        data[at] = int(random.integers(256))
    return data


def _block(data: bytearray, random: np.random.Generator) -> tuple[int, int]:
    length = int(random.integers(1, max(2, len(data) // 6)))
    return int(random.integers(0, len(data) - length)), length


def _zeroes(data: bytearray, random: np.random.Generator) -> bytearray:
    at, length = _block(data, random)
    data[at : at + length] = bytes(length)
    return data


def _noise(data: bytearray, random: np.random.Generator) -> bytearray:
    at, length = _block(data, random)
    data[at : at + length] = random.bytes(length)
    return data


def _hole(data: bytearray, random: np.random.Generator) -> bytearray:
    at, length = _block(data, random)
    del data[at : at + length]
    return data


def _swap(data: bytearray, random: np.random.Generator) -> bytearray:
    (a, length), (b, _) = _block(data, random), _block(data, random)
    b = min(b, len(data) - length)
    data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]
    return data


def _repeat(data: bytearray, random: np.random.Generator) -> bytearray:
    at, length = _block(data, random)
    data[at:at] = data[at : at + length]
    return data


def _prefix(data: bytearray, random: np.random.Generator) -> bytearray:
    return bytearray(random.bytes(int(random.integers(1, 3000)))) + data


def _head(data: bytearray, random: np.random.Generator) -> bytearray:
    """Damage where headers lie: the first bytes."""
    for at in random.integers(0, min(len(data), 1200), int(2 ** random.uniform(0, 5))):
        data[at] = int(random.integers(256))
    return data


def _tables(data: bytearray, random: np.random.Generator) -> bytearray:
    """Damage the tables of MP4 (in `moov`), or the last bytes, where other formats have their index."""
    at = data.find(b"moov")
    low, high = (at, min(len(data), at + 3000)) if at >= 0 else (max(0, len(data) - 600), len(data))
    for place in random.integers(low, high, int(2 ** random.uniform(0, 5))):
        data[place] = int(random.integers(256))
    return data


Damage = Callable[[bytearray, np.random.Generator], bytearray]
DAMAGES: dict[str, Damage] = {
    f.__name__.strip("_"): f
    for f in (_cut, _tail_lost, _flips, _bytes, _zeroes, _noise, _hole, _swap, _repeat, _prefix, _head, _tables)
}


def damaged_copies(clips: dict[str, Path], folder: Path, count: int, seed: int) -> list[Path]:
    """Write `count` damaged copies, all clips and kinds of damage in turn; names tell how they were made."""
    made = []
    names, kinds = list(clips), list(DAMAGES)
    order = [(n, k) for n in names for k in kinds]
    shuffled = [order[i] for i in np.random.default_rng(seed).permutation(len(order))]
    for number in range(count):
        name, kind = shuffled[number % len(order)]
        data = bytearray(clips[name].read_bytes())
        result = DAMAGES[kind](data, np.random.default_rng([seed, number]))
        path = folder / f"{number:05d}_{kind}_{name}"
        path.write_bytes(result)
        made.append(path)
    return made


def try_file(path: Path, folder: Path) -> str:
    """Probe, read, write and join one file in an empty folder; returns what came of it.

    Raises AssertionError, or whatever escaped, when the file was not taken as it must be.
    """
    from vidswap.graph.errors import InputError
    from vidswap.media import Reader, SegmentWriter, WriterOptions, join, probe

    handles = open_handles()
    try:
        index = probe(path)
    except InputError as error:
        assert "\n" not in str(error), str(error)
        assert str(path) in str(error), str(error)
        return "refused"
    assert index.frame_count > 0
    assert (np.diff(index.pts) > 0).all() and (index.durations > 0).all()
    assert index.duration_s <= 3600 * (index.frame_count + 1), f"lasts {index.duration_s} s"
    assert abs(int(index.pts[0])) < 1 << 53, f"begins at {index.time_s(0)} s"
    assert index.keyframes[0] >= 0 and (np.diff(index.keyframes) > 0).all()
    assert index.keyframes[-1] < index.frame_count
    options = WriterOptions(codec="libx264", preset="ultrafast", crf=30, threads=1)
    third = index.frame_count // 3
    cuts = [(0, third), (third, index.frame_count)] if third else [(0, index.frame_count)]
    segments = []
    with Reader(index) as reader:
        whole = [_sum(p) for p in reader.read(0, index.frame_count)]
        assert len(whole) == index.frame_count
        whole_told = reader.take_warnings()
    told = set()
    for number, (start, stop) in enumerate(cuts):
        with Reader(index) as reader:
            try:
                writer = SegmentWriter(folder / f"{number}.nut", index, options)
            except InputError as error:
                assert "\n" not in str(error), str(error)
                return "refused by the encoder"
            for number_of_frame, picture in enumerate(reader.read(start, stop), start):
                if _sum(picture) != whole[number_of_frame]:
                    assert _is_undefined(path), f"frame {number_of_frame} depends on the cut {cuts}"
                writer.add(picture)
            assert writer.close().frames == stop - start
            told.update(reader.take_warnings())
        segments.append(folder / f"{number}.nut")
    assert bool(told) == bool(whole_told), (told, whole_told)
    warnings: list[str] = []
    for container in CONTAINERS:
        output = folder / f"out{container}"
        warnings = [*index.warnings, *whole_told, *join(index, segments, output)]
        assert not any("\n" in w for w in warnings)
        again = probe(output)
        assert again.frame_count == index.frame_count, f"{again.frame_count} of {index.frame_count} in {container}"
        shift = round((index.time_s(0) - again.time_s(0)) / float(index.time_base))
        drift = np.abs((again.pts * float(again.time_base)) - ((index.pts - shift) * float(index.time_base))).max()
        assert drift < 0.0021, f"timestamps drift by {drift} s in {container}"
        output.unlink()
    for made in segments:
        made.unlink()
    assert not list(folder.iterdir()), "something is left over"
    assert open_handles() <= handles, "file handles leak"
    return f"{index.frame_count} frames" + (", warned" if warnings else "")


def _is_undefined(path: Path) -> bool:
    """Whether FFmpeg's decoder itself shows memory that nobody wrote: frames differ with the buffers that are free."""
    sums = []
    for keeps in (False, True):
        kept: list[Any] = []
        sums.append([])
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    continue
                sums[-1] += [hash(frame.to_ndarray().tobytes()) for frame in frames]
                kept += frames if keeps else []
    return sums[0] != sums[1]


def open_handles() -> int:
    """How many files this process has open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def memory_mb() -> float:
    """Resident memory of this process in MiB; 0 where the system does not tell."""
    told = Path("/proc/self/statm")
    return round(int(told.read_text().split()[1]) * resource.getpagesize() / 2**20, 1) if told.exists() else 0.0


def _sum(picture: Any) -> int:
    return hash(b"".join(view.tobytes() for view in picture.planes))


@dataclass
class Trial:
    """What came of one file; `failure` is None where all was well."""

    path: Path
    outcome: str = ""
    failure: str | None = None
    memory_mb: float = 0.0
    wall_s: float = 0.0


def try_all(files: list[Path], folder: Path, *, limit_s: float = 20.0, memory_gb: float = 6.0) -> Iterator[Trial]:
    """Try files in a process of its own, replaced whenever a file kills it or takes longer than `limit_s`."""
    left = list(files)
    while left:
        work = folder / f"work-{len(left)}"
        work.mkdir()
        listed = folder / f"list-{len(left)}.json"
        listed.write_text(json.dumps([str(p) for p in left]))
        said = folder / f"said-{len(left)}.txt"
        with said.open("wb") as errors:
            command = [sys.executable, __file__, str(listed), str(work), str(limit_s), str(memory_gb)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        finished = 0
        try:
            while finished < len(left):
                if not select.select([child.stdout], [], [], 3 * limit_s + 20)[0]:
                    break
                line = child.stdout.readline()
                if not line:
                    break
                yield Trial(left[finished], **json.loads(line))
                finished += 1
        finally:
            child.kill()
            code = child.wait()
            child.stdout.close()
        if finished < len(left):
            tail = said.read_text(errors="replace")[-3000:]
            yield Trial(left[finished], failure=f"the process ended with {code} or hung\n{tail}")
            finished += 1
        left = left[finished:]


def main() -> None:
    """Try the files listed in argv[1]; called by `try_all`."""
    files, work, limit_s, memory_gb = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), *sys.argv[3:]
    sys.path.insert(0, str(Path(__file__).parent))
    limit = int(float(memory_gb) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    av.logging.set_level(None)
    for file in files:
        faulthandler.dump_traceback_later(float(limit_s), exit=True)
        began, told = time.monotonic(), {}
        try:
            told["outcome"] = try_file(Path(file), work)
        except BaseException:
            told["failure"] = traceback.format_exc()
            for leftover in work.iterdir():
                leftover.unlink()
        faulthandler.cancel_dump_traceback_later()
        told["wall_s"] = round(time.monotonic() - began, 3)
        told["memory_mb"] = memory_mb()
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
