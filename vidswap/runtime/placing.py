"""How an output appears: a file or a folder by one rename, numbered pictures one by one at the end.

Before the first of numbered pictures is renamed, a note in the hidden folder says that all are there and what goes;
what stops in between is completed from it, by the same command.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vidswap.files import name_output, replace_folder, sync_folder, temporary_path, written_whole
from vidswap.media.image_sequences import numbered_name, numbers_of
from vidswap.media.outputs import is_image_output, is_pattern
from vidswap.storage import RemotePath

_PLACING = "placing.json"


@contextlib.contextmanager
def written_output(output: Path, tag: str, *, pictures: bool) -> Iterator[Path]:
    """A temporary place for an output, which is put at its own when all went well, and removed when not.

    With `pictures` a folder or a pattern is given a place of the same name in a hidden folder beside it. A folder is
    renamed whole, and one that it replaces goes only then; of a pattern each picture is renamed when all are written.
    `tag` makes the temporary name known to a later process, which calls `clear_temporary`.
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
            _commit_numbered(inside, output)
            _place_numbered(hidden, output)
        else:
            replace_folder(inside, output, hidden / "before")
        sync_folder(output.parent)
    except OSError as error:
        name_output(error, output, hidden)
        raise
    finally:
        if not (hidden / _PLACING).exists():
            shutil.rmtree(hidden, ignore_errors=True)


def clear_temporary(output: Path, tag: str) -> None:
    """Remove what a process that was killed has left of `written_output`; numbered pictures that are whole are placed.

    The caller holds the lock of the job that `tag` stands for.
    """
    if isinstance(output, RemotePath):
        return
    temporary_path(output, tag).unlink(missing_ok=True)
    hidden = _hidden(output, tag)
    if (hidden / _PLACING).exists():
        _place_numbered(hidden, output)
    before = hidden / "before"
    if before.is_dir() and not output.exists():
        before.rename(output)
    shutil.rmtree(hidden, ignore_errors=True)


def _hidden(output: Path, tag: str) -> Path:
    return output.with_name(f".{tag}.pictures")


def _commit_numbered(made: Path, output: Path) -> None:
    """Note that all pictures are written, and which go: those of a longer sequence would look like its end."""
    stale = sorted(set(numbers_of(output)) - set(numbers_of(made)))
    sync_folder(made.parent)
    with written_whole(made.with_name(_PLACING)) as temporary:
        temporary.write_text(json.dumps({"stale": stale}))


def _place_numbered(hidden: Path, output: Path) -> None:
    """Rename what has not been renamed yet, from the first on, and end the note."""
    stale = json.loads((hidden / _PLACING).read_text())["stale"]
    made = hidden / output.name
    for number in numbers_of(made):
        numbered_name(made, number).replace(numbered_name(output, number))
    for number in stale:
        numbered_name(output, number).unlink(missing_ok=True)
    sync_folder(output.parent)
    (hidden / _PLACING).unlink()
    shutil.rmtree(hidden, ignore_errors=True)
