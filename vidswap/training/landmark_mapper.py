"""The landmark mapper (Choe, one-shot landmark-based face reenactment), trained on generated pairs.

The loss is ten times the mean squared difference of codes; a tenth of the pairs is held out. See `landmark_data`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from vidswap.faces.landmark_picture import drawn
from vidswap.nets import losses
from vidswap.nets.landmark_mapper import LandmarkMapper
from vidswap.training.landmark_data import Drawing, Pairs
from vidswap.training.loop import Losses, Turn, total

_HELD_OUT = 10
Batch = tuple[Tensor, Tensor]


class LandmarkMapperTask:
    """Trains `net` on pairs; a `loop.Task`. batch_size, seed: of the plan."""

    averaged = "mapper"

    def __init__(
        self,
        net: LandmarkMapper,
        pairs: Pairs,
        drawing: Drawing,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._net = net.to(device).requires_grad_(True).train()
        self._drawing, self._device = drawing, device
        self._batch, self._seed = batch_size, seed
        every = np.arange(len(pairs.numbers))
        held = every % _HELD_OUT == _HELD_OUT - 1
        self._pairs, self._training, self._held_out = pairs, every[~held], every[held]
        self.players: dict[str, nn.Module] = {"mapper": self._net}

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every pair is seen about once."""
        return max(1, len(self._training) // self._batch)

    def batch(self, step: int) -> Batch:
        """Differences of landmark pictures (N, 3, S, S) and of codes (N, L, D)."""
        places = []
        for place in range(step * self._batch, (step + 1) * self._batch):
            epoch, number = divmod(place, len(self._training))
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._training))
            places.append(int(self._training[order[number]]))
        return self._of(places)

    def turns(self, step: int, batch: Batch) -> Iterable[Turn]:
        """One player, one move."""
        yield Turn("mapper", lambda: self._losses(*(part.to(self._device) for part in batch)))

    def _losses(self, pictures: Tensor, wanted: Tensor) -> Losses:
        return total({"code": losses.code_distance(self._net(pictures), wanted)}, {"code": 1.0})

    @torch.no_grad()
    def held_out_loss(self) -> float | None:
        """The mean loss of the pairs that are held out; None without any."""
        if not len(self._held_out):
            return None
        self._net.eval()
        found = []
        for begin in range(0, len(self._held_out), self._batch):
            places = [int(place) for place in self._held_out[begin : begin + self._batch]]
            pictures, wanted = (part.to(self._device) for part in self._of(places))
            found.append(float(losses.code_distance(self._net(pictures), wanted)) * len(places))
        self._net.train()
        return sum(found) / len(self._held_out)

    def _of(self, places: list[int]) -> Batch:
        size = self._net.config.size
        pictures = []
        for source, driver in self._pairs.points[places]:
            difference = torch.from_numpy(drawn(driver, size) - drawn(source, size))
            pictures.append(difference.expand(3, -1, -1))
        first, second = self._drawing([int(number) for number in self._pairs.numbers[places]])
        return torch.stack(pictures), (second - first).cpu()
