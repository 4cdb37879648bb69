"""The real driver and schedule over a simulated cluster: 1 to 64 GPUs, uneven stages, stragglers, failures.

    python benchmarks/cluster_sim.py [--minutes 60] [--gpus 1 2 4 8 16 32 64] [--json] [--write]

Time is simulated (`simulated_cluster.py`), the driver is not: its processor time and memory are measured. `ideal` is
what the scarcest resource alone would take if it never waited; efficiency is that over what the run took. The model of
cost is that of docs/scaling.md: a generator of 25 ms per frame and GPU, 30 ms of CPU per frame, three workers for each
GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulated_cluster import SimulatedExecutor, SimulatedPool
from simulated_machines import Cpu, Gpu, Kill, Machines, Steps
from simulated_pipeline import simulated_pipeline

from vidswap.graph import Pipeline
from vidswap.runtime.local import run
from vidswap.runtime.report import peak_memory_mb
from vidswap.runtime.settings import RunSettings

RATE = 30
SHARED_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""The job folder is there: a disk would have its own say in what the driver takes."""
WORKERS_PER_GPU = 3
GPUS_PER_NODE = 8
CROP_BYTES = 2 * 256 * 256 * 3
BOUNDS = {8: 0.92, 32: 0.85}
DRIVER_MEMORY_MB = 500.0

