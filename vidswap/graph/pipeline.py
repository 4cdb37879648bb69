"""Pipeline: stages in order, checked before anything starts, split into the parts that the engine runs.

A part is a stretch of stages that one worker can run on one segment without waiting. A new part starts at every stage
that needs other segments: one with `context` (its neighbours' columns) or an `ordered` one (what the segment before
left). Pixels are read once in every part with a stage that needs `picture`: for a swap that is once for analysis and
once for compositing. Nothing of this is written in YAML: it follows from what the operators declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .columns import STANDARD_COLUMNS
from .errors import InputError
from .operator import Operator, person_and_picture
from .registry import find_operator, find_pipeline, nearest, operator_names
from .specification import PipelineSpecification, SourceSpecification, explain, load_specification

FRAME_COLUMNS = ("frame", "pts", "picture")


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline: its name in the YAML, its operator class and its checked options."""

    name: str
    use: str
    operator: type[Operator[Any]]
    options: Any

    def make(self) -> Operator[Any]:
        """A new operator with this stage's options."""
        return self.operator(self.options)


@dataclass(frozen=True)
class Part:
    """Consecutive stages that run on one segment without waiting for another.

    `context` is that of its first stage, in frames; `ordered` says that it is a scan; `reads` that it decodes the
    video; `stores` names the columns, of faces and of frames, that later parts need.
    """

    index: int
    stages: tuple[Stage, ...]
    context: int
    ordered: bool
    reads: bool
    stores: tuple[str, ...]

    @property
    def needs_sources(self) -> bool:
        """Whether a stage of this part asks for a source's batch."""
        return any(s.operator.needs_source for s in self.stages)


class Pipeline:
    """A checked pipeline.

    Attributes:
        name, about: from the YAML.
        stages: all stages, in the order in which they run; first the decoder, last the encoder.
        parts: the parts that run on the target's segments; source-only stages are not among them.
        source_stages: the stages that a source goes through once.
        sources: name to declaration of the sources to be bound.
    """

    def __init__(self, specification: PipelineSpecification) -> None:
        self.specification = specification
        self.name, self.about = specification.name, specification.about
        self.sources: Mapping[str, SourceSpecification] = specification.sources
        self.stages = tuple(_make_stage(s.name, s.use, s.options) for s in specification.ordered_stages())
        _check_ends(self.stages)
        self.source_stages = _source_stages(self.stages)
        target_stages = _target_stages(self.stages, self.source_stages)
        _check_columns(target_stages, self.source_stages, self.sources)
        self.parts = _split(target_stages)
        _check_transient(self.parts)

    @classmethod
    def from_yaml(cls, name: str | Path, overrides: Iterable[str] = ()) -> Pipeline:
        """Load a pipeline by path, or by the name of an installed one, with `stage.option=value` overrides.

        Raises InputError with one line for anything that is wrong with the file, the names or the options.
        """
        return cls(load_specification(find_pipeline(name), overrides))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Pipeline:
        """Make a pipeline from plain dicts and lists of the same form as the YAML. Raises InputError."""
        return cls(PipelineSpecification.checked(mapping, "pipeline"))

    def stages_of_source(self, bound: str) -> tuple[Stage, ...]:
        """The stages that the source bound under this name goes through: `source_stages`, or those it declares."""
        declared = self._declared(bound)
        if declared is None or declared.columns is None:
            return self.source_stages
        return _source_stages(self.stages, declared.columns)

    def followed_face(self, bound: str) -> str | None:
        """Which face is taken of a source that is the target once more; None for any other source."""
        declared = self._declared(bound)
        if declared is None or declared.face is None:
            return None
        chosen = [s.options.face for s in self.stages if "face" in type(s.options).model_fields]
        return str(chosen[-1]) if chosen else "largest"

    def _declared(self, bound: str) -> SourceSpecification | None:
        for name, declared in self.sources.items():
            if bound == name or person_and_picture(bound, name) is not None:
                return declared
        return None

    @property
    def decoder(self) -> Stage:
        """The first stage."""
        return self.stages[0]

    @property
    def encoder(self) -> Stage:
        """The last stage."""
        return self.stages[-1]

    @property
    def spares_frames(self) -> bool:
        """Whether frames without a face come out as they went in, and which ones those are is known beforehand.

        So it is where the stages that change pictures work on faces that an earlier part has found.
        """
        last = [s.operator for s in self.parts[-1].stages if s.operator.kind != "encode"]
        changing = [o for o in last if "picture" in o.gives]
        return bool(changing) and all(o.each == "face" for o in changing) and all(o.yields is None for o in last)

    def canvas(self, video: Any) -> Any:
        """The index of what the encoder writes when `video` comes in: itself, unless a stage replaces its pictures."""
        for stage in self.stages:
            video = stage.make().canvas(video)
        return video

    def for_output(self, output: Path) -> Pipeline:
        """The same pipeline, with the options that its encoder chooses for this output written out.

        An encoder that does so has a method `choices(output)` that returns options. Raises InputError as it does.
        """
        encoder: Any = self.encoder.make()
        if not hasattr(encoder, "choices"):
            return self
        chosen = {n: v for n, v in encoder.choices(output).items() if getattr(self.encoder.options, n) != v}
        stages = tuple(
            s.model_copy(update={"options": {**s.options, **chosen}}) if s.name == self.encoder.name else s
            for s in self.specification.stages
        )
        return type(self)(self.specification.model_copy(update={"stages": stages})) if chosen else self

    def resolved(self) -> dict[str, Any]:
        """The whole configuration with all defaults filled in, as plain data: what a job is keyed by."""
        return {
            "name": self.name,
            "stages": [
                {"name": s.name, "use": s.use, "options": s.options.model_dump(mode="json")} for s in self.stages
            ],
        }

    def __repr__(self) -> str:
        return f"Pipeline({self.name}: {' -> '.join(s.use for s in self.stages)})"


