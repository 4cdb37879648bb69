"""What MediaPipe's packets say, as arrays in pixels of the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from .models import Detections

# A landmark that has x, y and z and nothing else: field 1 of the list, 15 bytes; then fields 1 to 3, four bytes each.
_LANDMARK_BYTES = 17
_TAGS, _TAG_PLACES = np.array([0x0A, 0x0F, 0x0D, 0x15, 0x1D], np.uint8), [0, 1, 2, 7, 12]
_VALUE_PLACES = [*range(3, 7), *range(8, 12), *range(13, 17)]


def landmarks_in(serialized: bytes) -> np.ndarray | None:
    """(N, 3) float32 x, y, z of a serialized NormalizedLandmarkList; None where landmarks lack fields or have others.

    Protobuf leaves out what is not set, so that an unusual list has another layout; reading objects takes it.
    """
    if not serialized or len(serialized) % _LANDMARK_BYTES:
        return None
    rows = np.frombuffer(serialized, np.uint8).reshape(-1, _LANDMARK_BYTES)
    if (rows[:, _TAG_PLACES] != _TAGS).any():
        return None
    return np.ascontiguousarray(rows[:, _VALUE_PLACES]).view("<f4").astype(np.float32)


def points_of(landmarks: Any, width: int, height: int) -> np.ndarray:
    """(478, 3) float32 pixels of normalised landmarks, whose 0 is the outer edge of the first pixel."""
    return pixels_of(np.array([(p.x, p.y, p.z) for p in landmarks], np.float32), width, height)


def pixels_of(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, 3) float32: normalised landmarks (N, 3) in pixels of an image of that size."""
    return points * np.array([width, height, width], np.float32) - np.array([0.5, 0.5, 0.0], np.float32)


def detections_of(found: list[Any], width: int, height: int, min_score: float) -> Detections:
    """Detections of at least that score, best first, of the protobufs `found`, in pixels."""
    found = sorted((d for d in found if d.score[0] >= min_score), key=lambda d: -d.score[0])
    scale = np.array([width, height], np.float32)
    corners, keypoints = [], []
    for detection in found:
        box = detection.location_data.relative_bounding_box
        corners.append([(box.xmin, box.ymin), (box.xmin + box.width, box.ymin + box.height)])
        keypoints.append([(p.x, p.y) for p in detection.location_data.relative_keypoints])
    boxes = np.array(corners, np.float32).reshape(-1, 2, 2) * scale - 0.5
    points = np.array(keypoints, np.float32).reshape(-1, 6, 2) * scale - 0.5
    scores = np.array([d.score[0] for d in found], np.float32)
    return Detections(boxes.reshape(-1, 4).astype(np.float32), scores, points.astype(np.float32))


def hands_of(found: list[Any], width: int, height: int) -> np.ndarray:
    """(N, 4) float32: `FaceModel.hands` of the protobufs of palms `found`."""
    hands = []
    for detection in found:
        box = detection.location_data.relative_bounding_box
        wrist, middle = (detection.location_data.relative_keypoints[i] for i in (0, 2))
        up = np.array([(middle.x - wrist.x) * width, (middle.y - wrist.y) * height])
        up /= max(float(np.hypot(*up)), 1e-6)
        side = max(box.width * width, box.height * height)
        x, y = (box.xmin + box.width / 2) * width - 0.5, (box.ymin + box.height / 2) * height - 0.5
        # MediaPipe's own region of the hand: half a palm towards the fingers, 2.6 palms wide.
        hands.append([x + 0.5 * side * up[0], y + 0.5 * side * up[1], 1.3 * side, detection.score[0]])
    return np.array(hands, np.float32).reshape(-1, 4)
