"""Files of a job folder: sidecars of columns and encoded segments. Every file appears whole or not at all.

A sidecar is an uncompressed .npz with one array per column; columns of the frames table have the prefix `frame.`, those
of the faces table the prefix `face.`. Reading never unpickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vidswap.graph import Batch

Tables = dict[str, Batch]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that is synced and renamed to it on success and removed on failure."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
