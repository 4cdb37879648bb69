"""Peak memory of a swap-mesh run over a long clip, against a short one of the same picture.

    python benchmarks/memory.py [--clip VIDEO] [--source PORTRAIT] [--seconds 10 120] [--workers 2] [--size 1920x1080]

The clip (the demo's, unless one is given) is repeated until it is long enough. MiB as the command itself reports them,
of the driver and all workers together; the second against the first must be near 1. That sum counts pages twice that
workers share, being copies of the first; `shared_once` is the most that was held at a time with each page counted once
(PSS, on Linux).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from vidswap.demo import portrait

_WATCHED_EVERY_S = 0.3


def looped(clip: Path, size: str, seconds: float, made: Path) -> Path:
    """The clip, over and over, at a size "WxH"."""
    width, height = size.split("x")
    fill = f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height},setsar=1"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", str(clip)]
    command += ["-t", str(seconds), "-vf", fill, "-an", "-c:v", "libx264", "-preset", "ultrafast", str(made)]
    subprocess.run(command, check=True)
    return made


def peak(clip: Path, source: Path, workers: int, output: Path) -> dict[str, Any]:
    """What the command reports of its memory, MiB."""
    command = [sys.executable, "-m", "vidswap.cli", "swap", "-s", str(source), "-t", str(clip), "-o", str(output)]
    command += ["-j", str(workers), "--preset", "veryfast", "-y", "--json"]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told)
        held = 0.0
        while process.poll() is None:
            held = max(held, sum(map(proportional_mb, family(process.pid))))
            time.sleep(_WATCHED_EVERY_S)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        told.seek(0)
        memory: dict[str, Any] = json.load(told)["peak_memory_mb"]
    return {**memory, "shared_once": held}


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [member for child in children.read_text().split() for member in family(int(child))]
    return found


def proportional_mb(pid: int) -> float:
    """MiB of a process, pages that it shares counted in proportion; 0 where that is not told."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--seconds", nargs=2, type=float, default=[10.0, 120.0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, source = given.clip, given.source
        if clip is None:
            from vidswap.demo.make import make_demo

            made = make_demo(folder, seconds=8.0)
            clip, source = made.target, source or made.source
        source = source or portrait("grace_hopper")
        found = []
        for seconds in given.seconds:
            long = looped(clip, given.size, seconds, folder / f"{seconds:g}.mp4")
            found.append(peak(long, source, given.workers, folder / "out.mp4"))
    ratio = found[1]["all"] / found[0]["all"]
    if given.json:
        print(json.dumps({"seconds": given.seconds, "peak_mb": found, "ratio": ratio}))
        return
    for seconds, memory in zip(given.seconds, found, strict=True):
        print(f"{seconds:8.0f} s  " + "  ".join(f"{name} {value:.0f}" for name, value in memory.items()) + "  MiB")
    print(f"{'ratio':>10}  {ratio:.3f}")


if __name__ == "__main__":
    main()
