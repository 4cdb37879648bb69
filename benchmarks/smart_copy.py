"""A long clip with a face in a tenth of it: vidswap with smart copy against an ffmpeg transcode of the whole.

    python benchmarks/smart_copy.py [--minutes 10] [--face CLIP] [--empty CLIP] [--source PORTRAIT] [--rounds 1]

The clip is 1280x720: the face's clip for the first tenth of the time, the empty one (no face to find) for the rest,
H.264 with a keyframe every two seconds. Without clips of your own the demo's clip and a moving texture are taken. Both
ways write H.264 with the same preset and crf. What counts is the ratio of frames per second; `cpu_ratio` is that of
processor time, which other jobs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from media import make_clip as make_texture
from media import measured

from vidswap import media
from vidswap.demo import portrait
from vidswap.demo.clip import make_clip as make_face

SETTINGS = ["-preset", "veryfast", "-crf", "18"]
FIT = "scale=1280:720:force_original_aspect_ratio=decrease,pad=1280:720:-1:-1,fps=25,setsar=1,format=yuv420p"


def ffmpeg(*arguments: object) -> None:
    """The binary of imageio-ffmpeg."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    subprocess.run([str(a) for a in command], check=True)


def make(folder: Path, face: Path, empty: Path, minutes: float) -> Path:
    """The long clip; each part is encoded once and repeated."""
    parts = []
    for name, source, share in (("face", face, 0.1), ("empty", empty, 0.9)):
        unit = folder / f"{name}.mp4"
        ffmpeg("-t", 10, "-i", source, "-an", "-vf", FIT, "-c:v", "libx264", *SETTINGS, "-g", 50, unit)
        index = media.probe(unit)
        parts += [unit] * max(1, round(60 * minutes * share / index.duration_s))
    listed = folder / "list.txt"
    listed.write_text("".join(f"file '{part}'\n" for part in parts))
    ffmpeg("-f", "concat", "-safe", 0, "-i", listed, "-c", "copy", folder / "long.mp4")
    return folder / "long.mp4"


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--face", type=Path)
    parser.add_argument("--empty", type=Path)
    parser.add_argument("--source", type=Path, default=portrait("grace_hopper"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        face = given.face or make_face(portrait("astronaut"), folder / "demo.mp4", seconds=4.0)
        empty = given.empty or folder / "texture.mp4"
        if given.empty is None:
            make_texture(empty, 1280, 720, 4.0)
        clip = make(folder, face, empty, given.minutes)
        frames = media.probe(clip).frame_count
        swap = [sys.executable, "-m", "vidswap.cli", "swap", "-s", given.source, "-t", clip, "-o", folder / "out.mp4"]
        swap += ["--json", "-y"]
        rows, report = [], {}
        for _ in range(given.rounds):
            transcode = measured(lambda: ffmpeg("-i", clip, "-c:v", "libx264", *SETTINGS, folder / "transcode.mp4"))
            with (folder / "report.json").open("w") as told:
                ours = measured(lambda told=told: subprocess.run([*map(str, swap)], check=True, stdout=told))  # type: ignore[misc]
            report = json.loads((folder / "report.json").read_text().splitlines()[-1])
            rows.append((transcode, ours))
    result = {
        "benchmark": "smart_copy",
        "frames": frames,
        "frames_with_faces": report["frames_with_faces"],
        "frames_copied": report["frames_copied"],
        "ffmpeg_fps": round(statistics.median(frames / a[0] for a, _ in rows), 1),
        "vidswap_fps": round(statistics.median(frames / b[0] for _, b in rows), 1),
        "ratio": round(statistics.median(a[0] / b[0] for a, b in rows), 2),
        "cpu_ratio": round(statistics.median(a[1] / b[1] for a, b in rows), 2),
        "peak_memory_mb": report["peak_memory_mb"]["all"],
        "stage_s": {k: round(v, 1) for k, v in report["stage_s"].items()},
    }
    print(json.dumps(result, indent=2) if given.json else "\n".join(f"{k:>18}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
