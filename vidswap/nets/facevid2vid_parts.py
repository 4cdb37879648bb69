"""Building blocks of FaceVid2Vid: convolutions with norms in two and three dimensions, hourglass, coordinates.

Volumes are (N, C, D, H, W); depth is never pooled. Names of modules are those of the released checkpoint.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Module):
    """Convolution, batch norm, (leaky) ReLU. dims: 2 or 3; slope: of the negative side."""

    def __init__(self, inward: int, outward: int, *, dims: int = 2, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope
        self.conv: nn.Module = (nn.Conv2d if dims == 2 else nn.Conv3d)(inward, outward, 3, padding=1)
        self.norm: nn.Module = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(outward)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, ...) -> (N, O, ...)."""
        return F.leaky_relu(self.norm(self.conv(x)), self.slope)


class Halving(ConvNorm):
    """The same, then means of 2 x 2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, ..., H, W) -> (N, O, ..., H / 2, W / 2)."""
        x = super().forward(x)
        return F.avg_pool2d(x, 2) if x.ndim == 4 else F.avg_pool3d(x, (1, 2, 2))


class Doubling(ConvNorm):
    """Every pixel twice along both axes, then the same."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, D, H, W) -> (N, O, D, 2H, 2W)."""
        return super().forward(F.interpolate(x, scale_factor=(1, 2, 2)))


def named(prefix: str, modules: Sequence[nn.Module]) -> nn.Sequential:
    """A chain whose members are called prefix0, prefix1, ..."""
    return nn.Sequential(OrderedDict((f"{prefix}{i}", module) for i, module in enumerate(modules)))


def widths_of(base: int, levels: int, most: int) -> list[int]:
    """Channels after each of `levels` halvings, doubled every time, `most` at most."""
    return [min(most, base << (i + 1)) for i in range(levels)]


class Hourglass(nn.Module):
    """Down and up again over volumes, every level joined with its like; gives widths[0] / 2 + inputs channels."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = pairwise([inputs, *widths])
        self.encoder = nn.Module()
        self.encoder.down_blocks = nn.ModuleList(Halving(a, b, dims=3) for a, b in pairs)
        self.decoder = nn.Module()
        self.decoder.up_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            joined = widths[level] * (1 if level == len(widths) - 1 else 2)
            self.decoder.up_blocks.append(Doubling(joined, widths[level - 1] if level else widths[0] // 2, dims=3))
        self.width = widths[0] // 2 + inputs
        self.decoder.conv = nn.Conv3d(self.width, self.width, 3, padding=1)
        self.decoder.norm = nn.BatchNorm3d(self.width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, D, H, W) -> (N, width, D, H, W)."""
        seen = [x]
        for block in self.encoder.down_blocks:  # type: ignore[union-attr]
            seen.append(block(seen[-1]))
        x = seen.pop()
        for block in self.decoder.up_blocks:  # type: ignore[union-attr]
            x = torch.cat((block(x), seen.pop()), dim=1)
        return F.relu(self.decoder.norm(self.decoder.conv(x)))  # type: ignore[operator]


def coordinates(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """(D, H, W, 3) of x, y, z; the middles of the outermost voxels are at -1 and 1."""
    z, y, x = (
        torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype) if size > 1 else like.new_full((1,), -1.0)
        for size in (depth, height, width)
    )
    planes = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack(planes[::-1], dim=-1)
