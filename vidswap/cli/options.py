"""The options that commands share: the words that their help says of them, and the groups that they come in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer


def placed(text: str) -> Path:
    """The parser of options that take a path or an address."""
    from vidswap.storage import place

    return place(text)


CHANGING, LOOKING, LEARNED, CLUSTER, HERE = (
    "Change videos",
    "Look and measure",
    "Learned methods",
    "Runs on a Ray cluster, and their state",
    "What is here",
)
"""Headings of the list of commands."""

HOW_IT_RUNS = "How it runs"

PLACE: dict[str, Any] = {"parser": placed, "metavar": "PATH"}
"""What such an option says to typer."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")]
SwapMethod = Annotated[
    str | None,
    typer.Option("--method", help="How: mesh (default, needs no weights) or e4s; the same as --pipeline swap-METHOD."),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        help="What to write: .mp4 .mov .mkv .webm .gif .apng .webp, a folder or %05d.png; or s3://BUCKET/NAME.mp4.",
        **PLACE,
    ),
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        "-s",
        help="Portrait or short video of the person who will be seen; repeat it for more pictures of the same person.",
    ),
]
Target = Annotated[
    Path,
    typer.Option(
        "--target",
        "-t",
        help="The video, animated picture, image folder or pattern whose faces change; a path, s3://, gs:// or https://.",
        **PLACE,
    ),
]
SourceFace = Annotated[
    str | None,
    typer.Option("--source-face", help="Which face of a portrait with several: largest, left, right, or an index."),
]
Face = Annotated[
    str | None,
    typer.Option(
        "--face", help="Which faces of the video: largest (default), all, left, right, or an index from the left."
    ),
]
FaceLike = Annotated[
    Path | None,
    typer.Option(
        "--face-like", help="Change the face that is nearest in shape to this picture, instead of --face.", **PLACE
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="FACE=PORTRAIT for several people: left=ada.jpg, 1=grace.jpg or person.jpg=grace.jpg. May be repeated.",
    ),
]
Regions = Annotated[
    str | None,
    typer.Option("--regions", help="Regions that change, with commas: brows,eyes,nose,mouth,skin. Default: all."),
]
Skin = Annotated[
    str | None,
    typer.Option(
        "--skin",
        help="Whose colour the skin has, with --method e4s: source (default), target or mix.",
        rich_help_panel="Faces",
    ),
]
Strength = Annotated[float | None, typer.Option("--strength", help="How far they change, from 0 to 1. Default: 1.")]
Blend = Annotated[
    str | None, typer.Option("--blend", help="How edges are joined: multiband (default), gradient or feather.")
]
Disclose = Annotated[
    str | None, typer.Option("--disclose", help="Draw this text into a corner of every frame, such as 'AI-altered'.")
]
Codec = Annotated[
    str | None, typer.Option("--codec", help="Video encoder: libx264 (default; libvpx-vp9 for webm), libx265, ffv1 ...")
]
Crf = Annotated[
    float | None, typer.Option("--crf", help="Constant quality of the encoder; lower is better and larger.")
]
Preset = Annotated[str | None, typer.Option("--preset", help="Speed preset of the encoder, such as veryfast or slow.")]
Bitrate = Annotated[
    str | None, typer.Option("--bitrate", help="Bits per second of the video instead of --crf, such as 4M or 800k.")
]
PixelFormat = Annotated[
    str | None, typer.Option("--pixel-format", help="Such as yuv420p. Default: the encoder's nearest to the input's.")
]
Deinterlace = Annotated[
    bool | None, typer.Option("--deinterlace", help="Make whole pictures of interlaced frames. Default: as they are.")
]
SmartCopy = Annotated[
    bool | None,
    typer.Option(
        "--smart-copy/--no-smart-copy",
        help="Copy stretches without a face to change instead of encoding them anew. Default: on.",
        show_default=False,
    ),
]
InputRate = Annotated[
    str | None,
    typer.Option("--input-rate", help="Frames per second of an image folder or pattern: 25 (default), 24000/1001."),
]
VideoStream = Annotated[
    int | None,
    typer.Option("--video-stream", min=0, help="Which of several video streams, by its index as `inspect` shows it."),
]
Quality = Annotated[
    int | None,
    typer.Option("--quality", min=0, max=100, help="Of JPEG and WebP pictures: higher is better. Videos take --crf."),
]
Start = Annotated[
    str | None,
    typer.Option("--start", help="Begin here: 75.5 (seconds), 1:15.5, or 1875f (a frame). Default: the start."),
]
End = Annotated[str | None, typer.Option("--end", help="End before this time or frame. Default: the end.")]
SegmentFrames = Annotated[
    int | None, typer.Option("--segment-frames", help="Frames per segment, 5 or more. Default: cut at keyframes.")
]
Executor = Annotated[
    str | None, typer.Option("--executor", help="Where it runs: local (default), or ray, on one machine or a cluster.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", help="The Ray cluster: auto or HOST:PORT. Default: $RAY_ADDRESS, else Ray is started here."
    ),
]
OnError = Annotated[
    str | None,
    typer.Option(
        "--on-error",
        help="Of a segment that fails every time: stop (default), or skip-copy: leave it as it was.",
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-j", help="Segment workers; 0 runs in this process. Default: one per core.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace an output that exists.")]
Strict = Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="Of learned stages: auto (default; CUDA where there is one), cpu, cuda, cuda:1 ..."),
]
StallTimeout = Annotated[
    float | None,
    typer.Option(
        "--stall-timeout",
        help="Replace a worker that tells of no progress for this many seconds; 0: never. Default: 600.",
    ),
]
SegmentTimeout = Annotated[
    float | None,
    typer.Option(
        "--segment-timeout",
        help="Try a part of a segment anew that is not done after this many seconds; 0: never. Default: 14400.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what an interrupted run has done.")]
