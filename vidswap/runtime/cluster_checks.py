"""What is looked at on a Ray cluster before any work: resources, versions, and whether nodes see the files."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vidswap.graph import InputError
from vidswap.storage import is_remote

from .cluster_places import Home, nodes
from .executors import Needs
from .job import MARKER
from .resuming import versions
from .settings import RunSettings

LOOKING_S = 120.0
NODES_LOOKED_AT = 64
BASE_BYTES, BYTES_PER_PIXEL = 600 << 20, 100


def gpus() -> float:
    """GPUs of all nodes."""
    return float(sum(n["Resources"].get("GPU", 0.0) for n in nodes()))


def held() -> str:
    """What the cluster has, in words: its nodes, with CPUs and GPUs."""
    there = [n["Resources"] for n in nodes()]
    cpus = ", ".join(f"{c:g}" for c in sorted((n.get("CPU", 0) for n in there), reverse=True))
    return f"{len(there)} node{'s' * (len(there) != 1)} with {cpus} CPUs and {gpus():g} GPUs in all"


def places(cpus: float, memory: float = 0.0) -> int:
    """How many workers of so many CPUs and bytes the nodes hold."""
    found = 0
    for node in nodes():
        there = node["Resources"]
        room = int(there.get("CPU", 0.0) // cpus)
        found += min(room, int(there.get("memory", 0.0) // memory)) if memory else room
    return found


def worker_memory(asked_mb: float | None, width: int, height: int) -> int:
    """Bytes to set aside for a worker: as asked, else an estimate, no more than the largest node has."""
    if asked_mb is not None:
        return int(asked_mb * 2**20)
    most = max((n["Resources"].get("memory", 0.0) for n in nodes() if n["Resources"].get("CPU")), default=0.0)
    return int(min(most, BASE_BYTES + BYTES_PER_PIXEL * width * height))


def check_resources(settings: RunSettings) -> list[str]:
    """Raise InputError when no node can hold one worker; returns a warning where fewer than asked for have a place."""
    cpus = [n["Resources"].get("CPU", 0.0) for n in nodes()]
    if settings.ray_worker_cpus > max(cpus, default=0.0):
        raise InputError(
            f"a worker of {settings.ray_worker_cpus:g} CPUs fits on no node: the cluster has {held()}; give a smaller "
            "worker_cpus"
        )
    memory = (settings.ray_worker_memory_mb or 0.0) * 2**20
    there = places(settings.ray_worker_cpus, memory)
    if not there:
        most = max((n["Resources"].get("memory", 0.0) for n in nodes()), default=0.0) / 2**20
        raise InputError(
            f"a worker of {settings.ray_worker_memory_mb:g} MiB fits on no node: the largest has {most:.0f} MiB for "
            "workers; give a smaller worker_memory_mb"
        )
    if settings.workers is not None and settings.workers > there:
        return [
            f"{settings.workers} workers are asked for; the cluster has {held()}, where {there} have a place; the "
            "others begin when nodes join"
        ]
    return []


def processor() -> str:
    """The kind of this machine's processor: its vector instructions, as far as OpenCV has code for them. By them the
    models and BLAS, too, choose code that rounds in another order.
    """
    # Those that are there without a mark, or with that of being chosen; `?` marks the ones that this processor lacks.
    features = [feature.strip("*") for feature in cv2.getCPUFeaturesLine().split() if not feature.endswith("?")]
    return " ".join([platform.machine(), *features])


def check_nodes(needs: Needs, stages: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Raise InputError for a node with other versions, without a file that is needed, or without a stage's needs.

    `stages` are names, operators and options of a pipeline. Returns a warning for each other kind of processor.
    """
    paths = {"the target": needs.target, **{f"source {n}": p for n, p in needs.sources.items()}}
    paths |= {f"stage {stage}: {p.name}": p for stage, files in needs.files.items() for p in files}
    wanted = {what: (str(p) if is_remote(p) else str(p.absolute()), _size(p)) for what, p in paths.items()}
    expected, kinds = versions(), dict[str, str]()
    for host, found in _on_nodes(_look, wanted, list(stages)):
        for name in {**expected, **found["versions"]}:
            here, there = expected.get(name, "none"), found["versions"].get(name, "none")
            if here != there:
                raise InputError(f"node {host} has {name} {there}, the driver {here}: they must agree")
        if found["problems"]:
            raise InputError(f"node {host}: {found['problems'][0]}")
        kinds.setdefault(found["processor"], host)
    here = processor()
    return [
        f"node {host} has another kind of processor ({kind}) than the driver ({here}): a few samples of frames that "
        "are made there may differ by a level"
        for kind, host in kinds.items()
        if kind != here
    ]


def check_folder(folder: Path) -> None:
    """Raise InputError for a node that does not see the job folder, or may not write there."""
    for host, problem in _on_nodes(_look_at_folder, str(folder.absolute())):
        if problem:
            raise InputError(f"node {host}: {problem}; put it where all nodes see it, with --job")


def _size(path: Path) -> int | None:
    return path.stat().st_size if not is_remote(path) and path.is_file() else None


def _on_nodes(function: Callable[..., Any], *given: Any) -> list[tuple[str, Any]]:
    """What a function returns on each node that takes work (of many, on some), by host.

    Raises InputError where it cannot run.
    """
    remote = ray.remote(function)
    home = Home.of_driver()
    asked = {}
    takes_work = [n for n in nodes() if n["Resources"].get("CPU") or n["Resources"].get("GPU")]
    for node in takes_work[:NODES_LOOKED_AT]:
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        options = remote.options(num_cpus=0, max_retries=1, scheduling_strategy=strategy)
        asked[options.remote(home, *given)] = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOKING_S)
    if late:
        raise InputError(f"node {asked[late[0]]} has not answered for {LOOKING_S:g} s")
    found = []
    for reference in ready:
        try:
            found.append((asked[reference], ray.get(reference)))
        except ray.exceptions.TaskUnschedulableError:
            # The node has just been lost, and the cluster's list still had it.
            continue
        except ray.exceptions.RayError as error:
            told = [line.strip() for line in str(error).splitlines() if "Error" in line] or [type(error).__name__]
            raise InputError(f"node {asked[reference]} cannot run vidswap: {told[-1][:200]}") from None
    return found


def _look(
    home: Home, paths: Mapping[str, tuple[str, int | None]], stages: list[tuple[str, str, Mapping[str, Any]]]
) -> dict[str, Any]:
    home.settle()
    from vidswap.graph import VidswapError, find_operator
    from vidswap.storage import place

    problems = []
    for what, (path, size) in paths.items():
        found = place(path)
        try:
            if not found.exists() and "%" not in path:
                problems.append(f"{what} is not there: {path}; put it where all nodes see it")
            elif size is not None and found.stat().st_size != size:
                problems.append(f"{what} is another file there: {path}")
        except (OSError, VidswapError) as error:
            problems.append(f"{what}: {error}")
    for name, use, options in stages:
        try:
            operator = find_operator(use)
            for file in operator(operator.Options(**options)).files():
                if not file.exists():
                    problems.append(f"stage {name}: {file} is not there")
        except VidswapError as error:
            problems.append(f"stage {name}: {error}")
    return {"versions": versions(), "processor": processor(), "problems": problems}


def _look_at_folder(home: Home, folder: str) -> str | None:
    import os

    home.settle()
    from vidswap.storage import place

    found = place(folder)
    if is_remote(found):
        return None
    if not (found / MARKER).is_file():
        return f"the job folder {folder} is not there"
    return None if os.access(folder, os.W_OK) else f"the job folder {folder} is not writable there"
