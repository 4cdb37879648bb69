"""Signals that end a run: Ctrl-C, SIGTERM and a closed terminal all stop it the same, orderly way."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vidswap import interrupts

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
IMPATIENT_SIGNALS = 4


@dataclass
class Interruption:
    """Whether the user wants to stop: for loops that must not miss it where an interrupt was swallowed.

    With `drain_s` the first SIGTERM, by which machines are taken back with notice, interrupts nothing: it sets
    `draining`, and what runs may be finished for so many seconds.
    """

    signals: int = 0
    drain_s: float = 0.0
    drain_until: float | None = None

    @property
    def draining(self) -> bool:
        """Whether nothing new may be begun."""
        return self.drain_until is not None

    @property
    def drained(self) -> bool:
        """Whether the time to finish is over."""
        return self.drain_until is not None and time.monotonic() >= self.drain_until

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal has come."""
        if self.signals:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn the first of these signals into KeyboardInterrupt; ignore the next ones, which would disturb the clean-up.

    A fourth one interrupts the clean-up too. A signal that is ignored (nohup, jobs in the background) stays ignored, a
    handler of the caller's for SIGINT stays in force, and off the main thread nothing is changed.
    """
    state = Interruption()

    def stop(number: int, _: object) -> None:
        if number == signal.SIGTERM and state.drain_s and state.drain_until is None and not state.signals:
            state.drain_until = time.monotonic() + state.drain_s
            return
        state.signals += 1
        if state.signals == 1 or state.signals >= IMPATIENT_SIGNALS:
            raise KeyboardInterrupt

    before: dict[int, object] = {}
    try:
        for name in ENDING:
            number = getattr(signal, name)
            if signal.getsignal(number) in interrupts.USUAL:
                before[number] = signal.signal(number, stop)
    except ValueError:
        # Only the main thread may set handlers.
        yield state
        return
    try:
        yield state
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
