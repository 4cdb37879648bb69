"""`vidswap train`: the networks that one trains oneself: StyleMask's, the landmark mapper, E4S."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vidswap import interrupts

from .console import VOICE
from .options import Json, Quiet
from .train_options import (
    BatchSize,
    Bits,
    Clip,
    Device,
    Folder,
    Fresh,
    Generator,
    Licence,
    LogEvery,
    Losses,
    Rate,
    SaveEvery,
    Seed,
    Steps,
)

if TYPE_CHECKING:
    import torch

    from vidswap.latents.generators import Loaded
    from vidswap.nets.devices import Precision
    from vidswap.training.loop import Run, Task

app = typer.Typer(
    name="train",
    help="Train StyleMask's networks, the landmark mapper or E4S; interrupted, the same command goes on.",
    no_args_is_help=True,
)


@app.command(name="mask-net")
def mask_net(
    output: Folder,
    generator: Generator = "stylegan2-ffhq",
    steps: Steps = 70_000,
    batch: BatchSize = 6,
    lr: Rate = 1e-4,
    seed: Seed = 0,
    space: Annotated[str, typer.Option("--space", help="What is mixed: style (the paper's) or wplus.")] = "style",
    single: Annotated[bool, typer.Option("--single", help="One network for all layers together.")] = False,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Controlled convolutions. Default: 12 of 17.")
    ] = None,
    psi: Annotated[float, typer.Option("--psi", min=0, max=1, help="Truncation of what is drawn.")] = 0.7,
    identity: Annotated[float, typer.Option("--identity", min=0, help="Weight of the identity term.")] = 10.0,
    cycle: Annotated[bool, typer.Option("--cycle/--no-cycle", help="The paper's recurrent cycle.")] = True,
    shape_model: Annotated[
        str | None,
        typer.Option("--shape-model", help="A 3-D face model as package.module:callable (docs/training.md)."),
    ] = None,
    device: Device = "auto",
    precision: Bits = "fp32",
    clip: Clip = 0.0,
    save_every: SaveEvery = 1000,
    log_every: LogEvery = 50,
    licence: Licence = "",
    fresh: Fresh = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train StyleMask's mask networks on what a StyleGAN2 generates."""
    from vidswap.graph import InputError
    from vidswap.inversion.losses import installed_networks
    from vidswap.nets import stylemask
    from vidswap.nets.layers import seeded
    from vidswap.training.loop import Plan
    from vidswap.training.mask_net import MaskNetTask, Options
    from vidswap.training.supervision import ModelSupervisor, Structure, Supervisor
    from vidswap.training.supervision import shape_model as found_model

    VOICE.json, VOICE.quiet = as_json, quiet
    if space not in ("style", "wplus"):
        raise InputError(f"--space {space}: write style or wplus")
    where, loaded = device_named(device), _generator(generator, "stylegan2")
    config = stylemask.Config.of(loaded.net.config, layers=layers, single=single)  # type: ignore[arg-type]
    if space == "wplus":
        rows = len(stylemask.Config.of(loaded.net.config, layers=layers).widths)  # type: ignore[arg-type]
        width = loaded.net.config.w_dim
        config = stylemask.Config((rows * width,) if single else (width,) * rows)
    networks = installed_networks(None, where)
    if networks.arcface is None:
        VOICE.say(networks.missing[-1])
    supervisor: Supervisor = Structure()
    if shape_model is not None:
        supervisor = ModelSupervisor(found_model(shape_model))
    else:
        VOICE.say("without a model of the face's shape: the driver's structure and the source's colours take its place")
    task = MaskNetTask(
        loaded.net,  # type: ignore[arg-type]
        seeded(lambda: stylemask.MaskNetworks(config), seed),
        supervisor,
        networks,
        Options(psi, identity, cycle),
        batch_size=batch,
        seed=seed,
        space=space,  # type: ignore[arg-type]
        device=where,
    )
    settings: dict[str, Any] = {
        "what": "mask-net",
        "generator": known(generator),
        "widths": list(config.widths),
        "space": space,
    }
    settings |= {"psi": psi, "cycle": cycle, "shape_model": shape_model, "weights": task.weights}
    plan = Plan(
        steps, batch, lr, seed=seed, precision=bits(precision), clip=clip, save_every=save_every, log_every=log_every
    )
    _train(task, plan, output, settings, where, fresh, "mask-net", lambda run: run.exported(), licence, generator)


