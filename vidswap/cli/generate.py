"""`vidswap generate`: pictures, sweeps, mixtures and walks of a StyleGAN2 or StyleGAN3."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import set_voice
from .options import HOW_IT_RUNS, Codec, Crf, Json, Overwrite, Quiet

app = typer.Typer(
    name="generate",
    help="Pictures of a StyleGAN2 or 3: seeds, truncation sweeps, style mixing, latent walks.",
    no_args_is_help=True,
)

MOST_PICTURES = 100_000
MOST_IN_A_GRID = 4096
_LARGEST_SEED = 2**32 - 1

Weights = Annotated[
    str,
    typer.Argument(
        metavar="WEIGHTS", help="A name of `vidswap weights list`, a file, or random weights: random, random:256:SEED."
    ),
]
Seeds = Annotated[str, typer.Option("--seeds", "-s", help="Seeds, such as 0-31,40.")]
Psi = Annotated[
    str, typer.Option("--psi", help="Truncation: 1 none, 0 the mean face; several with commas are a sweep.")
]
Cutoff = Annotated[
    str | None,
    typer.Option("--cutoff", help="Truncate only so many first rows of W+; several with commas are a sweep."),
]
OnePsi = Annotated[float, typer.Option("--psi", min=-4, max=4, help="Truncation: 1 none, 0 the mean face.")]
OneCutoff = Annotated[int | None, typer.Option("--cutoff", min=0, help="Truncate only so many first rows of W+.")]
Family = Annotated[
    Literal["stylegan2", "stylegan3-t", "stylegan3-r"] | None,
    typer.Option("--family", help="What random weights are for. Default: stylegan2.", show_default=False),
]
Noise = Annotated[
    str, typer.Option("--noise", help="const (the weights' own), none, or random:SEED; StyleGAN2 alone has any.")
]
Translate = Annotated[
    str, typer.Option("--translate", help="StyleGAN3: move the picture right and down by X,Y of its width.")
]
Rotate = Annotated[
    float, typer.Option("--rotate", min=-360, max=360, help="StyleGAN3: turn it counter-clockwise by degrees.")
]
Device = Annotated[
    str,
    typer.Option("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1 ...", rich_help_panel=HOW_IT_RUNS),
]
PrecisionOption = Annotated[
    Literal["fp32", "fp16", "bf16"],
    typer.Option("--precision", help="Half is held against fp32 on load.", rich_help_panel=HOW_IT_RUNS),
]
BatchSize = Annotated[
    int, typer.Option("--batch", min=1, max=256, help="Pictures at a time on CUDA.", rich_help_panel=HOW_IT_RUNS)
]
Cell = Annotated[int | None, typer.Option("--cell", min=16, max=4096, help="Pixels a side of the cells of a grid.")]
Folder = Annotated[
    Path, typer.Option("-o", "--output", help="A folder for PNG pictures, or one .png with all of them.")
]


@app.command()
def images(
    weights: Weights,
    output: Folder,
    seeds: Seeds = "0-7",
    psi: Psi = "0.7",
    cutoff: Cutoff = None,
    grid: Annotated[bool, typer.Option("--grid", help="Also write index.png: seeds down, truncations across.")] = False,
    cell: Cell = None,
    family: Family = None,
    noise: Noise = "const",
    translate: Translate = "0,0",
    rotate: Rotate = 0.0,
    device: Device = "auto",
    precision: PrecisionOption = "fp32",
    batch: BatchSize = 8,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Render seeds, at one truncation or at several."""
    from . import generating
    from .generating import Grid, Shot, Studio
    from .numbers import numbers, shares

    set_voice(as_json, quiet)
    moved = _shift(translate)
    chosen = _seeds(seeds, "--seeds")
    psis = shares(psi, "--psi", low=-4, high=4)
    cutoffs: list[int | None] = [None]
    if cutoff is not None:
        cutoffs = list(numbers(cutoff, "--cutoff", most=32, example="4,8,18"))
    sweep = [(p, c) for p in psis for c in cutoffs]
    is_one = _check_output(output, overwrite)
    many = len(chosen) * len(sweep)
    _check_count(many, grid or (is_one and many > 1))
    studio = Studio(generating.How(weights, family, noise, device, precision, batch, moved, rotate))
    for _, rows in sweep:
        studio.check_cutoff(rows)
    shots = [
        Shot(
            name="-".join([f"seed{seed:04d}", *_parts(p, c, len(psis) > 1, len(cutoffs) > 1)]),
            label=" ".join([str(seed), *_parts(p, c, len(psis) > 1, len(cutoffs) > 1)]),
            seed=seed,
            psi=p,
            cutoff=c,
        )
        for seed in chosen
        for p, c in sweep
    ]
    across = len(sweep) if len(sweep) > 1 else generating.columns_for(many)
    sheet = None
    if grid or (is_one and many > 1):
        sheet = Grid(-(-many // across), across, studio.painter.loaded.resolution, cell)
    notes = studio.notes("images", {"seeds": seeds, "psi": psis, "cutoff": cutoffs})
    files = generating.write_pictures(
        studio, output, shots, notes, grid=sheet, place=lambda number: divmod(number, across)
    )
    studio.tell(output, [f"{output}: {many} picture{'s' * (many > 1)} of {studio.title}"], pictures=many, files=files)


@app.command()
def mix(
    weights: Weights,
    output: Folder,
    rows: Annotated[str, typer.Option("--rows", help="Seeds of the pictures on the left.")] = "0-3",
    columns: Annotated[str, typer.Option("--cols", help="Seeds of those on the top, which lend their style.")] = "4-7",
    layers: Annotated[
        str | None,
        typer.Option("--layers", help="Rows of W+ from the top: 0-3 pose, 4-7 features, 8-17 colours. Default: 0-6."),
    ] = None,
    psi: OnePsi = 0.7,
    cutoff: OneCutoff = None,
    cell: Cell = None,
    family: Family = None,
    noise: Noise = "const",
    translate: Translate = "0,0",
    rotate: Rotate = 0.0,
    device: Device = "auto",
    precision: PrecisionOption = "fp32",
    batch: BatchSize = 8,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Mix styles: a grid in which each picture has some layers of the one on top of its column."""
    from vidswap.graph import InputError

    from . import generating
    from .generating import Grid, Shot, Studio
    from .numbers import numbers

    set_voice(as_json, quiet)
    moved = _shift(translate)
    left, top = _seeds(rows, "--rows"), _seeds(columns, "--cols")
    taken = None if layers is None else numbers(layers, "--layers", most=64, example="0-6")
    _check_output(output, overwrite)
    _check_count((len(left) + 1) * (len(top) + 1), True)
    studio = Studio(generating.How(weights, family, noise, device, precision, batch, moved, rotate))
    studio.check_cutoff(cutoff)
    taken = list(range(min(7, studio.rows))) if taken is None else taken
    beyond = [layer for layer in taken if layer >= studio.rows]
    if beyond:
        raise InputError(f"--layers {layers!r}: {studio.title} has rows 0 to {studio.rows - 1}, not {beyond[0]}")
    plain = [Shot("", f"{seed}", seed, psi, cutoff) for seed in (*top, *left)]
    mixed = [Shot(f"row{a:04d}-col{b:04d}", "", a, psi, cutoff, b) for a in left for b in top]
    places = [(0, i + 1) for i in range(len(top))] + [(i + 1, 0) for i in range(len(left))]
    places += [(i + 1, j + 1) for i in range(len(left)) for j in range(len(top))]
    sheet = Grid(len(left) + 1, len(top) + 1, studio.painter.loaded.resolution, cell)
    settings = {"rows": rows, "cols": columns, "layers": taken, "psi": psi, "cutoff": cutoff}
    notes = studio.notes("mix", settings)
    files = generating.write_pictures(
        studio, output, [*plain, *mixed], notes, layers=taken, grid=sheet, place=lambda number: places[number]
    )
    studio.tell(output, [f"{output}: {len(mixed)} mixtures of {studio.title}"], pictures=len(mixed), files=files)


@app.command()
def walk(
    weights: Weights,
    output: Annotated[Path, typer.Option("-o", "--output", help="The film: .mp4 .mov .mkv .webm .gif .apng .webp.")],
    seeds: Seeds = "0-5",
    seconds: Annotated[float, typer.Option("--seconds", min=0.04, max=3600, help="Length of the whole film.")] = 12.0,
    fps: Annotated[str, typer.Option("--fps", help="Frames per second: 25, 24000/1001.")] = "25",
    space: Annotated[
        Literal["w", "z"], typer.Option("--space", help="w: a smooth curve through the codes; z: great circles.")
    ] = "w",
    loop: Annotated[bool, typer.Option("--loop/--no-loop", help="End where it began.")] = True,
    psi: OnePsi = 0.7,
    cutoff: OneCutoff = None,
    family: Family = None,
    noise: Noise = "const",
    translate: Translate = "0,0",
    rotate: Rotate = 0.0,
    device: Device = "auto",
    precision: PrecisionOption = "fp32",
    batch: BatchSize = 8,
    codec: Codec = None,
    crf: Crf = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Walk from seed to seed: a film."""
    import torch

    from vidswap.graph import InputError
    from vidswap.latents import spaces, walks
    from vidswap.media import outputs
    from vidswap.media.image_sequences import frame_rate

    from . import generating

    set_voice(as_json, quiet)
    moved = _shift(translate)
    chosen = _seeds(seeds, "--seeds")
    if len(chosen) < 2:
        raise InputError(f"--seeds {seeds!r}: a walk goes between two seeds or more")
    rate = frame_rate(fps)
    count = round(seconds * rate)
    if not 2 <= count <= MOST_PICTURES:
        raise InputError(f"{seconds:g} s at {fps} frames per second are {count} frames; 2 to {MOST_PICTURES} are made")
    if outputs.is_image_output(output) or output.suffix.lower() not in (*outputs.ANIMATIONS, *_films()):
        raise InputError(f"cannot write {output.name}: a walk is a film; give a name such as walk.mp4 or walk.gif")
    generating.check_file(output, overwrite)
    encoder = generating.film_encoder(output, codec, crf)
    studio = generating.Studio(generating.How(weights, family, noise, device, precision, batch, moved, rotate))
    studio.check_cutoff(cutoff)
    places = walks.times(count, len(chosen), loop=loop)
    if space == "z":
        keys = spaces.seeded_z(chosen, studio.net.config.z_dim)
        w = studio.mapped(walks.great_circles(keys, places, loop=loop))
    else:
        keys = torch.cat([studio.w(seed) for seed in chosen])
        w = walks.spline(keys, places.to(keys.device), loop=loop)
    settings = {"seeds": seeds, "space": space, "loop": loop, "psi": psi, "cutoff": cutoff}
    notes = studio.notes("walk", {**settings, "fps": str(rate), "frames": count})
    generating.write_film(studio, output, lambda a, b: studio.wplus(w[a:b], psi, cutoff), count, rate, encoder, notes)
    studio.tell(output, [f"{output}: {count} frames of {studio.title}"], frames=count)


def _films() -> tuple[str, ...]:
    from vidswap.media.containers import CONTAINERS

    return tuple(CONTAINERS)


def _seeds(text: str, option: str) -> list[int]:
    from vidswap.graph import InputError

    from .numbers import numbers

    found = numbers(text, option, most=MOST_PICTURES, example="0-31,40")
    if max(found) > _LARGEST_SEED:
        raise InputError(f"{option} {text!r}: seeds go up to {_LARGEST_SEED}")
    return found


def _shift(text: str) -> tuple[float, float]:
    from vidswap.graph import InputError

    from .numbers import shares

    found = shares(text, "--translate", low=-4, high=4)
    if len(found) != 2:
        raise InputError(f"--translate {text!r}: write X,Y such as 0.25,-0.1")
    return found[0], found[1]


def _parts(psi: float, cutoff: int | None, has_psis: bool, has_cutoffs: bool) -> list[str]:
    return [*([f"psi{psi:g}"] if has_psis else []), *([f"cut{cutoff}"] if has_cutoffs else [])]


def _check_output(output: Path, overwrite: bool) -> bool:
    """Whether it is one picture; raises InputError where it must not be written."""
    from vidswap.graph import InputError

    from . import generating

    if output.suffix.lower() == ".png":
        generating.check_file(output, overwrite)
        return True
    if output.suffix and not output.is_dir():
        raise InputError(f"cannot write {output.name}: pictures go to a folder, or all into one .png")
    generating.check_folder(output, overwrite)
    return False


def _check_count(count: int, is_grid: bool) -> None:
    from vidswap.graph import InputError

    most = MOST_IN_A_GRID if is_grid else MOST_PICTURES
    if count > most:
        what = "a grid holds" if is_grid else "at a time there are made"
        raise InputError(f"these are {count} pictures; {what} {most} at most")
