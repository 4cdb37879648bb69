"""How an output appears: a file or a folder of pictures by one rename, numbered pictures one by one at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vidswap.media.image_sequences import numbered_name, numbers_of
from vidswap.media.outputs import is_image_output, is_pattern

from .store import sync_folder, temporary_path, written_whole


@contextlib.contextmanager
def written_output(output: Path, tag: str, *, pictures: bool) -> Iterator[Path]:
    """A temporary place for an output, which is put at its own when all went well, and removed when not.

    With `pictures` a folder or a pattern is given a place of the same name in a hidden folder beside it. A folder is
    renamed whole, and one that it replaces goes only then; of a pattern each picture is renamed when all are written.
    `tag` makes the temporary name known to a later process.
    """
    if not (pictures and is_image_output(output)):
        with written_whole(output, tag) as temporary:
            yield temporary
        return
    hidden = _hidden(output, tag)
    clear_temporary(output, tag)
    inside = hidden / output.name
    try:
        (hidden if is_pattern(output) else inside).mkdir(parents=True)
        yield inside
        for path in hidden.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
        if is_pattern(output):
            _place_numbered(inside, output)
        else:
            _place_folder(inside, output, hidden / "before")
        sync_folder(output.parent)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(output)
        raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def clear_temporary(output: Path, tag: str) -> None:
    """Remove what a process that was killed has left of `written_output`."""
    temporary_path(output, tag).unlink(missing_ok=True)
    hidden = _hidden(output, tag)
    before = hidden / "before"
    if before.is_dir() and not output.exists():
        before.rename(output)
    shutil.rmtree(hidden, ignore_errors=True)


def _hidden(output: Path, tag: str) -> Path:
    return output.with_name(f".{tag}.pictures")


def _place_folder(made: Path, output: Path, before: Path) -> None:
    if output.is_dir():
        output.rename(before)
    made.rename(output)


def _place_numbered(made: Path, output: Path) -> None:
    numbers = numbers_of(made)
    for number in numbers:
        numbered_name(made, number).replace(numbered_name(output, number))
    # Pictures of a longer sequence that this one replaces would look like its end.
    for number in set(numbers_of(output)) - set(numbers):
        numbered_name(output, number).unlink()