@app.command(name="landmark-mapper")
def landmark_mapper(
    output: Folder,
    generator: Generator = "stylegan3-r-ffhq",
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Pairs of pictures to make.")] = 20_000,
    rows: Annotated[int, typer.Option("--rows", min=1, help="First rows of W+ that pose and expression are in.")] = 7,
    psi: Annotated[float, typer.Option("--psi", min=0, max=1, help="Truncation of what is drawn.")] = 0.7,
    size: Annotated[int, typer.Option("--size", min=128, max=2048, help="px a side of landmark pictures.")] = 580,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="How often every pair is seen.")] = 20,
    batch: BatchSize = 32,
    lr: Rate = 2e-4,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Bits = "fp32",
    clip: Clip = 0.0,
    save_every: SaveEvery = 1000,
    log_every: LogEvery = 50,
    licence: Licence = "",
    fresh: Fresh = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make pairs of faces with a StyleGAN2 or 3 and train the landmark mapper on them."""
    from vidswap.nets import landmark_mapper as net
    from vidswap.nets.layers import seeded
    from vidswap.training.landmark_data import Drawing, MediaPipeLandmarker, prepare
    from vidswap.training.landmark_mapper import LandmarkMapperTask
    from vidswap.training.loop import Plan, claim

    VOICE.json, VOICE.quiet = as_json, quiet
    where, loaded = device_named(device), _generator(generator)
    settings: dict[str, Any] = {
        "what": "landmark-mapper",
        "generator": known(generator),
        "pairs": pairs,
        "rows": rows,
        "psi": psi,
    }
    settings |= {"size": size}
    plan = Plan(
        1,
        batch,
        lr,
        weight_decay=1e-4,
        seed=seed,
        precision=bits(precision),
        clip=clip,
        save_every=save_every,
        log_every=log_every,
    )
    drawing = Drawing(loaded.net.to(where), rows=rows, psi=psi, seed=seed)
    # Refused before an hour of making pairs, not after it.
    claim(output, settings, plan, fresh)
    data = output / f"pairs-{known(generator)['sha256'][:12]}-{rows}-{psi:g}-{size}-{seed}"
    made = prepare(
        loaded.net,
        drawing,
        MediaPipeLandmarker(),
        data,
        count=pairs,
        size=size,
        told=lambda done, found: VOICE.say(f"pairs {done}/{pairs}, faces found in {found}"),
    )
    config = net.Config(size=size, rows=loaded.num_ws, w_dim=loaded.net.config.w_dim)
    mapper = seeded(lambda: net.LandmarkMapper(config), seed)
    task = LandmarkMapperTask(mapper, made, drawing, batch_size=batch, seed=seed, device=where)
    plan = replace(plan, steps=epochs * task.steps_per_epoch)
    _train(
        task,
        plan,
        output,
        settings,
        where,
        False,
        "landmark-mapper",
        lambda run: run.exported(),
        licence,
        generator,
        extra=lambda: {"held_out": task.held_out_loss()},
    )


@app.command()
def rgi(
    output: Folder,
    pictures: Annotated[Path, typer.Option("--pictures", help="Folder of aligned square faces.")],
    labels: Annotated[Path, typer.Option("--labels", help="Folder of their label maps, PNGs of the same names.")],
    order: Annotated[
        str, typer.Option("--order", help="How they number regions: regions, bisenet or celebamask.")
    ] = "regions",
    generator: Generator = "stylegan2-ffhq-rosinality",
    steps: Steps = 300_000,
    batch: BatchSize = 2,
    lr: Rate = 1e-4,
    lr_drop: Annotated[
        list[int] | None, typer.Option("--lr-drop", help="A step from which the rate is a tenth; again for more.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, help="The paper's K: rows of W+ that regions have of their own. Default: 13."),
    ] = None,
    losses: Losses = "auto",
    adversarial: Annotated[float, typer.Option("--adversarial", min=0, help="Weight of the discriminator.")] = 0.01,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Bits = "fp32",
    clip: Clip = 0.0,
    save_every: SaveEvery = 1000,
    log_every: LogEvery = 50,
    licence: Licence = "",
    fresh: Fresh = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train E4S to reconstruct faces from a code for each of their regions."""
    from vidswap.faces.label_maps import ORDERS
    from vidswap.graph import InputError
    from vidswap.inversion.losses import installed_networks
    from vidswap.nets import rgi_keys
    from vidswap.training import rgi as training
    from vidswap.training.loop import Plan
    from vidswap.training.pictures import Pictures, pairs_of

    VOICE.json, VOICE.quiet = as_json, quiet
    if order not in ORDERS:
        raise InputError(f"--order {order}: write {', '.join(ORDERS)}")
    pairs = pairs_of(pictures, labels)
    where, loaded = device_named(device), _generator(generator, "stylegan2")
    terms = None if losses == "auto" else [term.strip() for term in losses.split(",")]
    networks = installed_networks(terms, where)
    for line in (*networks.missing, training.WITHOUT_PARSING):
        VOICE.say(line)
    side = loaded.resolution
    given = Pictures(
        pairs,
        order,
        resolution=side,
        label_side=min(512, side),
        batch=batch,
        seed=seed,
    )
    narrow = {"encoder_widths": (16,) * 5} if generator.startswith("random") and side < 256 else {}
    net = training.built(loaded.net, rows=rows, seed=seed, **narrow)  # type: ignore[arg-type]
    with_mse = terms is None or "mse" in terms
    options = training.Options(mse=1.0 if with_mse else 0.0, adversarial=adversarial)
    task = training.RGITask(net, given, networks, options, seed=seed, device=where)
    settings: dict[str, Any] = {"what": "rgi", "generator": known(generator), "rows": net.config.rows, "order": order}
    settings |= {"pictures": [pair.picture.name for pair in pairs], "terms": sorted(networks.terms), "losses": losses}
    settings |= {"adversarial": adversarial}
    drops = (100_000,) if lr_drop is None else tuple(lr_drop)
    plan = Plan(
        steps,
        batch,
        lr,
        lr_drops=drops,
        ema=training.EMA,
        seed=seed,
        precision=bits(precision),
        clip=clip,
        save_every=save_every,
        log_every=log_every,
    )

    def exported(run: Run) -> Mapping[str, torch.Tensor]:
        tensors, mean = rgi_keys.into_published(run.exported())
        return {**tensors, "latent_avg": mean}

    _train(task, plan, output, settings, where, fresh, "rgi", exported, licence, generator)


