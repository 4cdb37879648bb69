"""Whose fault it was: exceptions of stages become errors that name stage, segment and frame."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np

from vidswap.graph import Batch, InputError, Operator, Stage, StageError, VidswapError
from vidswap.graph.columns import STANDARD_COLUMNS
from vidswap.storage import StorageError

from .order import PartTask, SourceTask
from .store import DISK_FULL, trouble


class Blame:
    """Turns exceptions into a StageError that says where.

    Input was checked before any work. What a segment finds wrong with it later, a file that is gone or a full disk, is
    a failure of the run and no reason to forget what is done; so even an InputError becomes one there.
    """

    def __init__(self, stage: Stage, segment: int | None, frame: int | None) -> None:
        self._stage, self._segment, self._frame = stage, segment, frame

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, (StageError, StorageError, MemoryError)):
            return
        if isinstance(error, VidswapError):
            if self._segment is not None:
                raise StageError(
                    str(error), stage=self._stage.name, segment=self._segment, frame=self._frame
                ) from error
            return
        raise stage_error(error, self._stage, self._segment, self._frame) from error


def failure(error: Exception, task: PartTask | SourceTask) -> VidswapError:
    """What a task's exception is told as: one of the engine's own classes, which go from process to process."""
    segment = task.segment if isinstance(task, PartTask) else None
    if isinstance(error, VidswapError) and type(error) in (StageError, InputError, VidswapError, StorageError):
        return error
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return VidswapError(trouble(error))
    if isinstance(error, VidswapError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = "out of memory; give fewer --workers"
    elif isinstance(error, OSError):
        reason = trouble(error)
    else:
        reason = f"{type(error).__name__}: {error}"
    return StageError(reason, stage="engine", segment=segment, detail=traceback.format_exc())


def stage_error(error: Exception, stage: Stage, segment: int | None, frame: int | None) -> StageError:
    """An exception of an operator as one line, with its traceback as detail."""
    told = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {told[0]}" if told else type(error).__name__
    return StageError(reason, stage=stage.name, segment=segment, frame=frame, detail=traceback.format_exc())


def failing_frame(operator: Operator[Any], batch: Batch) -> int | None:
    """The first frame whose rows alone make the operator fail, or the first of the batch when none does alone."""
    frames = np.unique(batch["frame"])
    if operator.context or len(frames) == 1:
        return int(frames[0]) if len(frames) == 1 else None
    for frame in frames:
        try:
            operator(batch.take(batch["frame"] == frame))
        except Exception:
            # The failure that brought us here, once more: now it is known by its frame.
            return int(frame)
    return int(frames[0])


def contract_broken(operator: Operator[Any], given: Batch, result: object) -> str | None:
    """How a result breaks the contract of its operator, in one line for the author of the stage, or None."""
    name = type(operator).__name__
    if not isinstance(result, Batch):
        return f"{name} must return a Batch, got {type(result).__name__}"
    if operator.yields is None and operator.each == "frame" and len(result) != len(given):
        return f"{name} was given {len(given)} frames and returned {len(result)}; frames are never added or dropped"
    if not len(result):
        return None
    for column in ("frame", *operator.gives):
        if column not in result:
            return f"{name} declares that it gives {column!r}, but its batch has {', '.join(result.names)}"
        known = STANDARD_COLUMNS.get(column)
        problem = known.check(result[column]) if known else None
        if problem:
            return f"{name}: {problem}"
    return None
