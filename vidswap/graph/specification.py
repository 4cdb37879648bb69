"""The form of a pipeline in YAML, read through OmegaConf, checked by pydantic. Knows names and types, no operators."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yaml import YAMLError

from .errors import InputError, first_line
from .registry import nearest


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSpecification(_Strict):
    """A source to be bound by name at the command line: `--source NAME=PATH`, or `--source PATH` for the only one.

    With `several`, more may be bound: further pictures of one person as NAME.2, NAME.3 ..., further people as NAME2,
    NAME3 ..., with pictures NAME2.2 and so on. `columns` says which columns stages read of this source, where several
    sources are read for different things; it then goes through those stages alone that lead to them. `face: followed`
    says that the source is the target once more: of several faces in it that one is taken that the pipeline follows,
    whatever is said of the portrait's.
    """

    about: str = ""
    required: bool = True
    several: bool = False
    columns: tuple[str, ...] | None = None
    face: Literal["followed"] | None = None


class StageSpecification(_Strict):
    """One stage: `use` names the operator; `after` replaces "after the one listed before" by stages named."""

    use: str
    name: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    options: dict[str, Any] = Field(default_factory=dict)
    after: tuple[str, ...] | None = None


class PipelineSpecification(_Strict):
    """A pipeline as written: name, what it is for, its sources and its stages."""

    name: str
    about: str = ""
    sources: dict[str, SourceSpecification] = Field(default_factory=dict)
    stages: tuple[StageSpecification, ...] = Field(min_length=2)

    @classmethod
    def checked(cls, content: Any, where: str) -> PipelineSpecification:
        """Validate plain data. Raises InputError with one line that starts with `where`."""
        if not isinstance(content, Mapping):
            raise InputError(f"{where}: a pipeline is a mapping with name and stages, got {type(content).__name__}")
        try:
            made = cls.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{where}: {explain(error, cls.model_fields)}") from None
        stages = tuple(s.model_copy(update={"name": s.name or s.use.split(".")[0].split(":")[-1]}) for s in made.stages)
        names = [s.name for s in stages]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{where}: two stages are called {name!r}; give each a name of its own with 'name:'")
        return made.model_copy(update={"stages": stages})

    def ordered_stages(self) -> tuple[StageSpecification, ...]:
        """The stages in running order: as listed, unless `after` says otherwise. Raises InputError for a cycle."""
        by_name = {s.name: s for s in self.stages}
        sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
        for position, stage in enumerate(self.stages):
            before = stage.after if stage.after is not None else (self.stages[position - 1].name,) if position else ()
            for name in before:
                if name not in by_name:
                    raise InputError(
                        f"stage {stage.name!r} runs after unknown stage {name!r}; {nearest(name, by_name)}"
                    )
            sorter.add(stage.name, *before)
        try:
            sorter.prepare()
        except graphlib.CycleError as error:
            raise InputError(
                f"the stages run in a cycle: {' -> '.join(reversed(error.args[1]))}; mend their 'after:'"
            ) from None
        position_of = {s.name: i for i, s in enumerate(self.stages)}
        order: list[StageSpecification] = []
        ready: list[str] = []
        while sorter.is_active():
            ready.extend(sorter.get_ready())
            ready.sort(key=position_of.__getitem__)
            name = ready.pop(0)
            order.append(by_name[name])
            sorter.done(name)
        return tuple(order)


def load_specification(path: Path, overrides: Iterable[str] = ()) -> PipelineSpecification:
    """Read a pipeline file and apply `stage.option=value` overrides.

    Raises InputError naming file and place for bad YAML, unknown keys, wrong types, unknown stages in overrides and
    interpolations that go in circles.
    """
    content = read_yaml(path)
    specification = PipelineSpecification.checked(content, str(path))
    return apply_overrides(specification, overrides)


def read_yaml(path: Path) -> Any:
    """Plain data of a YAML file with OmegaConf's interpolations resolved. Raises InputError with one line."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or first_line(error)
        raise InputError(f"{path}:{place} is not YAML: {reason}") from None
    except (RecursionError, OmegaConfBaseException) as error:
        if isinstance(error, OmegaConfBaseException) and "recursi" not in str(error).lower():
            raise InputError(f"{path}: {first_line(error)}") from None
        raise InputError(f"{path}: its ${{...}} interpolations go in a cycle") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {first_line(error)}") from None


def apply_overrides(specification: PipelineSpecification, overrides: Iterable[str]) -> PipelineSpecification:
    """Set options of stages from `stage.option=value` strings, values read as YAML. Raises InputError.

    `stage.use=operator` puts another operator in the stage's place.
    """
    stages = {s.name: s for s in specification.stages}
    for override in overrides:
        key, equals, _ = override.partition("=")
        stage_name, dot, _ = key.partition(".")
        if not equals or not dot:
            raise InputError(f"{override!r} is no override; write stage.option=value, such as detect.min_face=40")
        if stage_name not in stages:
            raise InputError(f"{override!r}: no stage is called {stage_name!r}; {nearest(stage_name, stages)}")
        try:
            parsed = OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=True)
        except (OmegaConfBaseException, YAMLError) as error:
            raise InputError(f"{override!r} cannot be read: {first_line(error)}") from None
        assert isinstance(parsed, dict)
        stage, given = stages[stage_name], parsed[stage_name]
        if "use" in given:
            if not isinstance(given["use"], str):
                raise InputError(f"{override!r}: write the name of an operator, such as encode.use=encode.ffmpeg")
            stages[stage_name] = stage.model_copy(update={"use": given["use"]})
            continue
        merged = OmegaConf.merge(OmegaConf.create(stage.options), OmegaConf.create(given))
        stages[stage_name] = stage.model_copy(update={"options": OmegaConf.to_container(merged)})
    return specification.model_copy(update={"stages": tuple(stages[s.name] for s in specification.stages)})


def explain(error: ValidationError, fields: Mapping[str, Any]) -> str:
    """The first complaint of pydantic in one line: where, what, and for unknown keys the nearest known one."""
    # An unknown key says more than the missing one that it was meant to be.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = ".".join(str(p) for p in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = fields if len(first["loc"]) == 1 else StageSpecification.model_fields
        return f"unknown key {place!r}; {nearest(str(first['loc'][-1]), known)}{more}"
    if first["type"] == "missing":
        return f"{place!r} is missing{more}"
    message = first["msg"][0].lower() + first["msg"][1:]
    if first["type"] == "value_error":
        # Our own words, which name the value where it helps.
        said = message.removeprefix("value error, ")
        return f"{place}: {said}{more}" if place else f"{said}{more}"
    shown = f", got {first['input']!r}" if not isinstance(first["input"], (dict, list)) else ""
    return f"{place}: {message}{shown}{more}"
