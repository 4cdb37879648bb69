"""The journal's lines on a store, which appends to nothing: each line is an object until the next run gathers them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vidswap.storage import RemotePath

_READ_AT_ONCE = 256


class ObjectLines:
    """Entries by `key`, the last one of a key counts: those of the object `path`, then those of PATH.000000 and on.

    Written by one process at a time, the one that holds the job's lock.
    """

    def __init__(self, path: RemotePath, *, reading: bool = False) -> None:
        """`reading` leaves the objects as they are."""
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        there = path.parent.listing()
        single = sorted(name for name in there if name.startswith(f"{path.name}."))
        if path.name in there:
            self._take(path.read_bytes().split(b"\n"))
        for start in range(0, len(single), _READ_AT_ONCE):
            batch = [path.with_name(name) for name in single[start : start + _READ_AT_ONCE]]
            self._take(path.read_many(batch))
        self._next = 0
        if not reading and (single or path.name not in there):
            path.write_bytes(b"".join(_line(e) for e in self.entries.values()))
            path.remove_many(path.with_name(name) for name in single)

    def append(self, entry: dict[str, Any]) -> None:
        """Store an entry; it is stored when this returns."""
        self.path.with_name(f"{self.path.name}.{self._next:06d}").write_bytes(_line(entry))
        self._next += 1
        self.entries[entry["key"]] = entry

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                entry = json.loads(line)
                self.entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                continue


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
