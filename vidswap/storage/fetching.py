"""The node's cache: whole copies of objects, fetched once for all processes of this machine, the last used ones kept.

A copy is at FOLDER/KEY/NAME, with KEY.json beside its folder that tells what it must be; both appear whole, the second
last. KEY is made of address and fingerprint, so that an object that is replaced is another entry.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidswap.graph.errors import InputError

from .caches import cache_folder
from .errors import StorageError, is_final
from .ranges import BLOCKS, RangedFile
from .remote import READ_ONLY, RemotePath

FOLDER_VARIABLE = "VIDSWAP_CACHE"
LIMIT_VARIABLE = "VIDSWAP_CACHE_LIMIT"
USUAL_LIMIT_BYTES = 20 << 30
SMALL_BYTES = 16 << 20
"""What is no larger is fetched: it takes two or three requests either way."""
_SPARED_BYTES = 256 << 20
_LOCKS = 64
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

log = logging.getLogger(__name__)


def limit_bytes() -> int:
    """How large the copies may be together: $VIDSWAP_CACHE_LIMIT, such as 50G. Raises InputError for nonsense."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return USUAL_LIMIT_BYTES
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if found is None:
        raise InputError(f"{LIMIT_VARIABLE}={text!r} is no size; write such as 50G, or 0 to fetch only what must be")
    return int(float(found[1]) * _UNITS[found[2].upper()])


Told = Callable[[str, int, int], None]
"""Called with an object's name, the bytes of it that are here, and those there will be."""
_told: ContextVar[Told | None] = ContextVar("told of fetching", default=None)


@contextlib.contextmanager
def telling_of_fetching(told: Told) -> Iterator[None]:
    """Meanwhile, call `told` now and then when an object is fetched in this thread, and at its end."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)


def local_file(path: Path) -> Path:
    """The file on this machine: itself, or the cache's copy of an object, fetched where there is none.

    The copy may be evicted when others are fetched: open it at once, and ask again to open it again. Raises
    FileNotFoundError and StorageError.
    """
    return _Entry(path).fetched() if isinstance(path, RemotePath) else path


def readable(path: RemotePath) -> Path | RangedFile:
    """What an object is read from: this machine's copy, or the store, by ranges.

    It is fetched when it is small, when ranges have cost as much as a copy, and when the store sends no ranges.
    Raises FileNotFoundError and StorageError.
    """
    entry = _Entry(path)
    found = entry.there()
    if found is not None:
        return found
    facts = entry.facts
    small = facts.size <= SMALL_BYTES
    source = None if small else RangedFile(path, facts.size, entry.fingerprint)
    if source is None or not source.gives_ranges or (BLOCKS.read_bytes[source.key] >= facts.size and fits(facts.size)):
        if source is not None:
            source.close()
        return entry.fetched()
    return source


def bring(path: Path) -> None:
    """Fetch an object that is about to be read whole, several times, where the cache has room for it; what is not there
    is told by who opens it."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        if not isinstance(path, RemotePath):
            return
        entry = _Entry(path)
        if entry.there() is None and fits(entry.facts.size):
            entry.fetched()


def fits(size: int) -> bool:
    """Whether a copy of that many bytes is within the limit and leaves the disk some room."""
    folder = _made(cache_folder(FOLDER_VARIABLE, "") / "fetched")
    return size <= limit_bytes() and size + _SPARED_BYTES <= shutil.disk_usage(folder).free + _held(folder)


@contextlib.contextmanager
def scratch_file(name: str) -> Iterator[Path]:
    """A path of that name in a folder of its own beside the copies, removed at the end; also after a crash, by the
    next one who calls."""
    home = _made(cache_folder(FOLDER_VARIABLE, "") / "scratch")
    for leftover in home.glob("*.lock"):
        with contextlib.suppress(OSError), leftover.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover.with_suffix(""), ignore_errors=True)
            leftover.unlink()
    folder = home / os.urandom(8).hex()
    lock_path = folder.with_suffix(".lock")
    with _telling(home), lock_path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            folder.mkdir()
            yield folder / name
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def kept_folder(path: Path) -> Path:
    """Where on this machine lies what cannot lie in this folder, such as a file that is appended to: there itself, or
    for a folder of a store one in the cache."""
    if not isinstance(path, RemotePath):
        return path
    return _made(cache_folder(FOLDER_VARIABLE, "") / "logs" / hashlib.sha256(str(path).encode()).hexdigest()[:16])


@dataclass(frozen=True)
class _Card:
    address: str
    name: str
    size: int
    mtime_ns: int


