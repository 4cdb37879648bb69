"""Does the result move as the target does: gain and lag in a band of frequencies.

The cross-spectrum of both motions, summed over landmarks and over windows of a few seconds, is turned into a
cross-correlation of the band alone. The lag is where that is greatest; the gain is what it is there, over the target's
own power: the factor of the target's motion that the result shows, in the sense of least squares. What the result adds
of its own, such as noise, does not raise it. What is held is one window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LOW_HZ, HIGH_HZ = 1.0, 3.0
WINDOW_S, LEAST_S = 4.0, 1.5
"""Spectra are of windows of WINDOW_S that overlap by half; of shorter stretches, those of LEAST_S or more are taken
whole."""
_ABOVE_NOISE = 20.0
"""How many times the power of the detector's noise the target's motion in the band must have: noise in the target
lowers the gain by its share."""
_FARTHEST, _STEPS = 8, 8  # lags looked at: so many frames both ways, in steps of an eighth


class BandMotion:
    """Gain and lag of one motion against another, streamed.

    Frames are taken as evenly spaced, `rate` of them per second. Raises ValueError for a rate that is not above 0.
    """

    def __init__(self, rate: float, band: Sequence[float] = (LOW_HZ, HIGH_HZ)) -> None:
        if not rate > 0:
            raise ValueError(f"frames per second are above 0, got {rate}")
        self.rate, self.band = rate, (float(band[0]), float(band[1]))
        self.lags = np.arange(-_FARTHEST * _STEPS, _FARTHEST * _STEPS + 1) / _STEPS
        self.correlation = np.zeros(len(self.lags))
        self.power = self.other_power = 0.0
        self.frames = self.points = 0
        self._window = max(4, round(WINDOW_S * rate))
        self._least = max(4, math.ceil(LEAST_S * rate))
        self._held: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._fresh = 0

    def add(self, target: np.ndarray, result: np.ndarray, scale: float = 1.0) -> None:
        """Take the points of the next frame, two arrays of one shape, and the size of the face that they are of."""
        self.points = len(target)
        self._held.append((np.asarray(target, np.float64).ravel(), np.asarray(result, np.float64).ravel(), scale))
        self._fresh += 1
        if len(self._held) == self._window:
            self._take()
            del self._held[: self._window // 2]

    def cut(self) -> None:
        """The next frame does not follow on the last one; what is held counts if it is long enough."""
        if self._fresh > 0 and len(self._held) >= self._least:
            self._take()
        self._held.clear()
        self._fresh = 0

    def merge(self, other: BandMotion) -> None:
        """Take the spectra of another stream with the same rate and band."""
        self.correlation += other.correlation
        self.power += other.power
        self.other_power += other.other_power
        self.frames += other.frames
        self.points = self.points or other.points

    def _take(self) -> None:
        scale = float(np.mean([s for _, _, s in self._held]))
        ours, theirs = (_spectrum(np.stack([frame[which] for frame in self._held]) / scale) for which in (0, 1))
        frequency = np.fft.rfftfreq(len(self._held), 1.0 / self.rate)
        inside = (frequency >= self.band[0]) & (frequency <= self.band[1])
        cross = (ours.conj() * theirs)[inside].sum(1)
        turn = np.exp(2j * np.pi * np.outer(self.lags, frequency[inside]) / self.rate)
        # A window's energy per frame: windows of all lengths weigh by the frames in them.
        self.correlation += (turn * cross).real.sum(1)
        self.power += float((ours.conj() * ours)[inside].sum(1).real.sum())
        self.other_power += float((theirs.conj() * theirs)[inside].sum(1).real.sum())
        self.frames += len(self._held)
        self._fresh = 0

    @property
    def size(self) -> float | None:
        """RMS of the target's motion in the band, per point, in units of `scale`; None without a window."""
        return math.sqrt(self.power / self.frames / self.points) if self.frames else None

    def told(self, trembling: float | None) -> bool:
        """Whether the target's motion in the band is much more than its noise.

        trembling: root mean square of the second differences of its points, in units of `scale` (`Roughness.rms`).
        """
        if not self.size or trembling is None:
            return False
        # White noise of variance 1 has second differences of variance 6, and is spread evenly up to half the rate.
        low, high = self.band
        noise = trembling**2 / 6.0 * min(1.0, (high - low) / (self.rate / 2.0))
        return self.size**2 >= _ABOVE_NOISE * noise

    @property
    def lag_frames(self) -> float | None:
        """How many frames the result is late (below 0: early), -8 to 8; None without motion in the band."""
        if not self.power > 0:
            return None
        best = int(self.correlation.argmax())
        if not 0 < best < len(self.lags) - 1:
            return float(self.lags[best])
        before, top, after = self.correlation[best - 1 : best + 2]
        bend = before - 2 * top + after
        return float(self.lags[best] + (0.5 * (before - after) / bend / _STEPS if bend < 0 else 0.0))

    @property
    def gain(self) -> float | None:
        """The share of the target's motion in the band that the result shows, at its lag; None without motion."""
        return float(self.correlation.max()) / self.power if self.power > 0 else None


def _spectrum(values: np.ndarray) -> np.ndarray:
    """(frequencies, coordinates) of values (frames, coordinates), less their trend, under a Hann window.

    Scaled so that the sum of squares over all positive frequencies is the energy of the windowed values.
    """
    count = len(values)
    time = np.linspace(-1.0, 1.0, count)[:, None]
    level = values - values.mean(0)
    level -= time * (time * level).sum(0) / (time * time).sum()
    taper = np.hanning(count + 2)[1:-1, None]
    taper /= math.sqrt(float((taper * taper).mean()))
    return np.fft.rfft(level * taper, axis=0) * math.sqrt(2.0 / count)
