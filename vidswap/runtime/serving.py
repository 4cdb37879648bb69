"""ModelOwner: one owner of the models of served stages, who calls them for all workers, several questions at a time."""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from vidswap.graph import Batch, StageError, VidswapError

from .asking import Question, Served
from .order import WorkOrder
from .worker import SegmentWorker

WAIT_S = 0.005


@dataclass
class _Waiting:
    question: Question
    answer: Future[Served]
    since_s: float

    @property
    def kind(self) -> tuple[object, ...]:
        """What must agree for rows to be called together."""
        batch = self.question.batch
        shapes = tuple((n, v.dtype.str, v.shape[1:]) for n, v in sorted(batch.to_dict().items()))
        return self.question.stage, self.question.for_source, shapes


class ModelOwner:
    """Answers questions in a thread of its own, the oldest first, with those of its kind up to the batch size.

    A question waits for company at most `wait_s`. Models are loaded when they are first asked for. `node` is the
    machine, where that is not the driver's.
    """

    def __init__(self, order: WorkOrder, *, wait_s: float = WAIT_S, node: str = "") -> None:
        self._worker = SegmentWorker(order, process=os.getpid(), node=node)
        self._sizes = {s.name: s.make().batch_size for s in self._worker.pipeline.stages}
        self._wait_s, self._closed = wait_s, False
        self._began_s: float | None = None
        self._asked: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting: deque[_Waiting] = deque()
        self._thread = threading.Thread(target=self._run, name="model-owner", daemon=True)
        self._thread.start()

    def ask(self, question: Question) -> Future[Served]:
        """Queue a question; its answer, or the StageError of its stage, comes with the future."""
        answer: Future[Served] = Future()
        self._asked.put(_Waiting(question, answer, time.monotonic()))
        return answer

    def busy_s(self) -> float:
        """For how long the same rows have been worked on, in seconds."""
        began_s = self._began_s
        return time.monotonic() - began_s if began_s is not None else 0.0

    def close(self) -> None:
        """Finish what is being called, and free the models."""
        self._asked.put(None)
        self._thread.join()
        self._worker.close()

    def _run(self) -> None:
        while self._listen(block=not self._waiting):
            while self._waiting:
                if not self._listen(block=False):
                    return
                together = self._company()
                if together is not None:
                    self._began_s = time.monotonic()
                    self._answer(together)
                    self._began_s = None

    def _listen(self, *, block: bool, timeout_s: float | None = None) -> bool:
        """Take what has been asked; False when no more will be."""
        if self._closed:
            return False
        try:
            asked = self._asked.get(block, timeout_s)
            while True:
                if asked is None:
                    self._closed = True
                    return False
                self._waiting.append(asked)
                asked = self._asked.get_nowait()
        except queue.Empty:
            return True

    def _company(self) -> list[_Waiting] | None:
        """The questions to answer next, or None when it is better to listen once more."""
        first = self._waiting[0]
        kind, size = first.kind, self._sizes[first.question.stage]
        together, rows = [], 0
        for waiting in self._waiting:
            if waiting.kind == kind and (not rows or rows + len(waiting.question.batch) <= size):
                together.append(waiting)
                rows += len(waiting.question.batch)
        left_s = first.since_s + self._wait_s - time.monotonic()
        if rows < size and left_s > 0:
            before = len(self._waiting)
            if self._listen(block=True, timeout_s=left_s) and len(self._waiting) > before:
                return None
        for waiting in together:
            self._waiting.remove(waiting)
        return together

    def _answer(self, together: list[_Waiting]) -> None:
        try:
            batch = Batch.concat([w.question.batch for w in together])
            served = self._worker.serve(replace(together[0].question, batch=batch))
        except Exception as error:
            if len(together) > 1:
                # Each alone, so that the one at fault is known.
                for waiting in together:
                    self._answer([waiting])
                return
            together[0].answer.set_exception(_told(error, together[0].question.stage))
            return
        self._listen(block=False)
        queued = sum(len(w.question.batch) for w in self._waiting)
        begin = 0
        for waiting in together:
            rows = len(waiting.question.batch)
            made = served.made.take(np.arange(begin, begin + rows))
            # As if they had been called one after another.
            each_s = served.took.seconds / len(batch)
            took = served.took._replace(
                began_s=served.took.began_s + begin * each_s, seconds=rows * each_s, waiting=queued
            )
            waiting.answer.set_result(Served(made, took, served.warnings if begin == 0 else ()))
            begin += rows


def _told(error: Exception, stage: str) -> VidswapError:
    """An error that goes from process to process."""
    if isinstance(error, StageError):
        return error
    told = str(error) if isinstance(error, VidswapError) else f"{type(error).__name__}: {error}"
    return StageError(told, stage=stage, detail=traceback.format_exc())
