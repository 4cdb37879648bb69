"""Asking: rows of a served stage go to the owner of its model, and come back with what it gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vidswap.graph import Batch, Operator, Stage, StageError

from .blame import Blame
from .spans import Span, Stopwatch
from .store import Tables

CHUNKS_AHEAD = 2  # one with the owner, one on its way: more would only take memory


@dataclass(frozen=True)
class Question:
    """Rows of a served stage, as its `prepare` has left them; `for_source` says that they are of a source."""

    stage: str
    for_source: bool
    batch: Batch


@dataclass(frozen=True)
class Served:
    """The columns that the stage gives, row by row; what it took for them, and what it has to tell."""

    made: Batch
    took: Span
    warnings: tuple[str, ...] = ()


class Asked(Protocol):
    """A question on its way."""

    def result(self) -> Served:
        """Wait for the answer. Raises StageError as the stage does, or when no owner lives long enough."""
        ...


class Owners(Protocol):
    """Those who own the models of served stages."""

    def ask(self, question: Question) -> Asked:
        """Send a question. Raises StageError when no owner can be reached."""
        ...


class Asking:
    """The asking side of a segment worker: what it sends to `owners` for the stages `served`, and what comes back."""

    def __init__(self, served: Iterable[str], owners: Owners | None, watch: Stopwatch) -> None:
        self._served, self._owners, self._watch = frozenset(served), owners, watch
        self._warnings: list[str] = []

    def serves(self, stage: Stage) -> bool:
        """Whether an owner calls that stage."""
        return stage.name in self._served

    def ask(self, stage: Stage, operator: Operator[Any], batch: Batch, *, for_source: bool = False) -> Asked | None:
        """Send rows to an owner; None where there are none. `operator` prepares them, and is not set up."""
        if not len(batch):
            return None
        assert self._owners is not None
        with self._watch.timed(stage.name), Blame(stage, None, None):
            sent = operator.prepare(batch)
        return self._owners.ask(Question(stage.name, for_source, sent))

    def answer(self, stage: Stage, batch: Batch, asked: Asked | None, segment: int | None) -> Batch:
        """The rows with what the owner has made of them. Raises StageError."""
        if asked is None:
            return batch
        try:
            with self._watch.timed(stage.name, "wait"):
                served = asked.result()
        except StageError as error:
            where = {"stage": stage.name, "segment": segment, "frame": error.frame}
            raise StageError(error.reason, **where, detail=error.detail) from error  # type: ignore[arg-type]
        self._watch.add(served.took)
        self._warnings += served.warnings
        return batch.with_columns(**{name: served.made[name] for name in stage.operator.gives})

    def ahead(self, stage: Stage, operator: Operator[Any], chunks: Iterable[Tables], segment: int) -> Iterator[Tables]:
        """Take chunks of rows through a stage; while an owner has some of them, the next ones are made."""
        each = stage.operator.each
        sent: deque[tuple[Tables, Asked | None]] = deque()

        def received() -> Tables:
            tables, asked = sent.popleft()
            return {**tables, each: self.answer(stage, tables[each], asked, segment)}

        for tables in chunks:
            sent.append((tables, self.ask(stage, operator, tables[each])))
            if len(sent) > CHUNKS_AHEAD:
                yield received()
        while sent:
            yield received()

    def take_warnings(self) -> list[str]:
        """What owners have had to tell since the last call."""
        told, self._warnings = self._warnings, []
        return told
