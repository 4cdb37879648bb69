"""e4e's critic of single codes (Tov et al. 2021, sec. 4): is a code one that the mapping network gives? And its losses.

Names are those of the released `LatentCodesDiscriminator`. Used in training alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.layers import SLOPE


@dataclass(frozen=True)
class Config:
    """Shape of the critic."""

    layers: int = 4
    width: int = 512


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the critic whose state dict this is. Raises InputError where it is none."""
    first = state.get("mlp.0.weight")
    if first is None or first.ndim != 2:
        raise InputError("not a critic of codes: mlp.0.weight is missing or misshaped")
    return Config(sum(bool(re.match(r"mlp\.\d+\.weight$", name)) for name in state), first.shape[1])


class LatentCritic(nn.Module):
    """(N, D) codes -> (N, 1), high for codes of the mapping network."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        parts: list[nn.Module] = []
        for _ in range(config.layers - 1):
            parts += [nn.Linear(config.width, config.width), nn.LeakyReLU(SLOPE)]
        self.mlp = nn.Sequential(*parts, nn.Linear(config.width, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Scores of codes."""
        return self.mlp(codes)


Net = LatentCritic


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises: the non-saturating loss of scores (N, 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def judged_real(fake: Tensor) -> Tensor:
    """What the encoder minimises against the critic."""
    return F.softplus(-fake).mean()


def slope_of_real(net: LatentCritic, codes: Tensor) -> Tensor:
    """R1: the mean squared length of the gradient of scores at real codes (N, D)."""
    codes = codes.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(net(codes).sum(), codes, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean()


def spread_of_rows(wplus: Tensor, stage: int) -> Tensor:
    """How far rows 1 to `stage` of codes (N, L, D) are from the first one: the mean length, summed over the rows."""
    deltas = wplus[:, 1 : stage + 1] - wplus[:, :1]
    return deltas.norm(dim=2).mean(dim=0).sum()
