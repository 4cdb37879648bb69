"""Smooth: fill short gaps of tracks and take the noise out of landmarks and light."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field

from vidswap.faces import alignment, evidence, look, resting, smoothing
from vidswap.faces.detection import box_of_landmarks
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.latents.temporal import Filter, Steadying

_BRIEF_RADIUS = 12
_STEADY = ("light", "darkest", "eyewear", "irises", "nostrils", "rims")


class SmoothOptions(Options):
    """How landmarks, crop axes and light are smoothed over time; all in frames. 0 leaves a thing as it is."""

    landmarks: Literal["adaptive", "gaussian", "five-tap", "none"] = Field(
        "adaptive", description="adaptive smooths head motion and expression apart; the others treat all points alike"
    )
    sigma: float = Field(1.0, ge=0.3, le=8, description="of the Gaussian over landmarks")
    axes_sigma: float = Field(3.0, ge=0, le=12, description="of the Gaussian over scale and roll of the crop")
    axes: Literal["gaussian", "savitzky-golay", "adaptive"] = Field(
        "gaussian", description="filter of scale and roll; adaptive follows where they move"
    )
    light_sigma: float = Field(
        4.0, ge=0, le=24, description="of the Gaussian over light, darkest, eyewear, irises, nostrils, rims"
    )
    resting: int = Field(
        0, ge=0, le=240, description="frames on either side that tell how a face is at rest; 0 tells nothing of it"
    )
    gap: int = Field(5, ge=0, le=30, description="longest gap of a track that is filled, linearly")
    brief: int = Field(8, ge=0, le=12, description="a face seen in fewer frames must be a sure one; 0 believes all")
    sure: float = Field(0.75, ge=0, le=1, description="detection score of a sure face")


class SmoothLandmarks(Operator[SmoothOptions]):
    """Landmarks, crop axes and light of each track, smoothed without lag; faces missing for a few frames come back.

    A face that is seen for a few frames only, and never surely, is taken for a pattern that looks like one and dropped.

    `quad_axes` are the rows c, x, y of FFHQ alignment: c of the smoothed landmarks, x and y smoothed for longer.
    `resting` becomes what the face is when it does nothing (`vidswap.faces.resting`).
    """

    kind = "smooth"
    needs = ("track", "box", "landmarks")
    uses = (*_STEADY, "resting", "score", "own")
    gives = ("box", "landmarks", "quad_axes")
    Options = SmoothOptions

    def __init__(self, options: SmoothOptions) -> None:
        super().__init__(options)
        kind: Filter = options.axes if options.axes_sigma > 0 else "none"
        self._axes_filter = Steadying(kind, options.axes_sigma, window=2 * math.ceil(2 * options.axes_sigma) + 1)
        radii = [
            _BRIEF_RADIUS if options.brief else 0,
            _landmark_radius(options),
            self._axes_filter.radius,
            math.ceil(4 * options.light_sigma),
        ]
        # A filled row at the rim of a filter hangs on the row beyond its gap.
        self._near = max(radii) + options.gap
        self.context = max(self._near, options.resting + options.gap)

    def setup(self, setting: Setting) -> None:
        """Take the timestamps of the frames in which faces are filled in."""
        self._pts = None if setting.video is None else np.asarray(setting.video.pts, np.int64)

    def __call__(self, batch: Batch) -> Batch:
        """Rows of all tracks, filled and smoothed, by frame and from left to right.

        Where `own` is given, those far from it are left out.
        """
        # Filled rows of the segment lie within a gap of rows of its own, and filters reach no further from there.
        first, last = _ends(batch)
        batch = batch.without(["own"])
        smoothed = []
        for number in np.unique(batch["track"]):
            track = batch.take(batch["track"] == number)
            rows = filled(track, self.options.gap, self._pts)
            near = slice(*np.searchsorted(rows["frame"], (first - self._near, last + self._near + 1)))
            rows = rows.take(near).with_columns(**self._at_rest(rows, near))
            if not len(rows):
                continue
            rows = self._smoothed(rows)
            if self.options.brief and "score" in track:
                rows = rows.take(self._believed(track, rows["frame"]))
            smoothed.append(rows)
        if not smoothed:
            return batch.take(slice(0, 0)).with_columns(quad_axes=np.empty((0, 3, 2)))
        result = Batch.concat(smoothed)
        middle = result["box"][:, 0] + result["box"][:, 2]
        return result.take(np.lexsort((result["track"], middle, result["frame"])))

    def _believed(self, track: Batch, frames: np.ndarray) -> np.ndarray:
        """Which of `frames` are near enough to a sure face of the track, or to many."""
        seen = track["frame"]
        first = np.searchsorted(seen, frames - _BRIEF_RADIUS, side="left")
        last = np.searchsorted(seen, frames + _BRIEF_RADIUS, side="right")
        sure = np.concatenate([[0], np.cumsum(track["score"] >= self.options.sure)])
        return (last - first >= self.options.brief) | (sure[last] > sure[first])

    def _at_rest(self, track: Batch, near: slice) -> dict[str, np.ndarray]:
        if "resting" not in track:
            return {}
        told = track["resting"]
        if not self.options.resting:
            return {"resting": np.zeros_like(told[near])}
        return {"resting": resting.at_rest(track["frame"], told, self.options.resting, near)}

    def _smoothed(self, track: Batch) -> Batch:
        frame, raw = track["frame"], track["landmarks"]
        landmarks = self._landmarks(frame, raw).astype(np.float32)
        axes = alignment.ffhq_axes(landmarks)
        axes[:, 1:] = self._axes_filter(frame, alignment.ffhq_axes(raw)[:, 1:])
        columns = {"landmarks": landmarks, "box": box_of_landmarks(landmarks), "quad_axes": axes}
        for name in _STEADY:
            if name in track:
                columns[name] = _steadied(frame, track[name], self.options.light_sigma)
        return track.with_columns(**columns)

    def _landmarks(self, frame: np.ndarray, raw: np.ndarray) -> np.ndarray:
        how = self.options.landmarks
        if how == "adaptive":
            return smoothing.smooth_landmarks(frame, raw)
        if how == "gaussian":
            return _gaussian(frame, raw, self.options.sigma)
        if how == "five-tap":
            return smoothing.smooth(frame, raw, *smoothing.five_tap())
        return raw


def _ends(batch: Batch) -> tuple[int, int]:
    """The first and the last frame of the rows that are the segment's own; of all where none is."""
    frames = batch["frame"][batch["own"]] if "own" in batch else batch["frame"]
    frames = frames if len(frames) else batch["frame"]
    return int(frames.min()), int(frames.max())