Again = Annotated[
    bool, typer.Option("--again", help="Start anew in a kept job folder, from the analysis that is there (see --job).")
]
Job = Annotated[
    Path | None,
    typer.Option("--job", help="Keep the job folder here. Default: beside the output, removed at the end.", **PLACE),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace", help="Write a timeline of the run here (.json, .json.gz), for https://ui.perfetto.dev.", **PLACE
    ),
]
ReportPage = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page about the run here (.html): time, memory, retries, frames.", **PLACE),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="A run profile: the name of an installed one, or a YAML file.")
]
Options = Annotated[
    list[str] | None, typer.Argument(help="stage.option=value pairs, such as blend.mode=multiband", show_default=False)
]


def _group(panel: str, **options: Any) -> Mapping[str, Any]:
    """Options by the names of their parameters, which help shows under a heading of their own."""
    for option in options.values():
        get_args(option)[1].rich_help_panel = panel
    return options


FACES = _group(
    "Faces",
    face=Face,
    face_like=FaceLike,
    face_map=Map,
    source_face=SourceFace,
    regions=Regions,
    strength=Strength,
    blend=Blend,
)
ENCODING = _group(
    "What is written",
    disclose=Disclose,
    codec=Codec,
    crf=Crf,
    quality=Quality,
    preset=Preset,
    bitrate=Bitrate,
    pixel_format=PixelFormat,
)
READING = _group("What is read", start=Start, end=End, input_rate=InputRate, video_stream=VideoStream)
# Of commands that change frames where they are: what reenact writes has neither fields nor packets of its target.
VIDEO = {
    **_group("What is read", deinterlace=Deinterlace),
    **_group("What is written", smart_copy=SmartCopy),
}
RUNNING = _group(
    HOW_IT_RUNS,
    executor=Executor,
    ray_address=RayAddress,
    workers=Workers,
    device=Device,
    segment_frames=SegmentFrames,
    stall_timeout_s=StallTimeout,
    segment_timeout_s=SegmentTimeout,
    on_error=OnError,
    strict=Strict,
    profile=Profile,
)
KEEPING = _group(
    "What is kept of a run",
    job=Job,
    fresh=Fresh,
    again=Again,
    trace=Trace,
    report=ReportPage,
)
COMMON = {"overwrite": Overwrite, "quiet": Quiet, "as_json": Json}


def taking(*groups: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command takes the options of these groups too, as its `**given`; each is None or False unless it is given."""
    shared = {name: option for group in groups for name, option in group.items()}

    def widened(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if get_args(option)[0] is bool else None,
                annotation=option,
            )
            for name, option in shared.items()
        ]
        # What typer reads of a command.
        command.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
        return command

    return widened
