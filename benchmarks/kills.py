"""Kill-and-resume trials of the real command: SIGKILL at random moments, then equal frames.

    python benchmarks/kills.py [--trials 50] [--kills 4] [--clip VIDEO] [--source PORTRAIT] [--seed 1]

A trial starts the command, kills it with all its workers at a random moment, starts the same command again (or `vidswap
resume`, where there is a job folder), up to --kills times, and then lets it end. It has passed when the output has the
same decoded frames, timestamps and sound, and nothing else lies beside it. Exit code 1 when a trial has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from vidswap.demo import portrait
from vidswap.demo.clip import make_clip

COMMAND = [sys.executable, "-m", "vidswap.cli"]


def digest(path: Path) -> str:
    """Of all decoded frames, their timestamps, and the packets of the sound."""
    found = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.update(f"{frame.pts} {frame.time_base}".encode())
            found.update(frame.to_ndarray().tobytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0) if container.streams.audio else ():
            found.update(f"{packet.pts} ".encode() + bytes(packet))
    return found.hexdigest()


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """All processes of the command, at once, as a power cut would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def trial(arguments: list[str], output: Path, kills: int, length_s: float, chance: random.Random) -> int:
    """Run to the end through `kills` kills; returns how many of them found the command at work."""
    hit = 0
    for _ in range(kills):
        folder = output.with_name(f"{output.name}.vidswap")
        resumes = (folder / "job.json").exists() and chance.random() < 0.3
        process = start(["resume", str(folder)] if resumes else arguments)
        try:
            process.wait(chance.uniform(0.1, length_s))
        except subprocess.TimeoutExpired:
            hit += 1
        kill(process)
        if output.exists():
            # Killed after the output had appeared: the same command has nothing to do but to clear its folder away.
            start(arguments).communicate()
            return hit
    process = start(arguments)
    _, told = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the last run failed: {told.decode().strip()}")
    return hit


def main() -> int:
    """Print one line per trial and the count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--source", type=Path, default=portrait("astronaut"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = given.clip or make_clip(portrait("grace_hopper"), folder / "clip.mp4", seconds=3.0)
        whole = folder / "whole.mp4"
        common = ["swap", "-s", str(given.source), "-t", str(clip), "--segment-frames", "12", "-j", "2"]
        began = time.monotonic()
        subprocess.run([*COMMAND, *common, "-o", str(whole), "-q"], check=True)
        length_s, wanted = time.monotonic() - began, digest(whole)
        passed = total = 0
        for number in range(given.trials):
            output = folder / "trial" / "out.mp4"
            output.parent.mkdir(exist_ok=True)
            hit = 0
            # A run that ended before it could be killed shows nothing.
            while not hit:
                output.unlink(missing_ok=True)
                hit = trial([*common, "-o", str(output)], output, given.kills, length_s, chance)
                length_s *= 1.0 if hit else 0.8
            alone = [p.name for p in output.parent.iterdir()] == ["out.mp4"]
            same = digest(output) == wanted
            passed, total = passed + (same and alone), total + hit
            state = "passed" if same and alone else f"FAILED (same frames: {same}, alone: {alone})"
            print(f"trial {number + 1}: {hit} kills, {state}", flush=True)
            for left in output.parent.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    print(f"{passed} of {given.trials} trials with equal frames, {total} kills at work")
    return int(passed < given.trials)


if __name__ == "__main__":
    sys.exit(main())
