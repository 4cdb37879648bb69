"""Job: the folder of one run. What it is about, what is done, and a lock so that two runs cannot share it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vidswap.files import written_whole
from vidswap.graph import InputError, VidswapError
from vidswap.storage import RemotePath, StorageError

from .journal import JOURNAL, Journal
from .lease import Lease
from .store import trouble

JOB_SUFFIX = ".vidswap"
"""What a job folder beside its output has at the end of its name."""
MARKER = "job.json"
LOCK = "lock"
ERROR = "error.txt"
TEMPORARY = ".*.tmp*"
_NAMES = (
    (re.compile(r"^pipeline\.stages\.([^.]+)\.options\."), r"\1."),
    (re.compile(r"^part\.0$"), "--start"),
    (re.compile(r"^part\.1$"), "--end"),
    (re.compile(r"^sources\.(.+)$"), r"source \1"),
    (re.compile(r"^files\.([^.]+)\.\d+$"), r"a file of stage \1"),
)
"""What parts of an identity are to those who wrote a command."""
_DIGEST = re.compile(r"((sampled-)?sha256:)?[0-9a-f]{64}$")
LOCK_TRIES = 100


@dataclass(frozen=True)
class Analysis:
    """What of a run does not hang on the sources: `files`, a glob in the folder, and the data that decides them.

    With `again`, a folder of another run is made anew, but for these files where their `identity` is the same.
    """

    identity: str
    files: str
    again: bool = False


class Job:
    """An opened and locked job folder.

    `identity` is the plain data that decides every frame of the result (resolved pipeline, content of inputs, cut,
    versions). A folder of another identity is refused with the first difference, unless `fresh`. `analysis` tells what
    of it would serve another run, too. `order` is what `vidswap resume` needs beyond that: where the inputs are, where
    the output goes, how it is run.

    Raises InputError for a folder that is in use, of another identity, or not a job folder at all, VidswapError when
    the disk fails.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        order: Mapping[str, Any] | None = None,
        *,
        fresh: bool = False,
        analysis: Analysis | None = None,
    ) -> None:
        self.folder = folder
        _refuse_foreign(folder)
        self.made_folder = not folder.exists()
        self._lock = _lock(folder)
        try:
            self.is_new = not (folder / MARKER).exists()
            self._open(identity, dict(order or {}), fresh, analysis)
        except OSError as error:
            self.close()
            raise VidswapError(f"the job folder {folder} cannot be used: {trouble(error)}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, identity: dict[str, Any], order: dict[str, Any], fresh: bool, analysis: Analysis | None) -> None:
        marker = self.folder / MARKER
        holds = analysis is not None and not self.is_new and _analysis_of(self.folder) == analysis.identity
        wanted = {"identity": identity, "order": order, "analysis": analysis.identity if analysis else None}
        if not self.is_new and not fresh and analysis is not None and analysis.again:
            if first_difference(read_marker(self.folder)["identity"], identity):
                self._empty(kept=analysis.files if holds else "")
        elif not self.is_new and not fresh:
            before = read_marker(self.folder)
            difference = first_difference(before["identity"], identity)
            if difference:
                or_else = (
                    ", the whole command with --again does, too, but from the analysis that is there" if holds else ""
                )
                raise InputError(
                    f"{self.folder} holds an interrupted run that differs: {difference}; --fresh starts anew{or_else}"
                )
        elif not self.is_new:
            self._empty()
        self._remove_temporaries()
        if not marker.exists() or json.loads(marker.read_text()) != wanted:
            with written_whole(marker) as temporary:
                temporary.write_text(json.dumps(wanted, indent=1, sort_keys=True))
        self.journal = Journal(self.folder)

    def note_error(self, detail: str, name: str = ERROR) -> Path | None:
        """Keep a traceback in the folder; returns its path, or None where not even that can be written."""
        path = self.folder / name
        try:
            path.write_text(detail)
        except (OSError, StorageError):
            return None
        return path

    def remove(self, *, keep_folder: bool = False) -> None:
        """Delete the folder (or only what is in it) and let go of the lock.

        The journal goes last: after a crash half-way it still tells that the output is this job's.
        """
        with contextlib.suppress(OSError, StorageError):
            self._empty()
            (self.folder / LOCK).unlink()
            if not keep_folder:
                self.folder.rmdir()
        self._lock.close()

    def close(self) -> None:
        """Remove what killed workers left unfinished, and let go of the lock."""
        if not self._lock.closed:
            with contextlib.suppress(OSError, StorageError):
                self._remove_temporaries()
        self._lock.close()

    def check_lock(self) -> None:
        """Raise VidswapError when another run has taken the folder over; on a file system none can."""
        if isinstance(self._lock, Lease):
            self._lock.check()

    def _remove_temporaries(self) -> None:
        if isinstance(self.folder, RemotePath):
            return  # objects appear whole
        for leftover in self.folder.glob(TEMPORARY):
            leftover.unlink(missing_ok=True)

    def _empty(self, kept: str = "") -> None:
        """Remove everything, but for files of the glob `kept` and what tells of them: the journal, and the marker, for
        a folder without one that is not empty counts as somebody else's.
        """
        spared = {p.name for p in self.folder.glob(kept)} if kept else set()
        if isinstance(self.folder, RemotePath):
            self._empty_store(self.folder, spared)
            return
        for path in self.folder.iterdir():
            if path.name in spared:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in (JOURNAL, MARKER, LOCK):
                path.unlink(missing_ok=True)
        if not spared:
            (self.folder / MARKER).unlink(missing_ok=True)
            (self.folder / JOURNAL).unlink(missing_ok=True)

    def _empty_store(self, folder: RemotePath, spared: set[str]) -> None:
        there = set(folder.listing())
        journals, locks = {n for n in there if _is_journal(n)}, {n for n in there if n.startswith(LOCK)}
        last = () if spared else (there & {MARKER}, journals)
        for names in (there - spared - journals - locks - {MARKER}, *last):
            folder.remove_many(folder / name for name in names)


def _is_journal(name: str) -> bool:
    return name == JOURNAL or name.startswith(f"{JOURNAL}.")


def remove_emptied(folder: Path) -> None:
    """Remove what a process killed while it removed its job folder has left: the folder and the lock, nothing else."""
    if isinstance(folder, RemotePath):
        return
    with contextlib.suppress(OSError):
        if {p.name for p in folder.iterdir()} <= {LOCK}:
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def read_marker(folder: Path) -> dict[str, Any]:
    """What a job folder is about: its `identity` and its `order`. Raises InputError for what is no job folder."""
    try:
        content = json.loads((folder / MARKER).read_text())
        return {"identity": dict(content["identity"]), "order": dict(content["order"])}
    except FileNotFoundError:
        what = "there is no such folder" if not folder.exists() else f"it has no {MARKER}"
        raise InputError(f"{folder} is not a job folder of vidswap: {what}") from None
    except NotADirectoryError:
        raise InputError(f"{folder} is not a job folder of vidswap: it is a file") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder / MARKER} is not readable; the whole command with --fresh starts anew") from None


