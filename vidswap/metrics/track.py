"""All measures of one face over time, streamed: a frame goes in, what stays is of fixed size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .flow import dense_flow, occluded, warping_error
from .identity import IdentityOverTime, cosine
from .landmarks import angles_apart, normalised_mean_error
from .light import mean_luma
from .motion import BandMotion
from .running import Roughness, Running, ratio


@dataclass(frozen=True)
class FaceSample:
    """One face in one frame of target and result.

    Attributes:
        frame: number of the frame in the target.
        target, result: landmarks (N, 2 or 3), pixels of the displayed frame, each detected in its own video.
        size: inter-ocular distance of the target's, in the same pixels.
        target_pose, result_pose: (3,) yaw, pitch, roll in degrees.
        target_crop, result_crop: (h, w, 3) uint8 RGB, cut out of both by one and the same map.
        face: (h, w) bool, where the target's face is in them.
        seam: mean difference in the border band, grey levels of 255; None where nothing was changed.
        change: mean difference within the face, grey levels of 255.
        noise: mean difference far from all faces.
        target_embedding, result_embedding, source_embedding: of a recogniser, where there is one.
        perceived: distance of the target's crop, and of the result's, from the one before, where that is measured.
    """

    frame: int
    target: np.ndarray
    result: np.ndarray
    size: float
    target_pose: np.ndarray
    result_pose: np.ndarray
    target_crop: np.ndarray
    result_crop: np.ndarray
    face: np.ndarray
    seam: float | None
    change: float
    noise: float
    target_embedding: np.ndarray | None = None
    result_embedding: np.ndarray | None = None
    source_embedding: np.ndarray | None = None
    perceived: tuple[float, float] | None = None


class TrackMeasures:
    """Measures of one face; `merge` makes those of several together.

    Second differences, flow and spectra never go over a frame in which the face was not found in both videos.
    """

    def __init__(self, rate: float) -> None:
        """`rate`: frames per second of the video."""
        self.frames = self.lost = 0
        self.first = self.last = -1
        self._trembling = (Roughness(), Roughness())
        self._flicker = (Roughness(), Roughness())
        self._warping = (Running(), Running())
        self._motion = BandMotion(rate)
        self._pose, self._angles = Running(), (Running(), Running(), Running())
        self._nme, self._seam, self._change = Running(), Running(), Running()
        self._noise, self._perceived = Running(), Running()
        self._likeness, self._unlikeness = Running(), Running()
        self._identity = (IdentityOverTime(), IdentityOverTime())
        self._grey: tuple[np.ndarray, np.ndarray] | None = None

    def miss(self) -> None:
        """The face is in the target, but was not found in the result."""
        self.lost += 1
        self.cut()

    def cut(self) -> None:
        """The next frame does not follow on the last one."""
        for roughness in (*self._trembling, *self._flicker):
            roughness.cut()
        for identity in self._identity:
            identity.cut()
        self._motion.cut()
        self._grey = None

    def add(self, sample: FaceSample) -> None:
        """Take the face of the next frame; a gap in the numbers of frames is a cut."""
        if self.frames and sample.frame != self.last + 1:
            self.cut()
        self.first = sample.frame if not self.frames else self.first
        self.frames, self.last = self.frames + 1, sample.frame
        target, result = sample.target[:, :2], sample.result[:, :2]
        for trembling, points in zip(self._trembling, (target, result), strict=True):
            trembling.add(points, sample.size)
        self._motion.add(target, result, sample.size)
        self._nme.add(normalised_mean_error(target, result, sample.size))
        apart = angles_apart(sample.target_pose, sample.result_pose)
        self._pose.add(float(apart.mean()))
        for angle, value in zip(self._angles, apart, strict=True):
            angle.add(float(value))
        if sample.seam is not None:
            self._seam.add(sample.seam)
        self._change.add(sample.change)
        self._noise.add(sample.noise)
        self._add_light(sample)
        self._add_likeness(sample)

    def _add_light(self, sample: FaceSample) -> None:
        crops = (sample.target_crop, sample.result_crop)
        for flicker, crop in zip(self._flicker, crops, strict=True):
            luma = mean_luma(crop, sample.face)
            if luma is None:
                flicker.cut()
            else:
                flicker.add(luma)
        grey = tuple(crop.mean(2).round().astype(np.uint8) for crop in crops)
        if self._grey is not None:
            forward, backward = dense_flow(self._grey[0], grey[0]), dense_flow(grey[0], self._grey[0])
            hidden = occluded(forward, backward) | ~sample.face
            for warping, before, now in zip(self._warping, self._grey, grey, strict=True):
                error = warping_error(before / 255.0, now / 255.0, forward, hidden)
                if error is not None:
                    warping.add(error)
        self._grey = (grey[0], grey[1])

    def _add_likeness(self, sample: FaceSample) -> None:
        if sample.perceived is not None:
            self._perceived.add(abs(sample.perceived[1] - sample.perceived[0]))
        if sample.target_embedding is None or sample.result_embedding is None:
            return
        for identity, embedding in zip(self._identity, (sample.target_embedding, sample.result_embedding), strict=True):
            identity.add(embedding)
        if sample.source_embedding is not None:
            self._likeness.add(cosine(sample.result_embedding, sample.source_embedding))
            self._unlikeness.add(cosine(sample.target_embedding, sample.source_embedding))

    def merge(self, other: TrackMeasures) -> None:
        """Take the measures of another face; both must have ended (`cut`)."""
        self.frames, self.lost = self.frames + other.frames, self.lost + other.lost
        for mine, theirs in zip(self._parts(), other._parts(), strict=True):
            mine.merge(theirs)  # type: ignore[arg-type]

    def _parts(self) -> tuple[Roughness | Running | BandMotion | IdentityOverTime, ...]:
        return (
            *(*self._trembling, *self._flicker, *self._warping, self._motion, self._pose, *self._angles, self._nme),
            *(self._seam, self._change, self._noise, self._perceived, self._likeness, self._unlikeness),
            *self._identity,
        )

    @property
    def changed(self) -> bool:
        """Whether the result's face is another one than the target's: it differs by far more than the background."""
        return self._change.mean > 1.0 + 3.0 * self._noise.mean

    def values(self) -> Mapping[str, float | None]:
        """All measures by name; None where there was too little to measure."""
        motion = self._gain_and_lag()
        angles = zip(("yaw", "pitch", "roll"), self._angles, strict=True)
        seam = self._seam_and_deviation()
        return {
            "jitter": self._trembling[1].rms,
            "target_jitter": self._trembling[0].rms,
            "jitter_ratio": ratio(self._trembling[1].rms, self._trembling[0].rms),
            "target_motion": self._motion.size,
            "motion_gain": motion[0],
            "lag_frames": motion[1],
            "flicker_ratio": ratio(self._flicker[1].rms, self._flicker[0].rms),
            "target_flicker": self._flicker[0].rms,
            "pose_difference_deg": _mean(self._pose),
            **{f"{name}_difference_deg": _mean(angle) for name, angle in angles},
            "nme": _mean(self._nme),
            "seam": seam[0],
            "seam_deviation": seam[1],
            "warping_ratio": ratio(_mean(self._warping[1]), _mean(self._warping[0])),
            "change": _mean(self._change),
            "likeness": _mean(self._likeness),
            "target_likeness": _mean(self._unlikeness),
            "tl_id": ratio(self._identity[1].local, self._identity[0].local),
            "tlp": _mean(self._perceived),
        }

    def _seam_and_deviation(self) -> tuple[float | None, float | None]:
        if self.frames and self._change.mean == 0:
            return 0.0, 0.0
        # What coding does to a face that is left alone has no border.
        return (self._seam.mean, self._seam.deviation) if self._seam.count and self.changed else (None, None)

    def _gain_and_lag(self) -> tuple[float | None, float | None]:
        if self._nme.count and self._nme.mean == 0.0:
            return 1.0, 0.0
        if not self._motion.told(self._trembling[0].rms):
            return None, None
        return self._motion.gain, self._motion.lag_frames


def _mean(running: Running) -> float | None:
    return running.mean if running.count else None
