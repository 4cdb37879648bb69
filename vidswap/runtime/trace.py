"""A run as a timeline in Chrome's trace format, for https://ui.perfetto.dev and chrome://tracing.

One process for each machine, one row for each worker and each owner of models: tasks, and in them the stages; what
waits for a worker; the driver's scans; lost tasks as instants; tasks in flight as a counter. Events are written as they
come, so that nothing grows with the video.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any, TextIO

from vidswap.graph import Part

from .order import Done, PartTask, Task
from .report import Event, Given, Lost, Started
from .spans import Span
from .timings import task_name

DRIVER = ("", 0)
Row = tuple[str, int]


class ChromeTrace:
    """A listener that writes a trace into an open file; `complete` ends it."""

    def __init__(self, file: TextIO, parts: Sequence[Part], title: str) -> None:
        self._file, self._parts = file, parts
        self._rows: dict[Row, dict[str, int]] = {}
        self._heard: dict[Task, Row] = {}
        self._given: dict[Task, float] = {}
        head = json.dumps({"title": title})
        self._file.write(f'{{"displayTimeUnit":"ms","otherData":{head},"traceEvents":[\n')
        self._first = True

    def __call__(self, event: Event) -> None:
        """Write what an event of the run says."""
        if isinstance(event, Started):
            self._row(DRIVER)
        elif isinstance(event, Given):
            self._given[event.task] = event.at_s
            self._in_flight(event.at_s)
        elif isinstance(event, Lost):
            self._lost(event)
        else:
            row = self._row((event.node, event.process))
            if event.task in self._given:
                self._heard[event.task] = (event.node, event.process)
            for made in event.spans:
                self._stage(made, self._owner(made) if made.owner else row, event.task)
            if isinstance(event, Done):
                self._done(event, row)

    def complete(self) -> None:
        """Write what must be at the end; the file stays open."""
        self._file.write("\n]}\n")

    def _stage(self, made: Span, row: dict[str, int], task: Task) -> None:
        name = made.stage if made.what in ("run", "source", "served") else f"{made.stage}: {made.what}"
        given: dict[str, Any] = {"memory_mb": made.memory_mb, **({"gpu_mb": made.gpu_mb} if made.gpu_mb else {})}
        given |= {"rows_together": made.rows} if made.rows else {}
        if isinstance(task, PartTask):
            given["segment"] = task.segment
        self._complete(name, made.what, made.began_s, made.seconds, row, given)

    def _done(self, done: Done, row: dict[str, int]) -> None:
        name = task_name(done.task, self._parts)
        self._complete(name, "task", done.began_s, done.task_s, row, {**done.facts, "memory_mb": done.memory_mb})
        given_s = self._given.pop(done.task, None)
        if given_s is not None:
            for phase, at_s in (("b", given_s), ("e", max(given_s, done.began_s))):
                self._write(
                    {"name": "waits for a worker", "cat": "queue", "ph": phase, "id": done.task.key, "ts": _us(at_s)}
                    | self._row(DRIVER)
                )
            self._in_flight(time.time())
        self._heard.pop(done.task, None)

    def _lost(self, lost: Lost) -> None:
        now_s = time.time()
        row = self._row(self._heard.pop(lost.task, DRIVER))
        name = f"lost: {task_name(lost.task, self._parts)}"
        told = {"name": name, "cat": "retry", "ph": "i", "s": "t", "ts": _us(now_s), "args": {"why": lost.reason}}
        self._write(told | row)
        self._given.pop(lost.task, None)
        self._in_flight(now_s)

    def _in_flight(self, at_s: float) -> None:
        row = self._row(DRIVER)
        self._write({"name": "tasks in flight", "ph": "C", "ts": _us(at_s), "args": {"tasks": len(self._given)}} | row)

    def _complete(
        self, name: str, category: str, began_s: float, seconds: float, row: dict[str, int], given: dict[str, Any]
    ) -> None:
        times = {"ts": _us(began_s), "dur": round(1e6 * seconds, 1)}
        self._write({"name": name, "cat": category, "ph": "X", **times, **row, "args": given})

    def _owner(self, made: Span) -> dict[str, int]:
        """The row of an owner of models."""
        node, _, process = made.owner.rpartition("/")
        return self._row((node, int(process)), "owner of models")

    def _row(self, row: Row, what: str = "worker") -> dict[str, int]:
        """Numbers of the machine and of the process; both are named when they are seen first."""
        known = self._rows.get(row)
        if known is None:
            node, process = row
            machines = list(dict.fromkeys(n for n, _ in self._rows))
            machine = machines.index(node) if node in machines else len(machines)
            known = self._rows[row] = {"pid": machine + 1, "tid": process or os.getpid()}
            if node not in machines:
                self._name("process_name", node or "this machine", known)
            self._name("thread_name", f"{what} {process}" if process else "driver", known)
            self._write({"name": "thread_sort_index", "ph": "M", "args": {"sort_index": len(self._rows)}} | known)
        return known

    def _name(self, what: str, name: str, row: dict[str, int]) -> None:
        self._write({"name": what, "ph": "M", "args": {"name": name}} | row)

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(("" if self._first else ",\n") + json.dumps(event, default=str))
        self._first = False


def _us(at_s: float) -> float:
    """Microseconds, to a tenth."""
    return round(at_s * 1e6, 1)
