"""The typer application, and its commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import app_looking, batch, edit_regions, generate, jobs, running, train, tune, weights
from .console import all_but_voice as _all
from .ending import exit_code
from .options import (
    PLACE,
    Again,
    Bitrate,
    Blend,
    Codec,
    Crf,
    Deinterlace,
    Device,
    Disclose,
    End,
    Executor,
    Face,
    FaceLike,
    Fresh,
    InputRate,
    Job,
    Json,
    Map,
    OnError,
    Options,
    Output,
    Overwrite,
    PixelFormat,
    Preset,
    Profile,
    Quality,
    Quiet,
    RayAddress,
    Regions,
    ReportPage,
    SegmentFrames,
    SegmentTimeout,
    Skin,
    SmartCopy,
    Source,
    SourceFace,
    StallTimeout,
    Start,
    Strength,
    Strict,
    SwapMethod,
    Target,
    Trace,
    VideoStream,
    Workers,
)

app = typer.Typer(
    name="vidswap",
    help="Face swapping, reenactment and editing over long videos. Start with: vidswap demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(weights.app)
app.add_typer(train.app)
app.add_typer(tune.app)
app.add_typer(generate.app)
app.add_typer(edit_regions.app)
app.add_typer(app_looking.app)
app.add_typer(jobs.app)


@app.command()
def swap(
    source: Source = None,
    target: Target = ...,  # type: ignore[assignment]
    output: Output = ...,  # type: ignore[assignment]
    options: Options = None,
    method: SwapMethod = None,
    pipeline: Annotated[str | None, typer.Option(help="Pipeline by name or YAML file. [swap-mesh]")] = None,
    face: Face = None,
    face_like: FaceLike = None,
    face_map: Map = None,
    source_face: SourceFace = None,
    regions: Regions = None,
    strength: Strength = None,
    skin: Skin = None,
    blend: Blend = None,
    disclose: Disclose = None,
    codec: Codec = None,
    crf: Crf = None,
    quality: Quality = None,
    preset: Preset = None,
    bitrate: Bitrate = None,
    pixel_format: PixelFormat = None,
    deinterlace: Deinterlace = None,
    smart_copy: SmartCopy = None,
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    segment_frames: SegmentFrames = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    device: Device = None,
    stall_timeout_s: StallTimeout = None,
    segment_timeout_s: SegmentTimeout = None,
    on_error: OnError = None,
    job: Job = None,
    profile: Profile = None,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    again: Again = False,
    strict: Strict = False,
    trace: Trace = None,
    report: ReportPage = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Put the face of a portrait onto the faces of a video."""
    given = _all(locals())
    running.run_pipeline(pipeline=running.chosen_pipeline("swap", given.pop("method"), given.pop("pipeline")), **given)


@app.command()
def reenact(
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
    disclose: Disclose = None,
    codec: Codec = None,
    crf: Crf = None,
    quality: Quality = None,
    preset: Preset = None,
    bitrate: Bitrate = None,
    pixel_format: PixelFormat = None,
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    segment_frames: SegmentFrames = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    device: Device = None,
    stall_timeout_s: StallTimeout = None,
    segment_timeout_s: SegmentTimeout = None,
    on_error: OnError = None,
    job: Job = None,
    profile: Profile = None,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    again: Again = False,
    strict: Strict = False,
    trace: Trace = None,
    report: ReportPage = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a portrait nod, turn, talk and blink as the face of a video does."""
    running.reenact(**_all(locals()))


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="Pipeline by name or YAML file.")],
    options: Options = None,
    target: Target = ...,  # type: ignore[assignment]
    output: Output = ...,  # type: ignore[assignment]
    source: Source = None,
    face: Face = None,
    face_like: FaceLike = None,
    face_map: Map = None,
    source_face: SourceFace = None,
    regions: Regions = None,
    strength: Strength = None,
    blend: Blend = None,
    disclose: Disclose = None,
    codec: Codec = None,
    crf: Crf = None,
    quality: Quality = None,
    preset: Preset = None,
    bitrate: Bitrate = None,
    pixel_format: PixelFormat = None,
    deinterlace: Deinterlace = None,
    smart_copy: SmartCopy = None,
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    segment_frames: SegmentFrames = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    device: Device = None,
    stall_timeout_s: StallTimeout = None,
    segment_timeout_s: SegmentTimeout = None,
    on_error: OnError = None,
    job: Job = None,
    profile: Profile = None,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    again: Again = False,
    strict: Strict = False,
    trace: Trace = None,
    report: ReportPage = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run any pipeline on a video: vidswap run PIPELINE.yaml -t VIDEO -o OUT [stage.option=value ...]."""
    running.run_pipeline(**_all(locals()))


@app.command(name="batch")
def batch_command(
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
    face: Face = None,
    face_like: FaceLike = None,
    face_map: Map = None,
    source_face: SourceFace = None,
    regions: Regions = None,
    strength: Strength = None,
    blend: Blend = None,
    disclose: Disclose = None,
    codec: Codec = None,
    crf: Crf = None,
    quality: Quality = None,
    preset: Preset = None,
    bitrate: Bitrate = None,
    pixel_format: PixelFormat = None,
    deinterlace: Deinterlace = None,
    smart_copy: SmartCopy = None,
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    segment_frames: SegmentFrames = None,
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    device: Device = None,
    stall_timeout_s: StallTimeout = None,
    segment_timeout_s: SegmentTimeout = None,
    on_error: OnError = None,
    profile: Profile = None,
    overwrite: Overwrite = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs have done.")] = False,
    strict: Strict = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run many jobs; what is done is skipped, what fails does not stop the rest."""
    raise typer.Exit(batch.batch(**_all(locals())))


@app.command()
def resume(
    job: Annotated[
        Path, typer.Argument(help="The job folder of an interrupted run: OUT.vidswap, or that of --job.", **PLACE)
    ],
    executor: Executor = None,
    ray_address: RayAddress = None,
    workers: Workers = None,
    on_error: OnError = None,
    overwrite: Overwrite = False,
    fresh: Fresh = False,
    trace: Trace = None,
    report: ReportPage = None,
    quiet: Quiet = False,
    as_json: Json = False,
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
        sys.path.append(str(Path.cwd()))
    try:
        code = run_command(None)
    except KeyboardInterrupt:
        # A second Ctrl-C while the first one is being told.
        code = 130
    sys.exit(code)


def run_command(arguments: list[str] | None) -> int:
    """Run the command with these arguments (None: those of the process); returns the exit code."""
    return exit_code(lambda: app(args=arguments, standalone_mode=False), arguments)
