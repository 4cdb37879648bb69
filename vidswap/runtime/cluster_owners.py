"""Owners of models on a Ray cluster: pools of actors for served stages, and how segment workers choose among them.

The driver starts owners, watches their pulse and replaces those that die or hang; workers are told of them with their
tasks and when they are asked for progress. A worker whose owner dies asks another one: it still has the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vidswap.graph import InputError, Pipeline, StageError, VidswapError

from .asking import Question, Served
from .cluster_places import Home, Place, nodes, writable
from .order import WorkOrder
from .settings import RunSettings

TRIES = 4
PULSE_S = 2.0
ELSEWHERE = 1.3  # times what an answer takes: crops go over the network, and those who are near come first
FORGET = 0.9  # of what is known of an owner's speed stays from listing to listing


@dataclass(frozen=True)
class Share:
    """How many owners a stage has, and what each takes of a GPU."""

    count: int
    gpus: float


def shares(pipeline: Pipeline, settings: RunSettings, gpus: float, held: str) -> dict[str, Share]:
    """The owners of each served stage on a cluster with so many GPUs; without any, workers have models of their own.

    Stages that do not say what they take share each GPU. Raises InputError, with `held` as what the cluster has, for
    more than there is.
    """
    served = {s.name: s.make().resources.gpus for s in pipeline.stages if s.operator.served}
    if settings.device.startswith("cuda") and not gpus:
        raise InputError(f"device {settings.device!r} was asked for, but the cluster has {held}; give device cpu")
    if not served or settings.owners == 0:
        return {}
    if settings.device == "cpu" or not gpus:
        return {name: Share(settings.owners, 0.0) for name in served} if settings.owners else {}
    taken = {name: wanted or int(1e4 / len(served)) / 1e4 for name, wanted in served.items()}
    together = sum(taken.values())
    count = settings.owners or max(1, int(gpus / together + 1e-6))
    if count * together > gpus + 1e-6:
        each = ", ".join(f"{name} {g:g}" for name, g in taken.items())
        raise InputError(f"{count} x ({each}) GPUs are asked for, but the cluster has {held}; give fewer owners")
    return {name: Share(count, g) for name, g in taken.items()}


class ClusterOwner:
    """An actor that owns the models of one stage."""

    def __init__(self, number: int, home: Home, order: list[Any]) -> None:
        """`order` holds one reference to a WorkOrder."""
        home.settle()
        from .serving import ModelOwner

        self._number = number
        self._owner = ModelOwner(ray.get(order[0]), node=socket.gethostname())

    async def where(self) -> Place:
        """Where this is; answers when the actor is up."""
        return Place.here()

    async def pulse(self) -> float:
        """For how many seconds the network has been at work on the same rows."""
        return self._owner.busy_s()

    async def ask(self, question: Question) -> Served | VidswapError:
        """The answer to a question, or the error of its stage."""
        question = Question(question.stage, question.for_source, writable(question.batch))
        try:
            return await asyncio.wrap_future(self._owner.ask(question))
        except VidswapError as error:
            return error


@dataclass(frozen=True)
class Owner:
    """One owner, as workers know it."""

    number: int
    stage: str
    actor: Any
    node: str


Listing = Sequence[Owner]


@dataclass
class _Kept:
    number: int
    stage: str
    actor: Any
    starting: Any
    node: str | None = None
    place: Place | None = None
    pulse: Any = None
    asked_s: float = 0.0


class OwnerPool:
    """The driver's side: so many owners per stage, replaced when they die or are at the same rows for `limit_s`.

    `version` grows with every change of the `listing`; `lost` says which were replaced, and why.
    """

    def __init__(self, order: WorkOrder, home: Home, wanted: Mapping[str, Share], limit_s: float) -> None:
        self._home, self._wanted, self._limit_s = home, wanted, limit_s
        self._orders = {g: ray.put(_owners_order(order, g)) for g in {s.gpus for s in wanted.values()}}
        self._owners: list[_Kept] = []
        self.lost: list[str] = []
        self._numbers = self.version = 0
        self._failed_starts = 0
        self._fill()

    @property
    def listing(self) -> Listing:
        """The owners that are up."""
        return tuple(Owner(o.number, o.stage, o.actor, o.place.node) for o in self._owners if o.place)

    def references(self) -> list[Any]:
        """What the driver may wait for on behalf of this pool."""
        return [o.starting for o in self._owners if o.starting is not None]

    def look_after(self) -> None:
        """Take in those who have started, feel pulses, and replace. Never waits."""
        now = time.monotonic()
        for owner in list(self._owners):
            waited = [r for r in (owner.starting, owner.pulse) if r is not None]
            for reference in ray.wait(waited, num_returns=len(waited), timeout=0)[0] if waited else ():
                try:
                    said = ray.get(reference)
                except ray.exceptions.RayError as error:
                    self._replace(owner, _shortly(error))
                    break
                if reference is owner.starting:
                    owner.starting, owner.place, self._failed_starts = None, said, 0
                    self.version += 1
                else:
                    owner.pulse = None
                    if self._limit_s and said > self._limit_s:
                        self._replace(owner, f"was at the same rows for {said:.0f} s")
                        break
            else:
                if owner.pulse is None and owner.place and now - owner.asked_s > PULSE_S:
                    owner.pulse, owner.asked_s = owner.actor.pulse.remote(), now
                elif owner.pulse is not None and self._limit_s and now - owner.asked_s > self._limit_s:
                    self._replace(owner, f"has not been heard for {self._limit_s:.0f} s")
        self._fill()

    def close(self) -> None:
        """Kill all owners."""
        for owner in self._owners:
            _kill(owner.actor)
        self._owners.clear()

    def _replace(self, owner: _Kept, how: str) -> None:
        self._owners.remove(owner)
        _kill(owner.actor)
        self.version += 1
        if owner.place is None:
            self._failed_starts += 1
            if self._failed_starts >= TRIES * max(1, sum(s.count for s in self._wanted.values())):
                raise VidswapError(f"no owner of the model of stage {owner.stage} starts on the Ray cluster: {how}")
        self.lost.append(f"an owner of the model of stage {owner.stage} {how}")

    def _fill(self) -> None:
        for stage, share in self._wanted.items():
            for _ in range(share.count - sum(o.stage == stage for o in self._owners)):
                self._numbers += 1
                # Without CPUs of its own: workers must never keep an owner, for which they wait, from starting. Ray
                # places what takes nothing at all anywhere: hence the byte.
                node = None if share.gpus else _least_taken([o.node for o in self._owners])
                strategy = NodeAffinitySchedulingStrategy(node, soft=True) if node else "SPREAD"
                actor = _ACTOR.options(
                    num_cpus=0,
                    num_gpus=share.gpus,
                    memory=1,
                    max_restarts=0,
                    max_task_retries=0,
                    scheduling_strategy=strategy,
                ).remote(self._numbers, self._home, [self._orders[share.gpus]])
                self._owners.append(_Kept(self._numbers, stage, actor, actor.where.remote(), node))


_ACTOR = ray.remote(ClusterOwner)


def _least_taken(taken: Sequence[str | None]) -> str | None:
    """The node with the fewest owners, of those that take work: a head without CPUs is left alone."""
    there = [n["NodeID"] for n in nodes() if n["Resources"].get("CPU", 0.0) > 0]
    return min(there, key=taken.count, default=None)


def _owners_order(order: WorkOrder, gpus: float) -> WorkOrder:
    from dataclasses import replace

    # Ray shows an actor the GPUs that are its own, and no others.
    return replace(order, served=(), device="cuda" if gpus else "cpu")


def _kill(actor: Any) -> None:
    with contextlib.suppress(Exception):
        ray.kill(actor, no_restart=True)


def _shortly(error: Exception) -> str:
    return f"was lost ({type(error).__name__})"


class ClusterOwners:
    """A worker's side: which owners there are, and which of them is asked.

    The one with the least to wait for, by how long its answers took and how many are outstanding; one on this node is
    preferred to a little faster one elsewhere.
    """

    def __init__(self, node: str, patience_s: float) -> None:
        self._node, self._patience_s = node, patience_s
        self._changed = threading.Condition()
        self._owners: dict[int, _Known] = {}
        self._gone: set[int] = set()

    def learn(self, listing: Listing) -> None:
        """Take in who is there."""
        with self._changed:
            there = {o.number: o for o in listing if o.number not in self._gone}
            self._owners = {n: self._owners.get(n) or _Known(o) for n, o in there.items()}
            for known in self._owners.values():
                # What was slow once may not be so now: it is tried again.
                known.taken_s *= FORGET
            self._changed.notify_all()

    def ask(self, question: Question) -> _Asked:
        """Send a question to whom it will be answered soonest."""
        return _Asked(self, question)

    def choose(self, stage: str) -> _Known:
        """The owner to ask next. Waits for one to come up; raises StageError when none does."""
        until = time.monotonic() + self._patience_s
        with self._changed:
            while not (there := [k for k in self._owners.values() if k.owner.stage == stage]):
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    raise StageError(f"no owner of its model for {self._patience_s:g} s", stage=stage)
            chosen = min(there, key=self._cost)
            chosen.outstanding += 1
            return chosen

    def lost(self, known: _Known) -> None:
        """An owner has died."""
        with self._changed:
            self._gone.add(known.owner.number)
            self._owners.pop(known.owner.number, None)

    def answered(self, known: _Known, taken_s: float) -> None:
        """An owner has answered, after so long."""
        with self._changed:
            known.outstanding -= 1
            known.taken_s = taken_s if not known.taken_s else 0.7 * known.taken_s + 0.3 * taken_s

    def _cost(self, known: _Known) -> tuple[float, int]:
        far = 1.0 if known.owner.node == self._node else ELSEWHERE
        return (known.outstanding + 1) * max(known.taken_s, 1e-3) * far, known.owner.number


@dataclass
class _Known:
    owner: Owner
    outstanding: int = 0
    taken_s: float = 0.0


@dataclass
class _Asked:
    owners: ClusterOwners
    question: Question
    known: _Known = field(init=False)

    def __post_init__(self) -> None:
        self._send()

    def _send(self) -> None:
        self.known = self.owners.choose(self.question.stage)
        self._began_s = time.monotonic()
        self._reference = self.known.owner.actor.ask.remote(self.question)

    def result(self) -> Served:
        for left in reversed(range(TRIES)):
            try:
                said = ray.get(self._reference)
            except ray.exceptions.RayError as error:
                self.owners.lost(self.known)
                if not left:
                    told = f"{TRIES} owners of its model died on these rows, or on {socket.gethostname()}'s way to them"
                    raise StageError(f"{told} ({_shortly(error)})", stage=self.question.stage) from error
                self._send()
                continue
            self.owners.answered(self.known, time.monotonic() - self._began_s)
            if isinstance(said, VidswapError):
                raise said
            return Served(writable(said.made), said.took, said.warnings)
        raise AssertionError("unreachable")
