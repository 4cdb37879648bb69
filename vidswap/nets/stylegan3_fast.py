"""StyleGAN3 synthesis without gradients that holds no map at the temporary rate; `stylegan3` is the plain form.

Up-filter, activation and down-filter run as one, in polyphase form: temporary samples are six-tap filters of the input,
without the zeros; the activation acts on those of each residue by themselves; each residue adds its share to the
output. On a CPU strips of rows stay in the cache. The gain of sqrt 2 is folded into the up filter.

Half precision: weights are divided by the square root of their fan-in and styles by their root mean square, which the
demodulation cancels; activations are held within +-256, as NVlabs does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.nets.layers import SLOPE, SQRT2
from vidswap.nets.stylegan3 import Layer, Synthesis

Precision = Literal["float32", "bfloat16", "float16"]

_STRIP_BYTES = 4 << 20


class FilteredLeaky:
    """Up-filter, leaky ReLU, clamp, down-filter for one layer's maps, after scale and bias.

    Along an axis, with up factor u = g d, temporary sample t = u q + r is sum_j up[(p - r) mod u + u j] x[q + o_r + j]
    (p zeros before, o_r from `offsets`). The samples of one residue modulo d, g of them per q, make one map m_e;
    output i is sum_e sum_j down[e + d j] m_e[i + j].
    """

    def __init__(
        self,
        up_filter: Tensor,
        down_filter: Tensor,
        *,
        channels: int,
        up: int,
        down: int,
        padding: int,
        out_size: tuple[int, int],
        clamp: float | None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """padding: before both axes at the temporary rate; what follows is told by `out_size` (rows, columns)."""
        if up % down or len(up_filter) % up or len(down_filter) % down:
            raise ValueError(f"up {up}, down {down} and their filters have no polyphase form")
        self.down, self.factor, self.out_size, self.clamp = down, up // down, out_size, clamp

        def kernel(taps: Tensor) -> Tensor:
            return taps.to(dtype).expand(channels, 1, *taps.shape).contiguous()

        taps = up_filter.flip(0) * up
        firsts = [(padding - phase) % up for phase in range(up)]
        self.offsets = [(phase + first - padding) // up for phase, first in enumerate(firsts)]
        self.vertical = [kernel(taps[first::up, None] * SQRT2) for first in firsts]
        self.horizontal = [kernel(taps[None, first::up]) for first in firsts]
        self.span = len(taps) // up - 1  # rows of input beyond its own that a temporary row needs
        self.reach = len(down_filter) // down - 1  # rows of each m_e beyond its own that an output row needs
        flipped = down_filter.flip(list(range(down_filter.ndim)))
        self.radial = down_filter.ndim == 2
        if self.radial:
            self.planes = [[kernel(flipped[e::down, f::down]) for f in range(down)] for e in range(down)]
        else:
            self.rows = [kernel(flipped[e::down, None]) for e in range(down)]
            self.columns = [kernel(flipped[None, e::down]) for e in range(down)]

    def __call__(self, y: Tensor, scale: Tensor, bias: Tensor, strip_bytes: int | None) -> Tensor:
        """bias + scale * y (N, C, H, W; scale (N, C, 1, 1), bias (1, C, 1, 1)) -> (N, C, *out_size).

        strip_bytes: about the size of the strips' tensors; None takes the map whole.
        """
        n, channels, height, width = y.shape
        low, g = min(self.offsets), self.factor
        rows, columns = self.out_size
        margin = self.span + max(self.offsets) - low

        def maps(tall: int, wide: int) -> Tensor:
            return _fresh((n, channels, tall, wide), y)

        def inputs(count: int) -> int:
            return -(-(count + self.reach) // g) + margin

        wide = inputs(columns)
        step = rows
        if strip_bytes is not None:
            step = max(strip_bytes // (n * channels * wide * g * y.element_size()), 16) // g * g
        made, buffer = maps(rows, columns), maps(inputs(min(step, rows)), wide).zero_()
        left, right = max(low, 0), min(low + wide, width)
        for top in range(0, rows, step):
            count = min(step, rows - top)
            begin = top // g + low
            strip = buffer[:, :, : inputs(count)]
            above, below = max(begin, 0), min(begin + strip.shape[2], height)
            strip[:, :, : above - begin] = 0
            strip[:, :, below - begin :] = 0
            inner = strip[:, :, above - begin : below - begin, left - low : right - low]
            torch.addcmul(bias, y[:, :, above:below, left:right], scale, out=inner)
            self._strip(strip, made[:, :, top : top + count])
        return made

    def _strip(self, x: Tensor, made: Tensor) -> None:
        """Rows of input -> the rows of output that they give, written to `made`."""
        groups = x.shape[1]
        count, columns = made.shape[2:]
        need = count + self.reach
        total: Tensor | None = None
        for e in range(self.down):
            v = self._raised_rows(x, e, -(-need // self.factor))
            across: Tensor | None = None
            for f in range(self.down):
                m, start = self._raised_columns(v, f, columns + self.reach)
                F.leaky_relu_(m, SLOPE)
                if self.clamp is not None:
                    m.clamp_(-self.clamp, self.clamp)
                if self.radial:
                    share = F.conv2d(m[:, :, :need], self.planes[e][f], groups=groups)[..., start : start + columns]
                    total = share if total is None else total + share
                else:
                    share = F.conv2d(m, self.columns[f], groups=groups)[..., start : start + columns]
                    across = share if across is None else across + share
            if across is not None:
                share = F.conv2d(across[:, :, :need], self.rows[e], groups=groups)
                total = share if total is None else total + share
        assert total is not None
        made.copy_(total)

    def _raised_rows(self, x: Tensor, e: int, count: int) -> Tensor:
        """Temporary rows of residue e: `factor` times `count` of them."""
        low, found = min(self.offsets), []
        for r in range(e, self.down * self.factor, self.down):
            first = self.offsets[r] - low
            found.append(F.conv2d(x[:, :, first : first + count + self.span], self.vertical[r], groups=x.shape[1]))
        if self.factor == 1:
            return found[0]
        made = _fresh((*x.shape[:2], count * self.factor, x.shape[3]), x)
        for i, rows in enumerate(found):
            made[:, :, i :: self.factor] = rows
        return made

    def _raised_columns(self, x: Tensor, f: int, count: int) -> tuple[Tensor, int]:
        """Temporary columns of residue f, at least `count` of them, and at which column the first one stands.

        At factor 1 the map stays as wide as it is, since to cut it would be to copy it.
        """
        low, factor = min(self.offsets), self.factor
        if factor == 1:
            return F.conv2d(x, self.horizontal[f], groups=x.shape[1]), self.offsets[f] - low
        wide = -(-count // factor)
        made = _fresh((*x.shape[:3], wide * factor), x)
        for i in range(factor):
            r = self.down * i + f
            first = self.offsets[r] - low
            columns = F.conv2d(x, self.horizontal[r], groups=x.shape[1])
            made[..., i::factor] = columns[..., first : first + wide]
        return made, 0


def _fresh(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Prepared:
    """A layer's constants."""

    weight: Tensor  # (O, I, k, k)
    squares: Tensor | None  # (I, O) float32; None for ToRGB
    gain: float  # of the input: one over the square root of its mean square
    bias: Tensor  # (1, O, 1, 1)
    filtered: FilteredLeaky | None


