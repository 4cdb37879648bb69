"""StyleGAN3-T and -R (Karras et al. 2021, arXiv:2106.12423): mapping and alias-free synthesis.

Names are NVlabs'. The layers' rates, cutoffs and filters follow from the resolution in closed form (sections 2-3 and
appendix C); the convolution is StyleGAN2's shared one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.layers import SLOPE, SQRT2, FullyConnected, MappingNetwork, normal, upfirdn
from vidswap.nets.stylegan2 import demodulation, modulated_conv

_LAYERS = 14  # and ToRGB
_CRITICAL = 2  # of them, the last ones are sampled critically
_MARGIN = 10  # px around the map, at every rate
_TAPS = 6  # of a filter, per factor


@dataclass(frozen=True)
class Layer:
    """One layer: rates in samples per image side, cutoffs in cycles per image side, sizes in px."""

    name: str  # "L3_52_512"
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_rate: int
    out_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    kernel: int
    to_rgb: bool
    critical: bool
    radial: bool  # of the filter that brings the rate down
    w_index: int
    s_index: int

    @property
    def temporary_rate(self) -> int:
        """At which the activation acts: twice the larger rate."""
        return max(self.in_rate, self.out_rate) * (1 if self.to_rgb else 2)

    @property
    def up(self) -> int:
        """Factor from the rate of the input to the temporary one."""
        return self.temporary_rate // self.in_rate

    @property
    def down(self) -> int:
        """Factor from the temporary rate to that of the output."""
        return self.temporary_rate // self.out_rate

    @property
    def up_taps(self) -> int:
        """Taps of the filter that follows the zeros; 1 is no filter."""
        return 1 if self.up == 1 or self.to_rgb else _TAPS * self.up

    @property
    def down_taps(self) -> int:
        """Taps of the filter before samples are dropped; 1 is no filter."""
        return 1 if self.down == 1 or self.to_rgb else _TAPS * self.down

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after, at the temporary rate, on both axes; negative crops."""
        size = (self.in_size + self.kernel - 1) * self.up
        total = (self.out_size - 1) * self.down + 1 - size + self.up_taps + self.down_taps - 2
        before = (total + self.up) // 2
        return before, total - before

    def filters(self) -> tuple[Tensor | None, Tensor | None]:
        """Up filter (taps,) and down filter (taps,) or, radial, (taps, taps): float32, None where there is none."""
        rate = self.temporary_rate
        up = low_pass(self.up_taps, self.in_cutoff, self.in_half_width * 2, rate, radial=False)
        down = low_pass(self.down_taps, self.out_cutoff, self.out_half_width * 2, rate, radial=self.radial)
        return up, down


def low_pass(taps: int, cutoff: float, width: float, rate: float, *, radial: bool) -> Tensor | None:
    """Kaiser-windowed low-pass filter that sums to 1: (taps,), or (taps, taps) radially symmetric. None for one tap."""
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        over = max(attenuation - 21, 0.0)
        beta = 0.5842 * over**0.4 + 0.07886 * over
    window = np.kaiser(taps, beta)
    place = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        r = np.hypot(*np.meshgrid(place, place))
        bessel = torch.special.bessel_j1(torch.tensor(2 * cutoff * np.pi * r, device="cpu")).numpy()
        made = bessel / (np.pi * r) * np.outer(window, window)
    else:
        made = np.sinc(2 * cutoff * place) * window
    return torch.tensor(made / made.sum(), dtype=torch.float32)


