"""What is looked at on a Ray cluster before any work: resources, versions, and whether nodes see the files."""

from __future__ import annotations

import ray

from vidswap.graph import InputError

from .settings import RunSettings


def check_resources(settings: RunSettings) -> None:
    """Raise InputError when no node can hold one worker."""
    nodes = [n for n in ray.nodes() if n["Alive"]]
    largest = max((n["Resources"].get("CPU", 0.0) for n in nodes), default=0.0)
    if settings.ray_worker_cpus > largest:
        raise InputError(
            f"a worker of {settings.ray_worker_cpus:g} CPUs fits on no node: the cluster has {held()}; give a smaller "
            "worker_cpus"
        )


def held() -> str:
    """What the cluster has, in words: its nodes, with CPUs and GPUs."""
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
    cpus = ", ".join(f"{n.get('CPU', 0):g}" for n in nodes)
    gpus = sum(n.get("GPU", 0) for n in nodes)
    return f"{len(nodes)} node{'s' * (len(nodes) != 1)} with {cpus} CPUs and {gpus:g} GPUs in all"
