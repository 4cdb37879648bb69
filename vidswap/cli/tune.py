"""`vidswap tune`: generators tuned to the faces of a clip, one for each track."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import VOICE
from .options import Face, Json, Options, Quiet, Target
from .train import Bits, Device, Fresh, LogEvery, Losses, Rate, SaveEvery, Seed, bits, device_named, known, stoppable

if TYPE_CHECKING:
    import numpy as np

    from vidswap.graph import Batch, Pipeline
    from vidswap.graph.specification import PipelineSpecification
    from vidswap.inversion.losses import LossNetworks
    from vidswap.latents.generators import Loaded
    from vidswap.training.loop import Plan
    from vidswap.training.tuning import Options as Terms

app = typer.Typer()
_LEAST_STEPS = 350


@app.command()
def tune(
    pipeline: Annotated[str, typer.Argument(help="A pipeline that inverts to W+ and generates, by name or YAML file.")],
    target: Target,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for track-N.safetensors, one a track.")],
    options: Options = None,
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
    from vidswap.latents.generators import load_generator
    from vidswap.training.loop import Plan
    from vidswap.training.tuning import Options as Terms

    VOICE.json, VOICE.quiet = as_json, quiet
    ready = Pipeline.prepared(pipeline, overrides=options or [], shared={"face": face})
    weights = _generator_weights(ready)
    inverting = Pipeline(up_to_inversion(ready.specification))
    where = device_named(device)
    loaded = load_generator(weights)
    terms = None if losses == "auto" else [term.strip() for term in losses.split(",")]
    networks = installed_networks([term for term in terms if term != "identity"] if terms else None, where)
    networks.missing = tuple(line for line in networks.missing if "identity" not in line)
    for line in (*loaded.warnings, *networks.missing):
        VOICE.warn(line)
    if not target.exists():
        raise InputError(f"{target}: there is no such file")
    faces = _faces(inverting, target, output, loaded, frames, device, weights, fresh)
    plan = Plan(1, 1, lr, seed=seed, precision=bits(precision), save_every=save_every, log_every=log_every)
    weighting = Terms(mse=mse, lpips=lpips, locality=locality)
    written = []
    for track in sorted(set(faces["track"].tolist())):
        rows = faces["track"] == track
        count = int(rows.sum())
        steps = replace(plan, steps=max(_LEAST_STEPS, passes * count))
        file = output / f"track-{track}.safetensors"
        VOICE.say(f"track {track}: {count} frames, {steps.steps} steps")
        chosen = {name: faces[name][rows] for name in ("frame", "wplus", "image")}
        _tune(chosen, track, file, load_generator(weights), weights, networks, weighting, steps, where, fresh)
        written.append(str(file))
    VOICE.result({"tuned": written}, [f"tuned: {path}" for path in written])


def up_to_inversion(specification: PipelineSpecification) -> PipelineSpecification:
    """The stages up to the last that inverts, and the encoder, which is never called. Raises InputError without any."""
    from vidswap.graph import InputError, find_operator

    ordered = specification.ordered_stages()
    inverts = [i for i, stage in enumerate(ordered) if find_operator(stage.use).kind == "invert"]
    if not inverts or "wplus" not in find_operator(ordered[inverts[-1]].use).gives:
        raise InputError(f"pipeline {specification.name} has no stage that inverts to W+; try reconstruct-e4e")
    kept = [*ordered[: inverts[-1] + 1], ordered[-1]]
    stages = tuple(stage.model_copy(update={"after": None}) for stage in kept)
    return specification.model_copy(update={"stages": stages, "sources": {}})


def _generator_weights(ready: Pipeline) -> str:
    from vidswap.graph import InputError, find_operator

    for stage in ready.specification.ordered_stages():
        operator = find_operator(stage.use)
        if operator.kind == "generate" and "tuned" in operator.Options.model_fields:
            return str(operator.Options(**stage.options).weights)  # type: ignore[attr-defined]
    raise InputError(
        f"pipeline {ready.specification.name} has no stage that takes a tuned generator (generate.stylegan2 or 3)"
    )


def spread_over_tracks(frames: np.ndarray, tracks: np.ndarray, most: int) -> list[tuple[int, int]]:
    """(frame, track) of at most so many evenly spread frames of each track."""
    chosen: list[tuple[int, int]] = []
    for track in sorted(set(tracks.tolist())):
        own = sorted(set(frames[tracks == track].tolist()))
        count = min(most, len(own))
        chosen += [(own[(2 * i + 1) * len(own) // (2 * count)], track) for i in range(count)]
    return chosen


def _faces(
    pipeline: Pipeline, target: Path, folder: Path, loaded: Loaded, most: int, device: str, weights: str, fresh: bool
) -> Mapping[str, np.ndarray]:
    """frame, track, wplus and image (N, R, R, 3) uint8 of the faces to be tuned to; made once and kept."""
    import numpy as np

    from vidswap.files import file_digest, written_whole
    from vidswap.graph import InputError

    told = {
        "target": file_digest(target) if target.is_file() else str(target.resolve()),
        "stages": pipeline.specification.model_dump(mode="json")["stages"],
        "generator": known(weights),
        "frames": most,
    }
    told = json.loads(json.dumps(told))
    note, kept = folder / "tune.json", folder / "faces.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    if note.is_file() and not fresh:
        before = json.loads(note.read_text())
        other = [name for name in told if before.get(name) != told[name]]
        if other:
            raise InputError(
                f"{folder} was made with another {' and '.join(other)}; give another folder, or --fresh to begin anew"
            )
        if kept.is_file():
            with np.load(kept) as stored:
                return dict(stored)
    elif not note.is_file() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and no folder of vidswap tune; give a new one")
    for old in folder.glob("track-*.*"):
        old.unlink()
    kept.unlink(missing_ok=True)
    note.write_text(json.dumps(told, indent=2) + "\n")
    VOICE.say("analysing the clip and inverting its faces")
    made = _inverted(pipeline, target, loaded, most, device)
    with written_whole(kept) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **made)
    return made


def _inverted(pipeline: Pipeline, target: Path, loaded: Loaded, most: int, device: str) -> dict[str, Any]:
    import numpy as np

    from vidswap.graph import InputError
    from vidswap.operators.generate_stylegan import brought
    from vidswap.runtime.sampling import sampled_faces
    from vidswap.runtime.settings import RunSettings

    wanted: set[tuple[int, int]] = set()

    def choose(faces: Batch) -> Sequence[int]:
        if not len(faces):
            return []
        tracks = faces["track"] if "track" in faces.names else np.zeros(len(faces), np.int64)
        wanted.update(spread_over_tracks(faces["frame"], tracks, most))
        return sorted({frame for frame, _ in wanted})

    rows: dict[str, list[Any]] = {"frame": [], "track": [], "wplus": [], "image": []}
    for faces in sampled_faces(pipeline, target, choose, RunSettings(device=device)):
        for row in faces.rows():
            place = int(row["frame"]), int(row.get("track", 0))
            if place in wanted:
                image = brought(row["crop"], loaded.resolution)
                for name, value in zip(rows, (*place, row["wplus"], image), strict=True):
                    rows[name].append(value)
    if not rows["frame"]:
        raise InputError(f"{target}: no face was found in it that could be tuned to")
    own = (loaded.num_ws, loaded.net.config.w_dim)
    if rows["wplus"][0].shape != own:
        from vidswap.latents.generators import misfit

        raise InputError(misfit(rows["wplus"][0].shape, own, loaded.title))
    return {name: np.array(values) for name, values in rows.items()}


def _tune(
    faces: Mapping[str, np.ndarray],
    track: int,
    file: Path,
    loaded: Loaded,
    weights: str,
    networks: LossNetworks,
    terms: Terms,
    plan: Plan,
    where: Any,
    fresh: bool,
) -> None:
    """Tune to one track's faces and write what differs."""
    import torch

    from vidswap.latents import differences
    from vidswap.latents.inversion import network_input
    from vidswap.training.loop import Run
    from vidswap.training.tuning import TuningTask

    pivots, images = torch.from_numpy(faces["wplus"]), network_input(torch.from_numpy(faces["image"]))
    task = TuningTask(loaded.net, pivots, images, networks, terms, seed=plan.seed, device=where)
    settings = {"what": "tune", "generator": known(weights), "terms": asdict(terms), "losses": sorted(networks.terms)}
    settings["frames"] = faces["frame"].tolist()
    run = Run(task, plan, file.parent / f"work-{file.stem}", settings=settings, device=where, fresh=fresh)
    if run.step:
        VOICE.say(f"track {track}: going on from step {run.step}")

    def told(step: int, means: Mapping[str, float]) -> None:
        VOICE.say(f"track {track}  step {step}  " + "  ".join(_numbers(means)))

    with stoppable() as stop:
        outcome = run.train(told=told, stop=stop, until=task.is_enough)
    state = {f"synthesis.{name}": value for name, value in run.exported().items()}
    made = {"steps": outcome.step, "lr": plan.lr, "seed": plan.seed, **asdict(terms), "frames": settings["frames"]}
    named = str(Path(weights).resolve()) if Path(weights).is_file() else weights
    differences.save(
        file,
        loaded.net,
        state,
        named=named,
        base_sha256=known(weights)["sha256"],
        track=track,
        made=made,
        beside={"pivots": pivots},
    )


def _numbers(means: Mapping[str, float]) -> Iterable[str]:
    return (f"{name} {value:.4g}" for name, value in means.items())
