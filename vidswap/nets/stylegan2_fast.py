"""StyleGAN2 synthesis as fast as the machine allows, without gradients; `stylegan2` is the plain form of the same.

What is constant is computed once: sums of squares, folded gains, noise times strength, weights in the precision and
memory layout of the device. On a CPU, high resolutions run in strips of rows that stay in the cache, one sample after
the other: what costs there is memory, and above all memory that is asked for anew. On CUDA whole batches run through
fused kernels where Triton is at hand, recorded as one CUDA graph per batch size.

Half precision follows NVlabs (StyleGAN2-ADA): weights and styles are divided by their largest value, which the
demodulation cancels; activations are held within +-256; styles, demodulation and the image stay in float32.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.nets.devices import relative_rms
from vidswap.nets.layers import SLOPE, SQRT2, doubled
from vidswap.nets.stylegan2 import Config, Layer, Synthesis

Precision = Literal["float32", "bfloat16", "float16"]

# A strip of this many bytes, and the handful of tensors like it, stay in a core's cache or near it.
_STRIP_BYTES = 6 << 20
# Blocks from this size on run in strips on a CPU; below, weights are larger than maps and a batch shares them.
_STRIPS_FROM = 128
_HALF_CLAMP = 256.0


@dataclass(frozen=True)
class Conv:
    """A 3x3 layer's constants, gains folded in."""

    weight: Tensor  # (O, I, 3, 3), or (I, O, 3, 3) for an up layer
    squares: Tensor  # (I, O) float32, of the weights as they are used
    bias: Tensor  # (1, O, 1, 1) times sqrt 2
    noise: Tensor | None  # (R, R) times strength and sqrt 2
    blur: Tensor | None  # (O, 1, 4, 4), gain 4, for an up layer
    clamp: float | None
    normalise: bool  # styles are divided by their largest value

    def scales(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Style (N, I) -> scale in (N, I, 1, 1), scale out (N, O, 1, 1) times sqrt 2, in the layer's precision."""
        if self.normalise:
            style = style / style.abs().amax(dim=1, keepdim=True)
        out = torch.rsqrt(style.square() @ self.squares + 1e-8) * SQRT2
        dtype = self.weight.dtype
        return style.to(dtype)[:, :, None, None], out.to(dtype)[:, :, None, None]


@dataclass(frozen=True)
class _Colours:
    """A ToRGB layer's constants."""

    weight: Tensor  # (3, C) float32, over sqrt C
    bias: Tensor  # (3, 1) float32
    clamp: float | None
    dtype: torch.dtype

    def __call__(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W) channels last, (N, C) -> (N, 3, H, W) float32."""
        n, c, height, width = x.shape
        weight = (self.weight * style[:, None, :]).to(self.dtype)  # (N, 3, C)
        flat = x.permute(0, 2, 3, 1).reshape(n, height * width, c)
        colours = (weight @ flat.transpose(1, 2)).float() + self.bias
        if self.clamp is not None:
            colours.clamp_(-self.clamp, self.clamp)
        return colours.reshape(n, -1, height, width)


class FastSynthesis:
    """W+ or S to images, like the `Synthesis` whose weights it copies; safe to call from several threads on a CPU.

    precision: of the blocks from `half_from` px on; the others run in float32. noise: "const" or "none".
    fuse: compile whole batches (by default on CUDA, where Triton is at hand; seconds to a minute per batch size).
    graphs: record CUDA graphs (one per batch size; then call it from one thread).
    """

    def __init__(
        self,
        synthesis: Synthesis,
        *,
        precision: Precision = "float32",
        half_from: int = 8,
        noise: Literal["const", "none"] = "const",
        device: torch.device | str | None = None,
        fuse: bool | None = None,
        graphs: bool = True,
    ) -> None:
        self.config: Config = synthesis.config
        self.precision, self.half_from = precision, half_from
        self.device = torch.device(device) if device else next(synthesis.parameters()).device
        self._cuda = self.device.type == "cuda"
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] | None = None
        if graphs and self._cuda:
            self._graphs = {}
        if fuse is None:
            fuse = self._cuda and importlib.util.find_spec("triton") is not None
        self._is_fused = fuse
        self._strips_from = self.config.resolution + 1 if fuse or self._cuda else _STRIPS_FROM
        self._whole: Callable[[Mapping[str, Tensor], list[int]], tuple[Tensor, Tensor]] = self._whole_blocks
        if fuse:
            self._whole = torch.compile(self._whole_blocks, dynamic=False)
        with torch.no_grad():
            self._const = synthesis.get_parameter("b4.const").to(self.device, torch.float32)[None]
            self._affines = [
                (
                    (a.weight / math.sqrt(a.weight.shape[1])).T.to(self.device, torch.float32).contiguous(),
                    a.bias.to(self.device, torch.float32).clone(),
                )
                for a in synthesis.affines()
            ]
            self._convs, self._colours, self._taps = {}, {}, {}
            for layer in self.config.layers:
                if layer.kind == "rgb":
                    self._colours[layer.name] = self._prepared_colours(synthesis, layer)
                    taps = synthesis.get_buffer(f"b{layer.resolution}.resample_filter")
                    self._taps[layer.resolution] = taps.to(self.device, torch.float32).clone()
                else:
                    self._convs[layer.name] = self._prepared_conv(synthesis, layer, noise)

    def _dtype(self, resolution: int) -> torch.dtype:
        return getattr(torch, self.precision) if resolution >= self.half_from else torch.float32

    def _prepared_conv(self, synthesis: Synthesis, layer: Layer, noise: str) -> Conv:
        part = synthesis.get_submodule(layer.name)
        dtype = self._dtype(layer.resolution)
        half = dtype != torch.float32
        weight = part.get_parameter("weight").to(self.device, torch.float32)
        if half:
            largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
            weight = weight / (largest * math.sqrt(weight[0].numel()))
        # What the convolution uses is what the demodulation has to undo, so the squares are taken after rounding.
        weight = weight.to(dtype)
        squares = weight.float().square().sum(dim=(2, 3)).T.contiguous()
        up = layer.kind == "up"
        taps = part.get_buffer("resample_filter").to(self.device)
        strength = part.get_parameter("noise_strength").to(self.device) * SQRT2
        clamp = synthesis.config.clamp
        return Conv(
            weight=(weight.transpose(0, 1) if up else weight).contiguous(memory_format=torch.channels_last),
            squares=squares,
            bias=(part.get_parameter("bias").to(self.device) * SQRT2).to(dtype)[None, :, None, None],
            noise=None if noise == "none" else (part.get_buffer("noise_const").to(self.device) * strength).to(dtype),
            blur=(taps.flip(0, 1) * 4).to(dtype).expand(layer.out_channels, 1, 4, 4).contiguous() if up else None,
            clamp=(clamp or _HALF_CLAMP) if half else clamp,
            normalise=half,
        )

    def _prepared_colours(self, synthesis: Synthesis, layer: Layer) -> _Colours:
        part = synthesis.get_submodule(layer.name)
        dtype, clamp = self._dtype(layer.resolution), synthesis.config.clamp
        weight = part.get_parameter("weight").to(self.device, torch.float32)[:, :, 0, 0]
        return _Colours(
            weight=weight / math.sqrt(layer.in_channels),
            bias=part.get_parameter("bias").to(self.device, torch.float32)[:, None].clone(),
            clamp=clamp,
            dtype=dtype,
        )

    def styles(self, wplus: Tensor) -> dict[str, Tensor]:
        """W+ (N, num_ws, D) -> S: per layer, in order, (N, in_channels) float32."""
        return {
            layer.name: torch.addmm(bias, wplus[:, layer.w_index], weight)
            for layer, (weight, bias) in zip(self.config.layers, self._affines, strict=True)
        }

    @torch.no_grad()
    def __call__(self, wplus: Tensor) -> Tensor:
        """W+ (N, num_ws, D) -> images (N, 3, R, R) float32, nominal range -1..1, not clamped."""
        wplus = wplus.to(self.device, torch.float32)
        if self._graphs is None:
            return self._images(self.styles(wplus))
        if len(wplus) not in self._graphs:
            self._graphs[len(wplus)] = self._recorded(wplus)
        graph, given, made = self._graphs[len(wplus)]
        given.copy_(wplus)
        graph.replay()
        return made.clone()

    def _recorded(self, wplus: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        """The run for this batch size as a CUDA graph, with its input and its output."""
        given = wplus.clone()
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # compile kernels and choose algorithms before the recording
                self._images(self.styles(given))
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = self._images(self.styles(given))
        return graph, given, made

    @torch.no_grad()
    def from_styles(self, styles: Mapping[str, Tensor]) -> Tensor:
        """S -> images (N, 3, R, R) float32, nominal range -1..1, not clamped."""
        return self._images({name: style.to(self.device, torch.float32) for name, style in styles.items()})

    def _images(self, styles: Mapping[str, Tensor]) -> Tensor:
        config = self.config
        whole = [4 << level for level in range(len(config.channels))]
        strips = [size for size in whole if size >= self._strips_from]
        x, image = self._whole(styles, [size for size in whole if size not in strips])
        if not strips:
            return image
        made = torch.empty((len(x), config.image_channels, config.resolution, config.resolution))
        for i in range(len(x)):
            here, picture = x[i : i + 1], image[i : i + 1]
            own = {name: style[i : i + 1] for name, style in styles.items()}
            for size in strips:
                here, picture = self._block_in_strips(size, here, picture, own)
            made[i] = picture[0]
        return made

    def _whole_blocks(self, styles: Mapping[str, Tensor], sizes: list[int]) -> tuple[Tensor, Tensor]:
        """Blocks of these sizes, from 4 px on, batch-wise: features and image."""
        count = len(next(iter(styles.values())))
        image: Tensor | None = None
        features = self._const.expand(count, -1, -1, -1).to(memory_format=torch.channels_last)
        for size in sizes:
            features, image = self._block(size, features, image, styles)
        assert image is not None
        return features, image

    def _block(
        self, size: int, features: Tensor, image: Tensor | None, styles: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One block batch-wise: features and image below (at 4 px the constant and None) -> those of this size."""
        if size > 4:
            conv = self._convs[f"b{size}.conv0"]
            scale, out = conv.scales(styles[f"b{size}.conv0"])
            y = F.conv_transpose2d(features.to(conv.weight.dtype) * scale, conv.weight, stride=2)
            features = _finish(blurred(y, conv.blur), out, conv.bias, conv.noise, conv.clamp)
        conv = self._convs[f"b{size}.conv1"]
        scale, out = conv.scales(styles[f"b{size}.conv1"])
        y = F.conv2d(features.to(conv.weight.dtype) * scale, conv.weight, padding=1)
        features = _finish(y, out, conv.bias, conv.noise, conv.clamp)
        colours = self._colours[f"b{size}.torgb"](features, styles[f"b{size}.torgb"])
        return features, colours if image is None else colours.add_(doubled(image, self._taps[size]))

    def _block_in_strips(
        self, size: int, x: Tensor, image: Tensor, styles: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One block for one sample: features (1, I, R/2, R/2) and image below -> those of R = `size`.

        Goes down the picture once. A buffer holds a strip of conv0's result, the last two rows of the strip before, so
        that conv1 has its neighbours, and a row of zeros for the lower border. The last block keeps no features.
        """
        first, second = self._convs[f"b{size}.conv0"], self._convs[f"b{size}.conv1"]
        scale0, out0 = first.scales(styles[f"b{size}.conv0"])
        scale1, out1 = second.scales(styles[f"b{size}.conv1"])
        colours, rgb_style = self._colours[f"b{size}.torgb"], styles[f"b{size}.torgb"]
        dtype, width = second.weight.dtype, second.weight.shape[0]
        image = doubled(image, self._taps[size])
        last = size == self.config.resolution

        def maps(rows: int) -> Tensor:
            return torch.empty((1, width, rows, size), dtype=dtype, memory_format=torch.channels_last)

        made = x if last else maps(size)
        rows = min(max(_STRIP_BYTES // (width * size * dtype.itemsize) // 2 * 2, 16), size)
        buffer = maps(rows + 3)
        buffer[:, :, :2] = 0
        for top in range(0, size, rows):
            bottom = min(top + rows, size)
            count = bottom - top
            strip = buffer[:, :, 2 : 2 + count]
            self._upper_rows(first, x, scale0, top, bottom, out=strip, demod=out0)
            strip.mul_(scale1)
            begin, end = max(top - 1, 0), bottom - 1  # rows whose neighbours are all there
            if bottom == size:
                buffer[:, :, 2 + count] = 0
                end = size
            held = buffer[:, :, begin - top + 1 : end - top + 3]
            y = F.conv2d(held, second.weight, padding=(0, 1))
            target = y if last else made[:, :, begin:end]
            noise = None if second.noise is None else second.noise[begin:end]
            _finish(y, out1, second.bias, noise, second.clamp, target)
            image[:, :, begin:end] += colours(target, rgb_style)
            if bottom < size:
                buffer[:, :, :2] = buffer[:, :, count : count + 2]
        return made, image

    @staticmethod
    def _upper_rows(conv: Conv, x: Tensor, scale: Tensor, top: int, bottom: int, *, out: Tensor, demod: Tensor) -> None:
        """Rows top..bottom (even) of an up layer's result, written to `out`."""
        assert conv.blur is not None
        low, high = max(top // 2 - 1, 0), min(bottom // 2 + 1, x.shape[2])
        above, under = top == 0, bottom == 2 * x.shape[2]  # at the border zeros follow, elsewhere unfinished rows
        y = F.conv_transpose2d(x[:, :, low:high].to(conv.weight.dtype) * scale, conv.weight, stride=2)
        y = y[:, :, 0 if above else 1 : None if under else -1]
        if above or under:
            y = F.pad(y, (0, 0, int(above), int(under)))
        y = F.conv2d(y, conv.blur, padding=(0, 1), groups=conv.blur.shape[0])
        _finish(y, demod, conv.bias, None if conv.noise is None else conv.noise[top:bottom], conv.clamp, out)


def fastest_exact_enough(
    synthesis: Synthesis,
    wplus: Tensor,
    *,
    precision: Precision = "float16",
    bound: float = 3e-3,
    device: torch.device | str | None = None,
    calling: Callable[[Callable[..., Tensor], Tensor], Tensor] | None = None,
) -> tuple[FastSynthesis, float]:
    """The synthesis in `precision` that agrees with float32, and its relative RMS error on codes `wplus`.

    Tried in turn: half precision from 8 px on, from 128 px on (NVlabs' default at 1024), float32, which has error 0.
    calling: calls a synthesis with codes as it will be called later (`InBatches`), so that on CUDA it is compiled and
    recorded for no other batch size.
    """
    exact = FastSynthesis(synthesis, device=device, fuse=False, graphs=False)
    expected = exact(wplus)
    for half_from in (8, 128):
        if precision == "float32" or half_from > synthesis.config.resolution:
            break
        made = FastSynthesis(synthesis, precision=precision, half_from=half_from, device=device)
        images = calling(made, wplus) if calling else made(wplus)
        error = relative_rms(images, expected.to(images.device))
        if error <= bound:  # false for nan
            return made, error
    return FastSynthesis(synthesis, device=device), 0.0


def _finish(
    y: Tensor, demod: Tensor, bias: Tensor, noise: Tensor | None, clamp: float | None, out: Tensor | None = None
) -> Tensor:
    """Scale out, noise, bias, leaky ReLU, clamp: in place, or into `out`. The gains of sqrt 2 are folded in before.

    Where it is compiled, nothing is written in place: an `out` would cut the graph, and with it the kernel, in two.
    """
    if out is None and torch.compiler.is_compiling():
        made = torch.addcmul(bias, y, demod)
        made = F.leaky_relu(made if noise is None else made + noise, SLOPE)
        return made if clamp is None else made.clamp(-clamp, clamp)
    out = torch.addcmul(bias, y, demod, out=y if out is None else out)
    if noise is not None:
        out.add_(noise)
    F.leaky_relu_(out, SLOPE)
    if clamp is not None:
        out.clamp_(-clamp, clamp)
    return out


def blurred(y: Tensor, blur: Tensor | None) -> Tensor:
    """The filter of an up layer: (N, O, 2r+1, 2r+1) -> (N, O, 2r, 2r).

    Where it is compiled, as a sum of shifted maps, which the kernel of what follows takes in.
    """
    assert blur is not None
    if not torch.compiler.is_compiling():
        return F.conv2d(y, blur, padding=1, groups=blur.shape[0])
    rows = blur[0, 0].sum(dim=1)
    columns = blur[0, 0].sum(dim=0) / rows.sum()  # separable: their outer product
    height, width = y.shape[2] - 1, y.shape[3] - 1
    y = F.pad(y, (1, 1, 1, 1))
    y = y[:, :, :height] * rows[0] + sum(y[:, :, k : k + height] * rows[k] for k in (1, 2, 3))
    return y[..., :width] * columns[0] + sum(y[..., k : k + width] * columns[k] for k in (1, 2, 3))
