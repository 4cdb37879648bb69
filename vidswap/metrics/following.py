"""How a reenacted face follows the one that drives it: streamed, as all measures of one face over time are.

Two people in two places: nothing is compared pixel by pixel, sizes are each face's own, and a head that the portrait
holds otherwise may go on doing so. What counts is what changes: turns, the mouth, the lids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .identity import cosine
from .light import mean_luma
from .motion import BandMotion
from .running import Roughness, Running, ratio

_ANGLES = ("yaw", "pitch", "roll")
_STILL = 3.0
"""How many times the noise of single frames the movement of a mouth or of lids must be to be compared."""


@dataclass(frozen=True)
class FollowedFace:
    """One moment of the face that drives (first of each pair) and of the one that is driven (second).

    Attributes:
        frame: number of the frame in the driver.
        landmarks: (N, 2 or 3) each, pixels of the displayed frame, each detected in its own video.
        sizes: inter-ocular distances in the same pixels.
        poses: (3,) each: how far the head has turned since a moment that is the same for both: yaw, pitch, roll in
            degrees.
        gauges: (2,) each: height over width of the mouth's opening, and of the lids'.
        crops: (h, w, 3) uint8 RGB each, around the faces; faces: (h, w) bool each, where they are in them.
        embedding, source_embedding: of the driven face and of the portrait by a recogniser, where there is one.
    """

    frame: int
    landmarks: tuple[np.ndarray, np.ndarray]
    sizes: tuple[float, float]
    poses: tuple[np.ndarray, np.ndarray]
    gauges: tuple[np.ndarray, np.ndarray]
    crops: tuple[np.ndarray, np.ndarray]
    faces: tuple[np.ndarray, np.ndarray]
    embedding: np.ndarray | None = None
    source_embedding: np.ndarray | None = None


class Together:
    """Correlation of two streams of numbers (Pearson), and whether the first one moves at all."""

    def __init__(self) -> None:
        self._both = np.zeros((2, 2))
        self._means = np.zeros(2)
        self._count = 0
        self._rough = Roughness()

    def add(self, first: float, second: float) -> None:
        """Take the next pair."""
        values = np.array([first, second])
        self._count += 1
        before = values - self._means
        self._means += before / self._count
        self._both += np.outer(before, values - self._means)
        self._rough.add(first)

    def cut(self) -> None:
        """The next pair does not follow on the last one."""
        self._rough.cut()

    @property
    def correlation(self) -> float | None:
        """-1..1; None where the first stream shows nothing but its noise, taken as white from second differences."""
        rough = self._rough.rms
        if rough is None or self._both[0, 0] <= 0:
            return None
        # White noise of variance 1 has second differences of variance 6.
        if math.sqrt(self._both[0, 0] / self._count) <= _STILL * rough / math.sqrt(6.0):
            return None
        scale = math.sqrt(self._both[0, 0] * self._both[1, 1])
        return float(self._both[0, 1]) / scale if scale > 0 else 0.0


class FollowingMeasures:
    """Measures of one face that follows another."""

    def __init__(self, rate: float) -> None:
        """`rate`: frames per second of the driver."""
        self.frames = self.lost = 0
        self._last = -1
        self._trembling = (Roughness(), Roughness())
        self._flicker = (Roughness(), Roughness())
        self._turning = BandMotion(rate)
        self._turns = Roughness()
        self._apart = (Running(), Running(), Running())
        self._mouth, self._lids = Together(), Together()
        self._likeness = Running()

    def miss(self) -> None:
        """The driver's face was found, the driven one was not."""
        self.lost += 1
        self.cut()

    def cut(self) -> None:
        """The next frame does not follow on the last one."""
        parts = (*self._trembling, *self._flicker, self._turning, self._turns, self._mouth, self._lids)
        for part in parts:
            part.cut()

    def add(self, face: FollowedFace) -> None:
        """Take the next frame; a gap in the numbers of frames is a cut."""
        if self.frames and face.frame != self._last + 1:
            self.cut()
        self.frames, self._last = self.frames + 1, face.frame
        for trembling, points, size in zip(self._trembling, face.landmarks, face.sizes, strict=True):
            trembling.add(points[:, :2], size)
        for flicker, crop, mask in zip(self._flicker, face.crops, face.faces, strict=True):
            luma = mean_luma(crop, mask)
            if luma is None:
                flicker.cut()
            else:
                flicker.add(luma)
        self._turning.add(face.poses[0], face.poses[1])
        self._turns.add(face.poses[0][:, None])
        for apart, one, other in zip(self._apart, *face.poses, strict=True):
            apart.add((float(other - one) + 180.0) % 360.0 - 180.0)
        for together, one, other in zip((self._mouth, self._lids), *face.gauges, strict=True):
            together.add(float(one), float(other))
        if face.embedding is not None and face.source_embedding is not None:
            self._likeness.add(cosine(face.embedding, face.source_embedding))

    def values(self) -> Mapping[str, float | None]:
        """All measures by name; None where there was too little to measure. Call `cut` before."""
        moves = self._turning.told(self._turns.rms)
        angles = {
            f"{name}_deviation_deg": apart.deviation if apart.count > 1 else None
            for name, apart in zip(_ANGLES, self._apart, strict=True)
        }
        known = [value for value in angles.values() if value is not None]
        return {
            "jitter_ratio": ratio(self._trembling[1].rms, self._trembling[0].rms),
            "turn_gain": self._turning.gain if moves else None,
            "lag_frames": self._turning.lag_frames if moves else None,
            "flicker_ratio": ratio(self._flicker[1].rms, self._flicker[0].rms),
            "pose_deviation_deg": float(np.mean(known)) if known else None,
            **angles,
            "mouth_follows": self._mouth.correlation,
            "lids_follow": self._lids.correlation,
            "likeness": self._likeness.mean if self._likeness.count else None,
            "faces_found_share": self.frames / (self.frames + self.lost) if self.frames + self.lost else None,
        }
