"""Measure a result against its target: `evaluate` reads both videos side by side, once, and holds a few frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import media
from .faces import alignment, topology
from .faces.detection import Faces, find_faces, iou, overview, roi_of_landmarks, signature
from .faces.models import FaceModel
from .faces.pose import head_pose
from .faces.tracking import TrackState, advance, assign
from .graph import InputError
from .media.planes import plane_views
from .metrics import installed, seam
from .metrics.landmarks import interocular
from .metrics.similarity import psnr_of, squared_error
from .metrics.track import FaceSample, TrackMeasures

CROP = 128
_CROP_SHARE = 0.8  # of the landmark model's square: the face with little around it
_AROUND = 3.0  # side of the part of the frame that a face's change may fill, in sides of its box
_UNTOUCHED = 1.9  # times the face's hull: what lies beyond is not changed by any method
_BAND = 0.03  # width of the border band, in heights of the face
_LEAST_OVERLAP = 0.3
_TRACKS_TOLD = 32
_FIVE_POINTS = (468, 473, topology.NOSE_TIP, topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER)


@dataclass(frozen=True)
class TrackReport:
    """Measures of one face: numbers of its track and frames, whether the result changes it, and the values."""

    track: int
    first: int
    last: int
    frames: int
    lost: int
    changed: bool
    values: dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        frames: pairs of frames compared.
        values: measures over all faces that were changed, or over all faces where none was; None where there was too
            little to measure.
        reasons: why a value is None, by its name.
        background_psnr_db: outside the changed regions, over all samples; None where all are equal.
        background_exact: every sample outside the changed regions is bit-equal, and codes could be compared.
        checks: frame count, timestamps, size, other streams: name -> None when equal, else the difference in words.
        tracks: the longest ones, in order of appearance.
        tracks_left_out: how many more there were.
        changed: whether any face was changed.
    """

    frames: int
    values: dict[str, float | None]
    reasons: dict[str, str]
    background_psnr_db: float | None
    background_exact: bool
    checks: dict[str, str | None]
    tracks: tuple[TrackReport, ...]
    tracks_left_out: int
    changed: bool


def evaluate(source: Path | None, target: Path, result: Path, model: FaceModel | None = None) -> Evaluation:
    """Compare a result with the target that it was made of; `source` is the portrait, for likeness.

    Faces are detected in both, frame by frame and without memory; those of the target are joined to tracks, and each is
    compared with the face of the result in its place. Raises InputError for what is no video, and for videos that show
    no common frame or differ in size.
    """
    target_index, result_index = media.probe(target), media.probe(result)
    sizes = [(index.width, index.height) for index in (target_index, result_index)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{result} is {sizes[1][0]}x{sizes[1][1]} pixels and {target} is {sizes[0][0]}x{sizes[0][1]}; "
            "give the target that the result was made of"
        )
    pairs = paired_frames(target_index, result_index)
    if not len(pairs):
        raise InputError(f"{result} has no frame at a time of {target}; give the target that the result was made of")
    own = model is None
    if model is None:
        from .faces.mediapipe_models import load_face_model

        model = load_face_model()
    try:
        run = _Run(target_index, result_index, model, source)
        with media.Reader(target_index) as targets, media.Reader(result_index) as results:
            for start, stop, shift in _stretches(pairs):
                pictures = zip(targets.read(start, stop), results.read(start + shift, stop + shift), strict=True)
                for before, after in pictures:
                    run.add(before, after)
    finally:
        if own:
            model.close()
    return run.finish(len(pairs))


def paired_frames(target: media.VideoIndex, result: media.VideoIndex) -> np.ndarray:
    """(N, 2) numbers of frames that belong together: by order where both have as many, else by time from the start."""
    if target.frame_count == result.frame_count:
        return np.repeat(np.arange(target.frame_count)[:, None], 2, 1)
    tick = max(target.time_base, result.time_base)
    times = [np.array([float(int(p) - int(i.pts[0])) * float(i.time_base) for p in i.pts]) for i in (target, result)]
    nearest = np.searchsorted(times[1], times[0] - float(tick))
    there = nearest < len(times[1])
    there[there] &= np.abs(times[1][nearest[there]] - times[0][there]) <= 1.001 * float(tick)
    return np.stack([np.flatnonzero(there), nearest[there]], 1)


