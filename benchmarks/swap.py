"""swap-mesh from portrait and clip to output, against an ffmpeg transcode of the same clip in the same run.

    python benchmarks/swap.py [--clip VIDEO] [--source PORTRAIT] [--rounds 3] [--json]

Both read the same clip and write H.264 with the same preset and crf; rounds are interleaved and the median of the
ratios is what counts. Without --clip the demo's clip is made first. The command's own start (imports, models) is part
of what is measured, as a user waits for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg

from vidswap import media
from vidswap.demo import portrait


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--crf", default="20")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = given.clip
        source = given.source
        if clip is None:
            from vidswap.demo.make import make_demo

            made = make_demo(Path(folder), seconds=8.0)
            clip, source = made.target, source or made.source
        source = source or portrait("grace_hopper")
        ours, theirs = Path(folder) / "ours.mp4", Path(folder) / "theirs.mp4"
        quality = ["--preset", given.preset, "--crf", given.crf]
        swap = [
            sys.executable,
            "-m",
            "vidswap.cli",
            "swap",
            "-s",
            str(source),
            "-t",
            str(clip),
            "-o",
            str(ours),
            "-y",
            "-q",
        ]
        transcode = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(clip)]
        transcode += ["-c:v", "libx264", "-preset", given.preset, "-crf", given.crf, "-c:a", "copy", str(theirs)]
        pairs = [(seconds([*swap, *quality]), seconds(transcode)) for _ in range(given.rounds)]
        frames = media.probe(clip).frame_count
    facts = {
        "clip": str(clip),
        "frames": frames,
        "swap_frames_per_s": frames / statistics.median(p[0] for p in pairs),
        "ffmpeg_frames_per_s": frames / statistics.median(p[1] for p in pairs),
        "ratio": statistics.median(theirs_s / ours_s for ours_s, theirs_s in pairs),
    }
    if given.json:
        print(json.dumps(facts))
        return
    print(f"{'':24}{'frames/s':>10}")
    print(f"{'ffmpeg transcode':24}{facts['ffmpeg_frames_per_s']:10.1f}")
    print(f"{'vidswap swap':24}{facts['swap_frames_per_s']:10.1f}")
    print(f"{'ratio':24}{facts['ratio']:10.2f}")


if __name__ == "__main__":
    main()