def _train(
    task: Task,
    plan: Any,
    output: Path,
    settings: Mapping[str, Any],
    device: torch.device,
    fresh: bool,
    name: str,
    exported: Callable[[Run], Mapping[str, torch.Tensor]],
    licence: str,
    generator: str,
    extra: Callable[[], dict[str, Any]] | None = None,
) -> None:
    """Run the loop and write the result."""
    from vidswap.training.exporting import export
    from vidswap.training.logs import ABSENT, is_installed
    from vidswap.training.loop import Run

    if not is_installed():
        VOICE.say(ABSENT)
    run = Run(task, plan, output, settings=settings, device=device, fresh=fresh)
    if run.step:
        VOICE.say(f"going on from step {run.step}")

    def told(step: int, means: Mapping[str, float]) -> None:
        VOICE.say(f"step {step}/{plan.steps}  " + "  ".join(f"{key} {value:.4g}" for key, value in means.items()))

    with stoppable() as stop:
        outcome = run.train(told=told, stop=stop)
    target = output / f"{name}.safetensors"
    terms = licence or f"Trained with vidswap on {generator}, whose terms hold for it too."
    card = export(exported(run), target, licence=terms)
    facts = {"weights": str(target), "steps": outcome.step, "began_at": outcome.began_at, "sha256": card.sha256}
    facts |= {"first": outcome.first, "last": outcome.last, **(extra() if extra else {})}
    lines = [f"{target}: after {outcome.step} steps ({card.values / 1e6:.1f} million values)"]
    if facts.get("held_out") is not None:
        lines.append(f"loss of the pairs held out: {facts['held_out']:.4g}")
    VOICE.result(facts, lines)


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM ends the run after the step at hand; a second Ctrl-C at once."""
    asked = 0

    def stop(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in interrupts.USUAL:
                before[number] = signal.signal(number, stop)
        yield lambda: asked > 0
    finally:
        for stopped, handler in before.items():
            signal.signal(stopped, handler)


def device_named(named: str) -> torch.device:
    """The torch device of an option. Raises InputError where it is not there."""
    from vidswap.nets.devices import chosen_device, full_float32

    device = chosen_device(named)
    if device.type == "cuda":
        full_float32()
    return device


def bits(named: str) -> Precision:
    """The precision of an option. Raises InputError for none."""
    from vidswap.graph import InputError
    from vidswap.nets.devices import DTYPES

    if named not in DTYPES:
        raise InputError(f"--precision {named}: write {', '.join(DTYPES)}")
    return named  # type: ignore[return-value]


def _generator(weights: str, family: Literal["stylegan2", "stylegan3"] | None = None) -> Loaded:
    from vidswap.latents.generators import load_generator

    loaded = load_generator(weights, family)
    for warning in loaded.warnings:
        VOICE.warn(warning)
    return loaded


def known(weights: str) -> dict[str, str]:
    """A name, and the digest of what it stands for."""
    from vidswap.weights.store import base_digest, is_file_name

    return {"name": Path(weights).name if is_file_name(weights) else weights, "sha256": base_digest(weights)}
