"""`vidswap demo`: the main job from nothing but what the package ships."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from .console import VOICE


def demo(*, folder: Path, seconds: float, workers: int | None, overwrite: bool) -> None:
    """Make the clip, swap, write a contact sheet and say where all is."""
    from vidswap.api import Pipeline
    from vidswap.demo.make import make_demo
    from vidswap.graph import InputError, VidswapError
    from vidswap.runtime.settings import RunSettings

    from .preview import spread_frames, write_sheet

    result, sheet = folder / "swapped.mp4", folder / "contact-sheet.png"
    for path in (result, sheet):
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; --overwrite replaces it, -o FOLDER writes elsewhere")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder with -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    VOICE.say("Making a clip of a portrait in the public domain ...")
    try:
        made = make_demo(folder, seconds=seconds)
    except OSError as error:
        raise VidswapError(f"the clip cannot be written to {folder}: {error.strerror or error}") from None
    pipeline = Pipeline.prepared("swap-mesh", disclose="AI-altered")
    listener: Any = contextlib.nullcontext()
    if VOICE.shows_progress:
        from .progress import StageProgress

        listener = StageProgress(pipeline)
    sources = {"source": made.source}
    with listener as listen:
        report = pipeline.run(
            made.target, result, sources=sources, listener=listen, workers=workers, overwrite=overwrite
        )
    frames = spread_frames(5, report.frames)
    write_sheet(pipeline, made.target, frames, sources, RunSettings(), sheet)
    facts = {**dataclasses.asdict(report), "source": str(made.source), "sheet": str(sheet)}
    VOICE.result(
        facts,
        [
            f"source:        {made.source}",
            f"target:        {made.target}",
            f"result:        {result}",
            f"contact sheet: {sheet}",
        ],
    )
    for warning in report.warnings:
        VOICE.warn(warning)