def _make_stage(name: str, use: str, options: Mapping[str, Any]) -> Stage:
    operator = find_operator(use)
    try:
        return Stage(name, use, operator, operator.Options(**options))
    except ValidationError as error:
        raise InputError(f"stage {name!r} ({use}): {explain(error, operator.Options.model_fields)}") from None


def _check_ends(stages: tuple[Stage, ...]) -> None:
    for stage, kind, where in ((stages[0], "decode", "first"), (stages[-1], "encode", "last")):
        if stage.operator.kind != kind:
            raise InputError(
                f"the {where} stage must be of kind {kind}, but {stage.name!r} ({stage.use}) is {stage.operator.kind}"
            )
    for stage in stages[1:-1]:
        if stage.operator.kind in ("decode", "encode"):
            raise InputError(f"stage {stage.name!r} ({stage.use}) of kind {stage.operator.kind} stands between others")


def _reads(operator: type[Operator[Any]]) -> set[str]:
    return {*operator.needs, *operator.uses}


def _source_stages(stages: tuple[Stage, ...], columns: Iterable[str] | None = None) -> tuple[Stage, ...]:
    """The stages that lead to `columns`; without, to all columns that stages read of sources."""
    wanted = {name for s in stages for name in s.operator.needs_source} if columns is None else set(columns)
    if not wanted:
        return ()
    chosen: list[Stage] = []
    for stage in reversed(stages[1:-1]):
        operator = stage.operator
        # A still shows one moment: what looks along time has nothing to do there.
        if operator.needs_source or operator.ordered or operator.kind in ("smooth", "blend"):
            continue
        if wanted.intersection(operator.gives):
            chosen.append(stage)
            wanted |= _reads(operator)
    return (stages[0], *reversed(chosen))


