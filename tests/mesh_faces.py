"""What the tests of the mesh method share: rows of faces made from plain images, and a picture that can be written."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vidswap.faces import alignment, topology
from vidswap.faces.detection import find_faces
from vidswap.faces.regions import paint_regions
from vidswap.graph import Batch, object_column


class Canvas:
    """A picture held as RGB, with crop and composite by plain warps."""

    def __init__(self, image: np.ndarray, frame: int = 0) -> None:
        self.image, self.frame, self.pts = image.copy(), frame, frame
        self.height, self.width = image.shape[:2]

    def rgb(self, width: int, height: int) -> np.ndarray:
        return cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def composite(self, matrix: np.ndarray, image: np.ndarray, alpha: np.ndarray) -> None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.width, self.height)
        weight = cv2.warpAffine(alpha, matrix, size, flags=flags)[..., None]
        over = cv2.warpAffine(image.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        mixed = np.rint(self.image + weight * (over - self.image))
        self.image = np.where(weight > 0, np.clip(mixed, 0, 255), self.image).astype(np.uint8)


def face_row(image: np.ndarray, model: Any, size: int = 256, frame: int = 0) -> Batch:
    """One row with picture, landmarks, matrix, crop, regions and person of the largest face of an RGB image."""
    canvas = Canvas(image, frame)
    landmarks = find_faces(canvas, model).landmarks[0]
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), size)
    crop = canvas.crop(matrix, (size, size))
    person = model.segment(crop)
    regions = paint_regions(crop, alignment.transform(matrix, landmarks[:, :2]), person)
    return Batch(
        frame=np.array([frame], np.int64),
        picture=object_column([canvas]),
        landmarks=landmarks[None],
        matrix=matrix[None],
        crop=object_column([crop]),
        regions=object_column([regions]),
        person=object_column([person]),
    )


def in_crop(row: Batch) -> np.ndarray:
    """(478, 3) landmarks of the first row in pixels of its crop."""
    return alignment.transform(row["matrix"][0], row["landmarks"][0])


def with_mouth(points: np.ndarray, gap: float) -> np.ndarray:
    """Landmarks (478, 3) with the inner lips `gap` pixels apart in the middle: all below them moves up or down."""
    mean = topology.canonical()
    moved = points.copy()
    n = len(topology.LIPS_INNER)
    lower = np.zeros(len(points), bool)
    lower[mean[:, 1] > mean[13, 1] + 0.012] = True
    lower[[topology.LIPS_INNER[i] for i in range(n // 2 + 1, n)]] = True
    lower[[topology.LIPS_INNER[i] for i in range(n // 2 + 1)]] = False
    width = abs(mean[topology.RIGHT_MOUTH_CORNER, 0]) * 0.95
    share = np.cos(np.clip(mean[:, 0] / width, -1, 1) * np.pi / 2) * lower
    moved[:, 1] += share * (gap - (points[14, 1] - points[13, 1]))
    return moved
