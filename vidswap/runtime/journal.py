"""The journal of a job: one line of JSON per finished piece of work, synced to disk before it counts.

One process, the driver, writes it. A line names a file, its size and its SHA-256: a piece of work is done when the line
is there and the file fits it. A torn last line, as a crash leaves it, is ignored. On a store what it tells of an
object's content stands for the SHA-256.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from vidswap.files import file_digest
from vidswap.storage import RemotePath
from vidswap.storage.remote import Facts

from .object_lines import ObjectLines

JOURNAL = "journal.jsonl"
OUTPUT = "output"


class Lines:
    """Entries by `key`, one line of JSON each, the last one of a key counts. A line is synced before it counts."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        """`reading` leaves the file as it is, for those who hold no lock on it."""
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        if not reading and content and not content.endswith(b"\n"):
            # A torn line of an earlier crash must not swallow the next one.
            with path.open("ab") as out:
                out.write(b"\n")
        for line in content.split(b"\n"):
            try:
                entry = json.loads(line)
                self.entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                continue

    def append(self, entry: dict[str, Any]) -> None:
        """Write an entry and wait until it is on the disk."""
        with self.path.open("ab") as out:
            out.write(json.dumps(entry).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        self.entries[entry["key"]] = entry


def lines_of(path: Path, *, reading: bool = False) -> Lines | ObjectLines:
    """The lines of a file, or of a journal on a store."""
    return ObjectLines(path, reading=reading) if isinstance(path, RemotePath) else Lines(path, reading=reading)


class Journal:
    """Finished work of one job, by key.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "part").write_text("columns")
    >>> journal = Journal(folder)
    >>> journal.record("0/3", "part", frames=12)
    >>> Journal(folder).finished("0/3")["frames"]
    12
    """

    def __init__(self, folder: Path, *, reading: bool = False) -> None:
        """`reading` leaves the file as it is, for those who do not hold the job's lock."""
        self.folder = folder
        self.path = folder / JOURNAL
        self._lines = lines_of(self.path, reading=reading)
        self._there: dict[str, Facts] | None = None

    def record(self, key: str, file: str, **facts: Any) -> None:
        """Note that the work `key` is done and lies in `file` (relative to the job folder)."""
        self._lines.append({"key": key, "file": file, **self._content(self.folder / file), **facts})

    def _content(self, path: Path) -> dict[str, Any]:
        if not isinstance(path, RemotePath):
            return {"size": path.stat().st_size, "sha256": file_digest(path)}
        found = path.facts()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, path.missing(), str(path))
        return {"size": found.size, "mark": found.mark}

    def record_output(self, written: Path, output: Path, identity: str, facts: dict[str, Any]) -> None:
        """Note, just before the rename, that `written` is about to become the output; `facts` is the report."""
        found = _standing_for(written).stat()
        place: dict[str, Any] = {"file": str(output.absolute()), "size": found.st_size, "inode": found.st_ino}
        if isinstance(output, RemotePath):
            place = {"file": str(output), "size": found.st_size, "sha256": file_digest(written)}
        self._lines.append({"key": OUTPUT, **place, "identity": identity, "report": facts})

    def output(self, output: Path, identity: str | None = None) -> dict[str, Any] | None:
        """The report of the run of that `identity` (None: any) that wrote `output`, when it is as that run left it."""
        entry = self._lines.entries.get(OUTPUT)
        try:
            found = _standing_for(output).stat()
        except OSError:
            return None
        if entry is None or entry["file"] != str(output.absolute()) or identity not in (None, entry["identity"]):
            return None
        if found.st_size != entry["size"] or found.st_ino != entry.get("inode", found.st_ino):
            return None
        if "sha256" in entry and file_digest(output) != entry["sha256"]:
            return None
        return dict(entry["report"])

    def finished(self, key: str) -> dict[str, Any] | None:
        """The entry of `key` when its file is there and whole, else None."""
        entry = self._lines.entries.get(key)
        if entry is None:
            return None
        path = self.folder / entry["file"]
        if isinstance(path, RemotePath):
            # One listing answers for all pieces of the folder.
            self._there = path.parent.listing() if self._there is None else self._there
            there = self._there.get(path.name)
            return entry if there is not None and (there.size, there.mark) == (entry["size"], entry["mark"]) else None
        if not path.is_file() or path.stat().st_size != entry["size"] or file_digest(path) != entry["sha256"]:
            return None
        return entry


def _standing_for(output: Path) -> Path:
    # Who asks how far a run has come, or looks at a node, need not wait for libraries of media.
    from vidswap.media.outputs import standing_for

    return standing_for(output)
