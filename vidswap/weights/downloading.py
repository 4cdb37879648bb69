"""Fetching a release from its owners' address, through fsspec; nothing is fetched that was not asked for."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from vidswap.files import file_digest
from vidswap.graph.errors import InputError, first_line
from vidswap.weights.catalogue import Entry
from vidswap.weights.reading import FILE_BYTES_AT_MOST
from vidswap.weights.store import folder

_BLOCK_BYTES = 1 << 20
Told = Callable[[int, int | None], None]
"""Called with the bytes that are here and, where it is known, those there will be."""


def by_hand(entry: Entry) -> str:
    """Where to get a release that has no address of its own, and what to do with it."""
    return (
        f"{entry.name} has no direct address: get {' or '.join(entry.files)} from {entry.home}, "
        f"then vidswap weights add {entry.name} FILE"
    )


@contextlib.contextmanager
def fetched(entry: Entry, told: Told | None = None) -> Iterator[Path]:
    """The release's file under a temporary name in the store, removed at the end.

    Raises InputError, one line: no direct address, no connection, a file that is not the owners'.
    """
    if entry.url is None:
        raise InputError(by_hand(entry))
    where = folder()
    target = where / f".{entry.name}.part"
    try:
        where.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{entry.name} is being fetched by another process; wait for it") from None
            try:
                _copy(entry.url, target, told)
                try:
                    entry.check_sha256(file_digest(target))
                except InputError as error:
                    raise InputError(f"{entry.url}: {error}") from None
                yield target
            finally:
                target.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{target}: {error.strerror or error}") from None


def _copy(url: str, target: Path, told: Told | None) -> None:
    import fsspec

    try:
        with fsspec.open(url, "rb") as source:
            size = getattr(source, "size", None)
            have = 0
            with target.open("wb") as file:
                while block := source.read(_BLOCK_BYTES):
                    have += len(block)
                    if have > FILE_BYTES_AT_MOST:
                        raise InputError(f"{url}: is larger than any file of weights")
                    try:
                        file.write(block)
                    except OSError as error:
                        raise InputError(f"{target}: {error.strerror or error}") from None
                    if told is not None:
                        told(have, size)
    except InputError:
        raise
    except ImportError as error:
        # fsspec names the package that this kind of address needs.
        raise InputError(f"{url}: {error}") from None
    except Exception as error:
        # Every kind of address fails in its own classes of errors; the user wants to know that, and what to do.
        said = first_line(error, 120) if str(error).strip() not in ("", url) else "no answer, or no such file"
        raise InputError(
            f"cannot fetch {url} ({said}); without a connection, get the file elsewhere and add it"
        ) from None
    if size is not None and have != size:
        raise InputError(f"cannot fetch {url}: {have} of {size} bytes came; try again")