def stream_checks(target: media.VideoIndex, result: media.VideoIndex) -> dict[str, str | None]:
    """What must come through a swap: name -> None where it did, else the difference in words."""
    checks: dict[str, str | None] = {"frame_count": None, "pts": None, "shape": None, "streams": None}
    if target.frame_count != result.frame_count:
        checks["frame_count"] = f"{target.frame_count} and {result.frame_count}"
        checks["pts"] = "frames are not as many"
    else:
        tick = max(float(target.time_base), float(result.time_base))
        own, other = (np.asarray(i.pts, np.float64) * float(i.time_base) for i in (target, result))
        apart = float(np.abs((own - own[:1]) - (other - other[:1])).max(initial=0.0))
        if apart > 1.001 * tick:
            checks["pts"] = f"up to {apart:.4f} s apart"
    told = [(i.width, i.height, i.orientation.name, i.sample_aspect_ratio) for i in (target, result)]
    if told[0] != told[1]:
        checks["shape"] = " and ".join(f"{w}x{h} {turned}, pixels {ratio}" for w, h, turned, ratio in told)
    kinds = [sorted(f"{s.kind} {s.codec}" for s in i.streams) for i in (target, result)]
    if kinds[0] != kinds[1]:
        checks["streams"] = " and ".join(", ".join(k) or "none" for k in kinds)
    return checks