@dataclass(frozen=True)
class Config:
    """Shape of a generator. channels: widths of the input and of L0..L13, which start equal; kernel: 3 in T, 1 in R."""

    resolution: int
    channels: tuple[int, ...]
    kernel: int = 3
    radial: bool = False
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    image_channels: int = 3
    clamp: float = 256.0

    def __post_init__(self) -> None:
        if len(self.channels) != _LAYERS + 1:
            raise InputError(
                f"a StyleGAN3 has {_LAYERS + 1} widths, of its input and L0..L13, not {len(self.channels)}"
            )

    @classmethod
    def of_size(cls, resolution: int, variant: str = "T", *, z_dim: int = 512, w_dim: int = 512) -> Config:
        """NVlabs' FFHQ configurations, variant T or R.

        Raises InputError for another variant, and for a resolution that is no power of two from 16 on.
        """
        if resolution < 16 or resolution & (resolution - 1):
            raise InputError(f"a StyleGAN3 resolution is a power of two from 16 on, not {resolution}")
        if variant not in ("T", "R"):
            raise InputError(f"StyleGAN3 comes as T or R, not {variant!r}")
        base, most = (32768, 512) if variant == "T" else (65536, 1024)
        widths = [round(min(base / 2 / cutoff, most)) for cutoff in _cutoffs(resolution)[:-1]]
        kernel = 3 if variant == "T" else 1
        return cls(resolution, (widths[0], *widths), kernel, variant == "R", z_dim=z_dim, w_dim=w_dim)

    @property
    def num_ws(self) -> int:
        """Rows of W+: the input and every layer."""
        return _LAYERS + 2

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """L0..L14; L14 is ToRGB."""
        cutoffs, exponents = _cutoffs(self.resolution), _exponents()
        stops = [2**2.1 * (self.resolution / 2 * 2**0.3 / 2**2.1) ** e for e in exponents]
        rates = [2 ** math.ceil(math.log2(min(2 * stop, self.resolution))) for stop in stops]
        widths = [max(stop, rate / 2) - cut for stop, rate, cut in zip(stops, rates, cutoffs, strict=True)]
        sizes = [rate + 2 * _MARGIN for rate in rates]
        sizes[-2:] = [self.resolution] * 2
        channels = [*self.channels[1:], self.image_channels]
        made = []
        for i in range(_LAYERS + 1):
            before = max(i - 1, 0)
            rgb, critical = i == _LAYERS, i >= _LAYERS - _CRITICAL
            made.append(
                Layer(
                    name=f"L{i}_{sizes[i]}_{channels[i]}",
                    in_channels=self.channels[i],
                    out_channels=channels[i],
                    in_size=sizes[before],
                    out_size=sizes[i],
                    in_rate=rates[before],
                    out_rate=rates[i],
                    in_cutoff=cutoffs[before],
                    out_cutoff=cutoffs[i],
                    in_half_width=widths[before],
                    out_half_width=widths[i],
                    kernel=1 if rgb else self.kernel,
                    to_rgb=rgb,
                    critical=critical,
                    radial=self.radial and not critical,
                    w_index=i + 1,
                    s_index=i + 1,
                )
            )
        return tuple(made)


def _exponents() -> list[float]:
    return [min(i / (_LAYERS - _CRITICAL), 1.0) for i in range(_LAYERS + 1)]


def _cutoffs(resolution: int) -> list[float]:
    return [2 * (resolution / 4) ** e for e in _exponents()]


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the generator whose NVlabs state dict this is. Raises InputError, naming the first key amiss."""
    found: dict[int, tuple[str, int]] = {}
    for name in state:
        if match := re.match(r"synthesis\.(L(\d+)_(\d+)_\d+)\.weight$", name):
            found[int(match[2])] = match[1], int(match[3])
    if sorted(found) != list(range(_LAYERS + 1)):
        raise InputError(f"not a StyleGAN3 generator: its layers are {sorted(found) or 'missing'}, not 0..{_LAYERS}")
    for name in ("synthesis.input.weight", "mapping.fc0.weight"):
        if name not in state or state[name].ndim != 2:
            raise InputError(f"not a StyleGAN3 generator: {name} is missing or misshaped")
    if "mapping.embed.weight" in state:
        raise InputError("StyleGAN3 generators with classes (mapping.embed) are not supported")
    weights = [state[f"synthesis.{found[i][0]}.weight"] for i in range(_LAYERS + 1)]
    if any(weight.ndim != 4 for weight in weights):
        raise InputError("not a StyleGAN3 generator: a convolution's weight is misshaped")
    down = state.get(f"synthesis.{found[0][0]}.down_filter")
    first = state["mapping.fc0.weight"]
    return Config(
        resolution=found[_LAYERS][1],
        channels=(state["synthesis.input.weight"].shape[0], *(weight.shape[0] for weight in weights[:-1])),
        kernel=weights[0].shape[2],
        radial=down is not None and down.ndim == 2,
        z_dim=first.shape[1],
        w_dim=first.shape[0],
        mapping_layers=sum(bool(re.match(r"mapping\.fc\d+\.weight$", name)) for name in state),
        image_channels=weights[-1].shape[0],
    )


class FourierInput(nn.Module):
    """Fourier features that w turns and shifts. `transform` (3, 3) is the inverse of the one that the user wants."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w_dim: int, channels: int, size: int, rate: float, bandwidth: float) -> None:
        super().__init__()
        self.size, self.rate, self.bandwidth = size, rate, bandwidth
        turn, area = torch.rand(channels), torch.rand(channels)
        self.weight = nn.Parameter(normal(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias[0] = 1
        transform, freqs, phases = torch.empty(3, 3), torch.empty(channels, 2), torch.rand(channels)
        # Arithmetic without storage makes torch load its compiler, which takes seconds.
        if not freqs.is_meta:
            transform = torch.eye(3)
            angle, radius = turn * 2 * math.pi, area.sqrt() * bandwidth
            freqs, phases = torch.stack((angle.cos() * radius, angle.sin() * radius), dim=1), phases - 0.5
        self.register_buffer("transform", transform)
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)

    def forward(self, style: Tensor) -> Tensor:
        """Style (N, 4): cosine and sine of the turn (of any length), shift -> (N, C, size, size)."""
        style = style / style[:, :2].norm(dim=1, keepdim=True)
        c, s, dx, dy = style.unbind(dim=1)
        zero, one = torch.zeros_like(c), torch.ones_like(c)
        turn = torch.stack((c, -s, zero, s, c, zero, zero, zero, one), dim=1).reshape(-1, 3, 3)
        shift = torch.stack((one, zero, -dx, zero, one, -dy, zero, zero, one), dim=1).reshape(-1, 3, 3)
        move = turn @ shift @ self.transform
        phases = self.phases + (self.freqs @ move[:, :2, 2:]).squeeze(2)  # (N, C)
        freqs = self.freqs @ move[:, :2, :2]  # (N, C, 2)
        beyond = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitudes = (1 - beyond).clamp(0, 1)
        centres = (torch.arange(self.size, device=style.device, dtype=style.dtype) + 0.5) * 2 / self.size - 1
        centres = centres * (0.5 * self.size / self.rate)
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=2)  # (H, W, 2) of x, y
        x = torch.einsum("hwa,nca->nhwc", grid, freqs) + phases[:, None, None]
        x = torch.sin(x * (2 * math.pi)) * amplitudes[:, None, None]
        x = x @ (self.weight / math.sqrt(self.weight.shape[1])).T
        return x.permute(0, 3, 1, 2)


