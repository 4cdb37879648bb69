"""Files that appear whole or not at all, and their digests: for results, job folders and the store of weights.

Objects of a store are made on this machine and uploaded when they are whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vidswap.storage.fetching import bring, scratch_file
from vidswap.storage.remote import RemotePath


@contextlib.contextmanager
def written_whole(path: Path, tag: str | None = None) -> Iterator[Path]:
    """A temporary path beside `path` that is synced and renamed to it on success and removed on failure.

    The temporary name is nobody else's, also where machines share the folder, or has `tag` in it where a later process
    shall know it again. Of an object it is one on this machine.
    """
    if isinstance(path, RemotePath):
        with scratch_file(path.name) as made:
            yield made
            path.upload(made)
        return
    temporary = temporary_path(path, tag or f"{os.getpid()}-{os.urandom(4).hex()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        name_output(error, path, temporary)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def name_output(error: OSError, path: Path, temporary: Path) -> None:
    """Have an error name the output where it names what was written in its place, or nothing.

    What names another file, one that was read meanwhile, goes on to do so.
    """
    named = error.filename
    if error.errno is not None and (not named or str(named).startswith(str(temporary))):
        error.filename = str(path)


def temporary_path(path: Path, tag: str) -> Path:
    """The name under which a file is written until it is whole; hidden, with the same suffix, of bounded length."""
    return path.with_name(f".{path.stem[:40]}.{tag}.tmp{path.suffix}")


def replace_folder(made: Path, output: Path, before: Path) -> None:
    """Rename the folder `made` to `output`; what is there goes to `before`, and comes back where that fails."""
    try:
        if output.is_dir():
            output.rename(before)
        made.rename(output)
    except BaseException:
        if before.is_dir() and not output.exists():
            before.rename(output)
        raise


def sync_folder(folder: Path) -> None:
    """Wait until the renames in a folder are on the disk, where the file system can."""
    # A rename survives a power cut only when the folder is synced too; not every file system can.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    # What is known by its content is soon read again.
    bring(path)
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
