"""Lease: the lock of a job folder on a store, where no kernel drops a lock with the process that held it.

The holder writes a sign of life every few seconds. A lock without one for a minute is nobody's; so is that of a process
of this machine that has ended. Times are the store's own, so that clocks need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from typing import Any

from vidswap.graph import InputError, VidswapError
from vidswap.storage import RemotePath

SIGN_EVERY_S = 15.0
DEAD_AFTER_S = 60.0
_TRIES = 3


class Lease:
    """Holds `lock` until it is closed. Raises InputError where another run holds it."""

    def __init__(self, lock: RemotePath, *, every_s: float = SIGN_EVERY_S, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._lock, self._dead_after_s = lock, dead_after_s
        self._token = uuid.uuid4().hex
        self._signs = 0
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self.lost = False
        self._take()
        self._thread = threading.Thread(target=self._live, args=(every_s,), daemon=True, name="lease")
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it was let go of."""
        return self._ended.is_set()

    def check(self) -> None:
        """Raise VidswapError when another run has taken the lock over, because this one gave no sign for too long."""
        if self.lost:
            raise VidswapError(f"another run has taken over {self._lock.parent}; this one gave no sign of life")

    def close(self) -> None:
        """Let go of it."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(VidswapError, OSError):
            if self._holder().get("token") == self._token:
                self._lock.unlink(missing_ok=True)

    def _take(self) -> None:
        for _ in range(_TRIES):
            try:
                self._lock.write_bytes(self._content(), exclusive=True)
            except FileExistsError:
                holder = self._holder()
                age_s = self._age_s()
                if holder and age_s is not None and age_s < self._dead_after_s and not _has_ended(holder):
                    raise InputError(
                        f"another run works in {self._lock.parent} (host {holder.get('host')}, process "
                        f"{holder.get('process')}, last sign {age_s:.0f} s ago); wait for it, or give another folder "
                        f"with --job; one that died lets go after {self._dead_after_s:.0f} s"
                    ) from None
                self._lock.unlink(missing_ok=True)
                continue
            # Where the store cannot promise that one alone creates an object, the last one has it.
            if self._holder().get("token") == self._token:
                return
        raise InputError(f"cannot lock {self._lock.parent}; wait for the other run, or give another folder with --job")

    def _content(self) -> bytes:
        told = {"token": self._token, "host": socket.gethostname(), "process": os.getpid(), "signs": self._signs}
        return json.dumps(told).encode()

    def _holder(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._lock.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _age_s(self) -> float | None:
        """How long ago the holder gave a sign, by the store's clock; None where there is no lock any more."""
        clock = self._lock.with_name(f"{self._lock.name}.{self._token}")
        clock.write_bytes(b"")
        now, held = clock.facts(), self._lock.facts()
        clock.unlink(missing_ok=True)
        return None if now is None or held is None else now.mtime_s - held.mtime_s

    def _live(self, every_s: float) -> None:
        while not self._ended.wait(every_s):
            # What a store does not answer for once is asked again at the next turn.
            with contextlib.suppress(VidswapError, OSError):
                if self._holder().get("token") != self._token:
                    self.lost = True
                    return
                self._signs += 1
                self._lock.write_bytes(self._content())


def _has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder.get("process", 0)), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, TypeError):
        return False
    return False
