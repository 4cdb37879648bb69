"""IR-SE50, the residual trunk of the W+ encoders, and the ArcFace embedder that it was made for.

He et al. 2016, with the residual unit of ArcFace (Deng et al. 2019) and squeeze-and-excitation (Hu et al. 2018).
Names are those of the released `model_ir_se50.pth`. Images are RGB, nominal range -1..1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError

WIDTHS = (64, 64, 128, 256, 512)
"""Channels of the stem and of the four groups of units, as released."""
COUNTS = (3, 4, 14, 3)  # units of the four groups
FIRSTS = (0, 3, 7, 21)  # units that groups begin with
TAPS = (6, 20, 23)  # units after which maps are tapped: 1/4, 1/8 and 1/16 of the input's size


class SqueezeExcitation(nn.Module):
    """Channels weighted by what their means say."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(self.fc1(means).relu()).sigmoid()


class Unit(nn.Module):
    """Residual unit: norm, convolution, PReLU, convolution (stride), norm, squeeze-and-excitation.

    norm: makes the norm of so many channels.
    """

    def __init__(
        self,
        inward: int,
        outward: int,
        stride: int,
        *,
        excite: bool = True,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut_layer: nn.Module | None = None  # equal widths: the input, subsampled
        if inward != outward:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inward, outward, 1, stride, bias=False), norm(outward))
        self.res_layer = nn.Sequential(
            norm(inward),
            nn.Conv2d(inward, outward, 3, 1, 1, bias=False),
            nn.PReLU(outward),
            nn.Conv2d(outward, outward, 3, stride, 1, bias=False),
            norm(outward),
            *([SqueezeExcitation(outward)] if excite else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H / stride, W / stride), rounded up."""
        if self.shortcut_layer is None:
            return self.res_layer(x) + x[:, :, :: self.stride, :: self.stride]
        return self.res_layer(x) + self.shortcut_layer(x)


class Trunk(nn.Module):
    """Stem and 24 units in four groups; the encoders and the embedder add their heads."""

    def __init__(self, input_channels: int = 3, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        stem = widths[0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(input_channels, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem)
        )
        units = []
        for below, width, count in zip(widths, widths[1:], COUNTS, strict=False):
            # Every group begins by halving the map.
            units += [Unit(below, width, 2), *(Unit(width, width, 1) for _ in range(count - 1))]
        self.body = nn.Sequential(*units)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, S, S) -> maps of the last three widths at S/4, S/8 and S/16."""
        x = self.input_layer(x)
        tapped = []
        for i, unit in enumerate(self.body):
            x = unit(x)
            if i in TAPS:
                tapped.append(x)
        return tapped[0], tapped[1], tapped[2]


@dataclass(frozen=True)
class Config:
    """Shape of the embedder: it comes in one."""


class ArcFace(Trunk):
    """Face embedder: (N, 3, 112, 112) -> unit vectors (N, 512) whose cosine says whether two faces are one person."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.6), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 112, 112) RGB in -1..1 -> (N, 512), each of length one."""
        return F.normalize(self.output_layer(self.features(x)[2]), dim=1)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the embedder whose state dict this is. Raises InputError where it is none."""
    for name in ("input_layer.0.weight", "body.23.res_layer.5.fc2.weight", "output_layer.4.weight"):
        if name not in state:
            raise InputError(f"not an IR-SE50 face embedder: {name} is missing")
    return Config()


Net = ArcFace


def identity_crop(images: Tensor) -> Tensor:
    """FFHQ-aligned faces (N, 3, S, S) as the identity losses crop them for the embedder: (N, 3, 112, 112)."""
    if images.shape[2] != 256:
        images = F.adaptive_avg_pool2d(images, 256)
    return F.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], 112)
