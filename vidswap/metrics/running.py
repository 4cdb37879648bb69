"""Means and spreads of numbers that come one by one; what is held does not grow with their number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Running:
    """Mean and standard deviation of a stream of numbers (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    _squares: float = field(default=0.0, repr=False)

    def add(self, value: float) -> None:
        """Take the next number."""
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self._squares += before * (value - self.mean)

    def merge(self, other: Running) -> None:
        """Take all the numbers of another stream (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return
        apart = other.mean - self.mean
        self._squares += other._squares + apart * apart * self.count * other.count / count
        self.mean += apart * other.count / count
        self.count = count

    @property
    def deviation(self) -> float:
        """Standard deviation of the numbers so far; 0 of fewer than two."""
        return math.sqrt(self._squares / self.count) if self.count > 1 else 0.0


class Roughness:
    """Root mean square of second differences over time: what trembling and flicker are measured by.

    For values v and a scale s: the root of the mean of ((v[t-1] - 2 v[t] + v[t+1]) / s[t])^2, over all components, or
    over vectors where `vectors` says that rows of the last axis are points. Differences never go over a `cut`.
    """

    def __init__(self) -> None:
        self.energy, self.count = 0.0, 0
        self._held: list[tuple[np.ndarray, float]] = []

    def add(self, values: np.ndarray | float, scale: float = 1.0) -> None:
        """Take the values of the next frame, of any one shape; (..., 2) points count by the square of their length."""
        self._held.append((np.asarray(values, np.float64), scale))
        if len(self._held) == 3:
            (before, _), (middle, middle_scale), (after, _) = self._held
            second = (before - 2 * middle + after) / middle_scale
            points = second.size // (second.shape[-1] if second.ndim > 1 else 1)
            self.energy += float((second * second).sum()) / points
            self.count += 1
            self._held.pop(0)

    def cut(self) -> None:
        """The next frame does not follow on the last one."""
        self._held.clear()

    def merge(self, other: Roughness) -> None:
        """Take the second differences of another stream."""
        self.energy += other.energy
        self.count += other.count

    @property
    def rms(self) -> float | None:
        """None before three frames came on end."""
        return math.sqrt(self.energy / self.count) if self.count else None


def ratio(of: float | None, to: float | None) -> float | None:
    """`of` / `to`; None where one is missing, 1 where both are 0, None where `to` alone is 0."""
    if of is None or to is None:
        return None
    if to == 0:
        return 1.0 if of == 0 else None
    return of / to
