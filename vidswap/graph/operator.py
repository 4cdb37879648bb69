"""Operator: the one class that a stage is made of. This is the page that the author of a stage reads.

A stage names what it needs and gives, loads its model in `setup`, and turns a batch into a batch in `__call__`. It
knows nothing of processes, clusters, files of the job or other stages. The smallest one:

    class Grayscale(Operator[NoOptions]):
        kind, each = "blend", "frame"
        needs, gives = ("picture",), ("picture",)

        def __call__(self, batch):
            for picture in batch["picture"]:
                picture.planes[1][:] = picture.planes[2][:] = 128
            return batch

What the engine promises: `setup` is called once in the process that will call the operator, `teardown` once at the end,
also after a failed `setup`. Batches come in presentation order, with all columns in `needs`, and with a row per face or
per frame as `each` says. An operator is not called for a batch without rows. Frames (`picture`) are there only where
`needs` names them; they stay in the worker that decoded them.

What the engine asks: the result depends on the rows alone, not on how many came together or on what came before, so
that segments of any length give the same frames. An operator that looks at neighbouring frames says how far
(`context`), gets those neighbours' rows beside its own, and returns what it likes of them: the engine keeps the rows of
its own frames. Where it `uses` the column `own`, that tells which rows those are, so that it need not work on others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from .batch import Batch

Kind = Literal["decode", "detect", "align", "parse", "invert", "map", "smooth", "generate", "blend", "encode"]
Row = Literal["frame", "face"]


class Options(BaseModel):
    """Base of the options of an operator: unknown keys and wrong types are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NoOptions(Options):
    """For operators without options."""


