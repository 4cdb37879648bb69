"""Regions of a face to vectors: the encoder of E4S (Liu et al. 2023, regional GAN inversion) and its region MLPs.

The encoder is an IR-SE trunk, wider than ArcFace's and normed per instance without parameters. Its maps at 1/4, 1/8 and
1/16 are averaged over each region; the three means, one after the other, are the region's vector. One small MLP per
region turns vectors into rows of W+. Images are RGB, -1..1; label maps are integers, one region per pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.nets import ir_se50
from vidswap.nets.layers import FullyConnected

INPUT_SIDE = 256
"""Side that images are brought to before they are encoded."""

_MLP_SLOPE = 0.01


def nearest_labels(labels: Tensor, size: int) -> Tensor:
    """Label maps (N, H, W) at size x size: of each pixel the first row and column that it covers, as E4S takes them."""
    rows = torch.arange(size, device=labels.device) * labels.shape[1] // size
    columns = torch.arange(size, device=labels.device) * labels.shape[2] // size
    return labels[:, rows[:, None], columns]


def region_means(maps: Tensor, labels: Tensor, regions: int) -> Tensor:
    """Means of maps (N, C, S, S) over the regions of label maps (N, H, W): (N, regions, C), zeros for absent ones."""
    n, channels, side, _ = maps.shape
    small = nearest_labels(labels, side).reshape(n, 1, side * side)
    mask = (small == torch.arange(regions, device=labels.device)[:, None]).to(maps.dtype)
    sums = mask @ maps.reshape(n, channels, side * side).transpose(1, 2)
    return sums / mask.sum(dim=2, keepdim=True).clamp(min=1)


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


class RegionEncoder(nn.Module):
    """Images and label maps to one vector per region. widths: channels of the stem and of the four groups of units."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512, 512), regions: int = 12) -> None:
        super().__init__()
        self.widths, self.regions = widths, regions
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), _norm(widths[0]), nn.PReLU(widths[0])
        )
        units, inward = [], widths[0]
        for width, count in zip(widths[1:], ir_se50.COUNTS, strict=True):
            for i in range(count):
                units.append(ir_se50.Unit(inward, width, 1 if i else 2, norm=_norm))
                inward = width
        self.body = nn.Sequential(*units)

    @property
    def vector_width(self) -> int:
        """Length of a region's vector: 1280."""
        return sum(self.widths[2:])

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, 3, S, S) in -1..1 -> maps of 256, 512 and 512 channels at 64, 32 and 16 px."""
        if images.shape[2:] != (INPUT_SIDE, INPUT_SIDE):
            # Without antialiasing, as the weights were trained: of 1024 px, two of four pixels per axis are seen.
            images = F.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="bilinear", align_corners=False)
        x = self.input_layer(images)
        tapped = []
        for i, unit in enumerate(self.body):
            x = unit(x)
            if i in ir_se50.TAPS:
                tapped.append(x)
        return tapped[0], tapped[1], tapped[2]

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images (N, 3, S, S) in -1..1, labels (N, H, W) -> vectors (N, regions, 1280).

        The part of a region that is absent at a scale is exactly zero there: a small one may be seen at 64 px alone.
        """
        return torch.cat([region_means(each, labels, self.regions) for each in self.maps(images)], dim=2)


class RegionMLP(nn.Module):
    """A region's vector to rows of W+."""

    def __init__(self, vector: int, width: int, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.mlp = nn.Sequential(
            FullyConnected(vector, width), nn.LeakyReLU(_MLP_SLOPE), FullyConnected(width, width * rows)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, vector) -> (N, rows, width), to be added to the mean code."""
        return self.mlp(vectors).unflatten(1, (self.rows, -1))
