"""What the landmark mapper learns from: pairs of generated pictures of one person, their codes and their landmarks.

The published mapper was trained on codes of filmed actors (MEAD), which nobody can hand on. In its place a generator
makes both: a person is a code; its driven twin has the first rows, which hold pose and expression, moved some way
towards another person's. Landmarks come from a detector; pictures in which it finds no face are left out. Kept are the
numbers of the pairs and 70 points of either picture; codes are drawn again from the numbers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vidswap.faces import alignment, landmark_picture
from vidswap.files import written_whole
from vidswap.graph.errors import InputError
from vidswap.inversion.codes import Generator
from vidswap.latents import spaces

SHARD = 64
_LEAST_SHARE = 0.02


class Landmarker(Protocol):
    """Finds the face in a picture."""

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """(R, R, 3) uint8 RGB -> (478, 3) landmarks, or None without a face."""


@dataclass(frozen=True)
class Pairs:
    """numbers (M,) of pairs; points (M, 2, 70, 2) of source and driver, in pixels of their landmark pictures."""

    numbers: np.ndarray
    points: np.ndarray


class Drawing:
    """Codes of pairs by number.

    rows: how many first rows are moved; psi: truncation of what is drawn.
    """

    def __init__(self, generator: Generator, *, rows: int, psi: float, seed: int) -> None:
        if not 1 <= rows <= generator.config.num_ws:
            raise InputError(f"--rows {rows}: the generator's codes have {generator.config.num_ws}")
        self._generator, self._rows, self._psi, self._seed = generator, rows, psi, seed
        self._mean = spaces.mean_latent(generator)
        self._width = generator.mapping.get_parameter("fc0.weight").shape[1]

    @torch.no_grad()
    def __call__(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Codes of the sources and of the driven twins, (N, L, D) each."""
        z, shares = [], []
        for number in numbers:
            random = np.random.default_rng((self._seed, number))
            z.append(random.standard_normal((2, self._width)))
            shares.append(random.uniform(0.3, 1.0))
        given = torch.from_numpy(np.concatenate(z)).float().to(self._mean.device)
        w = spaces.truncated(spaces.to_w(self._generator, given), self._mean, self._psi).unflatten(0, (-1, 2))
        source, other = (spaces.broadcast(self._generator, part) for part in (w[:, 0], w[:, 1]))
        driven = source.clone()
        share = torch.tensor(shares).to(w)[:, None, None]
        driven[:, : self._rows] = source[:, : self._rows].lerp(other[:, : self._rows], share)
        return source, driven


def prepare(
    generator: Generator,
    drawing: Drawing,
    landmarker: Landmarker,
    folder: Path,
    *,
    count: int,
    size: int,
    told: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Make the pairs 0 .. count - 1, a shard at a time; shards that are there already are taken as they are.

    size: px a side of the landmark pictures. told: called with how many pairs are done and in how many of them both
    faces were found. Raises InputError where hardly a face is found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers: list[np.ndarray] = []
    points: list[np.ndarray] = []
    for begin in range(0, count, SHARD):
        wanted = range(begin, min(begin + SHARD, count))
        file = folder / f"{begin:08d}-{len(wanted)}.npz"
        if not file.is_file():
            made = _shard(generator, drawing, landmarker, wanted, size)
            with written_whole(file) as temporary, temporary.open("wb") as stream:
                np.savez(stream, numbers=made.numbers, points=made.points)
        try:
            with np.load(file) as stored:
                numbers.append(stored["numbers"])
                points.append(stored["points"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            raise InputError(f"{file}: is damaged; remove it, and it is made anew") from None
        if told is not None:
            told(wanted.stop, sum(map(len, numbers)))
    pairs = Pairs(np.concatenate(numbers), np.concatenate(points))
    if len(pairs.numbers) < max(2, _LEAST_SHARE * count):
        raise InputError(
            f"in {len(pairs.numbers)} of {count} pairs of generated pictures faces were found; "
            "the landmark mapper needs a generator of upright faces"
        )
    return pairs


@torch.no_grad()
def _shard(generator: Generator, drawing: Drawing, landmarker: Landmarker, numbers: Sequence[int], size: int) -> Pairs:
    found, kept = [], []
    for number in numbers:
        pair = []
        for code in drawing([number]):
            image = spaces.to_uint8(generator.synthesis(code))[0].cpu().numpy()
            landmarks = landmarker(image)
            if landmarks is None:
                break
            pair.append(aligned_points(landmarks, size))
        if len(pair) == 2:
            kept.append(number)
            found.append(np.stack(pair))
    return Pairs(np.array(kept, np.int64), np.array(found, np.float32).reshape(-1, 2, 70, 2))


def aligned_points(landmarks: np.ndarray, size: int) -> np.ndarray:
    """(70, 2) float32 of landmarks (478, 3), in pixels of the face's own FFHQ crop of `size` px."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), size)
    return alignment.transform(matrix, landmark_picture.points_70(landmarks)[..., :2]).astype(np.float32)


class MediaPipeLandmarker:
    """The largest face that the project's own detector finds."""

    def __init__(self) -> None:
        from vidswap.faces.mediapipe_models import load_face_model

        self._model = load_face_model()

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """See Landmarker."""
        from vidswap.faces.detection import DetectionOptions, find_faces

        found = find_faces(_Whole(image), self._model, DetectionOptions())
        if not len(found.boxes):
            return None
        return found.landmarks[int(np.argmax(found.boxes[:, 3] - found.boxes[:, 1]))]


class _Whole:
    """An image as the detector asks for frames."""

    def __init__(self, image: np.ndarray) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]

    def rgb(self, width: int, height: int) -> np.ndarray:
        """The whole at another size."""
        import cv2

        return cv2.resize(self._image, (width, height), interpolation=cv2.INTER_AREA)

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A part of it."""
        import cv2

        return cv2.warpAffine(self._image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
