"""Files of a job folder: sidecars of columns and encoded segments. Every file appears whole or not at all.

A sidecar is an uncompressed .npz with one array per column; columns of the frames table have the prefix `frame.`, those
of the faces table the prefix `face.`. Reading never unpickles.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vidswap.graph import Batch

Tables = dict[str, Batch]
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def written_whole(path: Path, tag: str | None = None) -> Iterator[Path]:
    """A temporary path beside `path` that is synced and renamed to it on success and removed on failure.

    The temporary name has the process's number in it, or `tag` where a later process shall know it again.
    """
    temporary = temporary_path(path, tag or str(os.getpid()))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # The system does not say which file it was that could not be written, or names the temporary one.
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_path(path: Path, tag: str) -> Path:
    """The name under which a file is written until it is whole; hidden, with the same suffix, of bounded length."""
    return path.with_name(f".{path.stem[:40]}.{tag}.tmp{path.suffix}")


def sync_folder(folder: Path) -> None:
    """Wait until the renames in a folder are on the disk, where the file system can."""
    # A rename survives a power cut only when the folder is synced too; not every file system can.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def trouble(error: OSError) -> str:
    """What the system says is wrong, with the file's name where it is known, in one line."""
    said = error.strerror or str(error) or type(error).__name__
    remedy = "; make room, and the same command goes on" if error.errno in DISK_FULL else ""
    return f"{said[:1].lower()}{said[1:]}" + (f": {error.filename}" if error.filename else "") + remedy


def save_tables(path: Path, tables: Tables) -> None:
    """Write the tables of one segment, atomically."""
    arrays = {f"{table}.{name}": values for table, batch in tables.items() for name, values in batch.to_dict().items()}
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_tables(path: Path) -> Tables:
    """Read the tables of one segment."""
    columns: dict[str, dict[str, np.ndarray]] = {"frame": {}, "face": {}}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            table, _, name = key.partition(".")
            columns[table][name] = archive[key]
    return {table: Batch(given) for table, given in columns.items()}


def load_joined(paths: Iterable[Path]) -> Tables:
    """The tables of neighbouring segments, joined in the order given."""
    loaded = [load_tables(p) for p in paths]
    return {table: Batch.concat([t[table] for t in loaded]) for table in ("frame", "face")}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
