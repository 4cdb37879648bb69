"""Measure a reenactment: `evaluate_reenactment` reads the driver and the result side by side, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import media
from .comparing import CROP, Recognised, face_matrix, largest, paired_frames, side_by_side
from .evaluation import Evaluation, stream_checks
from .faces import alignment, topology
from .faces.detection import find_faces, overview, signature
from .faces.models import FaceModel
from .faces.pose import angles_of, fit_pose
from .faces.tracking import TrackState, advance
from .graph import InputError
from .metrics.following import FollowedFace, FollowingMeasures
from .metrics.frames import filled
from .metrics.landmarks import interocular

_MOUTH = ((13, 14, topology.RIGHT_MOUTH_CORNER, topology.LEFT_MOUTH_CORNER),)
"""As `topology.LID_GAUGES`, of the lips."""


def evaluate_reenactment(
    source: Path | None,
    driver: Path,
    result: Path,
    *,
    model: FaceModel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """How a result of `reenact` follows its driver; `source` is the portrait, for likeness.

    `model` finds the faces (default: the pipeline's own); `progress` is called with the frames done and their number.

    The largest face of the driver is compared with the largest of the result, frame by frame; sizes and shapes of the
    two videos may differ. There is one report of all faces: `tracks` is empty, nothing is told of a background, and
    `changed` says whether faces were found in both.
    Raises InputError for what is no picture or video, and for videos without a common frame.
    """
    if source is not None:
        media.probe(source)
    indices = media.probe(driver), media.probe(result)
    pairs = paired_frames(*indices)
    if not len(pairs):
        raise InputError(f"{result} has no frame at a time of {driver}; give the driver that the result was made with")
    own = model is None
    if model is None:
        from .faces.mediapipe_models import load_face_model

        model = load_face_model()
    try:
        recognised = Recognised(source, model)
        measures = FollowingMeasures(float(indices[0].rate) or 25.0)
        tracks = TrackState()
        followed, done = -1, 0
        begin: tuple[np.ndarray, np.ndarray] | None = None
        warnings: list[str] = []
        for before, after in side_by_side(*indices, pairs, warnings):
            small = overview(before)
            faces, found = find_faces(before, model, small=small), find_faces(after, model)
            numbers = advance(tracks, before.frame, faces.boxes, signature(small))
            row = largest(faces.boxes) if len(faces) else -1
            number = int(numbers[row]) if row >= 0 else -1
            if number != followed:
                measures.cut()
                followed = number
            if row >= 0 and not len(found):
                measures.miss()
            elif row >= 0:
                pair = faces.landmarks[row], found.landmarks[largest(found.boxes)]
                turns = fit_pose(pair[0]).rotation, fit_pose(pair[1]).rotation
                # From the first moment on, so that it does not matter how portrait and driver hold their heads.
                begin = turns if begin is None else begin
                measures.add(_followed(before, after, pair, turns, begin, recognised))
            done += 1
            if progress is not None:
                progress(done, len(pairs))
    finally:
        if own:
            model.close()
    measures.cut()
    values = dict(measures.values())
    checks = stream_checks(*indices)
    return Evaluation(
        frames=done,
        values=values,
        reasons=_reasons(values, recognised),
        background_psnr_db=None,
        background_exact=False,
        checks={name: checks[name] for name in ("frame_count", "pts")},
        tracks=(),
        tracks_left_out=0,
        changed=measures.frames > 0,
        warnings=tuple(warnings),
    )


def _followed(
    before: media.Picture,
    after: media.Picture,
    landmarks: tuple[np.ndarray, np.ndarray],
    turns: tuple[np.ndarray, np.ndarray],
    begin: tuple[np.ndarray, np.ndarray],
    recognised: Recognised,
) -> FollowedFace:
    matrices = [face_matrix(points) for points in landmarks]
    ovals = [
        alignment.transform(matrix, points[list(topology.FACE_OVAL), :2])
        for matrix, points in zip(matrices, landmarks, strict=True)
    ]
    driver, driven = landmarks
    return FollowedFace(
        frame=before.frame,
        landmarks=landmarks,
        sizes=(_size(driver), _size(driven)),
        poses=(_angles(turns[0] @ begin[0].T), _angles(turns[1] @ begin[1].T)),
        gauges=(_gauges(driver), _gauges(driven)),
        crops=(before.crop(matrices[0], (CROP, CROP)), after.crop(matrices[1], (CROP, CROP))),
        faces=(filled(ovals[0], (CROP, CROP)), filled(ovals[1], (CROP, CROP))),
        embedding=recognised.embedding(after, driven),
        source_embedding=recognised.source,
    )


def _angles(rotation: np.ndarray) -> np.ndarray:
    return np.array(angles_of(rotation))


def _size(landmarks: np.ndarray) -> float:
    return interocular(landmarks, topology.RIGHT_EYE_OUTER, topology.LEFT_EYE_OUTER)


def _gauges(landmarks: np.ndarray) -> np.ndarray:
    """(2,): how far the mouth and, in the mean, the eyes of landmarks (478, 3) are open, in shares of their width."""
    return np.array(
        [np.mean([_opening(landmarks, places) for places in part]) for part in (_MOUTH, topology.LID_GAUGES)]
    )


def _opening(landmarks: np.ndarray, places: tuple[int, int, int, int]) -> float:
    above, below, one, other = landmarks[list(places)].astype(np.float64)
    return float(np.linalg.norm(above - below)) / max(float(np.linalg.norm(one - other)), 1e-6)


def _reasons(values: dict[str, float | None], recognised: Recognised) -> dict[str, str]:
    few = "too few frames with a face in both videos"
    still = "the driver's hardly move, or appear for less than 1.5 s on end"
    told = {"likeness": recognised.missing}
    told |= dict.fromkeys(("turn_gain", "lag_frames", "mouth_follows", "lids_follow"), still)
    return {name: told.get(name, few) for name, value in values.items() if value is None}
