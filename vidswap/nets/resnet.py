"""ResNet (He et al. 2016, arXiv:1512.03385): the basic unit, and ReStyle's encoder for domains other than faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from vidswap.nets.encoders import Config

_UNITS = (3, 4, 6, 3)  # of ResNet-34
_WIDTHS = (64, 64, 128, 256, 512)


class Residual(nn.Module):
    """The basic unit: two 3x3 convolutions beside a shortcut."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inward, outward, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outward)
        self.conv2 = nn.Conv2d(outward, outward, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outward)
        self.downsample: nn.Module | None = None
        if inward != outward or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inward, outward, 1, stride, bias=False), nn.BatchNorm2d(outward))

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H / stride, W / stride), rounded up."""
        residual = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (residual + (x if self.downsample is None else self.downsample(x))).relu()


class ResNetEncoder(nn.Module):
    """ReStyle on ResNet-34: (N, 6, 256, 256), target and render -> residual (N, n_styles, 512).

    There is no pooling after the stem, so that the last map has 16 px; every head reads it. Names are those of the
    released state dicts without their prefix `encoder.`.
    """

    def __init__(self, config: Config) -> None:
        from vidswap.nets.encoders import StyleHead

        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(config.input_channels, _WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.relu = nn.PReLU(_WIDTHS[0])
        units: list[nn.Module] = []
        for group, (below, width, count) in enumerate(zip(_WIDTHS, _WIDTHS[1:], _UNITS, strict=False)):
            units += [Residual(below, width, 2 if group else 1), *(Residual(width, width, 1) for _ in range(count - 1))]
        self.body = nn.Sequential(*units)
        self.styles = nn.ModuleList(StyleHead(16) for _ in range(config.n_styles))

    def forward(self, x: Tensor, *, rows: int | None = None) -> Tensor:
        """rows: only so many of the first rows."""
        coarse = self.body(self.relu(self.bn1(self.conv1(x))))
        return torch.stack([head(coarse) for head in self.styles[:rows]], dim=1)


def is_resnet_encoder(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of the encoder above, told by two of its names."""
    return "conv1.weight" in state and "styles.0.linear.weight" in state
