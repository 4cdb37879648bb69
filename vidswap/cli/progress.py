"""Live progress in the terminal: one line per stage with frames, frames per second and time left."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vidswap.graph import Pipeline
from vidswap.runtime.order import Done, PartTask
from vidswap.runtime.order import Progress as Step
from vidswap.runtime.report import Event, Lost, Started
from vidswap.storage.fetching import telling_of_fetching


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "frames")
        return Text("" if speed is None else f"{speed:6.1f} {unit}/s", style="progress.data.speed")


@contextlib.contextmanager
def counted(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """One line for work on frames; what it yields is called with their number done and in all."""
    with _bars(shown) as bars:
        row = bars.add_task(what, total=0)
        yield lambda done, total: bars.update(row, completed=done, total=total)


def _bars(shown: bool = True) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:>6.0f}/{task.total:.0f}"),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
        transient=True,
        speed_estimate_period=20,
    )


def progress_of(pipeline: Pipeline) -> StageProgress | LineProgress:
    """What tells of a run's progress: bars on a terminal; lines where $VIDSWAP_PROGRESS_EVERY_S asks for them."""
    every_s = os.environ.get("VIDSWAP_PROGRESS_EVERY_S", "")
    if every_s.replace(".", "", 1).isdigit() and not sys.stderr.isatty():
        return LineProgress(pipeline, float(every_s))
    return StageProgress(pipeline)


class LineProgress:
    """A listener for runs whose output is a log: now and then a line on stderr, with what all workers have done."""

    def __init__(self, pipeline: Pipeline, every_s: float) -> None:
        self._last, self._every_s = len(pipeline.parts) - 1, every_s
        self._total = self._done = self._before = self._lost = 0
        self._open: dict[int, int] = {}
        self._workers: set[tuple[str, int]] = set()
        self._began_s = self._told_s = time.monotonic()

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, Started):
            self._total = event.video.frame_count
            self._done = self._before = event.done.get(self._last, 0)
            self._began_s = self._told_s = time.monotonic()
        elif isinstance(event, (Step, Done)):
            self._workers |= {(event.node, event.process)} if event.process else set()
            if isinstance(event.task, PartTask) and event.task.part == self._last:
                self._count(event, event.task.segment)
        elif isinstance(event, Lost):
            self._lost += 1
            if isinstance(event.task, PartTask) and event.task.part == self._last:
                self._done -= self._open.pop(event.task.segment, 0)
        if time.monotonic() - self._told_s >= self._every_s:
            self._told_s = time.monotonic()
            sys.stderr.write(f"{self.line()}\n")
            sys.stderr.flush()

    def line(self) -> str:
        """How far the run is."""
        share = 100 * self._done / self._total if self._total else 100.0
        speed = (self._done - self._before) / max(1e-9, time.monotonic() - self._began_s)
        nodes = len({node for node, _ in self._workers})
        told = f"{self._done}/{self._total} frames ({share:.1f} %), {speed:.1f} frames/s"
        told += f", {len(self._workers)} workers on {nodes} node{'s' if nodes != 1 else ''}" if self._workers else ""
        told += f", {self._lost} lost and tried again" if self._lost else ""
        left = round((self._total - self._done) / speed) if speed > 0 else 0
        told += f", {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left" if left else ""
        return f"{time.strftime('%H:%M:%S')} {told}"

    def _count(self, event: Step | Done, segment: int) -> None:
        counted = self._open.get(segment, 0)
        if isinstance(event, Step):
            self._open[segment] = counted + event.frames
            self._done += event.frames
        else:
            self._done += max(0, event.facts.get("frames", counted) - counted)
            self._open.pop(segment, None)


class StageProgress:
    """A listener for runs; use as a context manager. Draws on stderr, and nothing where that is no terminal."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._bars = _bars()
        self._rows: dict[str, Any] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._fetching = telling_of_fetching(self._fetched)

    def __enter__(self) -> StageProgress:
        self._bars.start()
        self._fetching.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fetching.__exit__(kind, error, trace)
        self._bars.stop()

    def _fetched(self, name: str, have: int, size: int) -> None:
        row = f"fetch {name}"
        if row not in self._rows:
            self._rows[row] = self._bars.add_task(row, total=size / 1e6, unit="MB")
        self._bars.update(self._rows[row], completed=have / 1e6)
        if have >= size:
            self._bars.remove_task(self._rows.pop(row))

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, Started):
            for name in event.stages:
                self._rows[name] = self._bars.add_task(name, total=event.video.frame_count)
            for part, frames in event.done.items():
                self._advance(part, frames)
        elif isinstance(event, Step) and isinstance(event.task, PartTask):
            key = (event.task.part, event.task.segment)
            self._seen[key] = self._seen.get(key, 0) + event.frames
            self._advance(event.task.part, event.frames)
        elif isinstance(event, Done) and isinstance(event.task, PartTask):
            # Parts on columns alone report no steps: their frames are counted when the segment is done.
            key = (event.task.part, event.task.segment)
            done = event.facts.get("frames", self._seen.get(key, 0))
            self._advance(event.task.part, max(0, done - self._seen.pop(key, 0)))
        elif isinstance(event, Lost) and isinstance(event.task, PartTask):
            self._advance(event.task.part, -self._seen.pop((event.task.part, event.task.segment), 0))

    def _advance(self, part: int, frames: int) -> None:
        reads = self._pipeline.parts[part].reads
        names = [s.name for s in self._pipeline.parts[part].stages]
        if reads and part == max(p.index for p in self._pipeline.parts if p.reads):
            names.append(self._pipeline.decoder.name)
        for name in names:
            if name in self._rows:
                self._bars.advance(self._rows[name], frames)
