"""Kills at random moments on a Ray cluster of several nodes on this machine: the frames must be an undisturbed run's.

    python benchmarks/chaos.py [--kills 20] [--kinds worker owner node driver] [--seed 0]

Each kind in runs of its own, one kill every second or so, until so many have been: segment workers and owners of a
model (SIGKILL), whole nodes (their raylet and all on it, replaced by a new one), and the driver, whose command is given
again. The pipeline is the tests' own, of numbers, with a network in it; what is compared is every value of every frame.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import ray  # noqa: E402
from ray._private import worker as ray_worker  # noqa: E402
from ray_nodes import Nodes, kill  # noqa: E402
from toy_net import net_pipeline  # noqa: E402

from vidswap.graph import Pipeline  # noqa: E402
from vidswap.runtime.local import run  # noqa: E402
from vidswap.runtime.order import Done  # noqa: E402
from vidswap.runtime.settings import RunSettings  # noqa: E402

FRAMES, SEGMENT, PAUSE_S = 900, 10, 0.03
DRIVER = """
import sys
sys.path[:0] = {path!r}
import chaos
from pathlib import Path
chaos.go(Path({here!r}), address={address!r})
"""


def go(here: Path, address: str | None = None, listener: Any = None, **settings: Any) -> Any:
    """Run the pipeline in a folder; locally without an address and a listener."""
    chosen: dict[str, Any] = {"executor": "ray", "ray_address": address, "owners": 2, "tries": 30, **settings}
    pipeline = Pipeline.from_mapping(net_pipeline(blend={"pause_s": PAUSE_S if chosen["executor"] == "ray" else 0.0}))
    return run(
        *(pipeline, here / "clip.toy", here / "out.toy", {"source": here / "source.toy"}),
        RunSettings(segment_frames=SEGMENT, overwrite=True, **chosen),
        listener=listener,
    )


def inputs(here: Path) -> Path:
    here.mkdir(parents=True, exist_ok=True)
    (here / "clip.toy").write_text(str(FRAMES))
    (here / "source.toy").write_text("1")
    return here


class Killer:
    """Kills while the driver listens: called with every event, it kills at most once a second or so."""

    def __init__(self, nodes: Nodes, kind: str, chance: random.Random, most: int) -> None:
        self.nodes, self.kind, self.chance, self.most = nodes, kind, chance, most
        self.kills = 0
        self.next_s = 0.0

    def __call__(self, event: Any) -> None:
        if not isinstance(event, Done) or self.kills >= self.most or time.monotonic() < self.next_s:
            return
        if self.kind == "node":
            node = self.chance.choice(self.nodes.working)
            self.nodes.remove(node)
            self.nodes.keep(2)
        else:
            there = self.nodes.actors("ClusterWorker" if self.kind == "worker" else "ClusterOwner")
            if not there:
                return
            kill(self.chance.choice(there))
        self.kills += 1
        self.next_s = time.monotonic() + self.chance.uniform(0.3, 1.5)


def killed_inside(nodes: Nodes, kind: str, kills: int, chance: random.Random, here: Path, whole: str) -> dict[str, Any]:
    """Kill workers, owners or nodes while this process drives; again from the beginning until there were enough."""
    done = runs = equal = tries = 0
    while done < kills:
        killer = Killer(nodes, kind, chance, kills - done)
        folder = inputs(here / f"{kind}-{runs}")
        report = go(folder, nodes.address, killer)
        done, runs, tries = done + killer.kills, runs + 1, tries + len(report.retries)
        equal += (folder / "out.toy").read_text() == whole
    return {"kills": done, "runs": runs, "tried_again": tries, "equal": equal}


def killed_driver(nodes: Nodes, kills: int, chance: random.Random, here: Path, whole: str) -> dict[str, Any]:
    """Kill the driver's process, and give its command again, until it has been killed so often and then is done."""
    done = runs = equal = 0
    folder = inputs(here / "driver")
    code = DRIVER.format(path=[str(ROOT / "benchmarks"), str(ROOT / "tests")], here=str(folder), address=nodes.address)
    while done < kills or runs == 0:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done < kills:
            _wait_for_work(folder, process)
            time.sleep(chance.uniform(0.0, 1.0))
        if done < kills and process.poll() is None:
            process.kill()
            process.wait()
            done += 1
            continue
        if process.wait() == 0:
            runs += 1
            equal += (folder / "out.toy").read_text() == whole
            (folder / "out.toy").unlink()
    if (folder / "out.toy.vidswap").exists():
        runs += 1
        go(folder, nodes.address)
        equal += (folder / "out.toy").read_text() == whole
    return {"kills": done, "runs": runs, "tried_again": done, "equal": equal}


def _wait_for_work(folder: Path, process: subprocess.Popen[bytes]) -> None:
    journal = folder / "out.toy.vidswap" / "journal.jsonl"
    before = journal.stat().st_size if journal.exists() else 0
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > before):
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", default=["worker", "owner", "node", "driver"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    print(f"{'killed':>8}{'kills':>7}{'runs':>6}{'tried again':>13}{'equal':>7}{'seconds':>9}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as made:
        here = inputs(Path(made))
        go(here, executor="local", workers=0, owners=0)
        whole = (here / "out.toy").read_text()
        # Ray tells of each process that it has lost, at length.
        ray_worker.print_to_stdstream = lambda *_, **__: None
        nodes = Nodes(2)
        try:
            ray.init(address=nodes.address, log_to_driver=False, logging_level=logging.ERROR)
            for kind in given.kinds:
                nodes.keep(2)
                began = time.monotonic()
                if kind == "driver":
                    found = killed_driver(nodes, given.kills, chance, here, whole)
                else:
                    found = killed_inside(nodes, kind, given.kills, chance, here, whole)
                failed |= found["equal"] != found["runs"]
                print(
                    f"{kind:>8}{found['kills']:>7}{found['runs']:>6}{found['tried_again']:>13}{found['equal']:>7}"
                    f"{time.monotonic() - began:>9.0f}",
                    flush=True,
                )
        finally:
            ray.shutdown()
            nodes.close()
    sys.exit(failed)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main()
