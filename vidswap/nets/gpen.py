"""GPEN (Yang et al. 2021), a restorer of aligned faces: an encoder whose maps stand in a StyleGAN2 where noise would.

Pictures are (N, 3, R, R), nominal range -1..1; names are those of the released files. The coarsest map becomes z; each
other map, and that one too, is put beside the features of the generator's layers of its size, so that convolutions see
twice the width. Nothing is drawn: equal pictures give equal pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from vidswap.graph.errors import InputError
from vidswap.nets.discriminator import Activation, Blur, Convolution
from vidswap.nets.layers import FullyConnected, doubled, normal, normalised
from vidswap.nets.stylegan2 import filter_taps, modulated_conv


@dataclass(frozen=True)
class Config:
    """Shape of a restorer. channels: width at 4, 8, ... px of encoder and generator."""

    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64)
    style: int = 512
    mapping_layers: int = 8

    @property
    def resolution(self) -> int:
        """Side of the pictures, 512 as released."""
        return 4 << (len(self.channels) - 1)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the restorer whose state dict this is. Raises InputError where it is none."""
    for name in ("generator.input.input", "final_linear.0.weight", "ecd0.0.0.weight", "ecd1.0.1.weight"):
        if name not in state:
            raise InputError(f"not a GPEN restorer: {name} is missing")
    widths = [state["ecd0.0.0.weight"].shape[0]]
    while (name := f"ecd{len(widths)}.0.1.weight") in state:
        widths.append(state[name].shape[0])
    depth = 0
    while f"generator.style.{depth + 1}.weight" in state:
        depth += 1
    return Config(tuple(reversed(widths)), state["final_linear.0.weight"].shape[0], depth)


class _Doubling(nn.Module):
    """The 4x4 filter with the gain of doubling, as the files hold it."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = filter_taps()
        self.register_buffer("kernel", taps if taps.is_meta else taps * 4)

    @property
    def taps(self) -> Tensor:
        """The filter (4, 4), of sum 1."""
        return self.kernel / 4


class _Modulated(nn.Module):
    def __init__(self, inward: int, outward: int, side: int, style: int, *, is_up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(1, outward, inward, side, side))
        self.modulation = FullyConnected(style, inward, bias=1.0)
        self.blur = _Doubling() if is_up else None

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(N, I, r, r), (N, D) -> (N, O, r or 2r, ...); colours, of side 1, are not demodulated."""
        style, weight = self.modulation(w), self.weight[0]
        if weight.shape[2] == 1:
            return modulated_conv(x, weight, style / math.sqrt(weight.shape[1]), demodulate=False)
        return modulated_conv(x, weight, style, up_taps=None if self.blur is None else self.blur.taps)


class _Strength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """Features (N, C, r, r) and beside them the encoder's, by a strength: (N, 2C, r, r)."""
        return torch.cat((x, self.weight * encoded), dim=1)


class _Styled(nn.Module):
    def __init__(self, inward: int, outward: int, style: int, *, is_up: bool = False) -> None:
        super().__init__()
        self.conv = _Modulated(inward, outward, 3, style, is_up=is_up)
        self.noise = _Strength()
        self.activate = Activation(2 * outward)

    def forward(self, x: Tensor, w: Tensor, encoded: Tensor) -> Tensor:
        """(N, I, r, r), (N, D), the encoder's map (N, O, R, R) -> (N, 2 O, R, R)."""
        return self.activate(self.noise(self.conv(x, w), encoded))


class _Colours(nn.Module):
    def __init__(self, inward: int, style: int, *, is_first: bool = False) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.conv = _Modulated(inward, 3, 1, style)
        self.upsample = None if is_first else _Doubling()

    def forward(self, x: Tensor, w: Tensor, image: Tensor | None) -> Tensor:
        """(N, C, R, R), (N, D) and the image of half the size -> (N, 3, R, R)."""
        made = self.conv(x, w) + self.bias
        return made if self.upsample is None or image is None else made + doubled(image, self.upsample.taps)


class _Normalised(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        """As the mapping takes it."""
        return normalised(z)


class _Constant(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Parameter(normal(1, width, 4, 4))


class _Generator(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        widths, style = config.channels, config.style
        mapping = [FullyConnected(style, style, lr=0.01, activate=True) for _ in range(config.mapping_layers)]
        self.style = nn.Sequential(_Normalised(), *mapping)
        self.input = _Constant(widths[0])
        self.conv1 = _Styled(widths[0], widths[0], style)
        self.to_rgb1 = _Colours(2 * widths[0], style, is_first=True)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for below, width in pairwise(widths):
            self.convs += [_Styled(2 * below, width, style, is_up=True), _Styled(2 * width, width, style)]
            self.to_rgbs.append(_Colours(2 * width, style))

    def forward(self, z: Tensor, encoded: list[Tensor]) -> Tensor:
        """z (N, D) and the encoder's maps at 4, 8, ... px -> (N, 3, R, R)."""
        w = self.style(z)
        x = self.conv1(self.input.input.expand(len(z), -1, -1, -1), w, encoded[0])
        image = self.to_rgb1(x, w, None)
        for level, to_rgb in enumerate(self.to_rgbs):
            for conv in (self.convs[2 * level], self.convs[2 * level + 1]):
                x = conv(x, w, encoded[level + 1])
            image = to_rgb(x, w, image)
        return image


class GPEN(nn.Module):
    """Degraded faces to good ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[::-1]
        self.ecd0 = nn.Sequential(nn.Sequential(Convolution(3, widths[0], 1), Activation(widths[0])))
        for level, (above, width) in enumerate(pairwise(widths), start=1):
            halving = nn.Sequential(Blur(2), Convolution(above, width, 3, 2), Activation(width))
            self.add_module(f"ecd{level}", nn.Sequential(halving))
        self.final_linear = nn.Sequential(FullyConnected(16 * widths[-1], config.style, activate=True))
        self.generator = _Generator(config)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) -> (N, 3, R, R), not clamped."""
        maps = [images]
        for level in range(len(self.config.channels)):
            maps.append(self.get_submodule(f"ecd{level}")(maps[-1]))
        return self.generator(self.final_linear(maps[-1].flatten(1)), maps[:0:-1])


Net = GPEN
