"""Pass-through (decode in native planes, nothing, encode) against the ffmpeg binary with the same encoder settings.

python benchmarks/media.py [--json] [--rounds 5] [--seconds 8] [--size 1280x720]
    python benchmarks/media.py --table [--only pass swap copy memory kills]

The second form runs all benchmarks of media (this one and swap.py, smart_copy.py, memory.py, kills.py, for an hour or
so) and sets what they measured beside what is wanted.

Rounds are interleaved: ffmpeg, vidswap, ffmpeg, ... Frames/s are wall clock; `cpu_ms` is processor time per frame. What
counts is the ratio of the medians (and `cpu_ratio`, which other jobs on the machine disturb less). Both write video
alone; vidswap also indexes the file, and joins its segments.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from vidswap import media


def make_clip(path: Path, width: int, height: int, seconds: float, rate: int = 30) -> None:
    """A moving textured picture with some noise, at the bit rate of a camera."""
    random = np.random.default_rng(1)
    texture = cv2.GaussianBlur(random.integers(0, 256, (height * 2, width * 2, 3)).astype(np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    grain = random.integers(-6, 7, (8, height, width, 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "fast", "crf": "20", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(int(seconds * rate)):
            angle = i / rate
            matrix = cv2.getRotationMatrix2D((width, height), 6 * np.sin(angle), 1.1 + 0.1 * np.cos(angle))
            matrix[:, 2] -= (width / 2 + 40 * np.sin(2 * angle), height / 2)
            image = cv2.warpAffine(texture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
            image = np.clip(image + grain[i % 8], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def by_ffmpeg(source: Path, folder: Path, options: media.WriterOptions) -> None:
    """The yardstick: the ffmpeg binary of imageio-ffmpeg."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", source, "-an"]
    command += ["-c:v", "libx264", "-preset", options.preset, "-crf", f"{options.crf:g}"]
    subprocess.run([*map(str, command), "-threads", str(options.threads), str(folder / "ffmpeg.mp4")], check=True)


def by_vidswap(source: Path, folder: Path, options: media.WriterOptions) -> None:
    """One segment in one process, from the index to the joined file."""
    index = media.probe(source)
    segment = folder / "segment.nut"
    writer = media.SegmentWriter(segment, index, options)
    for picture in media.read(index, 0, index.frame_count, threads=options.threads):
        writer.add(picture)
    writer.close()
    media.join(index, [segment], folder / "vidswap.mp4")


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall seconds and processor seconds, children's included."""

    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    wall, processor = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - wall, cpu() - processor


def measure(size: tuple[int, int], seconds: float, rounds: int, threads: int) -> dict[str, object]:
    """One row of the table."""
    options = media.WriterOptions(crf=20, preset="veryfast", threads=threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.mp4"
        make_clip(source, *size, seconds)
        frames = media.probe(source).frame_count
        ways = {"ffmpeg": by_ffmpeg, "vidswap": by_vidswap}
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for turn in range(rounds + 1):
            for way, run in ways.items():
                found = measured(lambda run=run: run(source, folder, options))  # type: ignore[misc]
                if turn:
                    times[way].append(found)
        written = media.probe(folder / "vidswap.mp4")
        if written.frame_count != frames:
            raise RuntimeError(f"{written.frame_count} of {frames} frames were written")
    fps = {way: [frames / wall for wall, _ in found] for way, found in times.items()}
    cpu = {way: statistics.median(1000 * used / frames for _, used in found) for way, found in times.items()}
    return {
        "size": f"{size[0]}x{size[1]}",
        "frames": frames,
        "rounds": rounds,
        "threads": threads,
        "ffmpeg_fps": round(statistics.median(fps["ffmpeg"]), 1),
        "vidswap_fps": round(statistics.median(fps["vidswap"]), 1),
        "ratio": round(statistics.median(fps["vidswap"]) / statistics.median(fps["ffmpeg"]), 3),
        "ratios": [round(b / a, 3) for a, b in zip(fps["ffmpeg"], fps["vidswap"], strict=True)],
        "ffmpeg_cpu_ms": round(cpu["ffmpeg"], 2),
        "vidswap_cpu_ms": round(cpu["vidswap"], 2),
        "cpu_ratio": round(cpu["ffmpeg"] / cpu["vidswap"], 3),
        "load": round(os.getloadavg()[0], 2),
    }


def told_by(script: str, *arguments: str) -> str:
    """The last line, or the JSON, that another benchmark prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    return ran.stdout.strip() or f'{{"failed": {ran.returncode}}}'


def all_rows(only: list[str], sizes: list[str], rounds: int) -> list[tuple[str, str, str]]:
    """What is measured, what is wanted, what was found."""
    rows: list[tuple[str, str, str]] = []
    if "pass" in only:
        for size in sizes:
            width, height = (int(n) for n in size.split("x"))
            found = measure((width, height), 8.0, rounds, os.cpu_count() or 2)
            rows.append(
                (f"pass-through against ffmpeg, {size}", "0.95", f"{found['ratio']} (cpu {found['cpu_ratio']})")
            )
    if "swap" in only:
        swap = json.loads(told_by("swap.py", "--json", "--rounds", str(rounds), "--sizes", *sizes))
        for size in sizes:
            ratio, cpu = swap[size]["ratio"], swap[size]["cpu_ratio"]
            rows.append((f"swap-mesh against a transcode, {size}", "0.5", f"{ratio:.2f} (cpu {cpu:.2f})"))
    if "copy" in only:
        copy = json.loads(told_by("smart_copy.py", "--json"))
        rows.append(("ten minutes, one with a face", "3", f"{copy['ratio']} (cpu {copy['cpu_ratio']})"))
    if "memory" in only:
        memory = json.loads(told_by("memory.py", "--json"))
        most = max(run["all"] for run in memory["peak_mb"])
        rows.append(
            ("peak memory, 120 s against 10 s, 1080p", "1.1, 1536 MiB", f"{memory['ratio']:.3f}, {most:.0f} MiB")
        )
    if "kills" in only:
        rows.append(("kill-and-resume with equal frames", "50 of 50", told_by("kills.py").splitlines()[-1]))
    return rows


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--size", action="append", help="WIDTHxHEIGHT, may be repeated (default 1280x720)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2, help="of decoder and encoder, for both")
    every = ["pass", "swap", "copy", "memory", "kills"]
    parser.add_argument("--table", action="store_true", help="all benchmarks of media, and what is wanted")
    parser.add_argument("--only", nargs="+", choices=every, default=every, help="with --table: these rows")
    given = parser.parse_args()
    if given.table:
        for what, wanted, found in all_rows(given.only, given.size or ["1280x720", "1920x1080"], given.rounds):
            print(f"{what:44} wanted {wanted:14} found {found}")
        return
    sizes = [tuple(int(n) for n in size.split("x")) for size in given.size or ["1280x720"]]
    rows = [measure((w, h), given.seconds, given.rounds, given.threads) for w, h in sizes]
    if given.json:
        print(json.dumps({"benchmark": "media", "rows": rows}, indent=2))
        return
    print(f"{'size':>10} {'ffmpeg fps':>11} {'vidswap fps':>12} {'ratio':>7} {'cpu ratio':>10} {'load':>6}")
    for r in rows:
        print(
            f"{r['size']:>10} {r['ffmpeg_fps']:>11} {r['vidswap_fps']:>12} {r['ratio']:>7} {r['cpu_ratio']:>10} "
            f"{r['load']:>6}"
        )


if __name__ == "__main__":
    main()
