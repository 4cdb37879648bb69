"""`vidswap tune`: generators tuned to the faces of a clip, one for each track."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import VOICE
from .options import LEARNED, Face, Json, Options, Quiet, Source, Target
from .train import bits, device_named, known, stoppable
from .train_options import Bits, Device, Fresh, LogEvery, Losses, Rate, SaveEvery, Seed
from .tuned_nets import Tuning, base_name, made_of, tuning_of

if TYPE_CHECKING:
    import numpy as np

    from vidswap.graph import Batch, Pipeline
    from vidswap.graph.specification import PipelineSpecification
    from vidswap.inversion.losses import LossNetworks
    from vidswap.training.loop import Plan
    from vidswap.training.tuning import Options as Terms

app = typer.Typer()
_LEAST_STEPS = 350


@app.command(rich_help_panel=LEARNED)
def tune(
    pipeline: Annotated[str, typer.Argument(help="A pipeline that inverts to W+ and generates, by name or YAML file.")],
    target: Target,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for track-N.safetensors, one a track.")],
    options: Options = None,
    source: Source = None,
    face: Face = None,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Of each track, evenly spread.")] = 32,
    passes: Annotated[
        int, typer.Option("--passes", min=1, help="How often every frame is seen; 350 steps at least in all.")
    ] = 80,
    lr: Rate = 3e-4,
    mse: Annotated[float, typer.Option("--mse", min=0, help="Weight of the squared error.")] = 1.0,
    lpips: Annotated[float, typer.Option("--lpips", min=0, help="Weight of LPIPS.")] = 1.0,
    locality: Annotated[
        float, typer.Option("--locality", min=0, help="Weight of leaving pictures of codes nearby as they are.")
    ] = 0.1,
    losses: Losses = "auto",
    seed: Seed = 0,
    device: Device = "auto",
    precision: Bits = "fp32",
    save_every: SaveEvery = 200,
    log_every: LogEvery = 50,
    fresh: Fresh = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tune a pipeline's generator to the faces of a clip (PTI); generate.tuned=FOLDER then uses what comes out."""
    from vidswap.api import Pipeline
    from vidswap.graph import InputError
    from vidswap.inversion.losses import installed_networks
    from vidswap.training.loop import Plan
    from vidswap.training.tuning import Options as Terms

    from .running import bind_sources

    VOICE.json, VOICE.quiet = as_json, quiet
    ready = Pipeline.prepared(pipeline, overrides=options or [], shared={"face": face})
    tuning = tuning_of(ready)
    inverting = Pipeline(up_to_inversion(ready.specification, tuning.column))
    where = device_named(device)
    terms = None if losses == "auto" else [term.strip() for term in losses.split(",")]
    networks = installed_networks([term for term in terms if term != "identity"] if terms else None, where)
    for line in (*tuning.warnings, *(line for line in networks.missing if "identity" not in line)):
        VOICE.warn(line)
    if not target.exists():
        raise InputError(f"{target}: there is no such file")
    sources = bind_sources(source or [], inverting.sources)
    faces = _faces(inverting, tuning, target, sources, output, frames, device, fresh)
    plan = Plan(1, 1, lr, seed=seed, precision=bits(precision), save_every=save_every, log_every=log_every)
    weighting = Terms(mse=mse, lpips=lpips, locality=locality)
    written = []
    for track in sorted(set(faces["track"].tolist())):
        rows = faces["track"] == track
        steps = replace(plan, steps=max(_LEAST_STEPS, passes * int(rows.sum())))
        file = output / f"track-{track}.safetensors"
        VOICE.say(f"track {track}: {int(rows.sum())} frames, {steps.steps} steps")
        chosen = {name: faces[name][rows] for name in ("frame", *tuning.kept)}
        _tune(tuning, chosen, track, file, networks, weighting, steps, where, fresh)
        written.append(str(file))
    VOICE.result({"tuned": written}, [f"tuned: {path}" for path in written])


def up_to_inversion(specification: PipelineSpecification, column: str) -> PipelineSpecification:
    """The stages up to the last that inverts to a column, and the encoder, which is never called.

    Raises InputError where none does.
    """
    from vidswap.graph import InputError, find_operator

    ordered = specification.ordered_stages()
    operators = [find_operator(stage.use) for stage in ordered]
    inverts = [i for i, operator in enumerate(operators) if operator.kind == "invert" and column in operator.gives]
    if not inverts:
        raise InputError(f"pipeline {specification.name} has no stage that inverts to {column}; try reconstruct-e4e")
    end = inverts[-1] + 1
    stages = tuple(stage.model_copy(update={"after": None}) for stage in (*ordered[:end], ordered[-1]))
    sources = specification.sources if any(operator.needs_source for operator in operators[:end]) else {}
    return specification.model_copy(update={"stages": stages, "sources": sources})