class _Entry:
    def __init__(self, path: RemotePath) -> None:
        facts = path.facts()
        if facts is None:
            raise FileNotFoundError(errno.ENOENT, path.missing(), str(path))
        if facts.is_folder:
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        self.path, self.facts = path, facts
        self.fingerprint = facts.fingerprint if facts.mark else path.fingerprint()
        self.folder = _made(cache_folder(FOLDER_VARIABLE, "") / "fetched")
        self.key = hashlib.sha256(f"{path}|{self.fingerprint}".encode()).hexdigest()[:32]
        name = path.name.partition("?")[0] if path.protocol in READ_ONLY else path.name
        # The extension stays: demuxers are chosen by it, too.
        self.file = self.folder / self.key / f"{Path(name).stem[:80] or 'object'}{Path(name).suffix[:16]}"

    def there(self) -> Path | None:
        """The copy, if there is one that is whole."""
        card = _card(self.folder / f"{self.key}.json")
        if card is None:
            return None
        try:
            found = self.file.stat()
            if (found.st_size, found.st_mtime_ns) == (card.size, card.mtime_ns) and card.size == self.facts.size:
                # The time of access says which copy was used last; not every file system keeps it by itself.
                os.utime(self.file, ns=(time.time_ns(), found.st_mtime_ns))
                return self.file
        except OSError:
            pass
        log.warning("the copy of %s in %s is damaged; it is fetched again", self.path, self.folder)
        return None

    def fetched(self) -> Path:
        """The copy, fetched where there is none; by one process, while the others wait."""
        with _telling(self.folder), _locked(self.folder, self.key):
            found = self.there()
            if found is not None:
                return found
            _make_room(self.folder, self.facts.size, self.key)
            self.file.parent.mkdir(exist_ok=True)
            temporary = self.file.with_name(f".{self.file.name}.tmp")
            try:
                self._download(temporary)
                temporary.replace(self.file)
            except BaseException:
                shutil.rmtree(self.file.parent, ignore_errors=True)
                raise
            card = _Card(str(self.path), self.file.name, self.facts.size, self.file.stat().st_mtime_ns)
            told = self.folder / f".{self.key}.tmp"
            told.write_text(json.dumps(card.__dict__))
            told.replace(self.folder / f"{self.key}.json")
            return self.file

    def _callback(self) -> Any:
        """What fsspec calls while it fetches."""
        from fsspec.callbacks import Callback, NoOpCallback

        told, name, size = _told.get(), self.path.name, self.facts.size
        return (
            NoOpCallback() if told is None else Callback(hooks={"told": lambda _, have, **__: told(name, have, size)})
        )

    def _download(self, temporary: Path) -> None:
        for attempts_left in (2, 1, 0):
            try:
                self.path.ask(lambda fs, address: fs.get_file(address, str(temporary), callback=self._callback()))
                break
            except StorageError as error:
                if _is_full(error.__cause__):
                    raise error.__cause__ from None  # type: ignore[misc]
                if attempts_left == 0 or is_final(error.__cause__ or error):
                    raise
        came = temporary.stat().st_size
        now = self.path.facts()
        if came != self.facts.size or now is None or (self.facts.mark and now.mark != self.facts.mark):
            raise StorageError(
                f"{self.path}: changed while it was fetched ({came} of {self.facts.size} bytes); try again"
            )


def _card(path: Path) -> _Card | None:
    try:
        return _Card(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _held(folder: Path) -> int:
    """Bytes of all copies."""
    return sum(card.size for path in folder.glob("*.json") if (card := _card(path)) is not None)


def _make_room(folder: Path, size: int, key: str) -> None:
    """Let go of the copies that were not used for longest until `size` more bytes are within the limit, and those
    without a card (but for `key`'s) that a crash left."""
    cards = {path: card for path in folder.glob("*.json") if (card := _card(path)) is not None}
    used: list[tuple[float, Path, int]] = []
    for path, card in cards.items():
        with contextlib.suppress(OSError):
            used.append(((path.with_suffix("") / card.name).stat().st_atime, path, card.size))
    room = limit_bytes() - size
    held = sum(bytes_ for _, _, bytes_ in used)
    free = shutil.disk_usage(folder).free - _SPARED_BYTES
    for _, path, bytes_ in sorted(used):
        if held <= room and free >= size:
            break
        path.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        held, free = held - bytes_, free + bytes_
    if free + _SPARED_BYTES < size:
        raise StorageError(
            f"the disk of the cache {folder} is full ({free + _SPARED_BYTES >> 20} MiB free, {size >> 20} MiB wanted); "
            f"make room, or name another folder in {FOLDER_VARIABLE}"
        )


@contextlib.contextmanager
def _locked(folder: Path, key: str) -> Iterator[None]:
    """One of a fixed number of lock files, which are never removed, so that holding one means something."""
    with (folder / f"lock-{int(key[:8], 16) % _LOCKS:02d}").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(folder)):
            # Another file, that was read or written meanwhile.
            raise
        if _is_full(error):
            raise StorageError(
                f"the disk of the cache {folder} is full; make room, or name another folder in {FOLDER_VARIABLE}"
            ) from error
        raise StorageError(f"the cache {folder} cannot be used: {error.strerror or error}") from error


def _made(folder: Path) -> Path:
    with _telling(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
