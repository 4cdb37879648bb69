"""Faces of one frame: boxes, scores and 478 landmarks, as a function of that frame alone.

The detector looks at the frame scaled down, and at tiles of it where small faces are wanted. Each face is then cut out
of the native pixels, upright, by the detector's eyes; the landmark model runs on that crop, and again on the crop that
its own landmarks ask for. Meshes that disagree with the detector, or that no face could have, are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from .models import Detections, FaceModel
from .topology import FACE_OVAL, LEFT_EYE_OUTER, RIGHT_EYE_OUTER


class PictureLike(Protocol):
    """What is asked of a frame; `vidswap.media.Picture` is one."""

    @property
    def width(self) -> int:
        """Displayed width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Displayed height in pixels."""
        ...

    def rgb(self, width: int, height: int) -> np.ndarray:
        """The whole frame scaled to (height, width, 3) uint8 RGB."""
        ...

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) uint8 RGB of `size` (w, h); `matrix` (2, 3) maps frame pixels to crop pixels."""
        ...


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
_FURTHER_PASSES, _HOPELESS = 4, 0.02  # after those asked for; presence below which none of them is worth its time
_SURE, _LARGE = 0.8, 0.2  # score, and share of the frame's longer side, of a face beside which no other matters
_CUT_SCALE = 1.4  # side of what is cut out of the frame for all passes, in sides of the first one's crop
# The mesh is larger than the detector's box, and its middle higher: medians over five people, near and far.
_MESH_TO_BOX, _MESH_ABOVE_BOX = 1.1, 0.02
_ROI_SCALE = 1.5  # side of the landmark model's crop, in longer sides of the face: what it was trained on


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