def filtered_leaky(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    *,
    up: int,
    down: int,
    padding: tuple[int, int],
    gain: float = SQRT2,
    slope: float = SLOPE,
    clamp: float | None = None,
) -> Tensor:
    """Up with a filter, leaky ReLU with gain and clamp at that rate, down with a filter. (N, C, H, W); bias is in x."""
    one = torch.ones(1, device=x.device, dtype=x.dtype)
    pads = (*padding, *padding)
    x = upfirdn(x, one if up_filter is None else up_filter, up=up, padding=pads, gain=up**2)
    x = F.leaky_relu(x, slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn(x, one if down_filter is None else down_filter, down=down)


class SynthesisLayer(nn.Module):
    """Modulated convolution, bias, filtered leaky ReLU."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, layer: Layer, w_dim: int, clamp: float) -> None:
        super().__init__()
        self.layer, self.clamp = layer, clamp
        self.affine = FullyConnected(w_dim, layer.in_channels, bias=1.0)
        self.weight = nn.Parameter(normal(layer.out_channels, layer.in_channels, layer.kernel, layer.kernel))
        self.bias = nn.Parameter(torch.zeros(layer.out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        up, down = layer.filters()
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", down)

    def convolved(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, I, h, w), (N, I) -> (N, O, h + k - 1, w + k - 1), with bias."""
        layer, weight = self.layer, torch.as_tensor(self.weight)
        if layer.to_rgb:
            style = style / math.sqrt(layer.in_channels)
            x = modulated_conv(x, weight, style, demodulate=False)
        else:
            # Both scales cancel in the demodulation; they keep its epsilon small against what it is added to.
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
            x = modulated_conv(x, weight, style, demodulate=False, padding=layer.kernel - 1)
            x = x * demodulation(weight, style)[:, :, None, None]
        return x * self.magnitude_ema.rsqrt() + self.bias[:, None, None]

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, I, in_size, in_size), (N, I) -> (N, O, out_size, out_size)."""
        layer = self.layer
        return filtered_leaky(
            self.convolved(x, style),
            self.up_filter,
            self.down_filter,
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
            gain=1.0 if layer.to_rgb else SQRT2,
            slope=1.0 if layer.to_rgb else SLOPE,
            clamp=self.clamp,
        )


class Synthesis(nn.Module):
    """W+ or S to images."""

    input: FourierInput

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        first = config.layers[0]
        bandwidth = first.in_cutoff
        self.input = FourierInput(config.w_dim, config.channels[0], first.in_size, first.in_rate, bandwidth)
        for layer in config.layers:
            self.add_module(layer.name, SynthesisLayer(layer, config.w_dim, config.clamp))

    def styles(self, wplus: Tensor) -> dict[str, Tensor]:
        """W+ (N, 16, D) -> S: "input" (N, 4) and per layer, in order, (N, in_channels)."""
        made = {"input": self.input.affine(wplus[:, 0])}
        for layer in self.config.layers:
            affine = self.get_submodule(f"{layer.name}.affine")
            made[layer.name] = affine(wplus[:, layer.w_index])
        return made

    def from_styles(self, styles: Mapping[str, Tensor]) -> Tensor:
        """S -> images (N, 3, R, R), nominal range -1..1, not clamped."""
        x = self.input(styles["input"])
        for layer in self.config.layers:
            x = self.get_submodule(layer.name)(x, styles[layer.name])
        return x * 0.25

    def forward(self, wplus: Tensor) -> Tensor:
        """W+ (N, 16, D) -> images (N, 3, R, R), nominal range -1..1, not clamped."""
        return self.from_styles(self.styles(wplus))


class Generator(nn.Module):
    """Mapping and synthesis; the latent codes between them are the subject of `vidswap.latents`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config.z_dim, config.w_dim, config.mapping_layers)
        self.synthesis = Synthesis(config)


Net = Generator
