"""Faces of one frame: boxes, scores and 478 landmarks, as a function of that frame alone.

The detector looks at the frame scaled down, and at tiles of it where small faces are wanted. Each face is then cut out
of the native pixels, upright, by the detector's eyes; the landmark model runs on that crop, and again on the crop that
its own landmarks ask for. Where that shows no face, or the detector was not sure, it looks once more, closer and
turned, at what it has seen (`second_look`). Meshes that disagree with the detector, or that no face could have, are
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from .landmarking import PictureLike
from .models import Detections, FaceModel
from .second_look import Seen, landmarks_of


@dataclass(frozen=True)
class DetectionOptions:
    """How hard to look.

    min_score: least score of the detector, 0..1.
    min_presence: least probability by the landmark model that its crop shows a face, 0..1.
    min_face: height in frame pixels of the smallest face to look for in tiles; 0 looks at the whole frame alone, where
        faces of about a twelfth of the longer side are found.
    tiles: "alone" looks at tiles where the whole frame shows no face, "always" on every frame (for crowds).
    refine: how often the landmark model runs again on the crop that its last answer asks for; up to four times more
        where that crop still moves.
    max_faces: at most so many faces, best first.
    largest: only the largest face is wanted: where the near detector sees a large one surely, the far one, which looks
        for small faces, is not asked.
    """

    min_score: float = 0.5
    min_presence: float = 0.5
    min_face: float = 60.0
    tiles: str = "alone"
    refine: int = 1
    max_faces: int = 32
    largest: bool = False


@dataclass(frozen=True)
class Faces:
    """Faces of a frame, left to right.

    boxes (N, 4) float32: x0, y0, x1, y1 of the landmarks' hull, frame pixels; scores (N,) float32: detector's score
    times the mesh's presence; landmarks (N, 478, 3) float32: frame pixels, z in the same scale.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


_WHOLE_SIDE = 192
_TILE_FACE = 16.0  # px of a face in the far detector's 192 px input below which it is found seldom
_TILES_OF_HD = 6  # tiles of a frame of 1920 x 1080 for faces of 60 px
_SURE, _LARGE = 0.8, 0.2  # score, and share of the frame's longer side, of a face beside which no other matters


def find_faces(
    picture: PictureLike, model: FaceModel, options: DetectionOptions | None = None, small: np.ndarray | None = None
) -> Faces:
    """All faces of a frame that the options ask for. A function of the picture: equal pictures give equal bits.

    `small` is the picture's `overview`, where it is at hand already.
    """
    options = options or DetectionOptions()
    small = overview(picture) if small is None else small
    found = suppress(_look_at_whole(picture, small, model, options))
    meshes = _meshes(picture, model, found, options)
    if options.min_face > 0 and (options.tiles == "always" or not meshes):
        parts = tiles(picture.width, picture.height, options.min_face)
        meshes += _meshes(picture, model, suppress(_look_at_tiles(picture, model, options, parts)), options)
    kept = _distinct(meshes)[: options.max_faces]
    kept.sort(key=lambda face: float(face[0][0] + face[0][2]))
    return Faces(
        np.array([box for box, _, _ in kept], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in kept], np.float32),
        np.array([points for _, _, points in kept], np.float32).reshape(-1, 478, 3),
    )


def box_of_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) float32 x0, y0, x1, y1 around landmarks (..., 478, 3)."""
    points = landmarks[..., :2]
    return np.concatenate([points.min(-2), points.max(-2)], -1).astype(np.float32)


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) float64 of one box (4,) with others (N, 4)."""
    box, others = np.asarray(box, np.float64), np.asarray(others, np.float64).reshape(-1, 4)
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), 1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None)) + np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), 1)
    union = area - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def suppress(found: Detections, overlap: float = 0.3) -> Detections:
    """Non-maximum suppression: of detections that overlap (IoU > `overlap`, or nested), the best score stays."""
    order = np.argsort(-found.scores, kind="stable")
    kept: list[int] = []
    for i in order:
        if not kept or not shows_again(found.boxes[i], found.boxes[kept], overlap):
            kept.append(int(i))
    return Detections(found.boxes[kept], found.scores[kept], found.keypoints[kept])


