"""Batch: a structure of arrays, one row per face or per frame. Knows nothing of what the columns mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np


class Batch:
    """Immutable columns of equal length, all of one segment, in presentation order.

    >>> import numpy as np
    >>> b = Batch(frame=np.arange(3), box=np.zeros((3, 4), np.float32))
    >>> b
    Batch(3 rows: frame int64 (), box float32 (4,))
    >>> len(b.take(b["frame"] > 0))
    2

    Raises ValueError when columns differ in length.
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, np.ndarray] | None = None, **more: np.ndarray) -> None:
        merged = {**(columns or {}), **more}
        lengths = {name: len(values) for name, values in merged.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of one batch have equal lengths, got {lengths}")
        self._columns: dict[str, np.ndarray] = merged

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        raise TypeError("a Batch is not iterable: use .names for columns or .rows() for rows")

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"no column {name!r} in this batch; it has {', '.join(self._columns) or 'none'}") from None

    def __repr__(self) -> str:
        told = ", ".join(f"{n} {v.dtype} {v.shape[1:]}" for n, v in self._columns.items())
        return f"Batch({len(self)} rows: {told})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays (references only, for object columns)."""
        return sum(v.nbytes for v in self._columns.values())

    def to_dict(self) -> dict[str, np.ndarray]:
        """A new dict of the columns; the arrays are shared."""
        return dict(self._columns)

    def rows(self) -> Iterator[dict[str, np.ndarray]]:
        """One dict per row, in order; values are views."""
        for i in range(len(self)):
            yield {name: values[i] for name, values in self._columns.items()}

    def with_columns(self, **columns: np.ndarray) -> Batch:
        """This batch with columns added or replaced."""
        return Batch({**self._columns, **columns})

    def without(self, names: Iterable[str]) -> Batch:
        """This batch less the columns named; names that it lacks are ignored."""
        gone = set(names)
        return Batch({n: v for n, v in self._columns.items() if n not in gone})

    def take(self, rows: np.ndarray | slice) -> Batch:
        """The rows chosen by an index array, a boolean mask or a slice."""
        return Batch({n: v[rows] for n, v in self._columns.items()})

    def frames_between(self, start: int, stop: int) -> Batch:
        """Rows whose `frame` lies in [start, stop)."""
        frame = self["frame"]
        return self.take((frame >= start) & (frame < stop))

    @staticmethod
    def concat(batches: Iterable[Batch]) -> Batch:
        """The rows of all batches, in order; those without rows are skipped. Raises ValueError where columns differ."""
        batches = list(batches)
        filled = [b for b in batches if len(b)]
        if not filled:
            return batches[0] if batches else Batch()
        if len(filled) == 1:
            return filled[0]
        names = filled[0].names
        for other in filled[1:]:
            if set(other.names) != set(names):
                raise ValueError(f"batches to join differ in columns: {names} and {other.names}")
        return Batch({n: np.concatenate([b[n] for b in filled]) for n in names})


def object_column(values: Iterable[object]) -> np.ndarray:
    """A one-dimensional object array with one value per row, also when the values are arrays of equal shape."""
    values = list(values)
    column = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        column[i] = value
    return column
