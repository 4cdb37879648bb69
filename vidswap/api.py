"""The same from Python as from the command line: `vidswap.swap(...)` and `vidswap.Pipeline`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidswap.files import file_digest

from . import __version__, graph
from .graph import InputError
from .graph.registry import find_operator, find_pipeline
from .graph.specification import PipelineSpecification, StageSpecification, apply_overrides, load_specification
from .runtime.checks import check_sources
from .runtime.local import Listener, Report, run
from .runtime.resuming import resumable
from .runtime.settings import run_settings
from .storage import place

PathLike = str | Path


class Pipeline(graph.Pipeline):
    """A checked pipeline that can be run.

    >>> Pipeline.from_yaml("swap-mesh").encoder.use
    'encode.pyav'
    """

    @classmethod
    def prepared(
        cls,
        name: PathLike,
        *,
        overrides: Iterable[str] = (),
        shared: Mapping[str, Any] | None = None,
        disclose: str | None = None,
    ) -> Pipeline:
        """Load a pipeline and set options on it.

        `shared` options (face, regions, strength, codec ...) are set on every stage that has them, None leaves the
        default; `overrides` are `stage.option=value` strings and win; `disclose` is a text drawn into every frame.

        Raises InputError for unknown names and values, and for a shared option that no stage has.
        """
        specification = load_specification(find_pipeline(name))
        if disclose is not None:
            specification = with_label(specification, disclose)
        specification = spread(specification, {k: v for k, v in (shared or {}).items() if v is not None})
        return cls(apply_overrides(specification, overrides))

    def run(
        self,
        target: PathLike,
        output: PathLike,
        *,
        sources: Mapping[str, PathLike] | None = None,
        listener: Listener | None = None,
        **settings: Any,
    ) -> Report:
        """Run on one video.

        `settings` are those of RunSettings (workers, segment_frames, overwrite, ...). Raises InputError for bad input
        before any work, StageError when a stage fails, Interrupted on Ctrl-C.
        """
        bound = {name: place(path) for name, path in (sources or {}).items()}
        how = run_settings(settings)
        check_sources(self, bound)
        notes = provenance(self, bound)
        return run(self, place(target), place(output), bound, how, listener=listener, metadata=notes)


def swap(
    source: PathLike | Sequence[PathLike] | Mapping[str, PathLike],
    target: PathLike,
    output: PathLike,
    *,
    pipeline: PathLike = "swap-mesh",
    options: Iterable[str] = (),
    face: str | None = None,
    regions: str | None = None,
    strength: float | None = None,
    skin: str | None = None,
    blend: str | None = None,
    disclose: str | None = None,
    codec: str | None = None,
    crf: float | None = None,
    quality: int | None = None,
    preset: str | None = None,
    bitrate: str | None = None,
    pixel_format: str | None = None,
    deinterlace: bool | None = None,
    smart_copy: bool | None = None,
    input_rate: str | None = None,
    video_stream: int | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Report:
    """Put the face of `source` onto the faces of `target` and write `output`.

    Args:
        source: portrait or short video of the person who will be seen, or several of them; or for several people a
            mapping with keys source, source2 ..., and `face` a list such as "left,right" that says whom they become.
        target: the video, animated picture, image folder, or printf pattern of images.
        output: what to write: the suffix chooses container or animated picture; a folder or pattern gets images.
        pipeline: name of an installed pipeline, or a YAML file.
        options: `stage.option=value` strings for everything that has no argument of its own.
        face: which faces of the target: largest (default), all, left, right, an index from the left, from 0, or
            like:PORTRAIT, the one nearest to it in shape; or a list of these.
        regions: regions of the face that change, separated by commas (default: all).
        strength: how far they change, 0..1 (default 1).
        skin: of pipeline swap-e4s, whose colour the skin has: source (default), target or mix.
        blend: how the edges are joined: multiband (default), gradient or feather.
        disclose: a text drawn into a corner of every frame, such as "AI-altered".
        codec, crf, preset: of the encoder.
        quality: 0..100, of JPEG and WebP pictures.
        bitrate: bits per second instead of `crf`, such as "4M".
        pixel_format: of the result (default: the encoder's nearest to the input's).
        deinterlace: make whole pictures of interlaced frames (default: they stay as they are).
        input_rate: frames per second of an image folder or pattern, as "25" or "24000/1001" (default: 25).
        video_stream: which of several video streams, by its index in the file (default: FFmpeg's choice, told).
        smart_copy: copy stretches without a face to change instead of encoding them anew (default: True).
        listener: called with progress events.
        settings: those of RunSettings: start, end, workers, segment_frames, overwrite, source_face, strict, job ...

    Raises InputError for bad input before any work, StageError when a stage fails, Interrupted on Ctrl-C.
    """
    shared = {
        "face": face,
        "regions": regions,
        "strength": strength,
        "skin": skin,
        "blend": blend,
        "codec": codec,
        "crf": crf,
        "quality": quality,
        "preset": preset,
        "bitrate": bitrate,
        "pixel_format": pixel_format,
        "deinterlace": deinterlace,
        "smart_copy": smart_copy,
        "input_rate": input_rate,
        "video_stream": video_stream,
    }
    ready = Pipeline.prepared(pipeline, overrides=options, shared=shared, disclose=disclose)
    if isinstance(source, (str, Path)):
        source = [source]
    if not isinstance(source, Mapping):
        source = {f"source.{k}" if k > 1 else "source": path for k, path in enumerate(source, start=1)}
    return ready.run(target, output, sources=source, listener=listener, **settings)


def resume(job: PathLike, *, listener: Listener | None = None, **changed: Any) -> Report:
    """Go on with an interrupted run from its job folder alone.

    `changed` replaces settings of the run: workers, overwrite, strict, fresh. Modules of one's own are looked for where
    the run was started, too.

    Raises InputError for what is no job folder and for inputs or versions that have changed since, else as a run does.
    """
    found = resumable(place(job), **changed)
    if str(found.working_folder) not in sys.path:
        sys.path.append(str(found.working_folder))
    pipeline = Pipeline(PipelineSpecification.checked(found.pipeline, str(job)))
    sources: dict[str, PathLike] = dict(found.sources)
    return pipeline.run(found.target, found.output, sources=sources, listener=listener, **found.settings.model_dump())


_MEANS: dict[str, dict[str, str | None]] = {
    "blend": {"mode": "blend"},
    "strength": {"strength": None, "strength_shape": None, "strength_texture": None},
}
"""Shared options that stand for others: their names, and the kind of the stages that are meant (None: all)."""


def spread(specification: PipelineSpecification, values: Mapping[str, Any]) -> PipelineSpecification:
    """Set options on all stages that have them. Raises InputError for one that no stage has."""
    for name, value in values.items():
        set_on: dict[str, dict[str, Any]] = {}
        for stage in specification.stages:
            operator = find_operator(stage.use)
            for option, kind in _MEANS.get(name, {name: None}).items():
                if option in operator.Options.model_fields and kind in (None, operator.kind):
                    set_on.setdefault(stage.name, {})[option] = value
        if not set_on:
            raise InputError(f"pipeline {specification.name} has no stage with an option {name!r}; leave it out")
        stages = tuple(
            s.model_copy(update={"options": {**s.options, **set_on.get(s.name, {})}}) for s in specification.stages
        )
        specification = specification.model_copy(update={"stages": stages})
    return specification


def with_label(specification: PipelineSpecification, text: str) -> PipelineSpecification:
    """The pipeline with a visible text drawn into every frame, just before the encoder."""
    # By running order: `after:` may list the encoder anywhere.
    before, encode = specification.ordered_stages()[-2:]
    label = StageSpecification(use="blend.label", name="disclosure", options={"text": text}, after=(before.name,))
    last = encode.model_copy(update={"after": (*(encode.after or ()), before.name, label.name)})
    stages = tuple(last if s.name == encode.name else s for s in specification.stages)
    return specification.model_copy(update={"stages": (*stages, label)})


def provenance(pipeline: graph.Pipeline, sources: Mapping[str, Path]) -> dict[str, str]:
    """What the container's metadata say of the change: that faces were changed, by what, and with which settings.

    `comment` is for people, `vidswap` is JSON for machines: version, pipeline, options that differ from the defaults,
    SHA-256 of the sources. Empty for a pipeline that changes no picture.
    """
    if not any(s.operator.kind in ("generate", "blend") for s in pipeline.stages):
        return {}
    changed = {}
    for stage in pipeline.stages:
        given = stage.options.model_dump(mode="json")
        defaults = {n: f.default for n, f in type(stage.options).model_fields.items()}
        differing = {n: v for n, v in given.items() if v != defaults.get(n)}
        if differing:
            changed[stage.name] = differing
    facts = {
        "version": __version__,
        "pipeline": pipeline.name,
        "stages": [s.use for s in pipeline.stages],
        "options": changed,
        "sources": {n: f"sha256:{file_digest(p)}" for n, p in sources.items()},
    }
    return {
        "comment": f"Faces in this video were changed by vidswap {__version__} (method {pipeline.name}).",
        "vidswap": json.dumps(facts, sort_keys=True),
    }
