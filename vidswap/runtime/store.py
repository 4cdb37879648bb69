"""Files of a job folder: sidecars of columns and encoded segments. Every file appears whole or not at all.

A sidecar is an uncompressed .npz with one array per column; columns of the frames table have the prefix `frame.`, those
of the faces table the prefix `face.`. Reading never unpickles.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vidswap.files import written_whole
from vidswap.graph import Batch
from vidswap.storage import RemotePath

from .order import WorkOrder

Tables = dict[str, Batch]
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


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
    source = io.BytesIO(path.read_bytes()) if isinstance(path, RemotePath) else path
    with np.load(source, allow_pickle=False) as archive:
        for key in archive.files:
            table, _, name = key.partition(".")
            columns[table][name] = archive[key]
    return {table: Batch(given) for table, given in columns.items()}


def nbytes(tables: Tables) -> int:
    """Bytes of all columns of tables."""
    return sum(batch.nbytes for batch in tables.values())


class Sidecars:
    """The stored tables of one run, by part and segment."""

    def __init__(self, order: WorkOrder) -> None:
        self.order = order

    def load(self, part: int, segment: int) -> Tables:
        """The tables that a part has stored of a segment."""
        return load_tables(self.order.sidecar(part, segment))

    def save(self, part: int, segment: int, tables: Tables) -> str:
        """Store the tables of a part of a segment, atomically; returns the file's name in the job folder."""
        path = self.order.sidecar(part, segment)
        save_tables(path, tables)
        return path.name


def joined(tables: Iterable[Tables]) -> Tables:
    """The tables of neighbouring segments, joined in the order given."""
    loaded = list(tables)
    return {table: Batch.concat([t[table] for t in loaded]) for table in ("frame", "face")}
