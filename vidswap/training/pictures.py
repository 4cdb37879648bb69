"""Pictures with label maps from two folders, in an order that depends on seed and step alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vidswap.faces.label_maps import Order, read_label_map
from vidswap.graph.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Pair:
    """Files of an aligned square picture and its label map."""

    picture: Path
    labels: Path


def pairs_of(pictures: Path, labels: Path) -> list[Pair]:
    """Every picture with the label map of the same name, less the suffix. Raises InputError, naming what is amiss."""
    found = {path.stem: path for path in _files(pictures)}
    maps = {path.stem: path for path in _files(labels)}
    missing = sorted(set(found) - set(maps))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{labels}: no label map {missing[0]}.png for {found[missing[0]].name}{more}")
    made = [Pair(found[stem], maps[stem]) for stem in sorted(found)]
    for pair in made:
        _check_square(pair)
    return made


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return found


def _check_square(pair: Pair) -> None:
    """Look at the headers: what is not square would be found only in the middle of a run."""
    from PIL import Image, UnidentifiedImageError

    for path in (pair.picture, pair.labels):
        try:
            with Image.open(path) as opened:
                width, height = opened.size
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{path}: cannot be read as a picture ({error})") from None
        if width != height:
            raise InputError(f"{path}: is {width}x{height}; aligned faces and their label maps are square")


class Pictures:
    """Batches of pairs, each epoch in another order, half of them mirrored.

    resolution, label_side: px a side of what is given, of pictures and of label maps.
    """

    def __init__(
        self, pairs: Sequence[Pair], order: Order, *, resolution: int, label_side: int, batch: int, seed: int
    ) -> None:
        self._pairs, self._order = tuple(pairs), order
        self._resolution, self._label_side, self._batch, self._seed = resolution, label_side, batch, seed

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The step's pictures (N, 3, R, R) in -1..1 and labels (N, H, H) int64 0..11. Raises InputError."""
        images, labels = [], []
        flips = np.random.default_rng((self._seed, 1, step)).random(self._batch) < 0.5
        for place, flip in zip(range(step * self._batch, (step + 1) * self._batch), flips, strict=True):
            epoch, number = divmod(place, len(self._pairs))
            image, label = self.pair(int(self._shuffled(epoch)[number]))
            images.append(image[:, ::-1] if flip else image)
            labels.append(label[:, ::-1] if flip else label)
        pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return pictures, torch.from_numpy(np.stack(labels)).long()

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """One pair as it is: picture (R, R, 3) uint8 RGB and regions (H, H) uint8. Raises InputError."""
        pair = self._pairs[number]
        stored = cv2.imread(str(pair.picture), cv2.IMREAD_COLOR)
        if stored is None:
            raise InputError(f"{pair.picture}: cannot be read as a picture")
        image = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        if image.shape[0] != self._resolution:
            how = cv2.INTER_AREA if image.shape[0] > self._resolution else cv2.INTER_CUBIC
            image = cv2.resize(image, (self._resolution, self._resolution), interpolation=how)
        return image, read_label_map(pair.labels, self._order, self._label_side)

    @functools.lru_cache(maxsize=2)  # noqa: B019 (the pictures live as long as the run)
    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._pairs))
