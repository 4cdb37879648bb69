"""Measure a result against its target: `evaluate` reads both videos side by side, once, and holds a few frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import media
from .comparing import CROP, Recognised, face_matrix, paired_frames, side_by_side
from .faces import alignment, topology
from .faces.detection import Faces, find_faces, iou, overview, signature
from .faces.models import FaceModel
from .faces.pose import head_pose
from .faces.tracking import TrackState, advance, assign
from .graph import InputError
from .media.planes import plane_views
from .metrics import installed
from .metrics.frames import FrameComparison, filled
from .metrics.landmarks import interocular
from .metrics.similarity import psnr_of
from .metrics.track import FaceSample, TrackMeasures

_LEAST_OVERLAP = 0.3
_TRACKS_TOLD = 32


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
        warnings: what was wrong with the videos, each one line.
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
    warnings: tuple[str, ...]


def evaluate(
    source: Path | None,
    target: Path,
    result: Path,
    *,
    model: FaceModel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a result with the target that it was made of; `source` is the portrait, for likeness.

    `model` finds the faces (default: the pipeline's own); `progress` is called with the frames done and their number.

    Faces are detected in both, frame by frame and without memory; those of the target are joined to tracks, and each is
    compared with the face of the result in its place. Raises InputError for what is no picture or
    video, and for videos that show no common frame or differ in size.
    """
    if source is not None:
        media.probe(source)
    target_index, result_index = media.probe(target), media.probe(result)
    sizes = [(index.width, index.height) for index in (target_index, result_index)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{result} is {sizes[1][0]}x{sizes[1][1]} pixels and {target} is {sizes[0][0]}x{sizes[0][1]}; "
            "give the target that the result was made of, or --reenacted if it is the driver of a portrait"
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
        warnings: list[str] = []
        for before, after in side_by_side(target_index, result_index, pairs, warnings):
            run.add(before, after)
            if progress is not None:
                progress(run.frames, len(pairs))
    finally:
        if own:
            model.close()
    return run.finish(tuple(warnings))


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


class _Run:
    """What is known between two frames: living tracks and sums."""

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
        self.frames = 0
        self._recognised = Recognised(source, model)
        self._perceptual, self._told_of_perceptual = installed.find(installed.PERCEPTUAL)
        self._before: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}

    def add(self, before: media.Picture, after: media.Picture) -> None:
        self.frames += 1
        small = overview(before)
        planes = self._planes(before), self._planes(after)
        equal = self._native and all(np.array_equal(a, b) for a, b in zip(*planes, strict=True))
        faces = find_faces(before, self._model, small=small)
        found = faces if equal else find_faces(after, self._model)
        tracks = advance(self._state, before.frame, faces.boxes, signature(small))
        self._end(alive={track.number for track in self._state.tracks})
        points = [alignment.transform(self._to_planes, face[:, :2]) for face in faces.landmarks]
        compared = FrameComparison(*planes, points, self._target.bit_depth if self._native else 8)
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
        compared: FrameComparison,
    ) -> FaceSample:
        own, other = faces.landmarks[pair[0]], found.landmarks[pair[1]]
        matrix = face_matrix(own)
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
            face=filled(oval, (CROP, CROP)),
            seam=compared.seams[pair[0]],
            change=compared.changes[pair[0]],
            noise=compared.noise,
            target_embedding=self._recognised.embedding(before, own),
            result_embedding=self._recognised.embedding(after, other),
            source_embedding=self._recognised.source,
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
                # Found nowhere in the result: it counts, whether or not it was to be changed.
                for total in self._totals.values():
                    total.lost += measures.lost
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

    def finish(self, warnings: tuple[str, ...]) -> Evaluation:
        self._end(alive=set())
        changed = self._totals[True].frames > 0
        total = self._totals[changed]
        values = dict(total.values())
        values["faces_found_share"] = total.frames / (total.frames + total.lost) if total.frames + total.lost else None
        error, samples = self._background
        decibels = psnr_of(error, int(samples), 2.0 ** (self._target.bit_depth if self._native else 8) - 1)
        return Evaluation(
            frames=self.frames,
            values=values,
            reasons=self._reasons(values, total.frames),
            background_psnr_db=decibels if np.isfinite(decibels) else None,
            background_exact=self._native and samples > 0 and error == 0,
            checks=stream_checks(self._target, self._result),
            tracks=tuple(sorted(self._ended, key=lambda t: (t.first, t.track))),
            tracks_left_out=self._left_out,
            changed=changed,
            warnings=warnings,
        )

    def _reasons(self, values: dict[str, float | None], total_frames: int) -> dict[str, str]:
        reasons = {}
        for name in (n for n, value in values.items() if value is None):
            if name in ("likeness", "target_likeness", "tl_id"):
                reasons[name] = self._recognised.missing
            elif name == "tlp":
                reasons[name] = self._told_of_perceptual if self._perceptual is None else "no face in two frames on end"
            elif name in ("motion_gain", "lag_frames") and values["target_motion"] is not None:
                reasons[name] = "the target hardly moves at 1 to 3 Hz: no more than the detector's own noise"
            elif name in ("motion_gain", "lag_frames", "target_motion"):
                reasons[name] = "no face for 1.5 s on end"
            elif name in ("seam", "seam_deviation") and total_frames:
                reasons[name] = "no face was visibly changed"
            else:
                reasons[name] = "too few frames with a face in both videos"
        return reasons


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
