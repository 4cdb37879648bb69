"""Executors: where the workers of a run live. The schedule, the journal and the frames are the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidswap.graph import Pipeline
from vidswap.graph.specification import PipelineSpecification

from .order import WorkOrder
from .pool import Pool, make_pool
from .report import Listener
from .retries import RetryPolicy
from .settings import RunSettings, available_cores

if TYPE_CHECKING:
    from .owner_process import OwnerProcess


@dataclass(frozen=True)
class Needs:
    """What workers must be able to open, wherever they are: the target, the sources and the files of stages."""

    target: Path
    sources: Mapping[str, Path]
    files: Mapping[str, tuple[Path, ...]]


class Executor(Protocol):
    """Makes the pool of one run. Made before any work, closed when the run has ended, however it has."""

    @property
    def retry(self) -> RetryPolicy:
        """How failures are met."""
        ...

    @property
    def drain_s(self) -> float:
        """How long running tasks may still be finished after SIGTERM, in seconds."""
        ...

    def check(self, pipeline: Pipeline, needs: Needs) -> list[str]:
        """Raise InputError for what can be found wrong with the workers' places before any work; returns warnings."""
        ...

    def workers(self, tasks: int) -> int:
        """Workers to begin with for that many tasks."""
        ...

    def threads(self, workers: int) -> int:
        """Threads for each of so many workers."""
        ...

    def pool(self, order: WorkOrder, workers: int) -> Pool:
        """The pool, which starts its workers. Raises InputError where they cannot work."""
        ...

    def owners_lost(self) -> list[str]:
        """Which owners of models had to be replaced in this run, and why."""
        ...

    def listener(self, run: str) -> Listener | None:
        """Who else is told of the events of a run, under that name; its spans are then measured."""
        ...

    def close(self) -> None:
        """Give back what is left after the pool is closed."""
        ...


class LocalExecutor:
    """Processes of this machine, or this very process."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self.retry = RetryPolicy(settings.tries)
        self.drain_s = settings.drain_s or 0.0
        self._owner: OwnerProcess | None = None

    def check(self, pipeline: Pipeline, needs: Needs) -> list[str]:
        """Nothing is elsewhere."""
        return []

    def workers(self, tasks: int) -> int:
        """One per core, no more than tasks, or as many as the settings say."""
        return self._settings.worker_count(tasks)

    def threads(self, workers: int) -> int:
        """The cores, divided."""
        return max(1, available_cores() // max(1, workers))

    def pool(self, order: WorkOrder, workers: int) -> Pool:
        """A pool of processes; for 0 workers, of none. Served stages have an owner where several would load them."""
        served = served_stages(Pipeline(PipelineSpecification.checked(order.pipeline, "pipeline")))
        if workers > 1 and served and wants_owners(self._settings.owners, order.device):
            from .owner_process import OwnerProcess

            self._owner = OwnerProcess(order, served)
            order = self._owner.order
        return make_pool(order, workers)

    def owners_lost(self) -> list[str]:
        """The ends of the process that owns the models."""
        return [] if self._owner is None else [f"the process that owns the models {how}" for how in self._owner.ends]

    def listener(self, run: str) -> Listener | None:
        """Nobody."""
        return None

    def close(self) -> None:
        """End the owner of models, if there is one."""
        if self._owner is not None:
            self._owner.close()


def served_stages(pipeline: Pipeline) -> tuple[str, ...]:
    """The names of the stages that may be served."""
    return tuple(s.name for s in pipeline.stages if s.operator.served)


def wants_owners(owners: int | None, device: str) -> bool:
    """Whether somebody shall own models for all workers: as the settings say, else where this machine has a GPU."""
    if owners is not None:
        return owners > 0
    if device == "auto":
        import torch

        return torch.cuda.is_available()
    return device.startswith("cuda")


MakeExecutor = Callable[[RunSettings], Executor]


def executor_of(settings: RunSettings) -> Executor:
    """The executor that the settings name. Raises InputError where it is not installed or cannot be reached."""
    if settings.executor == "ray":
        from .cluster import RayExecutor

        return RayExecutor(settings)
    return LocalExecutor(settings)