class FastSynthesis:
    """W+ or S to images, like the `Synthesis` whose weights it copies; safe to call from several threads on a CPU.

    precision: of the layers that NVlabs runs in half precision (at 1024 px from 148 px on); the others run in float32.
    """

    def __init__(
        self, synthesis: Synthesis, *, precision: Precision = "float32", device: torch.device | str | None = None
    ) -> None:
        self.config, self.precision = synthesis.config, precision
        self.device = torch.device(device) if device else next(synthesis.parameters()).device
        self.input = synthesis.input
        self._synthesis = synthesis
        with torch.no_grad():
            self._layers = [self._prepared(synthesis, layer) for layer in self.config.layers]

    def _dtype(self, layer: Layer) -> torch.dtype:
        half = layer.out_rate * 2**4 > self.config.resolution
        return getattr(torch, self.precision) if half else torch.float32

    def _prepared(self, synthesis: Synthesis, layer: Layer) -> _Prepared:
        part = synthesis.get_submodule(layer.name)
        dtype = self._dtype(layer)
        weight = part.get_parameter("weight").to(self.device, torch.float32)
        gain = float(part.get_buffer("magnitude_ema").float().rsqrt())
        bias = part.get_parameter("bias").to(self.device, dtype)[None, :, None, None].clone()
        if layer.to_rgb:
            return _Prepared(weight.to(dtype).contiguous(memory_format=torch.channels_last), None, gain, bias, None)
        weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt() / math.sqrt(weight[0].numel())
        weight = weight.to(dtype)
        filtered = FilteredLeaky(
            part.get_buffer("up_filter").to(self.device, torch.float32),
            part.get_buffer("down_filter").to(self.device, torch.float32),
            channels=layer.out_channels,
            up=layer.up,
            down=layer.down,
            padding=layer.padding[0],
            out_size=(layer.out_size, layer.out_size),
            clamp=self.config.clamp,
            dtype=dtype,
        )
        squares = weight.float().square().sum(dim=(2, 3)).T.contiguous()
        return _Prepared(weight.contiguous(memory_format=torch.channels_last), squares, gain, bias, filtered)

    @torch.no_grad()
    def styles(self, wplus: Tensor) -> dict[str, Tensor]:
        """W+ (N, 16, D) -> S: "input" (N, 4) and per layer, in order, (N, in_channels)."""
        return self._synthesis.styles(wplus)

    def __call__(self, wplus: Tensor) -> Tensor:
        """W+ (N, 16, D) -> images (N, 3, R, R) float32, nominal range -1..1, not clamped."""
        return self.from_styles(self.styles(wplus))

    @torch.no_grad()
    def from_styles(self, styles: Mapping[str, Tensor]) -> Tensor:
        """S -> images (N, 3, R, R) float32, nominal range -1..1, not clamped."""
        if self.device.type != "cpu":
            return self._images(styles, None)
        # One sample after the other: what a batch would share is little, and maps of one stay in the cache.
        count = len(styles["input"])
        return torch.cat(
            [self._images({k: s[i : i + 1] for k, s in styles.items()}, _STRIP_BYTES) for i in range(count)]
        )

    def _images(self, styles: Mapping[str, Tensor], strip_bytes: int | None) -> Tensor:
        x = self.input(styles["input"]).contiguous(memory_format=torch.channels_last)
        for layer, prepared in zip(self.config.layers, self._layers, strict=True):
            style, dtype = styles[layer.name], prepared.weight.dtype
            x = x.to(dtype)
            if prepared.filtered is None or prepared.squares is None:
                n, channels, height, width = x.shape
                weight = (
                    prepared.weight.float()[None, :, :, 0, 0] * style[:, None] * (prepared.gain / math.sqrt(channels))
                )
                flat = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)
                colours = (weight.to(dtype) @ flat.transpose(1, 2)).float().reshape(n, -1, height, width)
                colours += prepared.bias.float()
                return colours.clamp_(-self.config.clamp, self.config.clamp).mul_(0.25)
            style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
            out = torch.rsqrt(style.square() @ prepared.squares + 1e-8) * prepared.gain
            y = F.conv2d(x.mul_(style.to(dtype)[:, :, None, None]), prepared.weight, padding=layer.kernel - 1)
            x = prepared.filtered(y, out.to(dtype)[:, :, None, None], prepared.bias, strip_bytes)
        raise AssertionError("the last layer is ToRGB")
