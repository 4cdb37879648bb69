"""What a job folder must hold so that the run goes on from the folder alone."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vidswap.graph import InputError, Pipeline
from vidswap.graph.specification import explain
from vidswap.storage import place

from .job import JOB_SUFFIX, MARKER, read_marker
from .settings import RunSettings, run_settings

# Another version of one of these may give other frames.
DECIDING_PACKAGES = ("vidswap", "numpy", "av", "mediapipe", "opencv-python", "opencv-contrib-python", "torch")
# What is asked of one run and not of those that go on with it.
NOT_KEPT = {"fresh", "again", "job", "trace", "report"}


@dataclass(frozen=True)
class Resumable:
    """A job as its folder tells it: the pipeline's specification as plain data, paths, and settings."""

    pipeline: dict[str, Any]
    target: Path
    output: Path
    sources: dict[str, Path]
    settings: RunSettings
    working_folder: Path


def versions() -> dict[str, str]:
    """Versions of the installed packages that decide frames."""
    found = {}
    for name in DECIDING_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def order_data(
    pipeline: Pipeline, target: Path, output: Path, sources: Mapping[str, Path], settings: RunSettings
) -> dict[str, Any]:
    """The plain data of a run that `resumable` reads back; all paths are absolute."""
    return {
        "pipeline": pipeline.specification.model_dump(mode="json"),
        "target": str(target.absolute()),
        "output": str(output.absolute()),
        "sources": {name: str(path.absolute()) for name, path in sources.items()},
        "settings": settings.model_dump(mode="json", exclude=NOT_KEPT),
        "keeps_folder": settings.job is not None,
        "working_folder": str(Path.cwd()),
    }


def resumable(folder: Path, **changed: Any) -> Resumable:
    """Read the order of a job folder; `changed` replaces settings.

    Raises InputError for what is no job folder.
    """
    order = read_marker(folder)["order"]
    try:
        output = place(order["output"])
        settings = dict(order["settings"])
        at_its_place = folder.resolve() == output.with_name(f"{output.name}{JOB_SUFFIX}").resolve()
        if order["keeps_folder"] or not at_its_place:
            settings["job"] = folder
        return Resumable(
            pipeline=order["pipeline"],
            target=place(order["target"]),
            output=output,
            sources={name: place(path) for name, path in order["sources"].items()},
            settings=run_settings({**RunSettings(**settings).model_dump(), **changed}),
            working_folder=Path(order["working_folder"]),
        )
    except ValidationError as error:
        raise InputError(
            f"{folder / MARKER}: {explain(error, RunSettings.model_fields)}; give its command again"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / MARKER} does not say how the job is run ({error}); give its command again"
        ) from None