class Cutter:
    """Crops of one frame for the landmark model: cut out of the native pixels once, then turned and moved from there.

    Sampling planes costs as much as the model; a small image is cheap to sample again.
    """

    def __init__(self, picture: PictureLike, size: int, margin: int | None = None) -> None:
        """`margin` is how many pixels more are cut out on each side, for further passes; none suits a single pass."""
        self._picture, self._size = picture, size
        self._margin = round((_CUT_SCALE - 1) * size / 2) if margin is None else margin
        self._cut: np.ndarray | None = None
        self._matrix = np.zeros((2, 3))

    def crop(self, matrix: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 RGB; `matrix` (2, 3) maps frame pixels to crop pixels."""
        size = self._size
        if self._cut is not None:
            between = _compose(matrix, cv2.invertAffineTransform(self._matrix))
            corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float64)
            back = cv2.invertAffineTransform(between)
            reached = corners @ back[:, :2].T + back[:, 2]
            scale = float(np.hypot(between[0, 0], between[1, 0]))
            if 0.6 < scale < 1.25 and reached.min() >= 0 and reached.max() <= self._cut.shape[0] - 1:
                return cv2.warpAffine(self._cut, between, (size, size), flags=cv2.INTER_LINEAR)
        margin = self._margin
        self._matrix = np.array(matrix, np.float64)
        self._matrix[:, 2] += margin
        self._cut = self._picture.crop(self._matrix, (size + 2 * margin, size + 2 * margin))
        return np.ascontiguousarray(self._cut[margin : margin + size, margin : margin + size])


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return np.hstack([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]])


def landmarks_at(cutter: Cutter, model: FaceModel, roi: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Landmarks (478, 3) float32 in frame pixels, and presence, of the face in `roi` (centre x, y, side, angle)."""
    size = model.crop_size
    matrix = roi_matrix(roi, size)
    mesh = model.landmarks(cutter.crop(matrix))
    if mesh is None:
        return None
    inverse = cv2.invertAffineTransform(matrix)
    points = np.empty((478, 3), np.float64)
    points[:, :2] = mesh.points[:, :2].astype(np.float64) @ inverse[:, :2].T + inverse[:, 2]
    points[:, 2] = mesh.points[:, 2] * (roi[2] / size)
    return points.astype(np.float32), mesh.presence


def roi_matrix(roi: np.ndarray, size: int) -> np.ndarray:
    """(2, 3) float64 similarity from frame pixels to a crop of `size` pixels a side that holds `roi` upright.

    `roi` is centre x, centre y, side (frame pixels) and angle (radians, from the frame's x axis to the face's own).
    """
    x, y, side, angle = (float(v) for v in roi)
    scale = size / side
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = (size - 1) / 2
    return np.array([[cos, sin, middle - cos * x - sin * y], [-sin, cos, middle + sin * x - cos * y]])


def roi_of_detection(box: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Region (centre x, y, side, angle) for the landmark model, from the detector's box (4,) and points (6, 2)."""
    right, left = keypoints[0].astype(np.float64), keypoints[1].astype(np.float64)
    x0, y0, x1, y1 = (float(v) for v in box)
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    side = _ROI_SCALE * _MESH_TO_BOX * max(x1 - x0, y1 - y0)
    up = _MESH_ABOVE_BOX * side * np.array([np.sin(angle), -np.cos(angle)])
    return np.array([(x0 + x1) / 2 + up[0], (y0 + y1) / 2 + up[1], side, angle])


def roi_of_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Region (centre x, y, side, angle) of the next pass: upright by the eyes' outer corners, centred on the hull."""
    points = landmarks[:, :2].astype(np.float64)
    across = points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    own = points @ turn.T
    low, high = own.min(0), own.max(0)
    centre = turn.T @ ((low + high) / 2)
    return np.array([centre[0], centre[1], _ROI_SCALE * float((high - low).max()), angle])


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
        rgb = picture.crop(matrix, (_WHOLE_SIDE, _WHOLE_SIDE))
        inside = model.detect(rgb, far=True, min_score=options.min_score)
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
    """(box, score, landmarks) of the detections that the landmark model confirms."""
    meshes = []
    for box, score, keypoints in zip(found.boxes, found.scores, found.keypoints, strict=True):
        roi, points, presence = roi_of_detection(box, keypoints), None, 0.0
        cutter = Cutter(picture, model.crop_size)
        for count in range(options.refine + 1 + _FURTHER_PASSES):
            answer = landmarks_at(cutter, model, roi)
            if answer is None:
                break
            points, presence = answer
            before, roi = roi, roi_of_landmarks(points)
            if count >= options.refine and (presence < _HOPELESS or settled(before, roi)):
                break
        if points is None or presence < options.min_presence:
            continue
        if plausible(points) and agrees(points, box, keypoints):
            meshes.append((box_of_landmarks(points), float(score) * presence, points))
    return meshes


def settled(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a pass has left its region nearly where it was, so that the next one would tell the same."""
    moved = float(np.hypot(*(after[:2] - before[:2])))
    return moved < 0.06 * after[2] and abs(float(after[2] / before[2]) - 1.0) < 0.06


def plausible(landmarks: np.ndarray) -> bool:
    """Whether landmarks (478, 3) can be a face: finite, of some size, as wide as faces are, its outline not folded."""
    points = landmarks[:, :2].astype(np.float64)
    if not np.isfinite(landmarks).all():
        return False
    right, left = points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER]
    top, chin = points[10], points[152]
    length = float(np.linalg.norm(chin - top))
    across = float(np.linalg.norm(left - right))
    if length < 4 or not 0.05 < across / length < 1.2:
        return False
    oval = points[list(FACE_OVAL)]
    following = np.roll(oval, -1, 0)
    area = 0.5 * float(np.sum(oval[:, 0] * following[:, 1] - following[:, 0] * oval[:, 1]))
    hull = float(cv2.contourArea(cv2.convexHull(oval.astype(np.float32))))
    return area > 0.7 * hull > 0


def agrees(landmarks: np.ndarray, box: np.ndarray, keypoints: np.ndarray) -> bool:
    """Whether a mesh lies where the detector saw a face: its eyes and mouth near the detector's, its size alike."""
    points = landmarks[:, :2].astype(np.float64)
    mesh = np.stack([points[468], points[473], (points[13] + points[14]) / 2])
    size = float(max(box[2] - box[0], box[3] - box[1]))
    own = points.max(0) - points.min(0)
    apart = np.linalg.norm(mesh - keypoints[[0, 1, 3]], axis=1)
    return bool(apart.mean() < 0.25 * size and 0.5 < float(own.max()) / size < 2.2)


def _distinct(meshes: list[tuple[np.ndarray, float, np.ndarray]]) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Meshes less those that show a face again, best score first."""
    kept: list[tuple[np.ndarray, float, np.ndarray]] = []
    for mesh in sorted(meshes, key=lambda m: -m[1]):
        if not kept or not shows_again(mesh[0], np.array([k[0] for k in kept]), 0.3):
            kept.append(mesh)
    return kept
