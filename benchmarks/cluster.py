"""Ray on this machine against the local executor, and what goes through Ray's object store.

    python benchmarks/cluster.py [--clip VIDEO] [--source PORTRAIT] [--rounds 3] [--seconds 8] [--json]

swap-mesh at 720p by both executors, with as many workers, in rounds that take turns. What starting takes is left out:
a run counts from the moment when every worker has done a piece of the video to the end of the last one, and is told as
frames of all parts per second, and per second of processor time of all processes of the run, which other jobs on the
machine disturb less. The ratio that counts is that of processor time; the best round of each is taken.

Then 1080p on Ray: bytes of tables that were handed on as objects, per frame, against a raw frame (4:2:0, 8 bits).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from swap import sized

import vidswap
from vidswap import media
from vidswap.demo import portrait
from vidswap.runtime.order import Done, PartTask

SEGMENT = 24
TICKS = os.sysconf("SC_CLK_TCK")


def processor_s(root: int) -> float:
    """Processor seconds so far of a process and all that descend from it, dead ones included that were waited for."""
    children: dict[int, list[int]] = {}
    taken: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        taken[int(folder.name)] = sum(int(ticks) for ticks in fields[11:15]) / TICKS
    found, left = 0.0, [root]
    while left:
        process = left.pop()
        found += taken.get(process, 0.0)
        left += children.get(process, [])
    return found


class Watch:
    """A listener that measures from when each of so many workers has done something to the last piece."""

    def __init__(self, workers: int) -> None:
        self.frames = 0
        self._workers = workers
        self._seen: set[int] = set()
        self.began: tuple[float, float] | None = None
        self.ended = (0.0, 0.0)

    def __call__(self, event: Any) -> None:
        if isinstance(event, Done) and isinstance(event.task, PartTask):
            self._seen.add(event.process)
            if len(self._seen) < self._workers:
                return
            now = (time.perf_counter(), processor_s(os.getpid()))
            if self.began is None:
                self.began = now
            else:
                self.frames += event.facts["frames"]
                self.ended = now

    def rates(self) -> tuple[float, float]:
        """Frames of parts per second by the clock, and per second of processor time."""
        assert self.began is not None
        wall, cpu = (after - before for before, after in zip(self.began, self.ended, strict=True))
        return self.frames / wall, self.frames / cpu


def run(clip: Path, source: Path, folder: Path, **settings: Any) -> tuple[float, float]:
    watch = Watch(settings["workers"])
    output = folder / f"{settings['executor']}.mkv"
    vidswap.swap(
        source,
        clip,
        output,
        overwrite=True,
        listener=watch,
        crf=20,
        preset="veryfast",
        segment_frames=SEGMENT,
        **settings,
    )
    return watch.rates()


def handed_on(clip: Path, source: Path, folder: Path, workers: int) -> dict[str, float]:
    """Bytes of the tables that workers and driver gave to Ray's store, per frame, and as a share of a raw frame."""
    from vidswap.runtime.cluster_pool import RayPool

    taken: list[int] = []
    remember = RayPool._remember

    def counted(pool: RayPool, task: PartTask, reference: Any, maker: int, size: int) -> None:
        taken.append(size)
        remember(pool, task, reference, maker, size)

    with mock.patch.object(RayPool, "_remember", counted):
        vidswap.swap(source, clip, folder / "b.mkv", overwrite=True, executor="ray", workers=workers)
    index = media.probe(clip)
    each = sum(taken) / index.frame_count
    return {"bytes_per_frame": each, "share_of_raw": each / (index.width * index.height * 1.5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--source", type=Path, default=portrait("grace_hopper"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rates: dict[str, list[tuple[float, float]]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        clip = sized(given.clip, "1280x720", folder, given.seconds)
        for _ in range(given.rounds):
            for executor, found in rates.items():
                found.append(run(clip, given.source, folder, executor=executor, workers=given.workers))
        large = sized(given.clip, "1920x1080", folder, min(given.seconds, 4.0))
        store = handed_on(large, given.source, folder, given.workers)
    wall, cpu = (
        {executor: max(rate[which] for rate in found) for executor, found in rates.items()} for which in (0, 1)
    )
    result = {
        "frames_per_s": wall,
        "frames_per_cpu_s": cpu,
        "ratio_wall": wall["ray"] / wall["local"],
        "ratio_cpu": cpu["ray"] / cpu["local"],
        **store,
    }
    if given.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'':>8}{'frames/s':>12}{'frames/CPU s':>14}")
    for executor in rates:
        print(f"{executor:>8}{wall[executor]:12.1f}{cpu[executor]:14.1f}")
    print(f"{'ratio':>8}{result['ratio_wall']:12.2f}{result['ratio_cpu']:14.2f}   (at least 0.85)")
    print(f"1080p: {store['bytes_per_frame']:.0f} bytes of tables per frame in Ray's store, ", end="")
    print(f"{100 * store['share_of_raw']:.2f} % of a raw frame (under 5 %)")


if __name__ == "__main__":
    main()
