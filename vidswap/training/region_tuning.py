"""E4S tuned to the faces of a clip (the second generation's way): style vectors stay, MLPs and masked layers move.

Pictures are those that the face must give: of a swap, the driven faces, whose vectors are then exchanged. Only where a
label map has face is a picture looked at: background, hair and earrings come from the target anyway.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.inversion.losses import ImageLoss, LossNetworks, weighted
from vidswap.nets import rgi
from vidswap.nets.rgi_encoder import nearest_labels
from vidswap.training.loop import Losses, Turn
from vidswap.training.rgi import frozen_modules

_NOT_FACE = (0, 4, 11)
_MARGIN = 3
"""Pixels of a label map by which the face is drawn in: borders of drawn-over pictures are not to be learned."""


class RegionTuningTask:
    """Tunes a copy of `net` to pictures (N, 3, R, R) in -1..1 of vectors (N, 12, D) and labels (N, H, W) int64.

    A `loop.Task`: pictures come in turn, one in a step; noise is the checkpoint's own.
    """

    averaged = "net"

    def __init__(
        self,
        net: rgi.RGI,
        vectors: Tensor,
        labels: Tensor,
        images: Tensor,
        networks: LossNetworks,
        weights: Mapping[str, float],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._net = copy.deepcopy(net).to(device).requires_grad_(True)
        for frozen in (self._net.encoder, *frozen_modules(self._net)):
            frozen.requires_grad_(False)
        self.players: dict[str, nn.Module] = {"net": self._net}
        self._vectors, self._labels = vectors.float().to(device), labels.to(device)
        self._images = images.to(device)
        self._loss = ImageLoss(weighted(weights, networks), networks)

    def batch(self, step: int) -> int:
        """Which picture."""
        return step % len(self._vectors)

    def turns(self, step: int, batch: int) -> Iterable[Turn]:
        """One player, one move."""
        yield Turn("net", lambda: self._losses(batch))

    def _losses(self, number: int) -> Losses:
        one = slice(number, number + 1)
        image, labels = self._images[one], self._labels[one]
        made = self._net(self._net.codes(self._vectors[one]), labels)
        face = face_mask(labels, image.shape[2])
        seen = made * face + image * (1 - face)
        return {name: value.mean() for name, value in self._loss(seen, self._loss.target(image)).items()}


def face_mask(labels: Tensor, size: int) -> Tensor:
    """(N, 1, size, size) float32 of label maps (N, H, W): 1 inside the face, by a margin."""
    other = torch.stack([labels == region for region in _NOT_FACE]).any(dim=0)[:, None].float()
    face = 1 - F.max_pool2d(other, 2 * _MARGIN + 1, 1, _MARGIN)
    return nearest_labels(face[:, 0], size)[:, None]