def spread_over_tracks(frames: np.ndarray, tracks: np.ndarray, most: int) -> list[tuple[int, int]]:
    """(frame, track) of at most so many evenly spread frames of each track."""
    chosen: list[tuple[int, int]] = []
    for track in sorted(set(tracks.tolist())):
        own = sorted(set(frames[tracks == track].tolist()))
        count = min(most, len(own))
        chosen += [(own[(2 * i + 1) * len(own) // (2 * count)], track) for i in range(count)]
    return chosen


def _faces(
    pipeline: Pipeline,
    tuning: Tuning,
    target: Path,
    sources: Mapping[str, Path],
    folder: Path,
    most: int,
    device: str,
    fresh: bool,
) -> Mapping[str, np.ndarray]:
    """frame, track and what the tuning keeps of the faces to be tuned to; made once and kept."""
    import numpy as np

    from vidswap.files import file_digest, written_whole
    from vidswap.graph import InputError
    from vidswap.runtime.stamps import stamp

    told = {
        "target": file_digest(target) if target.is_file() else stamp(target.resolve()),
        "stages": pipeline.specification.model_dump(mode="json")["stages"],
        "sources": {name: file_digest(path) for name, path in sources.items()},
        "generator": known(tuning.weights),
        "frames": most,
    }
    told = json.loads(json.dumps(told))
    note, kept = folder / "tune.json", folder / "faces.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    if note.is_file() and not fresh:
        try:
            before = dict(json.loads(note.read_text()))
        except (ValueError, TypeError):
            raise InputError(f"{note} is damaged; --fresh begins anew") from None
        other = [name for name in told if before.get(name) != told[name]]
        if other:
            raise InputError(
                f"{folder} was made with another {' and '.join(other)}; give another folder, or --fresh to begin anew"
            )
        if kept.is_file():
            try:
                with np.load(kept) as stored:
                    return dict(stored)
            except (ValueError, KeyError, OSError, zipfile.BadZipFile):
                raise InputError(f"{kept} is damaged; --fresh begins anew") from None
    elif not note.is_file() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and no folder of vidswap tune; give a new one")
    for old in folder.glob("track-*.*"):
        old.unlink()
    kept.unlink(missing_ok=True)
    with written_whole(note) as temporary:
        temporary.write_text(json.dumps(told, indent=2) + "\n")
    VOICE.say("analysing the clip and inverting its faces")
    made = _inverted(pipeline, tuning, target, sources, most, device)
    with written_whole(kept) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **made)
    return made


def _inverted(
    pipeline: Pipeline, tuning: Tuning, target: Path, sources: Mapping[str, Path], most: int, device: str
) -> dict[str, Any]:
    import numpy as np

    from vidswap.graph import InputError
    from vidswap.runtime.sampling import sampled_faces
    from vidswap.runtime.settings import RunSettings

    wanted: set[tuple[int, int]] = set()

    def choose(faces: Batch) -> Sequence[int]:
        if not len(faces):
            return []
        tracks = faces["track"] if "track" in faces.names else np.zeros(len(faces), np.int64)
        wanted.update(spread_over_tracks(faces["frame"], tracks, most))
        return sorted({frame for frame, _ in wanted})

    rows: dict[str, list[Any]] = {name: [] for name in ("frame", "track", *tuning.kept)}
    for faces in sampled_faces(pipeline, target, choose, RunSettings(device=device), sources):
        for row in faces.rows():
            place = int(row["frame"]), int(row.get("track", 0))
            if place in wanted:
                for name, value in zip(rows, (*place, *tuning.of_face(row)), strict=True):
                    rows[name].append(value)
    if not rows["frame"]:
        raise InputError(f"{target}: no face was found in it that could be tuned to")
    return {name: np.array(values) for name, values in rows.items()}


def _tune(
    tuning: Tuning,
    faces: Mapping[str, np.ndarray],
    track: int,
    file: Path,
    networks: LossNetworks,
    terms: Terms,
    plan: Plan,
    where: Any,
    fresh: bool,
) -> None:
    """Tune to one track's faces and write what differs."""
    from vidswap.latents import differences
    from vidswap.training.loop import Run

    task = tuning.task(faces, networks, terms, plan.seed, where)
    settings: dict[str, Any] = {"what": "tune", "generator": known(tuning.weights), "terms": asdict(terms)}
    settings |= {"losses": sorted(networks.terms), "frames": faces["frame"].tolist()}
    run = Run(task, plan, file.parent / f"work-{file.stem}", settings=settings, device=where, fresh=fresh)
    if run.step:
        VOICE.say(f"track {track}: going on from step {run.step}")

    def told(step: int, means: Mapping[str, float]) -> None:
        VOICE.say(f"track {track}  step {step}  " + "  ".join(f"{name} {value:.4g}" for name, value in means.items()))

    with stoppable() as stop:
        outcome = run.train(told=told, stop=stop, until=getattr(task, "is_enough", None))
    differences.save(
        file,
        tuning.net,
        {f"{tuning.prefix}{name}": value for name, value in run.exported().items()},
        named=base_name(tuning.weights),
        base_sha256=known(tuning.weights)["sha256"],
        track=track,
        made=made_of(terms, outcome.step, plan.lr, plan.seed, settings["frames"]),
        beside=tuning.beside(faces),
    )
