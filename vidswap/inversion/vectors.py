"""Style vectors of E4S by gradient descent (the paper's RGI-Optim): what the generator needs to show a face best.

The (12, 1280) vectors are optimised, not the codes that the MLPs make of them; label maps, networks and noise stay.
Vectors of regions that a label map does not hold stay as they are, so that absent ones stay zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidswap.inversion.losses import ImageLoss
from vidswap.inversion.optimiser import Rows, Schedule, Values, minimise
from vidswap.nets.rgi import RGI


def starting(vectors: Tensor) -> Rows:
    """The state before the first step, from what the encoder sees: vectors (N, 12, D)."""
    return Rows.starting({"vectors": vectors})


def optimised(
    net: RGI,
    loss: ImageLoss,
    images: Tensor,
    labels: Tensor,
    rows: Rows,
    schedule: Schedule,
    *,
    keep: Callable[[Rows], None] | None = None,
    keep_every: int = 50,
) -> Tensor:
    """Take vectors to pictures (N, 3, R, R) in -1..1 under label maps (N, H, W): the best of each row, (N, 12, D).

    `rows` is `starting`'s, or what `keep` was given. The pictures must be of the generator's size.
    """
    target = loss.target(images)
    region = torch.arange(net.config.regions, device=labels.device)
    shown = (labels.flatten(1)[:, :, None] == region).any(dim=1)[..., None]

    def losses(values: Values, index: Tensor, steps: list[int]) -> Tensor:
        vectors = values["vectors"]
        # Regions that are not painted must get no gradient through anything that all regions share.
        vectors = torch.where(shown[index], vectors, vectors.detach())
        return loss(net(net.codes(vectors), labels[index]), target.rows(index))["total"]

    minimise(rows, losses, schedule, keep=keep, keep_every=keep_every)
    return rows.best["vectors"]
