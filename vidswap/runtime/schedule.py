"""Schedule: which task may run next. Pure bookkeeping; knows no process, no file and no clock.

A part of a segment may run when the part before it is done on all segments within its context, an ordered one also when
the segment before it is. Later parts come first, so that segments are finished as a wave, not after a barrier; the
analysis may be only a bounded number of segments ahead of what is finished, so that nothing grows with the video. It
keeps some segments ahead, too: workers that all composite would all need an analysis at the same time, and meanwhile
leave a GPU that serves compositing without work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vidswap.graph import Part, Segment, halo

from .lanes import Lanes
from .order import PartTask, SourceTask, Task


class Schedule:
    """The tasks of one run.

    `window` is how many unfinished segments may be in flight, beside those that the contexts need. One that takes long
    counts as one of them, and does not hold the others back. The first part shall have taken `ahead` segments more than
    the last one. Where workers are told apart, each takes what its decoder is nearest to (`lanes`).
    """

    def __init__(
        self,
        parts: Sequence[Part],
        segments: Sequence[Segment],
        sources: Iterable[str] = (),
        window: int = 4,
        ahead: int = 0,
    ) -> None:
        self.parts, self.segments = parts, segments
        self.ahead, self.lanes = ahead, Lanes(segments)
        self._sources_left = {SourceTask(s) for s in sources}
        self._sources_pending = sorted(self._sources_left, key=lambda t: t.source)
        self._reach = sum(_segments_ahead(segments, part.context) for part in parts)
        self.window = window + self._reach
        self._done: list[set[int]] = [set() for _ in parts]
        self._taken: list[set[int]] = [set() for _ in parts]
        # Segments below `_stop` may be worked on; `_open` of them are unfinished.
        self._stop = self._open = 0
        # Below this segment everything of a part has been taken or done: keeps the search for the next task short.
        self._floor = [0 for _ in parts]

    @property
    def finished(self) -> bool:
        """Whether all is done."""
        return not self._sources_left and all(len(done) == len(self.segments) for done in self._done)

    def widen(self, window: int, ahead: int = 0) -> None:
        """Let so many unfinished segments be in flight, beside those that the contexts need, if that is more."""
        self.window = max(self.window, window + self._reach)
        self.ahead = max(self.ahead, ahead)

    def next(self, seat: int | None = None) -> Task | None:
        """Take the next task that may run, or None when none may at present; `seat` is the worker that will run it."""
        if self._sources_pending:
            return self._sources_pending.pop(0)
        short = len(self._taken[0]) - len(self._taken[-1]) < self.ahead
        parts = (*self.parts[: int(short)], *reversed(self.parts))
        choice = self._first(parts) if seat is None else self._nearest(seat, parts)
        if choice is None:
            return None
        part, segment = choice
        self._taken[part.index].add(segment)
        if seat is not None and part.reads:
            self.lanes.note(seat, segment)
        return PartTask(part.index, segment)

    def finish(self, task: Task) -> None:
        """Note that a task is done (taken before or, on resume, not)."""
        if isinstance(task, SourceTask):
            self._sources_left.discard(task)
            if task in self._sources_pending:
                self._sources_pending.remove(task)
            return
        self._taken[task.part].add(task.segment)
        done = self._done[task.part]
        if task.part == len(self.parts) - 1 and task.segment < self._stop and task.segment not in done:
            self._open -= 1
        done.add(task.segment)

    def put_back(self, task: Task) -> None:
        """Note that a task that was taken has failed and may be tried again."""
        if isinstance(task, SourceTask):
            self._sources_pending.append(task)
            return
        self._taken[task.part].discard(task.segment)
        self._floor[task.part] = min(self._floor[task.part], task.segment)

    def _first(self, parts: Sequence[Part]) -> tuple[Part, int] | None:
        return next(((part, segment) for part in parts for segment in self._ready_of(part)), None)

    def _nearest(self, seat: int, parts: Sequence[Part]) -> tuple[Part, int] | None:
        """The part and segment to which the worker's decoder comes soonest; the first of several that are as near.

        Parts that read no video come before: they cost little, and others wait for them.
        """
        found: tuple[Part, int] | None = None
        least = 0
        for part in sorted(parts, key=lambda p: p.reads):
            for segment in self._ready_of(part):
                skipped = self.lanes.skipped(seat, segment) if part.reads else 0
                if found is None or skipped < least:
                    found, least = (part, segment), skipped
                if not least:
                    return found
        return found

    def _ready_of(self, part: Part) -> Iterator[int]:
        """Segments of which a part may run, ascending."""
        if part.needs_sources and self._sources_left:
            return
        taken = self._taken[part.index]
        while self._floor[part.index] in taken:
            self._floor[part.index] += 1
        while self._open < self.window and self._stop < len(self.segments):
            self._open += self._stop not in self._done[-1]
            self._stop += 1
        for segment in range(self._floor[part.index], self._stop):
            if segment not in taken and self._ready(part, segment):
                yield segment
            if part.ordered and segment not in taken:
                return

    def _ready(self, part: Part, segment: int) -> bool:
        if part.ordered and segment > 0 and segment - 1 not in self._done[part.index]:
            return False
        if part.index == 0:
            return True
        before = self._done[part.index - 1]
        return all(s in before for s in halo(self.segments, segment, part.context))


def _segments_ahead(segments: Sequence[Segment], context: int) -> int:
    """How many segments beyond its own a context reaches at most, near enough: the shortest inner segment decides."""
    if not context:
        return 0
    inner = [s.frames for s in segments[:-1]] or [context]
    return -(-context // min(inner)) + 1