def _analysis_of(folder: Path) -> str | None:
    try:
        found = json.loads((folder / MARKER).read_text()).get("analysis")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def digest(identity: dict[str, Any]) -> str:
    """SHA-256 of plain data, in hex, independent of the order of keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def first_difference(before: Any, now: Any, where: str = "") -> str | None:
    """The first place, in the order of `now`, where plain data differ, as `place was A, is B`; None when they agree.

    Items of lists that have a name go by it, options of a stage and of a run as the command line names them; of digests
    it is told that they differ.

    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    'a.1 was 2, is 3'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(k for k in before if k not in now)]:
            found = first_difference(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (one, other) in enumerate(zip(before, now, strict=True)):
            named = isinstance(other, dict) and isinstance(other.get("name"), str)
            found = first_difference(one, other, f"{where}.{other['name'] if named else i}")
            if found:
                return found
        return None
    if before == now:
        return None
    for pattern, name in _NAMES:
        where = pattern.sub(name, where)
    if isinstance(before, str) and isinstance(now, str) and _DIGEST.match(before) and _DIGEST.match(now):
        return f"{where} has another content"
    return f"{where} was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse_foreign(folder: Path) -> None:
    """A folder without a marker may hold no more than what a crash leaves before it is written or after it is gone."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the job folder {folder} is a file; give another with --job")
    if not folder.exists() or (folder / MARKER).exists():
        return
    names = {p.name for p in folder.iterdir() if not p.match(TEMPORARY)} - {LOCK, JOURNAL}
    if isinstance(folder, RemotePath):
        names = {n for n in names if not _is_journal(n) and not n.startswith(f"{LOCK}.")}
    if names:
        raise InputError(f"{folder} is not a job folder of vidswap and not empty; give another with --job")


def _lock(folder: Path) -> TextIO | Lease:
    """An advisory lock that the kernel drops when the process ends, however it ends; on a store a lease."""
    if isinstance(folder, RemotePath):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return Lease(folder / LOCK)
        except FileNotFoundError:
            raise InputError(f"the job folder {folder}: {folder.missing()}; make it first") from None
    import fcntl

    for _ in range(LOCK_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / LOCK).open("a")
        except FileNotFoundError:
            continue  # another run has just removed the folder that it was done with
        except OSError as error:
            raise InputError(
                f"cannot make the job folder {folder}: {error.strerror}; give another with --job"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = (folder / LOCK).stat()
        except FileNotFoundError:
            file.close()
            continue
        except BlockingIOError:
            file.close()
            raise InputError(f"another run works in {folder}; wait for it, or give another folder with --job") from None
        except OSError as error:
            file.close()
            raise InputError(f"cannot lock {folder}: {error.strerror}; give another folder with --job") from None
        # The run that held it may have removed the file that was opened here: then the lock is nobody's.
        if os.path.samestat(held, os.fstat(file.fileno())):
            return file
        file.close()
    raise InputError(f"cannot make the job folder {folder}; give another with --job")
