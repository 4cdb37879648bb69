"""What is looked at before any work: are the sources there, can the output be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from vidswap.graph import InputError, Pipeline
from vidswap.graph.ends import Decoder, Video
from vidswap.graph.operator import person_and_picture
from vidswap.graph.specification import SourceSpecification
from vidswap.media import outputs
from vidswap.media.containers import CONTAINERS
from vidswap.media.image_sequences import IMAGE_SUFFIXES
from vidswap.storage import RemotePath
from vidswap.storage.fetching import bring
from vidswap.storage.remote import READ_ONLY

from .job import JOB_SUFFIX


def check_sources(pipeline: Pipeline, sources: Mapping[str, Path]) -> None:
    """Raise InputError for unknown, missing and unreadable sources."""
    for name in sources:
        if not is_name_of_source(name, pipeline.sources):
            raise InputError(
                f"pipeline {pipeline.name} has no source {name!r}; it has {', '.join(pipeline.sources) or 'none'}"
            )
    for declared in pipeline.sources:
        pictures = [(name, place) for name in sources if (place := person_and_picture(name, declared)) is not None]
        for name, place in pictures:
            twice = next(other for other, there in pictures if there == place)
            if twice != name:
                raise InputError(f"sources {twice} and {name} are one picture of one person; give one of them")
    for name, wanted in pipeline.sources.items():
        if wanted.required and name not in sources:
            raise InputError(f"pipeline {pipeline.name} needs a source; give --source {name}=FILE ({wanted.about})")
    for name, path in sources.items():
        if isinstance(path, RemotePath):
            _check_object(name, path)
            continue
        if not path.is_file():
            raise InputError(f"{name}: {'is a folder' if path.is_dir() else 'no such file'}: {path}")
        if not os.access(path, os.R_OK):
            raise InputError(f"{name}: {path} cannot be read: permission denied")


def _check_object(name: str, path: RemotePath) -> None:
    found = path.facts()
    if found is None or found.is_folder:
        raise InputError(f"{name}: {path.missing() if found is None else f'is a folder: {path}'}")
    bring(path)


def check_shared(paths: Iterable[Path], workers: int | None) -> None:
    """Raise InputError for what only this process can see, where others have to."""
    for path in paths:
        if isinstance(path, RemotePath) and path.protocol == "memory" and workers != 0:
            raise InputError(f"{path} is in the memory of this process, which workers do not share; give --workers 0")


def check_ready(pipeline: Pipeline, device: str | None) -> None:
    """Ask every stage whether it has what it will need; device: None where others do the work. Raises InputError for
    the first that has not."""
    sizes: dict[str, tuple[int, ...]] = {}
    for stage in pipeline.stages:
        try:
            stage.make().ready(device, sizes)
        except InputError as error:
            raise InputError(f"stage {stage.name!r} ({stage.use}): {error}") from None


def is_name_of_source(bound: str, sources: Mapping[str, SourceSpecification]) -> bool:
    """Whether something may be bound under this name, given what the pipeline declares."""
    return bound in sources or any(s.several and person_and_picture(bound, n) for n, s in sources.items())


def check_output(output: Path, target: Path | None, overwrite: bool, *, pictures: bool = False) -> None:
    """Raise InputError when the output cannot or must not be written there; `pictures` may go to a folder.

    target: what it is made of, if that is a file or folder: it stays.
    """
    check_place(output)
    sequence = pictures and outputs.is_image_output(output)
    if output.is_dir() and (not sequence or outputs.is_file_name(output)):
        raise InputError(f"the output {output} is a folder; give a file name, such as {output / 'swapped.mp4'}")
    if target is not None and _is_same(output, target):
        raise InputError(f"the output {output} is the target itself; give another name with -o")
    if (
        target is not None
        and target.is_dir()
        and output.suffix.lower() in IMAGE_SUFFIXES
        and _is_same(output.absolute().parent, target)
    ):
        raise InputError(f"the output {output} would be one of the target's pictures; write it elsewhere")
    if sequence and isinstance(output, RemotePath):
        raise InputError(f"{output}: pictures are written to a folder of this machine; or give a file, such as .mkv")
    if sequence:
        outputs.check_image_output(output, overwrite)
    elif output.exists() and not overwrite:
        raise InputError(f"{output} exists; --overwrite replaces it")
    if isinstance(output, RemotePath):
        if output.protocol != "memory" and not output.bucket.exists():
            raise InputError(f"no such bucket: {output.bucket}; make it first")
        return
    parent = output.absolute().parent
    if not parent.is_dir():
        raise InputError(f"the output folder {parent} does not exist; make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"the output folder {parent} is not writable")


def check_sources_stay(output: Path, sources: Mapping[str, Path]) -> None:
    """Raise InputError for an output that would replace a source, or another file that is read."""
    for name, path in sources.items():
        if _is_same(output, path):
            raise InputError(f"the output {output} is the {name} itself; give another name with -o")
        folder = output.parent if outputs.is_pattern(output) else output
        is_picture = path.suffix.lower() in IMAGE_SUFFIXES
        if is_picture and outputs.is_image_output(output) and _is_same(path.parent, folder):
            raise InputError(f"the {name} {path} is one of the pictures in {folder}; write them to another folder")


def files_read(pipeline: Pipeline, sources: Mapping[str, Path]) -> dict[str, Path]:
    """The sources, and the files that stages read, by what to call them. Raises InputError for one that is missing."""
    files = ((s.name, file) for s in pipeline.stages for file in s.make().files())
    return {**{f"file of stage {name!r}, {file.name},": file for name, file in files}, **sources}


def check_roles(decoder: Decoder, target: Path, video: Video, output: Path, sources: Mapping[str, Path]) -> None:
    """Raise InputError where a video is the source and one picture the target of what is to become a video."""
    if video.frame_count > 1 or output.suffix.lower() not in CONTAINERS:
        return
    for path in sources.values():
        count = decoder.probe(path).frame_count
        if count > 1:
            raise InputError(
                f"the target {target.name} is one picture, the source {path.name} a video of {count} frames: were "
                "they meant the other way round? (a picture is written as .png)"
            )


def _is_same(output: Path, path: Path) -> bool:
    return output.absolute() == path.absolute() or (path.exists() and output.exists() and output.samefile(path))


def check_place(output: Path) -> None:
    """Raise InputError for an output that is no name of a file or folder: nothing, a pipe, a device, `-`.

    Containers and pictures are completed at their beginning and appear by a rename, so none of them can be streamed.
    """
    if output.name in ("", ".."):
        raise InputError(f"the output {str(output)!r} has no name; give a file name with -o, such as swapped.mp4")
    if output.name == "-":
        raise InputError("nothing is written to standard output; give a file name with -o, such as swapped.mp4")
    if isinstance(output, RemotePath):
        if output.protocol in READ_ONLY:
            raise InputError(
                f"the output {output}: nothing is written over {output.protocol}; give a file or s3://BUCKET/NAME"
            )
        if output == output.bucket:
            raise InputError(f"the output {output} is a bucket; give an object, such as {output / 'swapped.mp4'}")
        return
    if output.exists() and not output.is_file() and not output.is_dir():
        raise InputError(f"the output {output} is a pipe or a device; give the name of a file with -o")
    parent = output.absolute().parent
    longest = os.pathconf(parent, "PC_NAME_MAX") if parent.is_dir() else 255
    if len(os.fsencode(f"{output.name}{JOB_SUFFIX}")) > longest:
        raise InputError(f"the name of the output is too long: {output.name[:40]}...; give a shorter one with -o")
