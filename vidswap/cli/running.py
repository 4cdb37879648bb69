"""`vidswap swap` and `vidswap run`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE

if TYPE_CHECKING:
    from vidswap.api import Pipeline
    from vidswap.graph.specification import PipelineSpecification, SourceSpecification
    from vidswap.runtime.local import Report

SHARED = (
    *("face", "regions", "strength", "skin", "blend"),
    *("codec", "crf", "quality", "preset", "bitrate", "pixel_format", "smart_copy"),
    *("deinterlace", "input_rate", "video_stream"),
)
"""Options that are set on every stage that has them."""


def run_pipeline(
    *,
    pipeline: str,
    target: Path,
    output: Path,
    source: list[str] | None,
    options: list[str] | None,
    disclose: str | None,
    profile: str | None,
    face_like: Path | None = None,
    face_map: list[str] | None = None,
    **given: Any,
) -> None:
    """Check, run, and tell the result. `given` holds shared options of stages and settings of the run."""
    given["face"], source = chosen_faces(given["face"], face_like, face_map or [], source or [])
    ready, settings = prepare(pipeline, options or [], disclose, profile, given)
    say_terms(ready)
    tell(execute(ready, target, output, bind_sources(source, ready.sources), settings))


def chosen_pipeline(task: str, method: str | None, pipeline: str | None) -> str:
    """The pipeline that `--method` or `--pipeline` names; by default that of the meshes. task: "swap" or "reenact".

    Raises InputError for both, and for an unknown method.
    """
    from vidswap.graph import InputError
    from vidswap.graph.registry import pipeline_files

    if method is None:
        return pipeline or f"{task}-mesh"
    if pipeline is not None:
        raise InputError("--method and --pipeline both name the pipeline; give one of them")
    known = sorted(name.removeprefix(f"{task}-") for name in pipeline_files() if name.startswith(f"{task}-"))
    if method not in known:
        raise InputError(f"--method {method!r} is none of {', '.join(known)}")
    return f"{task}-{method}"


def reenact(
    *,
    source: str,
    driver: Path,
    method: str | None,
    pipeline: str | None,
    size: int | None,
    sound: bool,
    paste: bool,
    side_by_side: bool,
    psi: float | None,
    inversion: str | None,
    keyframes: int | None,
    options: list[str] | None,
    **given: Any,
) -> None:
    """The portrait's size becomes the canvas's; the driver is the target, and a source where a method calibrates by it.

    Raises InputError for options that the method has not.
    """
    from vidswap.graph import InputError
    from vidswap.graph.registry import find_pipeline
    from vidswap.graph.specification import load_specification

    chosen = chosen_pipeline("reenact", method, pipeline)
    specification = load_specification(find_pipeline(chosen))
    stages = {stage.name: stage.use for stage in specification.stages}
    learned = "still" in stages
    if not learned:
        for name, value in (("--paste", paste), ("--side-by-side", side_by_side), ("--inversion", inversion)):
            if value:
                raise InputError(f"{name} is for the learned methods, not for {specification.name}; leave it out")
    if psi is not None and "map.stylemask" not in stages.values():
        raise InputError(f"--psi is for --method stylemask, not for {specification.name}; leave it out")
    if keyframes is not None and "keyframes" not in stages:
        raise InputError(f"--keyframes is for --method stylemask, not for {specification.name}; leave it out")
    width, height = _canvas(source, size, whole=paste or not learned, largest=1024 if learned else 768)
    shown = ("still", "blend", "rest") if learned else ("invert", "generate", "blend")
    set_here = [f"{stage}.{n}={v}" for stage in shown for n, v in (("width", width), ("height", height))]
    set_here += [f"{stage}.sound={str(sound).lower()}" for stage in shown[2 - learned :]]
    if learned:
        set_here += [f"{stage}.paste={str(paste).lower()}" for stage in shown]
        set_here += [f"{stage}.beside={str(side_by_side).lower()}" for stage in shown[1:]]
    if psi is not None:
        set_here.append(f"map.psi={psi}")
    if keyframes is not None:
        set_here += [f"keyframes.every={keyframes}", f"steady.gap={keyframes - 1}"]
    if inversion and stages["portrait"] != f"invert.source-{inversion}":
        set_here += _inverted(f"invert.source-{inversion}", specification)
    bound = {"source": source, "driver": driver}
    run_pipeline(
        pipeline=chosen,
        target=driver,
        source=[f"{name}={path}" for name, path in bound.items() if name in specification.sources],
        options=[*set_here, *(options or [])],
        **{"regions": None, "strength": None, "blend": None, "smart_copy": None, "deinterlace": None, **given},
    )


def _inverted(operator: str, specification: PipelineSpecification) -> list[str]:
    """Overrides that invert the portrait by an operator, with the weights that are usual for it.

    Optimisation takes those of the pipeline's generator. Raises InputError for an operator that there is not.
    """
    from vidswap.graph.registry import find_operator

    weights = find_operator(operator).Options.model_fields["weights"].default
    if operator.endswith("-optimize"):
        generate = next(stage for stage in specification.stages if stage.name == "generate")
        weights = generate.options.get("weights", weights)
    return [f"portrait.use={operator}", f"portrait.weights={weights}"]


def _canvas(source: str, size: int | None, *, whole: bool, largest: int) -> tuple[int, int]:
    """Width and height of the animated portrait: of its picture as a `whole`, or of the face's square."""
    if not whole:
        side = 2 * round((size or largest) / 2)
        return side, side
    from vidswap import media
    from vidswap.operators.reenact import canvas_size

    return canvas_size(media.probe(source), size or largest)


