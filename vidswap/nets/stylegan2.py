"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): mapping and synthesis in one formulation of the convolution.

Names are NVlabs'. No weights are made per sample: with styles s and demodulation d (eq. 1-3),

    y_o = d_o * sum_i conv(s_i x_i, w_oi),    d_o = rsqrt(sum_i s_i^2 q_oi + 1e-8),    q_oi = sum_k w_oik^2,

so that the whole batch goes through one shared convolution. This file is the plain, differentiable form, in whatever
precision and on whatever device its weights are; `stylegan2_fast` runs the same arithmetic faster, without gradients.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.layers import FullyConnected, MappingNetwork, doubled, leaky, normal, upfirdn

NoiseKind = Literal["const", "none", "random"]
Noise = NoiseKind | Mapping[str, Tensor]
"""Which noise the layers add: their stored maps, none, fresh draws, or given maps (N or 1, 1, R, R) by layer."""


@dataclass(frozen=True)
class Layer:
    """One modulated layer: where it stands in W+, in S and among the 3x3 convolutions."""

    name: str  # "b8.conv0"
    kind: Literal["conv", "up", "rgb"]
    resolution: int
    in_channels: int  # the width of its style
    out_channels: int
    w_index: int
    s_index: int
    conv_index: int | None


@dataclass(frozen=True)
class Config:
    """Shape of a generator. channels: width at 4, 8, ... px; clamp: activations are held within +-clamp (for fp16)."""

    channels: tuple[int, ...]
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    image_channels: int = 3
    clamp: float | None = None

    @classmethod
    def of_size(
        cls, resolution: int, *, channel_base: int = 32768, channel_max: int = 512, mapping_layers: int = 8
    ) -> Config:
        """NVlabs' widths: min(channel_base / resolution, channel_max); the defaults are config-f.

        Raises InputError for a resolution that is no power of two from 8 on.
        """
        if resolution < 8 or resolution & (resolution - 1):
            raise InputError(f"a StyleGAN2 resolution is a power of two from 8 on, not {resolution}")
        sizes = [4 << i for i in range(resolution.bit_length() - 2)]
        return cls(tuple(min(channel_base // s, channel_max) for s in sizes), mapping_layers=mapping_layers)

    @property
    def resolution(self) -> int:
        """Side of the image in pixels."""
        return 4 << (len(self.channels) - 1)

    @property
    def num_ws(self) -> int:
        """Rows of W+: 18 at 1024 px."""
        return 2 * len(self.channels)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All modulated layers in the order of S. Within a block, ToRGB shares its row of W+ with the next up layer."""
        found: list[Layer] = []
        convs = 0
        for level, width in enumerate(self.channels):
            below = self.channels[max(level - 1, 0)]
            block: list[tuple[str, Literal["conv", "up", "rgb"], int, int]] = [
                ("conv1", "conv", width, width),
                ("torgb", "rgb", width, self.image_channels),
            ]
            if level:
                block.insert(0, ("conv0", "up", below, width))
            for place, (name, kind, inward, outward) in enumerate(block):
                row = place + (2 * level - 1 if level else 0)
                conv_index = None if kind == "rgb" else convs
                convs += kind != "rgb"
                size = 4 << level
                found.append(Layer(f"b{size}.{name}", kind, size, inward, outward, row, len(found), conv_index))
        return tuple(found)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the generator whose NVlabs state dict this is. Raises InputError, naming the first key amiss."""

    def tensor(name: str, ndim: int) -> Tensor:
        value = state.get(name)
        if value is None or value.ndim != ndim:
            raise InputError(f"not a StyleGAN2 generator: {name} is {'missing' if value is None else 'misshaped'}")
        return value

    if "mapping.embed.weight" in state:
        raise InputError("StyleGAN2 generators with classes (mapping.embed) are not supported")
    sizes = sorted({int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d+)\.conv1\.weight$", name))})
    if not sizes or sizes != [4 << i for i in range(len(sizes))] or len(sizes) < 2:
        raise InputError(f"not a StyleGAN2 generator: its blocks are {sizes or 'missing'}, not 4, 8, 16, ... px")
    depth = sum(bool(re.match(r"mapping\.fc\d+\.weight$", name)) for name in state)
    first = tensor("mapping.fc0.weight", 2)
    return Config(
        channels=tuple(tensor(f"synthesis.b{size}.conv1.weight", 4).shape[0] for size in sizes),
        z_dim=first.shape[1],
        w_dim=first.shape[0],
        mapping_layers=depth,
        image_channels=tensor("synthesis.b4.torgb.weight", 4).shape[0],
    )


def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up_taps: Tensor | None = None,
    padding: int | None = None,
) -> Tensor:
    """Scale in, shared convolution, scale out.

    x: (N, I, H, W); weight: (O, I, k, k), for up layers as the transposed convolution uses it; style: (N, I).
    up_taps: (4, 4) filter that sums to 1; with it, the result is (N, O, 2H, 2W), else (N, O, H, W) at the default
    padding of k // 2.
    """
    x = x * style[:, :, None, None]
    if up_taps is None:
        x = F.conv2d(x, weight, padding=weight.shape[2] // 2 if padding is None else padding)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = upfirdn(x, up_taps, padding=(1, 1, 1, 1), gain=4)
    return x * demodulation(weight, style)[:, :, None, None] if demodulate else x


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """d (N, O): one over the expected standard deviation of each output channel."""
    return torch.rsqrt(style.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8)


def filter_taps() -> Tensor:
    """The (4, 4) filter of all official models: outer([1, 3, 3, 1]) / 64."""
    taps = (1, 3, 3, 1)
    return torch.tensor([[a * b / 64 for a in taps] for b in taps])


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, constant noise, bias, leaky ReLU."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, layer: Layer, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.up, self.clamp = layer.kind == "up", clamp
        self.affine = FullyConnected(w_dim, layer.in_channels, bias=1.0)
        self.weight = nn.Parameter(normal(layer.out_channels, layer.in_channels, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(layer.out_channels))
        self.register_buffer("resample_filter", filter_taps())
        self.register_buffer("noise_const", normal(layer.resolution, layer.resolution))

    def forward(self, x: Tensor, style: Tensor, noise: NoiseKind | Tensor, generator: torch.Generator | None) -> Tensor:
        """(N, I, r, r), (N, I) -> (N, O, R, R)."""
        return self.finished(self.convolved(x, style), noise, generator)

    def convolved(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, I, r, r), (N, I) -> (N, O, R, R), before noise, bias and the leaky ReLU."""
        return modulated_conv(x, self.weight, style, up_taps=self.resample_filter if self.up else None)

    def finished(self, x: Tensor, noise: NoiseKind | Tensor, generator: torch.Generator | None) -> Tensor:
        """What `convolved` gives with noise, bias and the leaky ReLU."""
        if isinstance(noise, Tensor):
            x = x + noise * self.noise_strength
        elif noise == "const":
            x = x + self.noise_const * self.noise_strength
        elif noise == "random":
            drawn = torch.randn((len(x), 1, *x.shape[2:]), generator=generator, device=x.device, dtype=x.dtype)
            x = x + drawn * self.noise_strength
        return leaky(x + self.bias[:, None, None], self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution without demodulation: features to colours."""

    def __init__(self, layer: Layer, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, layer.in_channels, bias=1.0)
        self.weight = nn.Parameter(normal(layer.out_channels, layer.in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(layer.out_channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, R, R), (N, C) -> (N, 3, R, R)."""
        return self.finished(self.convolved(x, style))

    def convolved(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, R, R), (N, C) -> (N, 3, R, R), before the bias."""
        return modulated_conv(x, self.weight, style / math.sqrt(self.weight.shape[1]), demodulate=False)

    def finished(self, x: Tensor) -> Tensor:
        """What `convolved` gives with the bias."""
        x = x + self.bias[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Block(nn.Module):
    """One resolution: conv0 (from 8 px on, doubles the size), conv1, ToRGB and the skip of the image."""

    resample_filter: Tensor

    def __init__(self, layers: tuple[Layer, ...], w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.names = tuple(layer.name for layer in layers)
        self.register_buffer("resample_filter", filter_taps())
        if layers[0].kind == "conv":
            self.const = nn.Parameter(normal(layers[0].in_channels, 4, 4))
        for layer in layers[:-1]:
            self.add_module(layer.name.partition(".")[2], SynthesisLayer(layer, w_dim, clamp))
        self.torgb = ToRGB(layers[-1], w_dim, clamp)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        styles: Mapping[str, Tensor],
        noise: Noise,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the block below (None at 4 px) -> features and image of this one."""
        if x is None:
            x = self.const[None].expand(len(styles[self.names[0]]), -1, -1, -1)
        for name in self.names[:-1]:
            drawn = noise if isinstance(noise, str) else noise[name]
            x = self.get_submodule(name.partition(".")[2])(x, styles[name], drawn, generator)
        return x, self.skipped(image, self.torgb(x, styles[self.names[-1]]))

    def skipped(self, image: Tensor | None, colours: Tensor) -> Tensor:
        """This block's colours on top of the image of the block below (None at 4 px), doubled in size."""
        return colours if image is None else colours + doubled(image, self.resample_filter)


class Synthesis(nn.Module):
    """W+ or S to images."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for level in range(len(config.channels)):
            size = 4 << level
            layers = tuple(layer for layer in config.layers if layer.resolution == size)
            self.add_module(f"b{size}", Block(layers, config.w_dim, config.clamp))

    def affines(self) -> list[FullyConnected]:
        """The affine maps W -> S of all layers, in the order of S."""
        return [self.get_submodule(f"{layer.name}.affine") for layer in self.config.layers]  # type: ignore[misc]

    def styles(self, wplus: Tensor) -> dict[str, Tensor]:
        """W+ (N, num_ws, D) -> S: per layer, in order, (N, in_channels)."""
        layers = self.config.layers
        return {
            layer.name: affine(wplus[:, layer.w_index]) for layer, affine in zip(layers, self.affines(), strict=True)
        }

    def from_styles(
        self, styles: Mapping[str, Tensor], *, noise: Noise = "const", generator: torch.Generator | None = None
    ) -> Tensor:
        """S -> images (N, 3, R, R), nominal range -1..1, not clamped."""
        x: Tensor | None = None
        image: Tensor | None = None
        for level in range(len(self.config.channels)):
            x, image = self.get_submodule(f"b{4 << level}")(x, image, styles, noise, generator)
        assert image is not None
        return image

    def forward(self, wplus: Tensor, *, noise: Noise = "const", generator: torch.Generator | None = None) -> Tensor:
        """W+ (N, num_ws, D) -> images (N, 3, R, R), nominal range -1..1, not clamped."""
        return self.from_styles(self.styles(wplus), noise=noise, generator=generator)


class Generator(nn.Module):
    """Mapping and synthesis; the latent codes between them are the subject of `vidswap.latents`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config.z_dim, config.w_dim, config.mapping_layers)
        self.synthesis = Synthesis(config)


Net = Generator