def _stretches(pairs: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """First and last+1 target frame, and what is to be added for the result's, of runs of successive pairs."""
    breaks = np.flatnonzero((np.diff(pairs[:, 0]) != 1) | (np.diff(pairs[:, 1]) != 1)) + 1
    for run in np.split(pairs, breaks):
        yield int(run[0, 0]), int(run[-1, 0]) + 1, int(run[0, 1] - run[0, 0])


class _Run:
    """The state between two frames: living tracks, sums, and the pixel comparison of the frame before none."""

    def __init__(
        self, target: media.VideoIndex, result: media.VideoIndex, model: FaceModel, source: Path | None
    ) -> None:
        self._target, self._result, self._model = target, result, model
        self._rate = float(target.rate) or 25.0
        self._native = _same_codes(target, result)
        self._to_planes = target.stored_from_displayed if self._native else np.eye(2, 3)
        self._state = TrackState()
        self._living: dict[int, TrackMeasures] = {}
        self._ended: list[TrackReport] = []
        self._left_out = 0
        self._totals = {changed: TrackMeasures(self._rate) for changed in (True, False)}
        self._background = [0.0, 0]
        self._recogniser, self._told_of_recogniser = installed.find(installed.RECOGNISERS)
        self._perceptual, self._told_of_perceptual = installed.find(installed.PERCEPTUAL)
        self._before: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
        self._source = self._source_embedding(source)

    def _source_embedding(self, source: Path | None) -> np.ndarray | None:
        if source is None:
            return None
        index = media.probe(source)
        if self._recogniser is None:
            return None
        picture = next(iter(media.read(index, 0, 1)))
        faces = find_faces(picture, self._model)
        if not len(faces):
            raise InputError(f"no face was found in {source}; give a portrait")
        largest = int(np.argmax(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)))
        return self._embedding(picture, faces.landmarks[largest])

    def _embedding(self, picture: media.Picture, landmarks: np.ndarray) -> np.ndarray | None:
        if self._recogniser is None:
            return None
        side = installed.FACE_SIDE
        crop = picture.crop(installed.aligning(landmarks[list(_FIVE_POINTS), :2]), (side, side))
        return np.asarray(self._recogniser(crop[None])[0])

    def add(self, before: media.Picture, after: media.Picture) -> None:
        small = overview(before)
        planes = self._planes(before), self._planes(after)
        equal = self._native and all(np.array_equal(a, b) for a, b in zip(*planes, strict=True))
        faces = find_faces(before, self._model, small=small)
        found = faces if equal else find_faces(after, self._model)
        tracks = advance(self._state, before.frame, faces.boxes, signature(small))
        self._end(alive={track.number for track in self._state.tracks})
        compared = _Compared(planes, faces, self._to_planes, self._target.bit_depth if self._native else 8)
        partners = partners_of(faces, found)
        for row, (number, partner) in enumerate(zip(tracks, partners, strict=True)):
            measures = self._living.setdefault(number, TrackMeasures(self._rate))
            if partner < 0:
                measures.miss()
            else:
                measures.add(self._sample(before, after, faces, found, (row, partner), number, compared))
        self._background[0] += compared.background_error
        self._background[1] += compared.background_samples

    def _planes(self, picture: media.Picture) -> list[np.ndarray]:
        if self._native:
            return plane_views(picture.native, picture.layout)[: picture.layout.colour_planes]
        rgb = picture.rgb(picture.width, picture.height)
        return list(np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb), 2, 0))

    def _sample(
        self,
        before: media.Picture,
        after: media.Picture,
        faces: Faces,
        found: Faces,
        pair: tuple[int, int],
        track: int,
        compared: _Compared,
    ) -> FaceSample:
        own, other = faces.landmarks[pair[0]], found.landmarks[pair[1]]
        matrix = _crop_matrix(own)
        crops = [picture.crop(matrix, (CROP, CROP)) for picture in (before, after)]
        oval = alignment.transform(matrix, own[list(topology.FACE_OVAL), :2])
        return FaceSample(
            frame=before.frame,
            target=own,
            result=other,
            size=interocular(own, topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER),
            target_pose=head_pose(own),
            result_pose=head_pose(other),
            target_crop=crops[0],
            result_crop=crops[1],
            face=_filled(oval, (CROP, CROP)),
            seam=compared.seams[pair[0]],
            change=compared.changes[pair[0]],
            noise=compared.noise,
            target_embedding=self._embedding(before, own),
            result_embedding=self._embedding(after, other),
            source_embedding=self._source,
            perceived=self._perceived(track, before.frame, crops),
        )

    def _perceived(self, track: int, frame: int, crops: list[np.ndarray]) -> tuple[float, float] | None:
        if self._perceptual is None:
            return None
        last = self._before.get(track)
        self._before[track] = (frame, crops[0], crops[1])
        if last is None or last[0] != frame - 1:
            return None
        told = self._perceptual(np.stack(crops), np.stack(last[1:]))
        return float(told[0]), float(told[1])

    def _end(self, alive: set[int]) -> None:
        for number in [n for n in self._living if n not in alive]:
            measures = self._living.pop(number)
            self._before.pop(number, None)
            measures.cut()
            if not measures.frames:
                continue
            self._totals[measures.changed].merge(measures)
            report = TrackReport(
                *(number, measures.first, measures.last, measures.frames, measures.lost, measures.changed),
                values=dict(measures.values()),
            )
            self._ended.append(report)
            if len(self._ended) > _TRACKS_TOLD:
                self._ended.remove(min(self._ended, key=lambda t: t.frames))
                self._left_out += 1

    def finish(self, frames: int) -> Evaluation:
        self._end(alive=set())
        changed = self._totals[True].frames > 0
        total = self._totals[changed]
        values = dict(total.values())
        values["faces_found_share"] = total.frames / (total.frames + total.lost) if total.frames else None
        error, samples = self._background
        decibels = psnr_of(error, int(samples), 2.0 ** (self._target.bit_depth if self._native else 8) - 1)
        return Evaluation(
            frames=frames,
            values=values,
            reasons=self._reasons(values),
            background_psnr_db=decibels if np.isfinite(decibels) else None,
            background_exact=self._native and samples > 0 and error == 0,
            checks=stream_checks(self._target, self._result),
            tracks=tuple(sorted(self._ended, key=lambda t: (t.first, t.track))),
            tracks_left_out=self._left_out,
            changed=changed,
        )

    def _reasons(self, values: dict[str, float | None]) -> dict[str, str]:
        reasons = {}
        for name in (n for n, value in values.items() if value is None):
            if name in ("likeness", "target_likeness", "tl_id"):
                reasons[name] = self._told_of_recogniser if self._recogniser is None else "no source or no face"
            elif name == "tlp":
                reasons[name] = self._told_of_perceptual if self._perceptual is None else "no face in two frames on end"
            elif name in ("motion_gain", "lag_frames") and values["target_motion"] is not None:
                reasons[name] = "the target hardly moves at 1 to 3 Hz: no more than the detector's own noise"
            elif name in ("motion_gain", "lag_frames", "target_motion"):
                reasons[name] = "no face for 1.5 s on end"
            else:
                reasons[name] = "too few frames with a face in both videos"
        return reasons


