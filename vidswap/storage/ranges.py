"""Reading an object by ranges of bytes, in blocks that all readers of this process share.

Opening a film again (each segment does) finds its header among the blocks that are here; reading on asks for twice as
much each time, so that a film is not read in small pieces.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import StorageError, is_final, telling

if TYPE_CHECKING:
    from .remote import RemotePath

BLOCK_BYTES = 1 << 18
MOST_AHEAD_BLOCKS = 32
"""8 MiB: more than a store sends in the time that an answer takes."""
HELD_BYTES = 64 << 20
_MAY_SEND_ALL = frozenset({"http", "https"})
_WAITS_S = (0.5, 2.0, 8.0)

log = logging.getLogger(__name__)


class Blocks:
    """Blocks of objects by key and number, the last used ones; and how much was read, by key."""

    def __init__(self, most_bytes: int = HELD_BYTES) -> None:
        self._most = most_bytes
        self._held = 0
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.read_bytes: defaultdict[str, int] = defaultdict(int)
        self.requests = 0
        self.failures: list[StorageError] = []

    def get(self, key: str, number: int) -> bytes | None:
        """A block that is here, or None."""
        with self._lock:
            found = self._blocks.get((key, number))
            if found is not None:
                self._blocks.move_to_end((key, number))
            return found

    def put(self, key: str, number: int, block: bytes) -> None:
        """Keep a block, and let go of those that were not used for longest."""
        with self._lock:
            before = self._blocks.pop((key, number), b"")
            self._blocks[key, number] = block
            self._held += len(block) - len(before)
            while self._held > self._most and len(self._blocks) > 1:
                self._held -= len(self._blocks.popitem(last=False)[1])

    def told(self, key: str, count: int) -> None:
        """Count what a request brought."""
        with self._lock:
            self.read_bytes[key] += count
            self.requests += 1


BLOCKS = Blocks()
"""Those of this process."""


@contextlib.contextmanager
def all_read() -> Iterator[None]:
    """At the end raise what reading by ranges has failed with meanwhile, also instead of what came of it.

    A demuxer may take a read that failed for the end of the file or for damage.
    """
    before = len(BLOCKS.failures)
    try:
        yield
    except Exception as error:
        if len(BLOCKS.failures) > before and not isinstance(error, StorageError):
            raise BLOCKS.failures[-1] from error
        raise
    if len(BLOCKS.failures) > before:
        raise BLOCKS.failures[-1]


class RangedFile(io.RawIOBase):
    """An object as a file that can be read and sought in; the same content throughout, or StorageError."""

    def __init__(self, path: RemotePath, size: int, fingerprint: str, blocks: Blocks = BLOCKS) -> None:
        super().__init__()
        self.name = path.name
        self._path, self._size, self._blocks = path, size, blocks
        self.key = f"{path}|{fingerprint}"
        self._at = 0
        self._ahead, self._next = 1, -1
        # Of stores with ETags this file asks for the one that it was opened with.
        self._file: Any = path.ask(lambda fs, address: fs.open(address, "rb", cache_type="none"))
        self._count = -(-size // BLOCK_BYTES)

    @property
    def gives_ranges(self) -> bool:
        """Whether the store sends what is asked for, and not only all of it; of a web server one has to try."""
        if not self._file.seekable():
            return False
        if self._path.protocol not in _MAY_SEND_ALL:
            return True
        try:
            self._file.seek(1)
            return len(self._file.read(1)) == 1
        except (ValueError, OSError):
            return False

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there; nothing is read."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise ValueError(f"negative position {begin + offset}")
        self._at = begin + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """As many bytes as were asked for, fewer only at the end."""
        stop = self._size if size < 0 else min(self._at + size, self._size)
        pieces = []
        while self._at < stop:
            number, offset = divmod(self._at, BLOCK_BYTES)
            piece = self._block(number)[offset : offset + stop - self._at]
            pieces.append(piece)
            self._at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        """As `read`, into a buffer."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close it. The blocks stay for other readers."""
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()

    def _block(self, number: int) -> bytes:
        found = self._blocks.get(self.key, number)
        if found is not None:
            return found
        self._ahead = min(2 * self._ahead, MOST_AHEAD_BLOCKS) if number == self._next else 1
        stop = number + 1
        while stop < min(number + self._ahead, self._count) and self._blocks.get(self.key, stop) is None:
            stop += 1
        self._next = stop
        start_byte, stop_byte = number * BLOCK_BYTES, min(stop * BLOCK_BYTES, self._size)
        content = self._fetch(start_byte, stop_byte)
        for i in range(number, stop):
            begin = (i - number) * BLOCK_BYTES
            self._blocks.put(self.key, i, content[begin : begin + BLOCK_BYTES])
        return content[:BLOCK_BYTES]

    def _fetch(self, start: int, stop: int) -> bytes:
        for wait_s in (*_WAITS_S, None):
            try:
                with telling(str(self._path)):
                    self._file.seek(start)
                    content = bytes(self._file.read(stop - start))
                if len(content) == stop - start:
                    self._blocks.told(self.key, len(content))
                    return content
                failure = StorageError(f"{self._path}: {len(content)} of {stop - start} bytes came; try again")
            except FileNotFoundError:
                failure, wait_s = StorageError(f"{self._path}: was deleted while it was read"), None
            except StorageError as error:
                failure = error
                if is_final(error.__cause__ or error):
                    wait_s = None
            if wait_s is None:
                break
            log.debug("%s; again in %s s", failure, wait_s)
            time.sleep(wait_s)
        self._blocks.failures.append(failure)
        raise failure
