"""What a cluster that does not exist is made of: steps with their times, nodes, and what kills them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vidswap.runtime.serving import WAIT_S


@dataclass(frozen=True)
class Cpu:
    """A step on the worker's own CPU: seconds per frame."""

    seconds: float


@dataclass(frozen=True)
class Gpu:
    """A step on an actor of that stage: seconds per frame and per batch, bytes per frame there and back."""

    stage: str
    seconds: float
    per_batch_s: float = 0.0
    bytes: int = 0
    batch: int = 16
    wait_s: float = WAIT_S


Steps = Sequence[Cpu | Gpu]


@dataclass(frozen=True)
class Kill:
    """What dies when: a "worker", an "actor" or a "node" by number; it is back after so many seconds (None: never)."""

    what: str
    number: int
    at_s: float
    back_s: float | None = 20.0


@dataclass(frozen=True)
class Machines:
    """Nodes of so many workers and of so many actors for each GPU stage, and a network between them.

    `slow` gives how many times longer everything on a node takes; `slow_segments` the same for segments.
    """

    nodes: int
    workers: int
    actors: Mapping[str, int] = field(default_factory=dict)
    slow: Mapping[int, float] = field(default_factory=dict)
    slow_segments: Mapping[int, float] = field(default_factory=dict)
    bytes_per_s: float = 1.25e9
    latency_s: float = 0.0005

    def speed(self, each: int) -> float:
        """Workers or actors of all nodes, counted by how fast they are, with so many on a node."""
        return sum(each / self.slow.get(node, 1.0) for node in range(self.nodes))
