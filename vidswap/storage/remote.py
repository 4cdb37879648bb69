"""RemotePath: an object of a store that answers where a Path is asked. Whole objects only: no append, no rename."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any, TypeVar

from .errors import StorageError, is_final, telling

T = TypeVar("T")
_AT_ONCE = 16
_WAITS_S = (0.5, 3.0)
_WITH_FOLDERS = frozenset({"memory", "hdfs", "sftp", "ssh", "smb", "ftp"})
READ_ONLY = frozenset({"http", "https"})


@dataclass(frozen=True)
class Facts:
    """What a store tells of an object. `mark` changes with the content: an ETag, else a time; "" where neither is
    told."""

    size: int
    mark: str
    mtime_s: float
    is_folder: bool = False

    @property
    def fingerprint(self) -> str:
        """Tells one content from another."""
        return f"{self.mark}-{self.size}"


def facts_of(info: dict[str, Any]) -> Facts:
    """Facts from what fsspec tells of an object; its file systems name them differently."""
    tag = next(
        (str(info[k]).strip('"') for k in ("ETag", "etag", "md5Hash", "Content-MD5", "Digest") if info.get(k)), ""
    )
    keys = ("LastModified", "updated", "mtime", "Last-Modified")
    moment: Any = next((info[k] for k in keys if info.get(k)), None)
    shown: Any = info.get("created", 0.0) if moment is None else moment
    seconds = shown.timestamp() if hasattr(shown, "timestamp") else shown if isinstance(shown, (int, float)) else 0.0
    mark = tag or (str(moment) if moment is not None else "")
    return Facts(int(info.get("size") or 0), mark, float(seconds), info.get("type") == "directory")


class RemotePath(PosixPath):
    """The address of an object or a folder of a store; made by `vidswap.storage.place`.

    Everything goes to the store at each call: nothing is remembered. What needs a file of this machine raises
    TypeError; `vidswap.storage.local_file` makes one. Raises FileNotFoundError as a Path does, and StorageError.

    >>> clip = RemotePath("s3://bucket/clips/a.mp4")
    >>> clip.name, clip.suffix, str(clip.parent)
    ('a.mp4', '.mp4', 's3://bucket/clips')
    """

    def __str__(self) -> str:
        head, *rest = self.parts or ("",)
        return f"{head}//{'/'.join(rest)}" if head.endswith(":") else "/".join(self.parts)

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is not a file of this machine")

    def __truediv__(self, key: Any) -> Any:
        # As with any path, one that is absolute is not joined to another.
        given = key if isinstance(key, RemotePath) else Path(key)
        return given if given.is_absolute() else super().__truediv__(key)

    def __rtruediv__(self, key: Any) -> RemotePath:
        return self

    def __reduce__(self) -> Any:
        return type(self), tuple(self.parts)

    @property
    def protocol(self) -> str:
        """Such as "s3"."""
        return self.parts[0][:-1]

    @property
    def bucket(self) -> RemotePath:
        """The first part of the address: a bucket, or a host."""
        return type(self)(*self.parts[:2])

    @property
    def suffix(self) -> str:
        """The extension; of a web address that before its query."""
        name = self.name.partition("?")[0] if self.protocol in READ_ONLY else self.name
        return Path(name).suffix

    def ask(self, question: Callable[[Any, str], T]) -> T:
        """Ask the file system of this address: `question(filesystem, address)`."""
        with telling(str(self)):
            return question(_filesystem(self.protocol), str(self))

    def _ask_again(self, question: Callable[[Any, str], T]) -> T:
        """As `ask`, up to three times: for what may be done twice, and would cost much work if it were not done."""
        for wait_s in _WAITS_S:
            try:
                return self.ask(question)
            except StorageError as error:
                if is_final(error.__cause__ or error):
                    raise
                time.sleep(wait_s)
        return self.ask(question)

    def facts(self) -> Facts | None:
        """What there is, or None."""
        try:
            return facts_of(self.ask(lambda fs, address: fs.info(address)))
        except FileNotFoundError:
            return None

    def fingerprint(self) -> str:
        """What tells this content from another: ETag or time and size, or else SHA-256 of the content.

        Raises FileNotFoundError.
        """
        found = self._found()
        return found.fingerprint if found.mark else f"sha256:{hashlib.sha256(self.read_bytes()).hexdigest()}"

    def listing(self) -> dict[str, Facts]:
        """What lies in this folder, by name; {} where there is none."""
        try:
            entries = self.ask(lambda fs, address: fs.ls(address, detail=True, refresh=True))
        except FileNotFoundError:
            return {}
        found = {e["name"].rstrip("/").rpartition("/")[2]: facts_of(e) for e in entries if e["name"].strip("/")}
        found.pop("", None)
        # Listing an object gives the object.
        itself = len(entries) == 1 and entries[0].get("type") != "directory" and self.name in found
        return {} if itself and not entries[0]["name"].endswith(f"{self.name}/{self.name}") else found

    def missing(self) -> str:
        """What to say of an object that is not there."""
        gone = self.protocol not in READ_ONLY and self != self.bucket and self.protocol != "memory"
        if gone and not self.bucket.exists():
            return f"no such bucket: {self.bucket}"
        return f"no such object: {self}"

    def _found(self) -> Facts:
        found = self.facts()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such object", str(self))
        return found

    def exists(self, **_: Any) -> bool:
        """Whether there is an object, or a folder with one in it."""
        return self.facts() is not None

    def is_file(self, **_: Any) -> bool:
        """Whether there is an object."""
        found = self.facts()
        return found is not None and not found.is_folder

    def is_dir(self, **_: Any) -> bool:
        """Whether there are objects below this address."""
        found = self.facts()
        return found is not None and found.is_folder

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def is_absolute(self) -> bool:
        """Always."""
        return True

    def stat(self, **_: Any) -> os.stat_result:
        """Kind, size and time; the inode is made of the fingerprint, so that it tells one content from another."""
        found = self._found()
        kind = stat.S_IFDIR if found.is_folder else stat.S_IFREG
        inode = int.from_bytes(hashlib.sha256(found.fingerprint.encode()).digest()[:7], "big")
        return os.stat_result((kind | 0o644, inode, 0, 1, 0, 0, found.size, *[round(found.mtime_s)] * 3))

    def samefile(self, other_path: Any) -> bool:
        """Whether it is the same address."""
        return str(other_path) == str(self)

    def absolute(self) -> RemotePath:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        """Itself."""
        return self

    def expanduser(self) -> RemotePath:
        """Itself."""
        return self

    def iterdir(self) -> Generator[RemotePath, None, None]:
        """What lies in this folder, by name."""
        yield from (self / name for name in sorted(self.listing()))

    def glob(self, pattern: str, **_: Any) -> Generator[RemotePath, None, None]:
        """What lies in this folder and has a name that fits."""
        yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the folder where there are such things; those of object stores are in the names of their objects."""
        if self.protocol in _WITH_FOLDERS:
            self.ask(lambda fs, address: fs.makedirs(address, exist_ok=True))

    def rmdir(self) -> None:
        """Remove an empty folder where there are such things; those of object stores go with the last object."""
        if self.protocol in _WITH_FOLDERS:
            self.ask(lambda fs, address: fs.rmdir(address))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        try:
            self.ask(lambda fs, address: fs.rm_file(address))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Delete everything below this address."""
        there = self.listing()
        for name, found in there.items():
            if found.is_folder:
                (self / name).remove_tree()
        self.remove_many(self / name for name, found in there.items() if not found.is_folder)

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None, *args: Any, **_: Any) -> Any:
        """Open for reading: this machine's copy where there is one, else by ranges of bytes. Writing: `write_bytes`."""
        from .fetching import readable

        if mode not in ("r", "rt", "rb"):
            raise ValueError(f"{self} is written whole, by write_bytes or vidswap.files.written_whole")
        source = readable(self)
        raw: Any = source.open("rb") if isinstance(source, Path) else io.BufferedReader(source, 1 << 18)
        return raw if mode == "rb" else io.TextIOWrapper(raw, encoding=encoding or "utf-8")

    def read_bytes(self) -> bytes:
        """The whole content, in one request. Raises FileNotFoundError."""
        return bytes(self.ask(lambda fs, address: fs.cat_file(address)))

    def read_many(self, paths: Iterable[RemotePath]) -> list[bytes]:
        """The contents of several objects of this store, in order; those that are gone are left out."""

        def read(path: RemotePath) -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return path.read_bytes()
            return None

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return [content for content in threads.map(read, paths) if content is not None]

    def remove_many(self, paths: Iterable[RemotePath]) -> None:
        """Delete objects of this store; those that are gone are no matter."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda path: path.unlink(missing_ok=True), paths))

    def read_text(self, encoding: str | None = None, errors: str | None = None, **_: Any) -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def write_bytes(self, data: Any, *, exclusive: bool = False) -> int:
        """Write the object, whole or not at all.

        exclusive: raise FileExistsError where there is one; stores that cannot promise it look before they write.
        """
        content = bytes(data)
        if not exclusive:
            self._ask_again(lambda fs, address: fs.pipe_file(address, content))
            return len(content)

        def create(fs: Any, address: str) -> bool:
            if fs.exists(address):
                return False
            try:
                fs.pipe_file(address, content, mode="create")
            except FileExistsError:
                return False
            return True

        if not self.ask(create):
            raise FileExistsError(errno.EEXIST, "exists", str(self))
        return len(content)

    def write_text(self, data: str, encoding: str | None = None, *_: Any, **__: Any) -> int:
        """Write text as an object."""
        return self.write_bytes(data.encode(encoding or "utf-8"))

    def upload(self, file: Path) -> None:
        """Make a file of this machine this object; it appears whole or not at all."""
        # Parts of 16 MiB, four at a time, are memory enough; the store's own defaults take half a GiB.
        parts = {"chunksize": 16 << 20, "max_concurrency": 4} if self.protocol in ("s3", "s3a") else {}
        self._ask_again(lambda fs, address: fs.put_file(str(file), address, **parts))


def is_remote(path: object) -> bool:
    """Whether a path is an address of a store."""
    return isinstance(path, RemotePath)


def _filesystem(protocol: str) -> Any:
    """The file system of a protocol. Keys, endpoints and the like come from its own environment and configuration."""
    import fsspec

    # Other processes write to the same folders, so that a listing of before tells nothing.
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {"connect_timeout": 10, "retries": {"max_attempts": 3}}
    elif protocol in READ_ONLY:
        import aiohttp

        # The usual limit of five minutes is for the whole of a download.
        options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=120)}
    return fsspec.filesystem(protocol, **options)
