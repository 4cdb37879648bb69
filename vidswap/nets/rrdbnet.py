"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv:1809.00219): pictures at four times their size.

Pictures are (N, 3, H, W) in 0..1; names are those of RealESRNet and RealESRGAN (x4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError

SCALE = 4
_SLOPE, _RESIDUAL = 0.2, 0.2


@dataclass(frozen=True)
class Config:
    """Shape of the network: width of its trunk, number of blocks, growth within a dense block."""

    width: int = 32
    blocks: int = 23
    growth: int = 32


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the network whose state dict this is. Raises InputError where it is none."""
    for name in ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_up2.weight"):
        if name not in state:
            raise InputError(f"not an RRDBNet: {name} is missing")
    if state["conv_first.weight"].shape[1] != 3:
        raise InputError("an RRDBNet that does not enlarge four times: its first convolution reads no plain colours")
    blocks = 0
    while f"body.{blocks}.rdb1.conv1.weight" in state:
        blocks += 1
    return Config(state["conv_first.weight"].shape[0], blocks, state["body.0.rdb1.conv1.weight"].shape[0])


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)


class _Dense(nn.Module):
    """Five convolutions, each of which reads all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            self.add_module(f"conv{i}", nn.Conv2d(width + (i - 1) * growth, growth if i < 5 else width, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        seen = [x]
        for i in range(1, 5):
            seen.append(_leaky(self.get_submodule(f"conv{i}")(torch.cat(seen, dim=1))))
        return x + _RESIDUAL * self.get_submodule("conv5")(torch.cat(seen, dim=1))


class _Block(nn.Module):
    """Residual in residual: three dense blocks."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return x + _RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """Small pictures to large ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv_first = nn.Conv2d(3, width, 3, 1, 1)
        self.body = nn.Sequential(*(_Block(width, config.growth) for _ in range(config.blocks)))
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            self.add_module(name, nn.Conv2d(width, width, 3, 1, 1))
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, 4 H, 4 W), not clamped."""
        x = self.conv_first(images)
        x = x + self.get_submodule("conv_body")(self.body(x))
        for name in ("conv_up1", "conv_up2"):
            x = _leaky(self.get_submodule(name)(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.conv_last(_leaky(self.get_submodule("conv_hr")(x)))


Net = RRDBNet