ANALYSIS, COMPOSITING = 0, 2
GENERATOR = Gpu("generate", seconds=0.025, per_batch_s=0.004, bytes=CROP_BYTES)
PLAIN: dict[int, Steps] = {
    ANALYSIS: (Cpu(0.010),),
    COMPOSITING: (Cpu(0.008), GENERATOR, Cpu(0.012)),
}
"""Decode and detect; decode and crop, generate, blend and encode."""


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario; seconds are simulated, `driver_ms` is real processor time per task.

    `recovery_s` is the longest time from the loss of a task until it was done after all.
    """

    name: str
    gpus: int
    frames: int
    seconds: float
    ideal_s: float
    most_segments: int
    most_wire_mb: float
    wire_bytes_per_frame: float
    driver_ms: float
    lost: int
    recovery_s: float

    @property
    def efficiency(self) -> float:
        return self.ideal_s / self.seconds


def machines_for(gpus: int, stages: Iterable[str] = ("generate",), **more: Any) -> Machines:
    """As many nodes as it takes, each with equal GPUs; a stage's actors have a GPU for themselves."""
    nodes = max(1, gpus // GPUS_PER_NODE)
    each = gpus // nodes
    names = list(stages)
    return Machines(nodes, each * WORKERS_PER_GPU, {name: max(1, each // len(names)) for name in names}, **more)


def ideal_seconds(machines: Machines, steps: Mapping[int, Steps], frames: float, kills: Iterable[Kill] = ()) -> float:
    """What the scarcest resource takes: all workers' CPUs, or the actors of a stage with full batches.

    After a node is lost for good, the others take what is left.
    """
    every = [step for part in steps.values() for step in part]
    seconds = [sum(s.seconds for s in every if isinstance(s, Cpu)) * frames / machines.speed(machines.workers)]
    for stage, actors in machines.actors.items():
        each = sum(s.seconds + s.per_batch_s / s.batch for s in every if isinstance(s, Gpu) and s.stage == stage)
        seconds.append(each * frames / machines.speed(actors))
    left, nodes = max(seconds), machines.nodes
    for kill in kills:
        if kill.what == "node" and kill.back_s is None and left > kill.at_s:
            left, nodes = kill.at_s + (left - kill.at_s) * nodes / (nodes - 1), nodes - 1
    return left


def simulate(
    name: str,
    machines: Machines,
    steps: Mapping[int, Steps] | None = None,
    *,
    frames: int,
    segment_frames: int | None = None,
    kills: Iterable[Kill] = (),
) -> Outcome:
    """One run of the real driver over simulated machines."""
    steps, kills = steps or PLAIN, list(kills)
    pools: list[SimulatedPool] = []
    spent = 0.0

    class Timed(SimulatedPool):
        """Takes the simulation's own processor time out of the driver's."""

        def replies(self) -> list[Any]:
            nonlocal spent
            began = time.process_time()
            told = super().replies()
            spent += time.process_time() - began
            return told

    def make(order: Any) -> SimulatedPool:
        pools.append(Timed(order, machines, steps, kills))
        return pools[0]

    with tempfile.TemporaryDirectory(prefix="vidswap-sim-", dir=SHARED_MEMORY) as folder:
        target = Path(folder) / "film.txt"
        target.write_text(str(frames))
        pipeline = Pipeline.from_mapping(simulated_pipeline())
        workers = machines.nodes * machines.workers
        settings = RunSettings(workers=workers, segment_frames=segment_frames)
        began = time.process_time()
        report = run(
            *(pipeline, target, Path(folder) / "out.txt", {}, settings),
            make_executor=lambda settings: SimulatedExecutor(settings, make),
        )
        driver_s = time.process_time() - began - spent
    (pool,) = pools
    usual = frames / len(pool.order.segments)
    work = frames + sum((factor - 1) * usual for factor in machines.slow_segments.values())
    assert report.frames == frames
    tasks = sum(pool.tries.values())
    return Outcome(
        name=name,
        gpus=sum(machines.actors.values()) * machines.nodes,
        frames=frames,
        seconds=pool.clock.now,
        ideal_s=ideal_seconds(machines, steps, work, kills),
        most_segments=pool.most_segments,
        most_wire_mb=pool.most_wire_bytes / 2**20,
        wire_bytes_per_frame=pool.wire_bytes / frames,
        driver_ms=1000 * driver_s / tasks,
        lost=tasks - len(pool.tries),
        recovery_s=pool.recovery_s,
    )


def scenarios(frames: int, gpus: Iterable[int]) -> Iterable[Outcome]:
    """All that is looked at."""
    for count in gpus:
        yield simulate("generator-bound", machines_for(count), frames=frames)
    starved = {ANALYSIS: (Cpu(0.030),), COMPOSITING: (Cpu(0.030), GENERATOR, Cpu(0.040))}
    yield simulate("bound by CPUs", machines_for(8), starved, frames=frames)
    encoder = Gpu("invert", seconds=0.010, per_batch_s=0.004, bytes=CROP_BYTES)
    two = {ANALYSIS: (Cpu(0.010), encoder), COMPOSITING: PLAIN[COMPOSITING]}
    yield simulate("two GPU stages, 10 and 25 ms", machines_for(16, ("invert", "generate")), two, frames=frames)
    yield simulate("one node of four 3 x slower", machines_for(32, slow={3: 3.0}), frames=frames)
    slow = dict.fromkeys(range(7, frames // 240, 40), 5.0)
    yield simulate("one segment in 40 takes 5 x longer", machines_for(8, slow_segments=slow), frames=frames)
    whole = simulate("generator-bound", machines_for(32), frames=frames)
    half = whole.seconds / 2
    yield simulate("a worker killed half-way", machines_for(32), frames=frames, kills=[Kill("worker", 5, half)])
    yield simulate("an actor killed, back in 20 s", machines_for(32), frames=frames, kills=[Kill("actor", 5, half)])
    yield simulate("a node of four lost for good", machines_for(32), frames=frames, kills=[Kill("node", 1, half, None)])
    many = [Kill("worker", 7 * i % 96, whole.seconds * i / 20) for i in range(1, 20)]
    yield simulate("a worker killed every twentieth", machines_for(32), frames=frames, kills=many)


def many_segments(segments: int = 10_000) -> dict[str, float]:
    """Peak memory and time of the driver for a very long film."""
    began = time.perf_counter()
    outcome = simulate("many segments", machines_for(8), frames=24 * segments, segment_frames=24)
    return {
        "segments": segments,
        "driver_peak_mb": peak_memory_mb(),
        "driver_ms": outcome.driver_ms,
        "wall_s": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help=f"length of the film, at {RATE} frames per second")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--segments", type=int, default=10_000, help="of the film for the driver's memory; 0: none")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="to benchmarks/results/cluster-sim.json")
    given = parser.parse_args()
    rows = []
    if not given.json:
        heads = "".join(
            f"{h:>9}" for h in ("GPUs", "seconds", "ideal", "eff.", "segs", "wire MB", "ms/task", "lost", "recov. s")
        )
        print(f"{'':36}{heads}")
    for o in scenarios(round(given.minutes * 60 * RATE), given.gpus):
        bound = BOUNDS.get(o.gpus) if o.name == "generator-bound" else None
        met = None if bound is None else o.efficiency >= bound
        rows.append({**dataclasses.asdict(o), "efficiency": o.efficiency, "bound": bound, "met": met})
        if not given.json:
            told = "" if bound is None else f"  >= {bound}: {'met' if met else 'MISSED'}"
            print(
                f"{o.name:36}{o.gpus:9}{o.seconds:9.1f}{o.ideal_s:9.1f}{o.efficiency:9.3f}{o.most_segments:9}"
                f"{o.most_wire_mb:9.1f}{o.driver_ms:9.2f}{o.lost:9}{o.recovery_s:9.1f}{told}",
                flush=True,
            )
    facts: dict[str, Any] = {"minutes": given.minutes, "rows": rows}
    if given.segments:
        facts["driver"] = many_segments(given.segments)
        if not given.json:
            print(f"driver for {given.segments} segments: {facts['driver']}; bound {DRIVER_MEMORY_MB} MB")
    if given.json:
        print(json.dumps(facts))
    if given.write:
        path = Path(__file__).with_name("results") / "cluster-sim.json"
        path.write_text(json.dumps(facts, indent=2) + "\n")
    sys.exit(any(row["met"] is False for row in rows))


if __name__ == "__main__":
    main()