def chosen_faces(
    face: str | None, like: Path | None, mapped: list[str], source: list[str]
) -> tuple[str | None, list[str]]:
    """The choice of faces and the sources, from --face, --face-like, --map and --source. Raises InputError."""
    from vidswap.graph import InputError
    from vidswap.storage import place

    if sum((face is not None, like is not None, bool(mapped))) > 1:
        raise InputError("--face, --face-like and --map say all three which faces change; give one of them")
    if like is not None:
        return f"like:{like.absolute()}", source
    if not mapped:
        return face, source
    if source:
        raise InputError("--map says who becomes whom; leave out --source")
    people: dict[str, list[str]] = {}
    for item in mapped:
        which, equals, portrait = item.partition("=")
        if not (which and equals and portrait):
            raise InputError(f"--map {item!r} is not FACE=PORTRAIT, such as left=ada.jpg")
        is_picture = place(which).is_file() and not which.isdigit()
        people.setdefault(f"like:{place(which).absolute()}" if is_picture else which, []).append(portrait)
    bound = []
    for number, pictures in enumerate(people.values(), start=1):
        person = f"source{number if number > 1 else ''}"
        bound += [f"{person}{f'.{k}' if k > 1 else ''}={p}" for k, p in enumerate(pictures, start=1)]
    return ",".join(people), bound


def prepare(
    pipeline: str, options: list[str], disclose: str | None, profile: str | None, given: dict[str, Any]
) -> tuple[Pipeline, dict[str, Any]]:
    """The checked pipeline and the settings of a run. Raises InputError."""
    from vidswap.api import Pipeline

    from .profiles import run_settings

    rest = dict(given)
    shared = {n: rest.pop(n, None) for n in SHARED}
    profile_options, settings = run_settings(profile, rest)
    overrides = [*profile_options, *options]
    return Pipeline.prepared(pipeline, overrides=overrides, shared=shared, disclose=disclose), settings


def execute(ready: Pipeline, target: Path, output: Path, sources: dict[str, Path], settings: dict[str, Any]) -> Report:
    """Run, with live progress where it is wanted."""
    listener: Any = contextlib.nullcontext()
    if VOICE.shows_progress:
        from .progress import progress_of

        listener = progress_of(ready)
    with listener as listen:
        return ready.run(target, output, sources=dict(sources), listener=listen, **settings)


def resume(*, job: Path, **given: Any) -> None:
    """Go on from a job folder, and tell the result. `given` are settings of the run that replace those it had."""
    from vidswap import api
    from vidswap.graph import Pipeline
    from vidswap.graph.specification import PipelineSpecification
    from vidswap.runtime.resuming import resumable

    changed = {name: value for name, value in given.items() if value is not None and value is not False}
    listener: Any = contextlib.nullcontext()
    if VOICE.shows_progress:
        from .progress import progress_of

        specification = PipelineSpecification.checked(resumable(job).pipeline, str(job))
        listener = progress_of(Pipeline(specification))
    with listener as listen:
        result = api.resume(job, listener=listen, **changed)
    tell(result)


def say_terms(ready: Pipeline) -> None:
    """Name the weights that the stages use, with their terms, before they are used."""
    files = [file for stage in ready.stages for file in stage.make().files()]
    if files:
        from .weights import terms_of_files

        for line in terms_of_files(files):
            VOICE.say(line)


def tell(report: Report) -> None:
    """Say what came of a run."""
    for warning in report.warnings:
        VOICE.warn(warning)
    facts = {**dataclasses.asdict(report), "frames_per_s": report.frames_per_s}
    faces = f"{report.faces} faces changed in {report.frames_with_faces} of {report.frames} frames"
    resumed = (
        f", {report.segments_resumed} of {report.segments} segments from before" if report.segments_resumed else ""
    )
    copied = f", {report.frames_copied} frames copied as they were" if report.frames_copied else ""
    VOICE.result(
        facts,
        [f"{report.output}: {faces}{copied}, {report.wall_s:.1f} s ({report.frames_per_s:.1f} frames/s){resumed}"],
    )


def bind_sources(given: list[str], sources: Mapping[str, SourceSpecification]) -> dict[str, Path]:
    """`NAME=FILE` or, where the pipeline has one source, just FILE; repeated where it takes several pictures.

    Raises InputError.
    """
    from vidswap.graph import InputError
    from vidswap.runtime.checks import is_name_of_source
    from vidswap.storage import place

    bound: dict[str, Path] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals or not is_name_of_source(name, sources):
            if len(sources) != 1:
                there = ", ".join(f"--source {n}=FILE" for n in sources) or "it takes none"
                raise InputError(f"--source {item!r} does not say which source it is; {there}")
            (name, wanted), path = next(iter(sources.items())), item
            if name in bound and wanted.several:
                name = next(n for n in (f"{name}.{k}" for k in itertools.count(2)) if n not in bound)
        if name in bound:
            raise InputError(
                f"source {name!r} is given twice: {bound[name]} and {path}; give one --source for each name"
            )
        bound[name] = place(path)
    return bound
