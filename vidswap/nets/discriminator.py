"""StyleGAN2's discriminator (Karras et al. 2020), residual, under rosinality's names: E4S is trained against it.

Pictures are (N, 3, R, R), nominal range -1..1; the score (N, 1) is high for real ones. Used in training alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.layers import FullyConnected, leaky, normal, upfirdn
from vidswap.nets.stylegan2 import filter_taps

_GROUP = 4
_SQRT_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Config:
    """Widths at 4, 8, ... px, as the generator's."""

    channels: tuple[int, ...]

    @property
    def resolution(self) -> int:
        """Side of the pictures."""
        return 4 << (len(self.channels) - 1)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the discriminator whose state dict this is. Raises InputError where it is none."""
    levels = 0
    while f"convs.{levels + 1}.conv1.0.weight" in state:
        levels += 1
    if not levels or "final_linear.1.weight" not in state or "convs.0.0.weight" not in state:
        raise InputError("not a StyleGAN2 discriminator: convs.1.conv1.0.weight or final_linear.1.weight is missing")
    widths = [state[f"convs.{i}.conv1.0.weight"].shape[0] for i in range(1, levels + 1)]
    return Config((state["final_conv.0.weight"].shape[0], *reversed(widths)))


class Convolution(nn.Module):
    """Convolution of equalised rate, without bias."""

    def __init__(self, inward: int, outward: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(outward, inward, kernel, kernel))
        self._scale, self._stride = 1 / math.sqrt(inward * kernel**2), stride

    def forward(self, x: Tensor) -> Tensor:
        """Of stride 2 without padding: the blur before it has padded."""
        padding = 0 if self._stride == 2 else self.weight.shape[2] // 2
        return F.conv2d(x, self.weight * self._scale, stride=self._stride, padding=padding)


class Blur(nn.Module):
    """The 4x4 filter, padded for a convolution of stride 2."""

    kernel: Tensor

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.register_buffer("kernel", filter_taps())
        self._padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) with a margin."""
        return upfirdn(x, self.kernel, padding=(self._padding,) * 4)


class Activation(nn.Module):
    """Bias (C,) and leaky ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Bias and leaky ReLU."""
        return leaky(x + self.bias[:, None, None])


class _Block(nn.Module):
    """Two convolutions and a skip, to half the size."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(Convolution(inward, inward, 3), Activation(inward))
        self.conv2 = nn.Sequential(Blur(2), Convolution(inward, outward, 3, 2), Activation(outward))
        self.skip = nn.Sequential(Blur(1), Convolution(inward, outward, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, r, r) -> (N, O, r / 2, r / 2)."""
        return (self.conv2(self.conv1(x)) + self.skip(x)) * _SQRT_HALF


class Discriminator(nn.Module):
    """Pictures to scores."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[::-1]
        first: nn.Module = nn.Sequential(Convolution(3, widths[0], 1), Activation(widths[0]))
        blocks = [_Block(inward, outward) for inward, outward in pairwise(widths)]
        self.convs = nn.Sequential(first, *blocks)
        last = widths[-1]
        self.final_conv = nn.Sequential(Convolution(last + 1, last, 3), Activation(last))
        self.final_linear = nn.Sequential(FullyConnected(last * 16, last, activate=True), FullyConnected(last, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) -> (N, 1). Groups of four pictures, or all where they do not divide, show how they differ."""
        x = self.convs(images)
        n, _, height, width = x.shape
        group = _GROUP if n % _GROUP == 0 else n
        spread = x.reshape(group, n // group, *x.shape[1:]).var(dim=0, unbiased=False).add(1e-8).sqrt()
        spread = spread.mean(dim=(1, 2, 3)).repeat(group)[:, None, None, None].expand(n, 1, height, width)
        return self.final_linear(self.final_conv(torch.cat((x, spread), dim=1)).flatten(1))


Net = Discriminator


def judged_real(scores: Tensor) -> Tensor:
    """The generator's non-saturating loss."""
    return F.softplus(-scores).mean()


def told_apart(real: Tensor, made: Tensor) -> Tensor:
    """The discriminator's loss."""
    return (F.softplus(-real) + F.softplus(made)).mean()