def filled(track: Batch, gap: int, pts: np.ndarray | None = None) -> Batch:
    """A track with rows for frames that are missing in gaps of at most `gap`: linear between the rows around them.

    Whole numbers are those of the row before. What stands before the face on either side of a gap does so in it: it is
    mostly why no face was found there. pts: timestamps of all frames of the video, where they are known.
    """
    frame = track["frame"]
    added = smoothing.missing(frame, gap)
    if not added:
        return track
    columns: dict[str, Any] = {}
    for name, values in track.to_dict().items():
        new = np.stack([smoothing.between(values, row, share) for _, row, share in added])
        if name == "occluded":
            new = np.stack([np.maximum(values[row], values[row + 1]) for _, row, _ in added])
        columns[name] = np.concatenate([values, new.astype(values.dtype)])
    columns["frame"][len(frame) :] = [number for number, _, _ in added]
    if "pts" in columns:
        columns["pts"][len(frame) :] = [_pts_of(track, pts, *where) for where in added]
    return Batch(columns).take(np.argsort(columns["frame"], kind="stable"))


def _pts_of(track: Batch, pts: np.ndarray | None, frame: int, row: int, share: float) -> int:
    if pts is not None:
        return int(pts[frame])
    before, after = (int(p) for p in track["pts"][row : row + 2])
    return before + round(share * (after - before))


class OcclusionOptions(Options):
    """What becomes of a beard."""

    beard: Literal["kept", "covered"] = Field(
        "kept", description="a full beard of the video's; covered puts the new face over it"
    )


class SmoothOcclusion(Operator[OcclusionOptions]):
    """What stands before each face, by comparing its look with what it is over some seconds around the frame.

    What is there for more than half of that time, or in a single picture, is told by what faces look like
    (`vidswap.faces.covering`). A beard that gives way is told, because it is no skin to take light from.
    """

    kind = "smooth"
    needs = ("track", "appearance")
    uses = ("own",)
    gives = ("occluded", "beard")
    Options = OcclusionOptions
    context = look.REACH

    def __call__(self, batch: Batch) -> Batch:
        """Adds occluded (K,) and beard (K,) to each row; where `own` is given, nothing but zeros to the others."""
        occluded, beard = (np.zeros(batch["appearance"].shape[:2], np.uint8) for _ in range(2))
        keep = self.options.beard == "kept"
        own = batch["own"] if "own" in batch else np.ones(len(batch), bool)
        for number in np.unique(batch["track"]):
            rows = np.flatnonzero(batch["track"] == number)
            track = batch["frame"][rows], batch["appearance"][rows], own[rows]
            occluded[rows], beard[rows] = evidence.occluded_and_beard(*track, keep)
        return batch.with_columns(occluded=occluded, beard=beard)


def _gaussian(frame: np.ndarray, values: np.ndarray, sigma: float) -> np.ndarray:
    return smoothing.smooth(frame, values, *smoothing.gaussian(sigma)) if sigma > 0 else np.asarray(values, np.float64)


def _steadied(frame: np.ndarray, values: np.ndarray, sigma: float) -> np.ndarray:
    if values.dtype == np.uint8:
        # Most faces wear no glasses.
        if not values.any():
            return values
        return np.rint(np.clip(_gaussian(frame, values, sigma), 0, 255)).astype(np.uint8)
    return _gaussian(frame, values, sigma).astype(np.float32)


def _landmark_radius(options: SmoothOptions) -> int:
    if options.landmarks == "gaussian":
        return math.ceil(4 * options.sigma)
    return {"adaptive": smoothing.AdaptiveOptions().radius, "five-tap": 2, "none": 0}[options.landmarks]
