"""Lists of jobs for `vidswap batch`: a YAML or CSV file, or a folder of videos."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidswap.graph import InputError
from vidswap.graph.specification import explain, read_yaml
from vidswap.media.animated_webp import is_animated_webp
from vidswap.media.containers import CONTAINERS
from vidswap.storage import addresses, local_file

VIDEO_SUFFIXES = {
    *CONTAINERS,
    *(".3gp", ".apng", ".avi", ".flv", ".gif", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".wmv"),
}


class Row(BaseModel):
    """One job as a list gives it; what it leaves out is as the command says. Paths are relative to the list."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    target: str = Field(min_length=1)
    output: str | None = None
    source: str | dict[str, str] | tuple[str, ...] | None = None
    pipeline: str | None = None
    options: tuple[str, ...] = ()
    face: str | None = None
    source_face: str | None = None
    regions: str | None = None
    strength: float | None = None
    blend: str | None = None
    disclose: str | None = None
    codec: str | None = None
    crf: float | None = None
    quality: int | None = None
    preset: str | None = None
    bitrate: str | None = None
    pixel_format: str | None = None
    deinterlace: bool | None = None
    smart_copy: bool | None = None
    input_rate: str | None = None
    video_stream: int | None = None
    start: str | None = None
    end: str | None = None
    segment_frames: int | None = None

    def overrides(self) -> dict[str, Any]:
        """What the row gives beyond its paths and `options`."""
        given = self.model_dump(exclude={"target", "output", "source", "options"})
        return {name: value for name, value in given.items() if value is not None}


def read_jobs(jobs: Path, output: Path | None) -> list[tuple[str, Row]]:
    """The rows of a list, each with its place for messages; every row has an absolute target and output.

    `output` is a folder for rows without one, and must be given for a folder of videos.

    Raises InputError for a list that cannot be read, unknown keys, two jobs with one output, and an output that is
    another job's target.
    """
    if not jobs.exists():
        raise InputError(f"no such list of jobs: {jobs}")
    if jobs.is_dir():
        if output is None:
            raise InputError(f"{jobs} is a folder of videos; give a folder for the results with -o")
        home, found = Path.cwd(), list(_of_folder(jobs))
    else:
        readers = {".csv": _of_csv, ".yaml": _of_yaml, ".yml": _of_yaml}
        if jobs.suffix.lower() not in readers:
            raise InputError(f"{jobs} is no list of jobs; give a .yaml or .csv file or a folder of videos")
        home, found = jobs.absolute().parent, list(readers[jobs.suffix.lower()](local_file(jobs)))
    if not found:
        raise InputError(
            f"{jobs} has no jobs"
            + (" (no video lies in it; swap -t takes a folder of images)" if jobs.is_dir() else "")
        )
    rows = [(place, _placed(place, _checked(place, content), home, output)) for place, content in found]
    _check_paths(rows)
    return rows


def _of_folder(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.iterdir()):
        # Opening a pipe would wait for its other end.
        lost = path.is_symlink() and not path.exists()
        if path.name.startswith(".") or not (lost or path.is_file()):
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES or is_animated_webp(path):
            yield str(path), {"target": str(path.absolute())}


def _of_yaml(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    content = read_yaml(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: a list of jobs, each with target, output and source; got {type(content).__name__}")
    for number, item in enumerate(content, 1):
        if not isinstance(item, dict):
            raise InputError(f"{path}: job {number}: a mapping, such as {{target: clip.mp4, source: face.jpg}}")
        yield f"{path}: job {number}", item


def _of_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One job per line under a line of names; empty cells are not given, `options` are separated by spaces."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if reader.fieldnames is not None and "target" not in reader.fieldnames:
                raise InputError(
                    f"{path}: the first line names the columns with commas between, such as target,output,source; "
                    f"got {','.join(map(str, reader.fieldnames))[:60]!r}"
                )
            for cells in reader:
                place = f"{path}: line {reader.line_num}"
                if None in cells:
                    raise InputError(f"{place}: more cells than names in the first line")
                given: dict[str, Any] = {name: value for name, value in cells.items() if value}
                if "options" in given:
                    given["options"] = given["options"].split()
                if given:
                    yield place, given
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file that can be read: {error}") from None


def _checked(place: str, content: dict[str, Any]) -> Row:
    try:
        return Row(**{str(key): value for key, value in content.items()})
    except ValidationError as error:
        raise InputError(f"{place}: {explain(error, Row.model_fields)}") from None


def _placed(place: str, row: Row, home: Path, output: Path | None) -> Row:
    """The row with absolute paths."""
    target = home / addresses.place(row.target).expanduser()
    if row.output is not None:
        result = home / addresses.place(row.output).expanduser()
    elif output is not None:
        writable = target.suffix.lower() in (*CONTAINERS, ".gif", ".apng", ".webp")
        result = output.absolute() / (target.name if writable else f"{target.stem}.mkv")
    else:
        raise InputError(f"{place}: 'output' is missing; name a file in the list, or give a folder with -o")
    source = row.source
    if isinstance(source, str):
        source = str(home / addresses.place(source).expanduser())
    elif isinstance(source, tuple):
        source = tuple(str(home / addresses.place(path).expanduser()) for path in source)
    elif source is not None:
        source = {name: str(home / addresses.place(path).expanduser()) for name, path in source.items()}
    return row.model_copy(update={"target": str(target), "output": str(result), "source": source})


def _check_paths(rows: list[tuple[str, Row]]) -> None:
    targets = {addresses.place(row.target).resolve(): place for place, row in rows}
    outputs: dict[Path, str] = {}
    for place, row in rows:
        result = addresses.place(str(row.output)).resolve()
        if result in outputs:
            raise InputError(f"{place}: its output {row.output} is also that of {outputs[result]}")
        if result in targets:
            raise InputError(f"{place}: its output {row.output} is the target of {targets[result]}")
        outputs[result] = place
