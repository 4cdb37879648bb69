"""Metrics of runs on Ray for Prometheus: what the driver hears, told by `ray.util.metrics`.

Ray serves them on every node's metrics port, with the prefix `ray_`; all have the tag `run`, the output's name.
"""

from __future__ import annotations

from typing import Any

from ray.util import metrics

from .order import Done, PartTask, Progress
from .report import Event, Given, Lost, Started

BATCHES = [1, 2, 4, 8, 16, 32, 64, 128]


class ClusterMetrics:
    """A listener that keeps the metrics of one run."""

    def __init__(self, run: str) -> None:
        self._tags = {"run": run}
        counter, gauge = metrics.Counter, metrics.Gauge
        self._frames = self._made(counter, "frames", "Frames taken through a part of the pipeline.", "part")
        self._stage_s = self._made(counter, "stage_seconds", "Seconds at work, summed over workers.", "stage")
        self._retries = self._made(counter, "lost_tasks", "Tasks that were lost or failed.")
        self._queue = self._made(gauge, "tasks_in_flight", "Tasks with the executor that have not ended.")
        self._total = self._made(gauge, "video_frames", "Frames of the video.")
        self._memory = self._made(gauge, "worker_memory_bytes", "Peak memory of a worker.", "node", "worker")
        self._gpu = self._made(
            gauge, "gpu_memory_bytes", "Peak memory that a worker has had on GPUs.", "node", "worker"
        )
        self._waiting = self._made(gauge, "rows_waiting", "Rows that wait for the owner of a model.", "stage", "owner")
        told = "Rows that the owner of a model was asked for at a time."
        self._batch = metrics.Histogram("vidswap_batch_rows", told, BATCHES, ("run", "stage"))
        self._in_flight: set[Any] = set()

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, Started):
            self._total.set(event.video.frame_count, self._tags)
        elif isinstance(event, Given):
            self._in_flight.add(event.task)
        elif isinstance(event, Lost):
            self._in_flight.discard(event.task)
            self._retries.inc(1, self._tags)
        else:
            self._hear(event)
        self._queue.set(len(self._in_flight), self._tags)

    def _made(self, kind: Any, name: str, about: str, *tags: str) -> Any:
        return kind(f"vidswap_{name}", about, ("run", *tags))

    def _hear(self, event: Progress | Done) -> None:
        for stage, seconds in event.seconds.items():
            if seconds > 0:
                self._stage_s.inc(seconds, {**self._tags, "stage": stage})
        for made in (s for s in event.spans if s.rows):
            self._batch.observe(made.rows, {**self._tags, "stage": made.stage})
            self._waiting.set(made.waiting, {**self._tags, "stage": made.stage, "owner": made.owner})
        worker = {**self._tags, "node": event.node, "worker": str(event.process)}
        most = max((s.gpu_mb for s in event.spans), default=0.0)
        if most:
            self._gpu.set(most * 2**20, worker)
        if isinstance(event, Done):
            self._in_flight.discard(event.task)
            if event.process:
                self._memory.set(event.memory_mb * 2**20, worker)
        elif isinstance(event.task, PartTask) and event.frames:
            self._frames.inc(event.frames, {**self._tags, "part": str(event.task.part)})