def shows_again(box: np.ndarray, others: np.ndarray, overlap: float = 0.3) -> bool:
    """Whether the box shows one of the others' faces: they overlap, or most of one lies within the other."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), 1)
    smaller = np.minimum(np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], 1))
    return bool(np.any(iou(box, others) > overlap) or np.any(shared > 0.7 * np.maximum(smaller, 1e-6)))


def overview(picture: PictureLike) -> np.ndarray:
    """The frame as the detector sees it: (h, w, 3) uint8 RGB, 192 pixels on the longer side."""
    scale = _WHOLE_SIDE / max(picture.width, picture.height)
    return picture.rgb(max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))


def signature(small: np.ndarray) -> np.ndarray:
    """(64,) float32 thumbnail, 0..1, that tells shots apart: 8 x 8 means of the BT.601 luma of an `overview`."""
    luma = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(luma, (8, 8), interpolation=cv2.INTER_AREA), np.float32).reshape(64) / np.float32(255)


def shows_face(
    picture: PictureLike, model: FaceModel, options: DetectionOptions, small: np.ndarray, half: int | None = None
) -> bool:
    """Whether a frame shows a face of those that the options ask for, at less cost than `find_faces`.

    `small` is its `overview`. With `half` 0 or 1 faces that are small in the frame are looked for in every other tile.
    """
    if _meshes(picture, model, _near(picture, small, model, options), options):
        return True
    parts = list(tiles(picture.width, picture.height, options.min_face)) if options.min_face > 0 else []
    found = [_look_at_tiles(picture, model, options, parts if half is None or len(parts) == 1 else parts[half::2])]
    # Up to 1080p the near detector, or a tile, shows all that the far one sees of the whole frame.
    if not parts or len(parts) > _TILES_OF_HD:
        found.append(_far(picture, small, model, options))
    return bool(_meshes(picture, model, suppress(joined(found)), options))


def _look_at_whole(picture: PictureLike, rgb: np.ndarray, model: FaceModel, options: DetectionOptions) -> Detections:
    near = _near(picture, rgb, model, options)
    heights = (near.boxes[:, 3] - near.boxes[:, 1]) / max(picture.width, picture.height)
    if options.largest and bool(((near.scores >= _SURE) & (heights >= _LARGE)).any()):
        return near
    return joined([_far(picture, rgb, model, options), near])


def _near(picture: PictureLike, rgb: np.ndarray, model: FaceModel, options: DetectionOptions) -> Detections:
    height, width = rgb.shape[:2]
    half = cv2.resize(rgb, (max(1, width * 2 // 3), max(1, height * 2 // 3)), interpolation=cv2.INTER_AREA)
    to_frame = np.array([picture.width / half.shape[1], picture.height / half.shape[0]], np.float32)
    return _moved(model.detect(half, far=False, min_score=options.min_score), to_frame)


def _far(picture: PictureLike, rgb: np.ndarray, model: FaceModel, options: DetectionOptions) -> Detections:
    to_frame = np.array([picture.width / rgb.shape[1], picture.height / rgb.shape[0]], np.float32)
    return _moved(model.detect(rgb, far=True, min_score=options.min_score), to_frame)


def _look_at_tiles(
    picture: PictureLike, model: FaceModel, options: DetectionOptions, parts: Iterable[tuple[float, float, float]]
) -> Detections:
    found = []
    for x, y, side in parts:
        scale = _WHOLE_SIDE / side
        shift = 0.5 * scale - 0.5
        matrix = np.array([[scale, 0, shift - x * scale], [0, scale, shift - y * scale]])
        crop = picture.crop(matrix, (_WHOLE_SIDE, _WHOLE_SIDE))
        inside = model.detect(crop, far=True, min_score=options.min_score)
        found.append(_moved(inside, np.full(2, 1 / scale, np.float32), np.array([x, y], np.float32)))
    return joined(found)


def tiles(width: int, height: int, min_face: float) -> Iterator[tuple[float, float, float]]:
    """Square tiles (x, y, side in frame pixels) that cover the frame so that a face of `min_face` px is whole in one.

    None where the whole frame at the detector's size shows such a face already.
    """
    side = min_face * _WHOLE_SIDE / _TILE_FACE
    if side >= max(width, height):
        return
    side = min(side, float(min(width, height)))
    # In a picture that is hardly wider than such a face, tiles still go on.
    step = max(side - 1.5 * min_face, 0.5 * (side - min_face), 0.25 * side)
    columns = 1 + int(np.ceil(max(0.0, width - side) / step))
    rows = 1 + int(np.ceil(max(0.0, height - side) / step))
    for row in range(rows):
        for column in range(columns):
            x = (width - side) * column / max(1, columns - 1)
            y = (height - side) * row / max(1, rows - 1)
            yield x, y, side


def _moved(found: Detections, scale: np.ndarray, origin: np.ndarray | None = None) -> Detections:
    """Detections of a scaled image (pixel centres at whole numbers) in frame pixels."""
    origin = np.zeros(2, np.float32) if origin is None else origin
    boxes = (found.boxes.reshape(-1, 2, 2) + 0.5) * scale - 0.5 + origin
    keypoints = (found.keypoints + 0.5) * scale - 0.5 + origin
    return Detections(boxes.reshape(-1, 4).astype(np.float32), found.scores, keypoints.astype(np.float32))


def joined(found: list[Detections]) -> Detections:
    """Detections of one image, one after another."""
    if not found:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 6, 2), np.float32))
    return Detections(
        np.concatenate([d.boxes for d in found]),
        np.concatenate([d.scores for d in found]),
        np.concatenate([d.keypoints for d in found]),
    )


def _meshes(
    picture: PictureLike, model: FaceModel, found: Detections, options: DetectionOptions
) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """(box, score, landmarks) of the detections that the landmark model confirms, at a second look where need be."""
    meshes = []
    for box, score, keypoints in zip(found.boxes, found.scores, found.keypoints, strict=True):
        seen = Seen(box, float(score), keypoints)
        told = landmarks_of(picture, model, seen, options.refine, options.min_presence, options.min_score)
        if told is not None:
            seen, points, presence = told
            meshes.append((box_of_landmarks(points), seen.score * presence, points))
    return meshes


def _distinct(meshes: list[tuple[np.ndarray, float, np.ndarray]]) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Meshes less those that show a face again, best score first."""
    kept: list[tuple[np.ndarray, float, np.ndarray]] = []
    for mesh in sorted(meshes, key=lambda m: -m[1]):
        if not kept or not shows_again(mesh[0], np.array([k[0] for k in kept]), 0.3):
            kept.append(mesh)
    return kept
