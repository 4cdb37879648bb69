"""Retries: how often a task is tried, after which pause, and what became of the tries before."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .order import Task


@dataclass(frozen=True)
class RetryPolicy:
    """How failures are met.

    `tries` in all; before the second one a pause of `backoff_s`, doubled each time up to `longest_s`. With `errors` an
    exception of a stage is tried again as well, because another machine may fare better.
    """

    tries: int = 3
    backoff_s: float = 0.0
    longest_s: float = 30.0
    errors: bool = False


class Retries:
    """The tasks that have failed: how often, why, and which wait to be tried again."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._reasons: dict[Task, list[str]] = {}
        self._waiting: dict[Task, float] = {}

    def failed(self, task: Task, reason: str) -> bool:
        """Note a failure; returns whether the task may be tried again, which `due` will then say."""
        reasons = self._reasons.setdefault(task, [])
        reasons.append(reason)
        if len(reasons) >= self.policy.tries:
            return False
        pause = min(self.policy.longest_s, self.policy.backoff_s * 2 ** (len(reasons) - 1))
        self._waiting[task] = time.monotonic() + pause
        return True

    def done(self, task: Task) -> None:
        """Forget a task: it is done, or given up."""
        self._reasons.pop(task, None)

    def reasons(self, task: Task) -> list[str]:
        """Why each try of a task failed, in order."""
        return list(self._reasons.get(task, ()))

    @property
    def waiting(self) -> bool:
        """Whether a task waits for its next try."""
        return bool(self._waiting)

    def due(self) -> list[Task]:
        """The tasks whose pause is over; each is named once."""
        now = time.monotonic()
        over = [task for task, at in self._waiting.items() if at <= now]
        for task in over:
            del self._waiting[task]
        return over

    def pause_s(self) -> float:
        """Seconds until the next task is due; 0 where none waits."""
        return max(0.0, min(self._waiting.values(), default=0.0) - time.monotonic())