@dataclass(frozen=True)
class Resources:
    """What one copy of an operator takes: CPU cores, GPUs (fractions are shares of one), GPU memory in GiB."""

    cpus: float = 1.0
    gpus: float = 0.0
    gpu_memory_gib: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What an operator is told in `setup`.

    `sources` holds one batch per bound source (`--source`), with the columns that the operator's `needs_source` names;
    `video` is the index of the target (vidswap.media.VideoIndex; None while a source is prepared); `threads` is the
    number of threads that a model may use; `device` is "cpu", a torch device, or "auto": CUDA where there is one.
    """

    sources: Mapping[str, Batch] = field(default_factory=dict)
    video: Any = None
    threads: int = 1
    device: str = "cpu"

    def people(self, name: str = "source") -> list[Batch]:
        """One batch per person bound under a source's name, in order; its rows are the person's pictures."""
        found: dict[int, list[tuple[int, Batch]]] = {}
        for bound, batch in self.sources.items():
            if (place := person_and_picture(bound, name)) is not None:
                found.setdefault(place[0], []).append((place[1], batch))
        return [Batch.concat([b for _, b in sorted(found[n], key=lambda item: item[0])]) for n in sorted(found)]


def person_and_picture(bound: str, name: str) -> tuple[int, int] | None:
    """Which person and which picture of that person a bound name stands for, from 1; None for another source.

    >>> person_and_picture("source", "source"), person_and_picture("source3.2", "source")
    ((1, 1), (3, 2))
    """
    match = re.fullmatch(rf"{re.escape(name)}([1-9]\d*)?(?:\.([1-9]\d*))?", bound)
    return (int(match[1] or 1), int(match[2] or 1)) if match else None


OptionsT = TypeVar("OptionsT", bound=Options)


class Operator(Generic[OptionsT]):
    """Base of all stages. Subclass it, declare, implement `__call__`; wrong declarations fail when the class is made.

    Class attributes:
        kind: which of the ten kinds of stage this is.
        each: what a row of the batch given to it stands for, a frame or a face.
        yields: what a row of the batch returned stands for; only detectors turn frames into faces.
        needs: columns that must be there.
        uses: columns that it reads where they are there and does without where they are not.
        gives: columns that it adds or replaces.
        needs_source: columns that it reads of the source's batch, in `setup`.
        context: how many frames before and after its own it looks at. 0 for functions of the frame.
        ordered: True for a scan: the engine calls `scan` segment by segment, in order, in one process. For joining
            tracks and the like, on small columns alone; never for work on pixels.
        served: True for networks that are large, or run on a GPU: the engine may have one owner of the model call the
            operator for all workers, with rows of several segments together. Only what `prepare` returns travels there
            and only the columns in `gives` travel back, so it takes no pictures and returns the rows that it is given.
        batch_size: rows that it likes to get at once.
        resources: what a copy of it takes.
        Options: its pydantic options model.
    """

    kind: ClassVar[Kind]
    each: ClassVar[Row] = "face"
    yields: ClassVar[Row | None] = None
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]] = ()
    needs_source: ClassVar[tuple[str, ...]] = ()
    context: int = 0
    ordered: ClassVar[bool] = False
    served: ClassVar[bool] = False
    batch_size: int = 8
    resources: Resources = Resources()
    Options: ClassVar[type[Options]] = NoOptions

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls) and cls.kind not in get_args(Kind):
            raise TypeError(f"{cls.__name__}.kind is {cls.kind!r}; it must be one of {', '.join(get_args(Kind))}")
        for name in ("needs", "uses", "gives", "needs_source"):
            if isinstance(getattr(cls, name), str):
                raise TypeError(f"{cls.__name__}.{name} is a string; write a tuple: ({getattr(cls, name)!r},)")
        if cls.each not in get_args(Row):
            raise TypeError(f"{cls.__name__}.each is {cls.each!r}; it must be 'frame' or 'face'")
        if cls.ordered and "picture" in cls.needs:
            raise TypeError(f"{cls.__name__} is ordered and needs pictures; a scan works on small columns alone")

        if cls.served and (cls.ordered or cls.yields is not None or "picture" in cls.gives or cls.context):
            raise TypeError(
                f"{cls.__name__} is served: it works on rows alone and returns them, without context or scan"
            )

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @classmethod
    def preload(cls) -> None:
        """Import what `setup` and `__call__` import late, where that costs time.

        Called in a process that is then copied, so that it is done once for all workers: no thread may be started here,
        no file left open, no device touched. Need not do anything; what it leaves undone is done later.
        """

    def files(self) -> Sequence[Path]:
        """Files beside the sources that decide the result; a job knows them by their content."""
        return ()

    def ready(self, device: str | None, sizes: dict[str, tuple[int, ...]]) -> None:
        """Look, before any work, for what `setup` will need: weights, a device. Raises InputError, one line.

        `device` is the run's, None where the work is done on other machines; `sizes` holds the shapes of rows that
        stages before this one have fixed, by column: hold them against what is needed, and add those that this stage
        fixes.
        """

    def take_warnings(self) -> Sequence[str]:
        """What the user should know of the work since the last call; asked for after every piece of work."""
        return ()

    def canvas(self, video: Any) -> Any:
        """The index of what is written, from that of what comes in: another where pictures are replaced by others.

        Frame count and timestamps stay. Called before any work, and again in each worker.
        """
        return video

    def setup(self, setting: Setting) -> None:
        """Load models and precompute. Called once in the process that will call this operator."""

    def prepare(self, batch: Batch) -> Batch:
        """For a `served` operator: what `__call__` is given of these rows, small, and without pictures.

        Called where the frames are, on an operator that is not set up. By default the columns that it needs and uses;
        one that samples pictures does it here, and adds what it has sampled as a column.
        """
        wanted = ("frame", *self.needs, *self.uses)
        return Batch({n: v for n, v in batch.to_dict().items() if n in wanted and n != "picture"})

    def __call__(self, batch: Batch) -> Batch:
        """Turn a batch into a batch. Rows come and go in presentation order."""
        raise NotImplementedError(f"{type(self).__name__} implements neither __call__ nor scan")

    def scan(self, batch: Batch, carry: Any) -> tuple[Batch, Any]:
        """For `ordered` operators: one segment's rows and what the segment before left (None at first)."""
        raise NotImplementedError(f"{type(self).__name__} is ordered and must implement scan")

    def teardown(self) -> None:
        """Free what `setup` took; must bear a `setup` that failed half-way."""


def set_up(operator: Operator[Any], setting: Setting) -> None:
    """Call `setup`. One that fails is torn down, so that nothing of half an operator stays; what it raised is raised.

    Whoever keeps operators keeps them after this: the next task then hears the same reason again.
    """
    try:
        operator.setup(setting)
    except BaseException:
        with contextlib.suppress(Exception):
            operator.teardown()
        raise
