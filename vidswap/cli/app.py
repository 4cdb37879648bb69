"""The typer application, and its commands."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import app_looking, batch, edit_regions, generate, jobs, running, train, tune, weights
from .console import all_but_voice as _all
from .ending import exit_code
from .options import (
    CHANGING,
    COMMON,
    ENCODING,
    FACES,
    KEEPING,
    LEARNED,
    PLACE,
    READING,
    RUNNING,
    VIDEO,
    Executor,
    Face,
    Fresh,
    OnError,
    Options,
    Output,
    RayAddress,
    ReportPage,
    Skin,
    Source,
    SourceFace,
    SwapMethod,
    Target,
    Trace,
    Workers,
    taking,
)

app = typer.Typer(
    name="vidswap",
    help="Face swapping, reenactment and editing over long videos. Start with: vidswap demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(edit_regions.app)
app.add_typer(weights.app, rich_help_panel=LEARNED)
app.add_typer(train.app, rich_help_panel=LEARNED)
app.add_typer(tune.app)
app.add_typer(generate.app, rich_help_panel=LEARNED)
app.add_typer(app_looking.app)
app.add_typer(jobs.app)


@app.command(rich_help_panel=CHANGING)
@taking(FACES, READING, ENCODING, VIDEO, RUNNING, KEEPING, COMMON)
def swap(
    *,
    source: Source = None,
    target: Target,
    output: Output,
    options: Options = None,
    method: SwapMethod = None,
    pipeline: Annotated[
        str | None, typer.Option(help="Pipeline by name or YAML file, instead of --method. Default: swap-mesh.")
    ] = None,
    skin: Skin = None,
    **given: Any,
) -> None:
    """Put the face of a portrait onto the faces of a video."""
    chosen = _all(locals())
    named = running.chosen_pipeline("swap", chosen.pop("method"), chosen.pop("pipeline"))
    running.run_pipeline(pipeline=named, **chosen)


@app.command(rich_help_panel=CHANGING)
@taking(READING, ENCODING, RUNNING, KEEPING, COMMON)
def reenact(
    *,
    source: Annotated[str, typer.Option("--source", "-s", help="Portrait of the person who will be seen moving.")],
    driver: Annotated[Path, typer.Option("--driver", "-d", help="The video whose face moves the portrait.", **PLACE)],
    output: Output,
    options: Options = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="mesh (default; needs no weights), stylemask or landmarks (StyleGAN2 and 3)."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=64,
            max=4096,
            help="Longest side of the portrait's picture (768; never enlarged), or of learned methods' square (1024).",
        ),
    ] = None,
    sound: Annotated[bool, typer.Option("--sound/--no-sound", help="Keep the driver's sound.")] = True,
    paste: Annotated[
        bool, typer.Option("--paste", help="Learned methods: the face in the portrait's own picture, not its square.")
    ] = False,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Learned methods: portrait, driver and result in one picture.")
    ] = False,
    psi: Annotated[
        float | None, typer.Option("--psi", help="stylemask: truncation of the codes, 1 by default; once it was 0.7.")
    ] = None,
    inversion: Annotated[
        str | None,
        typer.Option("--inversion", help="Learned methods: how the portrait is inverted: e4e, psp, restyle, optimize."),
    ] = None,
    keyframes: Annotated[
        int | None,
        typer.Option("--keyframes", min=1, max=31, help="stylemask: invert one frame in so many of the driver's."),
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="Pipeline by name or YAML file, instead of --method.")] = None,
    face: Face = None,
    source_face: SourceFace = None,
    **given: Any,
) -> None:
    """Make a portrait nod, turn, talk and blink as the face of a video does."""
    running.reenact(**_all(locals()))


@app.command(rich_help_panel=CHANGING)
@taking(FACES, READING, ENCODING, VIDEO, RUNNING, KEEPING, COMMON)
def run(
    *,
    pipeline: Annotated[str, typer.Argument(help="Pipeline by name or YAML file.")],
    options: Options = None,
    target: Target,
    output: Output,
    source: Source = None,
    **given: Any,
) -> None:
    """Run any pipeline on a video, with stage.option=value for what has no option of its own."""
    running.run_pipeline(**_all(locals()))


@app.command(name="batch", rich_help_panel=CHANGING)
@taking(FACES, READING, ENCODING, VIDEO, RUNNING, COMMON)
def batch_command(
    *,
    jobs: Annotated[
        Path,
        typer.Argument(
            help="A .yaml or .csv list with target, output, source ... per job, or a folder of videos.", **PLACE
        ),
    ],
    options: Options = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for results that the list does not name.", **PLACE)
    ] = None,
    source: Source = None,
    pipeline: Annotated[str, typer.Option(help="Pipeline by name or YAML file.")] = "swap-mesh",
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Forget what earlier runs have done.", rich_help_panel="What is kept of a run"),
    ] = False,
    **given: Any,
) -> None:
    """Run many jobs; what is done is skipped, what fails does not stop the rest."""
    raise typer.Exit(batch.batch(**_all(locals())))


@app.command(rich_help_panel=CHANGING)
@taking(COMMON)
def resume(
    *,
    job: Annotated[
        Path, typer.Argument(help="The job folder of an interrupted run: OUT.vidswap, or that of --job.", **PLACE)
    ],
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    on_error: OnError = None,
    fresh: Fresh = False,
    trace: Trace = None,
    report: ReportPage = None,
    **given: Any,
) -> None:
    """Go on with an interrupted run from its job folder alone."""
    running.resume(**_all(locals()))


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from vidswap import __version__

        sys.stdout.write(f"vidswap {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Entry point of the command `vidswap`."""
    # So that `module:Class` operators and plug-ins beside the YAML are found, as `python -m` would.
    if "" not in sys.path:
        # A working folder that was removed has nothing to be found.
        with contextlib.suppress(OSError):
            sys.path.append(str(Path.cwd()))
    try:
        code = run_command(None)
    except KeyboardInterrupt:
        # A second Ctrl-C while the first one is being told.
        code = 130
    sys.exit(code)


def run_command(arguments: list[str] | None) -> int:
    """Run the command with these arguments (None: those of the process); returns the exit code."""
    return exit_code(lambda: _made()(args=arguments, prog_name="vidswap", standalone_mode=False), arguments)


@functools.cache
def _made() -> Any:
    """The application, put together once for all runs in this process."""
    return typer.main.get_command(app)