def _target_stages(stages: tuple[Stage, ...], source_stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    kept: list[Stage] = []
    for stage in reversed(stages):
        gives = set(stage.operator.gives)
        if stage not in source_stages or any(gives & _reads(s.operator) for s in kept) or stage is stages[0]:
            kept.append(stage)
    return tuple(reversed(kept))


def _check_columns(
    stages: tuple[Stage, ...], source_stages: tuple[Stage, ...], sources: Mapping[str, SourceSpecification]
) -> None:
    _walk_columns(stages)
    given = _walk_columns(source_stages) if source_stages else set()
    for stage in stages:
        if stage.operator.needs_source and not sources:
            raise InputError(
                f"stage {stage.name!r} ({stage.use}) asks for a source, but the pipeline declares none under 'sources:'"
            )
        for column in stage.operator.needs_source:
            if column not in given:
                raise InputError(_missing(stage, column, "of the source"))
    for name, declared in sources.items():
        for column in declared.columns or ():
            if column not in given:
                raise InputError(
                    f"source {name!r}: no stage reads or gives its column {column!r}; {nearest(column, given)}"
                )


def _walk_columns(stages: tuple[Stage, ...]) -> set[str]:
    frame_columns, face_columns = set(FRAME_COLUMNS), None
    for stage in stages[1:]:
        operator = stage.operator
        if operator.each == "face" and face_columns is None:
            raise InputError(
                f"stage {stage.name!r} ({stage.use}) works on faces, but no stage before it finds any; "
                "put one of kind detect before it, such as detect.mediapipe"
            )
        have = frame_columns if operator.each == "frame" or face_columns is None else face_columns | {"picture"}
        for column in operator.needs:
            if column not in have:
                raise InputError(_missing(stage, column, ""))
        if (operator.yields or operator.each) == "frame":
            frame_columns |= set(operator.gives)
        else:
            face_columns = (face_columns or {"frame", "pts"}) | set(operator.gives)
    return face_columns or frame_columns


def _missing(stage: Stage, column: str, of_what: str) -> str:
    givers = []
    for name in operator_names():
        try:
            if column in find_operator(name).gives:
                givers.append(name)
        except InputError:
            continue
    if givers:
        remedy = f"put a stage before it that does, such as {' or '.join(givers)}"
    elif column in STANDARD_COLUMNS:
        remedy = "no operator installed here gives it"
    else:
        remedy = nearest(column, STANDARD_COLUMNS)
    what = f"column {column!r} {of_what}".rstrip()
    return f"stage {stage.name!r} ({stage.use}) needs {what}, which no stage before it gives; {remedy}"


def _split(stages: tuple[Stage, ...]) -> tuple[Part, ...]:
    groups: list[list[Stage]] = []
    contexts: list[int] = []
    for stage in stages[1:]:
        context = stage.make().context
        starts_new = not groups or context > 0 or stage.operator.ordered or groups[-1][0].operator.ordered
        if starts_new:
            groups.append([stage])
            contexts.append(context)
        else:
            groups[-1].append(stage)
    parts = []
    for index, group in enumerate(groups):
        later = [s for g in groups[index + 1 :] for s in g]
        wanted = {c for s in later for c in _reads(s.operator)} | {"frame", "pts", "track"}
        parts.append(
            Part(
                index=index,
                stages=tuple(group),
                context=contexts[index],
                ordered=group[0].operator.ordered,
                reads=any("picture" in _reads(s.operator) or s.operator.kind == "encode" for s in group),
                stores=tuple(sorted(wanted - {"own", "picture"})),
            )
        )
    return tuple(parts)


def _check_transient(parts: tuple[Part, ...]) -> None:
    for part in parts:
        made_later = {c for p in parts[part.index + 1 :] for s in p.stages for c in s.operator.gives}
        for stage in part.stages:
            for column in stage.operator.gives:
                known = STANDARD_COLUMNS.get(column)
                if (
                    known
                    and known.transient
                    and column != "picture"
                    and column in part.stores
                    and column not in made_later
                ):
                    after = parts[part.index + 1].stages[0]
                    raise InputError(
                        f"stage {stage.name!r} ({stage.use}) gives column {column!r}, which lives in one worker's "
                        f"memory, but stage {after.name!r} ({after.use}) waits for other segments before it is used; "
                        f"move {after.name!r} before it"
                    )
