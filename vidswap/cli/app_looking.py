"""Commands that look, measure and show: they start no run of their own on a whole video, but for the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import compare, demo, evaluate, looking, preview
from . import doctor as checkup
from .console import all_but_voice as _all
from .console import set_voice
from .options import (
    COMMON,
    FACES,
    HERE,
    LOOKING,
    PLACE,
    Codec,
    Crf,
    InputRate,
    Json,
    Options,
    Output,
    Quiet,
    Source,
    Target,
    VideoStream,
    Workers,
    placed,
    taking,
)

app = typer.Typer()


@app.command(name="preview", rich_help_panel=LOOKING)
@taking(FACES, COMMON)
def preview_command(
    *,
    source: Source = None,
    target: Target,
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG to write.", **PLACE)] = Path("preview.png"),
    options: Options = None,
    frames: Annotated[int, typer.Option("--frames", "-k", min=1, max=64, help="How many frames, evenly spread.")] = 6,
    at: Annotated[str | None, typer.Option("--at", help="These frames instead, by index: 10,50,90-99.")] = None,
    stages: Annotated[
        str | None,
        typer.Option("--stages", help="What each stage makes of each face: all, or landmarks,regions,alpha,..."),
    ] = None,
    pipeline: Annotated[str, typer.Option(help="Pipeline by name or YAML file.")] = "swap-mesh",
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    **given: Any,
) -> None:
    """Write a contact sheet: source, target, result and mask for some frames."""
    preview.preview(**_all(locals()))


@app.command(name="evaluate", rich_help_panel=LOOKING)
def evaluate_command(
    source: Annotated[
        Path, typer.Argument(help="The portrait (for likeness, where a recogniser is installed).", **PLACE)
    ],
    target: Annotated[Path, typer.Argument(help="The video that the result was made of.", **PLACE)],
    result: Annotated[Path, typer.Argument(help="The result.", **PLACE)],
    reenacted: Annotated[
        bool, typer.Option("--reenacted", help="The result is of reenact, and TARGET the video that drives it.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a result: stillness, motion, flicker, pose, seams, background, streams; and what is to be reached."""
    evaluate.evaluate(**_all(locals()))


@app.command(name="compare", rich_help_panel=LOOKING)
@taking(COMMON)
def compare_command(
    *,
    first: Annotated[
        Path,
        typer.Argument(metavar="A", parser=placed, help="A video; its sound and times are the comparison's."),
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B", parser=placed, help="A video with as many frames at the same times.")
    ],
    output: Output,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="A left, B right: the default.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="A left of a line that moves, B right of it.")] = False,
    difference: Annotated[bool, typer.Option("--difference", help="How far they differ, fourfold.")] = False,
    labels: Annotated[str | None, typer.Option("--labels", help="Two texts with a comma: 'target,result'.")] = None,
    codec: Codec = None,
    crf: Crf = None,
    **given: Any,
) -> None:
    """Write a video that shows two videos together: side by side, with a wipe, or their difference."""
    compare.compare(**_all(locals()))


@app.command(rich_help_panel=LOOKING)
def inspect(
    video: Annotated[Path, typer.Argument(help="A video, picture, image folder or pattern.", **PLACE)],
    input_rate: InputRate = None,
    video_stream: VideoStream = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say what a video holds: streams, frames, timestamps, colours, rotation."""
    set_voice(as_json, quiet)
    looking.inspect(video, input_rate, video_stream)


@app.command(rich_help_panel=HERE)
def operators(as_json: Json = False) -> None:
    """List the operators installed here, with what they need and give."""
    set_voice(as_json)
    looking.operators()


@app.command(rich_help_panel=HERE)
def pipelines(as_json: Json = False) -> None:
    """List the pipelines installed here."""
    set_voice(as_json)
    looking.pipelines()


@app.command(rich_help_panel=HERE)
def doctor(as_json: Json = False) -> None:
    """Check this machine: versions, codecs, GPU, models, disk; what is missing and how to get it."""
    set_voice(as_json)
    checkup.doctor()


@app.command(name="demo", rich_help_panel=HERE)
@taking(COMMON)
def demo_command(
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder for what it makes.")] = Path("vidswap-demo"),
    seconds: Annotated[float, typer.Option(min=0.5, max=60.0, help="Length of the clip.")] = 4.0,
    workers: Workers = None,
    **given: Any,
) -> None:
    """Make a clip of one public-domain portrait, swap another one in, and show where the result is."""
    demo.demo(**_all(locals()))
