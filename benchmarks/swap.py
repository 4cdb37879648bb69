"""swap-mesh from portrait and clip to output, against an ffmpeg transcode of the same clip in the same run.

    python benchmarks/swap.py [--clip VIDEO] [--source PORTRAIT] [--sizes 1280x720 1920x1080] [--rounds 3] [--json]

Both read the same clip and write H.264 with the same preset and crf; rounds are interleaved and the median of the
ratios is what counts. The clip is first brought to each size (turned, where it stands upright); without --clip it is
the demo's. The command's own start (imports, models) is part of what is measured, as a user waits for it.

`cpu` is the ratio of processor time, of all processes and threads, which other jobs on the machine disturb less. The
stages are then timed in one process: milliseconds of processor time per frame of the thread that runs them; what other
threads spend (decoder, encoder, models) is the last line.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import imageio_ffmpeg

import vidswap
from vidswap import media
from vidswap.demo import portrait
from vidswap.runtime import spans

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]


def spent(command: list[str]) -> tuple[float, float]:
    """Wall clock and processor seconds of a command and its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sized(clip: Path, size: str, folder: Path, seconds: float) -> Path:
    """The clip's first seconds at a size "WxH", cut to fill it."""
    width, height = (int(side) for side in size.split("x"))
    index = media.probe(clip)
    if index.height > index.width:
        width, height = height, width
    made = folder / f"{size}.mp4"
    fill = f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height},setsar=1"
    command = [*FFMPEG, "-i", str(clip), "-t", str(seconds), "-vf", fill, "-an"]
    subprocess.run([*command, "-c:v", "libx264", "-crf", "18", str(made)], check=True)
    return made


def stages_of(clip: Path, source: Path, folder: Path) -> dict[str, float]:
    """Milliseconds of processor time per frame, by stage."""
    began = time.process_time()
    with mock.patch.object(spans, "time", SimpleNamespace(perf_counter=time.thread_time, time=time.time)):
        report = vidswap.swap(source, clip, folder / "stages.mp4", workers=0, overwrite=True)
    whole = time.process_time() - began
    stages = {name: 1000 * seconds / report.frames for name, seconds in report.stage_s.items()}
    return {**stages, "other threads, start": 1000 * whole / report.frames - sum(stages.values())}


def measure(clip: Path, source: Path, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    quality = ["--preset", given.preset, "--crf", given.crf]
    swap = [sys.executable, "-m", "vidswap.cli", "swap", "-s", str(source), "-t", str(clip)]
    swap += ["-o", str(folder / "ours.mp4"), "-y", "-q", *quality]
    transcode = [*FFMPEG, "-i", str(clip), "-c:v", "libx264", "-preset", given.preset, "-crf", given.crf]
    transcode += ["-c:a", "copy", str(folder / "theirs.mp4")]
    pairs = [(spent(swap), spent(transcode)) for _ in range(given.rounds)]
    frames = media.probe(clip).frame_count

    def middle(of: int, part: int) -> float:
        return statistics.median(pair[of][part] for pair in pairs)

    return {
        "frames": frames,
        "swap_frames_per_s": frames / middle(0, 0),
        "ffmpeg_frames_per_s": frames / middle(1, 0),
        "ratio": statistics.median(theirs[0] / ours[0] for ours, theirs in pairs),
        "swap_cpu_ms": 1000 * middle(0, 1) / frames,
        "ffmpeg_cpu_ms": 1000 * middle(1, 1) / frames,
        "cpu_ratio": statistics.median(theirs[1] / ours[1] for ours, theirs in pairs),
        "stages_cpu_ms": stages_of(clip, source, folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["1280x720", "1920x1080"])
    parser.add_argument("--seconds", type=float, default=8.0, help="of the clip that are read")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--crf", default="20")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, source = given.clip, given.source
        if clip is None:
            from vidswap.demo.make import make_demo

            made = make_demo(folder, seconds=given.seconds)
            clip, source = made.target, source or made.source
        source = source or portrait("grace_hopper")
        for size in given.sizes:
            facts[size] = measure(sized(clip, size, folder, given.seconds), source, folder, given)
    if given.json:
        print(json.dumps(facts))
        return
    for size, found in facts.items():
        print(f"{size:24}{'frames/s':>10}{'cpu ms':>10}")
        print(f"{'ffmpeg transcode':24}{found['ffmpeg_frames_per_s']:10.1f}{found['ffmpeg_cpu_ms']:10.1f}")
        print(f"{'vidswap swap':24}{found['swap_frames_per_s']:10.1f}{found['swap_cpu_ms']:10.1f}")
        print(f"{'ratio':24}{found['ratio']:10.2f}{found['cpu_ratio']:10.2f}")
        for stage, milliseconds in found["stages_cpu_ms"].items():
            print(f"  {stage:32}{milliseconds:10.1f}")


if __name__ == "__main__":
    main()
