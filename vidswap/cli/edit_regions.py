"""`vidswap edit-regions`: texture of regions toward a reference, shape by drawn label maps, on pictures and videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from . import running
from .console import VOICE, all_but_voice
from .options import (
    CHANGING,
    COMMON,
    ENCODING,
    KEEPING,
    READING,
    RUNNING,
    VIDEO,
    Blend,
    Face,
    Options,
    SourceFace,
    Target,
    taking,
)

app = typer.Typer()

_PIPELINE, _PARSER = "edit-e4s", "parse-faces"


@app.command(name="edit-regions", rich_help_panel=CHANGING)
@taking(READING, ENCODING, VIDEO, RUNNING, KEEPING, COMMON)
def edit_regions_command(
    *,
    target: Target,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="What to write; as for vidswap swap, or a .png of a picture.")
    ] = None,
    options: Options = None,
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", "-r", help="Picture or short video whose regions are taken; may be repeated."),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option("--regions", help="Whose texture: hair,lips,brows,eyes,nose,mouth,skin ... Default: the face."),
    ] = None,
    amount: Annotated[
        float | None, typer.Option("--amount", min=0, max=1, help="How far toward the reference. Default: 1.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="A drawn label map, or a folder of them named by frame: 000012.png.")
    ] = None,
    label_order: Annotated[
        Literal["regions", "celebamask", "bisenet"],
        typer.Option("--label-order", help="What its numbers mean: E4S's 12 regions or an order of 19 classes."),
    ] = "regions",
    write_label_maps: Annotated[
        Path | None,
        typer.Option("--write-label-maps", help="Write what the parser sees into this folder, to draw on, and end."),
    ] = None,
    at: Annotated[str, typer.Option("--at", help="Of which frames label maps are written: 0,40-44.")] = "0",
    face: Face = None,
    reference_face: SourceFace = None,
    blend: Blend = None,
    **given: Any,
) -> None:
    """Edit regions of faces: texture by a reference, shape by label maps, in a picture or throughout a video."""
    edit(**all_but_voice(locals()))


def edit(
    *,
    target: Path,
    output: Path | None,
    options: list[str] | None,
    reference: list[str] | None,
    regions: str | None,
    amount: float | None,
    labels: Path | None,
    label_order: str,
    write_label_maps: Path | None,
    at: str,
    reference_face: str | None,
    **given: Any,
) -> None:
    """Write label maps, or check and run the edit. Raises InputError."""
    from vidswap.graph import InputError
    from vidswap.latents.regions import named

    if write_label_maps is not None:
        write_maps(target, write_label_maps, at, options or [], given)
        return
    if output is None:
        raise InputError("give -o with what to write, or --write-label-maps with a folder")
    if not reference and labels is None:
        raise InputError("nothing is to change: give --reference for texture, --labels for shape, or both")
    if not reference and (regions is not None or amount is not None):
        raise InputError("--regions and --amount say how a reference is taken over; give --reference")
    chosen = regions or "all"
    named(chosen)
    cover = ",".join(_regions_named(chosen)) if reference else "changed"
    set_here = [f"blend.cover={cover}", f"map.regions={chosen}"]
    if amount is not None:
        set_here.append(f"map.strength_texture={amount}")
    if labels is not None:
        set_here += [f"drawn.path={labels.absolute()}", f"drawn.order={label_order}", f"drawn.only={not reference}"]
    running.run_pipeline(
        pipeline=_PIPELINE,
        target=target,
        output=output,
        source=[
            f"source{'' if number == 1 else f'.{number}'}={path}"
            for number, path in enumerate(reference or [], start=1)
        ],
        options=[*set_here, *(options or [])],
        source_face=reference_face,
        **given,
    )


def _regions_named(chosen: str) -> list[str]:
    """Names of single regions for a user's list, `all` among them."""
    from vidswap.latents.regions import NAMES, named

    single = {held[0]: name for name, held in NAMES.items() if len(held) == 1}
    return [single[region] for region in named(chosen)]


def write_maps(target: Path, folder: Path, at: str, options: list[str], given: dict[str, Any]) -> None:
    """Write the parser's label map of the face in each frame named, as FOLDER/000012.png in E4S's order."""
    from vidswap.api import Pipeline
    from vidswap.faces.label_maps import write_label_map
    from vidswap.graph import InputError
    from vidswap.runtime.preview import render_frames
    from vidswap.runtime.settings import RunSettings

    from .preview import frame_list

    ready = Pipeline.prepared(_PARSER, overrides=options, shared={"face": given.get("face")})
    decoder: Any = ready.decoder.make()
    settings = RunSettings(device=given.get("device") or "auto")
    wanted = frame_list(at, decoder.probe(target).frame_count)
    written: list[str] = []
    for rendered in render_frames(ready, target, wanted, {}, settings):
        if not len(rendered.faces):
            VOICE.warn(f"frame {rendered.frame}: no face is seen in it; no label map is written")
            continue
        path = folder / f"{rendered.frame:06d}.png"
        if path.exists() and not given.get("overwrite"):
            raise InputError(f"{path} exists; --overwrite replaces it")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_label_map(path, rendered.faces["regions"][0])
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
        written.append(str(path))
    if not written:
        raise InputError(f"{target}: no face is seen in frames {at}; choose others with --at")
    VOICE.result({"label_maps": written}, [f"{path}: edit its colours' numbers, then --labels" for path in written])
