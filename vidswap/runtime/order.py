"""WorkOrder: all that a worker, in this process or another, must know to run any part on any segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidswap.graph import Segment

from .spans import Span


@dataclass(frozen=True)
class WorkOrder:
    """What is to be done, in small picklable data: a specification, paths and the index, never frames or models.

    `pipeline` is the plain data of a PipelineSpecification; `video` is the target's index; `sources` maps names to
    paths; `segments` is the cut; `folder` is the job folder; `threads` is per worker; `copies` says
    that stretches which nothing changes are left out of the encoded segments, because they will be copied;
    `stall_timeout_s` is how long a worker may be silent, `segment_timeout_s` how long it may take for one task, 0 for
    ever; `timed` asks for spans; `served` names the stages whose model somebody owns for all workers, on this machine
    the process that listens at `owner`.
    """

    pipeline: dict[str, Any]
    video: Any
    segments: tuple[Segment, ...]
    folder: Path
    sources: dict[str, Path] = field(default_factory=dict)
    source_face: str | None = None
    threads: int = 1
    device: str = "cpu"
    copies: bool = False
    stall_timeout_s: float = 0.0
    segment_timeout_s: float = 0.0
    timed: bool = False
    served: tuple[str, ...] = ()
    owner: str = ""

    def sidecar(self, part: int, segment: int) -> Path:
        """Where the columns of a part of a segment are stored."""
        return self.folder / f"{segment:06d}.part{part}.npz"

    def encoded(self, segment: int, extension: str) -> Path:
        """Where the encoded segment is stored."""
        return self.folder / f"{segment:06d}{extension}"

    def source_sidecar(self, name: str) -> Path:
        """Where the batch of a source is stored."""
        return self.folder / f"source.{name}.npz"


@dataclass(frozen=True)
class PartTask:
    """Run one part on one segment."""

    part: int
    segment: int

    @property
    def key(self) -> str:
        """Name in the journal."""
        return f"{self.part}/{self.segment}"


@dataclass(frozen=True)
class CopyTask(PartTask):
    """Encode a segment as it came in, in the place of a last part whose segment failed every time."""


@dataclass(frozen=True)
class SourceTask:
    """Send one source through its stages."""

    source: str

    @property
    def key(self) -> str:
        """Name in the journal."""
        return f"source/{self.source}"


Task = PartTask | SourceTask


@dataclass(frozen=True)
class Progress:
    """Told by a worker every few frames: frames that a part has taken through its stages, seconds by stage.

    `process` is the worker's, 0 for the driver's own, `node` its machine where that is not the driver's; `spans` are
    there when the order asks for them.
    """

    task: Task
    frames: int
    faces: int
    seconds: dict[str, float]
    spans: tuple[Span, ...] = ()
    process: int = 0
    node: str = ""


@dataclass(frozen=True)
class Done:
    """Told at the end of a task: the file (relative to the job folder) and what is worth noting about it.

    `process` is the worker's, 0 for the driver's own, `node` its machine where that is not the driver's; `memory_mb` is
    its peak so far, in MiB. The task began at `began_s` (seconds since 1970) and took `task_s`; `seconds` and `spans`
    are what no Progress has told.
    """

    task: Task
    file: str
    facts: dict[str, Any]
    warnings: tuple[str, ...] = ()
    process: int = 0
    memory_mb: float = 0.0
    node: str = ""
    began_s: float = 0.0
    task_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