class _Compared:
    """Pixels of one frame of both videos: seams by face, the noise of coding, and the error of the background."""

    def __init__(
        self, planes: tuple[list[np.ndarray], list[np.ndarray]], faces: Faces, to_planes: np.ndarray, bits: int
    ) -> None:
        luma = seam.difference(planes[0][0], planes[1][0], bits)
        height, width = luma.shape
        apart = luma.copy()
        for one, other in zip(planes[0][1:], planes[1][1:], strict=True):
            chroma = seam.difference(one, other, bits)
            np.maximum(apart, cv2.resize(chroma, (width, height), interpolation=cv2.INTER_NEAREST), out=apart)
        hulls = [_hull(alignment.transform(to_planes, points[:, :2])) for points in faces.landmarks]
        windows = [_window(hull, _AROUND, (height, width)) for hull in hulls]
        far = np.ones(luma.shape, bool)
        for top, bottom, left, right in windows:
            far[top:bottom, left:right] = False
        self.noise = float(luma[far].mean()) if far.any() else 0.0
        region = np.zeros(luma.shape, bool)
        self.seams: list[float | None] = []
        self.changes: list[float] = []
        for hull, (top, bottom, left, right) in zip(hulls, windows, strict=True):
            part, shape = np.s_[top:bottom, left:right], (bottom - top, right - left)
            inside = _filled(hull - (left, top), shape)
            beyond = ~_filled(hull.mean(0) + _UNTOUCHED * (hull - hull.mean(0)) - (left, top), shape)
            seen = seam.changed_region(luma[part], inside, seam.visible(luma[part], beyond))
            region[part] |= seam.changed_region(apart[part], inside, 0.0) if self.noise == 0 else seen
            band = max(2, round(_BAND * float(np.ptp(hull[:, 1]))))
            self.seams.append(seam.seam(luma[part], seen, band))
            self.changes.append(float(luma[part][inside].mean()) if inside.any() else 0.0)
        self.background_error, self.background_samples = 0.0, 0
        for one, other in zip(*planes, strict=True):
            block = (one.shape[1], one.shape[0])
            covered = cv2.resize(region.astype(np.float32), block, interpolation=cv2.INTER_AREA) > 0
            error, samples = squared_error(one, other, ~covered)
            self.background_error += error
            self.background_samples += samples


def partners_of(faces: Faces, found: Faces) -> list[int]:
    """For each face of the target the one of the result in its place, -1 where there is none (overlap below 0.3)."""
    if not len(faces) or not len(found):
        return [-1] * len(faces)
    overlap = np.stack([iou(box, found.boxes) for box in faces.boxes])
    chosen = assign(1.0 - overlap)
    return [c if c >= 0 and overlap[row, c] >= _LEAST_OVERLAP else -1 for row, c in enumerate(chosen)]


def _same_codes(a: media.VideoIndex, b: media.VideoIndex) -> bool:
    told = [
        (i.working_format, i.stored_width, i.stored_height, i.orientation, i.full_range, i.interlaced) for i in (a, b)
    ]
    return told[0] == told[1]


def _crop_matrix(landmarks: np.ndarray) -> np.ndarray:
    from .faces.detection import roi_matrix

    roi = roi_of_landmarks(landmarks)
    roi[2] *= _CROP_SHARE
    return roi_matrix(roi, CROP)


def _hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


def _filled(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 1)
    return mask.astype(bool)


def _window(hull: np.ndarray, times: float, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """top, bottom, left, right of the part of the plane around a face, `times` as large; not empty."""
    low, high = hull.min(0), hull.max(0)
    middle, half = (low + high) / 2, float((high - low).max()) * times / 2
    left, top = (int(np.clip(v, 0, limit - 1)) for v, limit in zip(middle - half, (shape[1], shape[0]), strict=True))
    right, bottom = (
        int(np.clip(np.ceil(v), low + 1, limit))
        for v, low, limit in zip(middle + half, (left, top), (shape[1], shape[0]), strict=True)
    )
    return top, bottom, left, right
