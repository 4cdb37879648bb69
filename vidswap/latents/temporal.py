"""Filters over time for codes: W+, S, and the terms of a pose. Of finite support, without lag, keeping the length.

All work on the rows of one track: ascending frame numbers, of which some may be missing, and values of any shape per
row. They stand on `vidswap.faces.smoothing`: a weighted fit of a polynomial over the rows within `radius` frames, read
off at the frame itself, so that a value is the same bits wherever a video is cut.

Gaussian: a weighted line. Savitzky-Golay: an unweighted parabola. Adaptive: a Gaussian parabola, wide where the codes
rest and narrow where they move; the rule of the one-euro filter (Casiez et al. 2012), whose cutoff grows with speed,
without its lag and its endless memory. How much of the change from frame to frame is motion is told from noise by the
differences of first and of third order around the frame, of which noise has its known share; it has no unit to be set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidswap.faces import smoothing

Filter = Literal["gaussian", "savitzky-golay", "adaptive", "none"]
_THIRD = 20.0  # sum of the squares of 1 -3 3 -1: what a third difference has of the noise's variance
_FIRST = 2.0  # the same of a first difference
_NARROWEST = 0.05  # a Gaussian of this sigma, in frames, leaves values as they are


@dataclass(frozen=True)
class Steadying:
    """How values are smoothed over time.

    Attributes:
        filter: which of them; "none" leaves values as they are.
        sigma: of the Gaussian in frames; of the adaptive one where nothing moves.
        window: frames that Savitzky-Golay fits, odd.
        eager: how fast the adaptive filter narrows with the share of motion over noise; 0: never.
        reach: frames to either side over which the adaptive filter tells motion from noise.
    """

    filter: Filter = "adaptive"
    sigma: float = 2.0
    window: int = 7
    eager: float = 0.1
    reach: int = 6

    @property
    def radius(self) -> int:
        """Frames to either side on which a value depends."""
        if self.filter == "gaussian":
            return smoothing.gaussian(self.sigma)[1]
        if self.filter == "savitzky-golay":
            return self.window // 2
        return max(math.ceil(4 * self.sigma), self.reach) if self.filter == "adaptive" else 0

    def __call__(self, frames: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values (N, ...) of one track at ascending `frames` (N,), smoothed; same shape and type."""
        values = np.asarray(values)
        if self.filter == "none" or len(values) < 2:
            return values
        if self.filter == "gaussian":
            made = smoothing.smooth(frames, values, *smoothing.gaussian(self.sigma))
        elif self.filter == "savitzky-golay":
            made = smoothing.smooth(frames, values, lambda _: 1.0, self.window // 2, degree=2)
        else:
            sigmas = self.sigma / (1.0 + self.eager * motion_over_noise(frames, values, self.reach))
            made = smoothing.weighted(frames, values, _Adaptive(sigmas), math.ceil(4 * self.sigma))
        return made.astype(values.dtype)


class _Adaptive:
    """Weights of a Gaussian parabola whose sigma is each row's own."""

    def __init__(self, sigmas: np.ndarray) -> None:
        self._sigmas = np.maximum(sigmas, _NARROWEST)

    def __call__(self, row: int, offsets: list[int]) -> list[float]:
        sigma = float(self._sigmas[row])
        reached = [o for o in offsets if abs(o) <= 4.0 * sigma]
        weights = smoothing.tap_weights(reached, lambda k: math.exp(-(k * k) / (2.0 * sigma * sigma)), 2)
        told = dict(zip(reached, weights, strict=True))
        return [told.get(o, 0.0) for o in offsets]


def motion_over_noise(frames: np.ndarray, values: np.ndarray, reach: int) -> np.ndarray:
    """(N,) how fast values (N, ...) move around each frame, in standard deviations of their noise per frame; 0 at rest.

    Of the rows within `reach` frames. Infinite where too few of them follow on one another to tell noise from motion.
    """
    frames = np.asarray(frames, np.int64)
    flat = np.ascontiguousarray(values, np.float64).reshape(len(frames), -1)
    first, third = _energies(frames, flat, 1), _energies(frames, flat, 3)
    made = np.full(len(frames), np.inf)
    for row, frame in enumerate(frames):
        steps = _within(frames, first, frame, reach, 1)
        jolts = _within(frames, third, frame, reach, 3)
        if len(jolts) < 3:
            continue
        noise = sum(jolts) / len(jolts) / _THIRD
        motion = max(0.0, sum(steps) / len(steps) - _FIRST * noise)
        made[row] = math.sqrt(motion / noise) if noise > 0 else (np.inf if motion > 0 else 0.0)
    return made


def _energies(frames: np.ndarray, flat: np.ndarray, order: int) -> np.ndarray:
    """(N,) mean square of the difference of `order` that begins at each row; NaN where a frame of it is missing."""
    made = np.full(len(frames), np.nan)
    for row in range(len(frames) - order):
        if frames[row + order] - frames[row] == order:
            made[row] = float(np.square(np.diff(flat[row : row + order + 1], order, axis=0)[0]).mean())
    return made


def _within(frames: np.ndarray, energies: np.ndarray, frame: int, reach: int, order: int) -> list[float]:
    """Those of the differences that lie whole within `reach` frames."""
    low = np.searchsorted(frames, frame - reach, "left")
    high = np.searchsorted(frames, frame + reach - order, "right")
    return [e for e in energies[low:high].tolist() if not math.isnan(e)]


def steadied_wplus(
    frames: np.ndarray, wplus: np.ndarray, how: Steadying, fine_from: int = 9, fine_sigma: float = 0.0
) -> np.ndarray:
    """Codes W+ (N, L, D) of one track, smoothed; rows from `fine_from` on by a Gaussian of `fine_sigma`, if above 0.

    Those rows carry colour and light, which change slowly; the rows before them carry pose and expression.
    """
    made = how(frames, wplus)
    if fine_sigma > 0 and fine_from < wplus.shape[1]:
        fine = Steadying("gaussian", fine_sigma)(frames, wplus[:, fine_from:])
        made = np.concatenate([made[:, :fine_from], fine], axis=1)
    return made


def anchored(codes: np.ndarray, anchor: np.ndarray, share: float, first_row: int = 0) -> np.ndarray:
    """Codes (N, L, D) drawn towards the portrait's own (L, D) by `share` 0..1, from `first_row` on."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share is from 0 to 1, got {share}")
    made = codes.copy()
    made[:, first_row:] += np.float32(share) * (anchor[first_row:] - codes[:, first_row:])
    return made


def keyframes(frames: np.ndarray, every: int) -> np.ndarray:
    """(N,) bool: which rows of a track are inverted when the others lie between them; `frames` (N,) ascending.

    Those whose number `every` divides, and those beside which a frame is missing, the track's ends among them.
    """
    frames = np.asarray(frames, np.int64)
    before = np.concatenate([[False], np.diff(frames) == 1]) if len(frames) else np.zeros(0, bool)
    after = np.concatenate([before[1:], [False]]) if len(frames) else before
    return np.asarray((frames % every == 0) | ~(before & after))
