"""Job: the folder of one run. What it is about, what is done, and a lock so that two runs cannot share it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, TextIO

from vidswap.graph import InputError

from .journal import Journal
from .store import written_whole

MARKER = "job.json"


class Job:
    """An opened and locked job folder.

    `identity` is the plain data that decides every frame of the result (resolved pipeline, content of inputs, cut,
    version). A folder of another identity is refused with the first difference, unless `fresh`.

    Raises InputError for a folder that is in use, of another identity, or not a job folder at all.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        self.is_new = not folder.exists()
        if not self.is_new and not (folder / MARKER).exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not a job folder of vidswap and not empty; give another with --job")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the job folder {folder}: {error.strerror}; give another with --job"
            ) from None
        self._lock = _lock(folder)
        marker = folder / MARKER
        if marker.exists() and not fresh:
            difference = first_difference(json.loads(marker.read_text()), identity)
            if difference:
                self.close()
                raise InputError(f"{folder} holds an interrupted run that differs: {difference}; --fresh starts anew")
        elif not self.is_new:
            for file in folder.iterdir():
                if file.name != "lock":
                    file.unlink()
        for leftover in folder.glob(".*.tmp*"):
            leftover.unlink()
        if not marker.exists():
            with written_whole(marker) as temporary:
                temporary.write_text(json.dumps(identity, indent=1, sort_keys=True))
        self.journal = Journal(folder)

    def remove(self) -> None:
        """Delete the folder and all in it, and let go of the lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()


def digest(identity: dict[str, Any]) -> str:
    """SHA-256 of plain data, in hex, independent of the order of keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def first_difference(before: Any, now: Any, where: str = "") -> str | None:
    """The first place where two pieces of plain data differ, as `place was A, is B`; None when they agree.

    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    'a.1 was 2, is 3'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            found = first_difference(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (one, other) in enumerate(zip(before, now, strict=True)):
            found = first_difference(one, other, f"{where}.{i}")
            if found:
                return found
        return None
    return None if before == now else f"{where} was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _lock(folder: Path) -> TextIO:
    """An advisory lock that the kernel drops when the process ends, however it ends."""
    import fcntl

    file = (folder / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise InputError(f"another run works in {folder}; wait for it, or give another folder with --job") from None
    return file
