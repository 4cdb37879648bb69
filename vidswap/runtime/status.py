"""How far the run of a job folder has come, from the folder alone: for those who look on, wherever they are."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidswap.graph import Pipeline, VidswapError
from vidswap.graph.specification import PipelineSpecification
from vidswap.storage import RemotePath, place

from .job import ERROR, LOCK, MARKER, read_marker
from .journal import JOURNAL, OUTPUT, lines_of
from .lease import DEAD_AFTER_S
from .timings import part_name


@dataclass
class JobStatus:
    """What a job folder tells.

    `state` is "running", "done" (the output was written) or "interrupted". `parts` are (name, segments done), of
    `segments` in all; ordered parts leave no trace and are not among them. `frames` are those of finished segments.
    `holder` is who runs it, `changed_s` how many seconds ago something was finished, `error` the last line of the last
    traceback.
    """

    folder: str
    state: str
    target: str
    output: str
    pipeline: str
    segments: int
    parts: list[tuple[str, int]]
    frames: int
    holder: str | None = None
    changed_s: float | None = None
    error: str | None = None
    skipped: list[int] = field(default_factory=list)


def job_status(folder: Path) -> JobStatus:
    """Read a job folder. Raises InputError for what is none."""
    marker = read_marker(folder)
    order, segments = marker["order"], marker["identity"].get("segments", [])
    entries = lines_of(folder / JOURNAL, reading=True).entries
    done: dict[int, set[int]] = {}
    for key in entries:
        part, _, segment = key.partition("/")
        if part.isdigit() and segment.isdigit():
            done.setdefault(int(part), set()).add(int(segment))
    parts, last = _parts(order, done)
    finished = [e for k, e in entries.items() if k.startswith(f"{last}/")]
    holder = _holder(folder)
    written = entries.get(OUTPUT)
    state = "running" if holder else "done" if written and place(order["output"]).exists() else "interrupted"
    return JobStatus(
        folder=str(folder),
        state=state,
        target=order["target"],
        output=order["output"],
        pipeline=order["pipeline"]["name"],
        segments=len(segments),
        parts=[(name, len(done.get(index, ()))) for index, name in parts],
        frames=sum(e.get("frames", 0) for e in finished),
        holder=holder,
        changed_s=_changed_s(folder),
        error=_error(folder),
        skipped=sorted(int(e["key"].partition("/")[2]) for e in finished if e.get("skipped")),
    )


def _parts(order: dict[str, Any], done: dict[int, set[int]]) -> tuple[list[tuple[int, str]], int]:
    """Index and name of the parts that leave a trace, and the index of the last; numbers where stages are not here."""
    try:
        parts = Pipeline(PipelineSpecification.checked(order["pipeline"], MARKER)).parts
    except VidswapError:
        last = max(done, default=0)
        return [(index, f"part {index}") for index in sorted(done)], last
    return [(p.index, part_name(parts, p.index)) for p in parts if not p.ordered], len(parts) - 1


def _holder(folder: Path) -> str | None:
    """Who has the folder's lock; looked up without taking it."""
    lock = folder / LOCK
    if isinstance(lock, RemotePath):
        with contextlib.suppress(OSError, ValueError, VidswapError):
            told, facts = json.loads(lock.read_bytes()), lock.facts()
            if facts is not None and time.time() - facts.mtime_s < DEAD_AFTER_S:
                return f"process {told.get('process')} on {told.get('host')}"
        return None
    try:
        found = lock.stat()
        where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if words[1:2] == ["FLOCK"] and where in words:
            return f"process {words[4]} on this machine"
    return None


def _changed_s(folder: Path) -> float | None:
    journal = folder / JOURNAL
    if isinstance(journal, RemotePath):
        noted = [found.mtime_s for name, found in journal.parent.listing().items() if name.startswith(JOURNAL)]
        return max(0.0, time.time() - max(noted)) if noted else None
    try:
        return max(0.0, time.time() - journal.stat().st_mtime)
    except OSError:
        return None


def _error(folder: Path) -> str | None:
    try:
        lines = (folder / ERROR).read_text().strip().splitlines()
    except (OSError, VidswapError):
        return None
    return lines[-1] if lines else None
