"""The ordered stages of a run: small scans over stored columns, segment by segment, in one process."""

from __future__ import annotations

import traceback
from typing import Any

from vidswap.graph import Batch, Operator, Part, Setting, Stage, StageError, VidswapError, set_up

from .blame import contract_broken
from .order import PartTask, WorkOrder
from .store import Tables, load_tables, save_tables
from .tables import frames_of, stored


class Scans:
    """Runs ordered parts; holds, by stage, the operator and what the segments before left."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order
        self._operators: dict[str, Operator[Any]] = {}
        self._carries: dict[str, Any] = {}

    def run(self, part: Part, task: PartTask) -> Tables:
        """Run the part on one segment, store what it gives, and return that. Segments come in order."""
        (stage,) = part.stages
        order = self.order
        if task.part:
            tables = load_tables(order.sidecar(task.part - 1, task.segment))
        else:
            tables = {"frame": frames_of(order.video, order.segments[task.segment]), "face": Batch()}
        operator = self._operator(stage, task)
        given = tables[operator.each]
        if len(given):
            try:
                result, carry = operator.scan(given, self._carries.get(stage.name))
            except VidswapError:
                raise
            except Exception as error:
                raise _stage_error(error, stage, task) from error
            problem = contract_broken(operator, given, result)
            if problem:
                raise StageError(problem, stage=stage.name, segment=task.segment)
            self._carries[stage.name] = carry
            tables = {**tables, operator.each: result}
        kept = {t: stored(b, part.stores) for t, b in tables.items()}
        save_tables(order.sidecar(task.part, task.segment), kept)
        return kept

    def close(self) -> None:
        """Tear down the operators."""
        for operator in self._operators.values():
            operator.teardown()
        self._operators.clear()

    def _operator(self, stage: Stage, task: PartTask) -> Operator[Any]:
        if stage.name not in self._operators:
            operator = stage.make()
            try:
                set_up(operator, Setting(video=self.order.video))
            except VidswapError:
                raise
            except Exception as error:
                raise _stage_error(error, stage, task) from error
            self._operators[stage.name] = operator
        return self._operators[stage.name]


def _stage_error(error: Exception, stage: Stage, task: PartTask) -> StageError:
    reason = f"{type(error).__name__}: {error}"
    return StageError(reason, stage=stage.name, segment=task.segment, detail=traceback.format_exc())
