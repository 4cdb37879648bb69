"""E4S's generator at the cost of about one StyleGAN2, whatever the number of regions; without gradients.

    fast = FastRegionSynthesis(net.G.synthesis)
    images = fast(codes, labels)                 # (N, regions, num_ws, D), (N, H, W) -> (N, 3, R, R)
    masks = fast.masks(labels)                   # once per label map, for any number of codes
    masks = fast.masks(next_labels, known=masks) # frames whose maps are equal to known ones cost nothing
    images = fast(codes, masks)

`rgi.RegionSynthesis` runs a masked layer once for every region and sums over masks. Here, where L(p) is the region of
pixel p, s its style and d its demodulation,

    y(p) = d_L(p) * sum_q w(q - p) s_L(p) x(q)
         = d_L(p) * sum_q w(q - p) s_L(q) x(q)  +  d_L(p) * sum_q w(q - p) (s_L(p) - s_L(q)) x(q),

one convolution of x * s_L, and a sum that is empty but where regions meet. There it is worked out pair by pair of p
and q, or the whole of y(p) is, from gathered neighbourhoods (`rgi_borders`); an up layer does so through four phase
kernels. Colours, which read no neighbours, are one product with x * s_L.

On a CPU frames run one after the other, so that none depends on its batch; on CUDA, which is unproven here, together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.layers import SLOPE, doubled
from vidswap.nets.rgi import RegionSynthesis, check_labels
from vidswap.nets.rgi_borders import Borders, Pairs, Spots, borders_of, phase_kernels
from vidswap.nets.stylegan2_fast import Conv, FastSynthesis, Precision, blurred, relative_rms

# What is worked on pixel by pixel goes in strips that stay in a core's cache; gathered neighbourhoods are bounded too.
_STRIP_BYTES = 1 << 20
_GATHERED_BYTES, _GATHERED_CUDA_BYTES = 64 << 20, 1 << 30
_GRAPHS_AT_MOST = 8


@dataclass(frozen=True)
class Masks:
    """Label maps (N, H, W) uint8 made ready: their borders, one for each map, or one for all (`together`)."""

    labels: Tensor
    parts: tuple[Borders, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Recording:
    """A CUDA graph, what it reads and what it writes."""

    graph: torch.cuda.CUDAGraph
    codes: Tensor
    borders: Borders
    made: Tensor


class FastRegionSynthesis(FastSynthesis):
    """Codes and label maps to images, like the `RegionSynthesis` whose weights it copies.

    together: a batch in one go, as is default on CUDA, or frame by frame. graphs: on CUDA, record a graph for each
    batch size and amount of borders (then call it from one thread). The other arguments: `FastSynthesis`.
    """

    def __init__(
        self,
        synthesis: RegionSynthesis,
        *,
        precision: Precision = "float32",
        half_from: int = 8,
        noise: Literal["const", "none"] = "const",
        device: torch.device | str | None = None,
        fuse: bool | None = None,
        together: bool | None = None,
        graphs: bool = True,
    ) -> None:
        super().__init__(
            synthesis, precision=precision, half_from=half_from, noise=noise, device=device, fuse=fuse, graphs=False
        )
        self.regional = synthesis.regional
        self._has_graphs = graphs and self._cuda
        self._recordings: dict[tuple[int, int], _Recording] = {}
        # Graphs run one at a time, so that they may share the memory of what lies between their inputs and results.
        self._pool = torch.cuda.graph_pool_handle() if self._has_graphs else None
        self._is_together = self._cuda if together is None else together
        if self._is_together:
            self._strips_from = self.config.resolution + 1
        self._masked_sizes = [4 << level for level in range(self.regional.masked_convs // 2 + 1)]
        self._phases: dict[str, list[Tensor]] = {}
        self._later: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor] = self._later_blocks
        if self._is_fused:
            self._later = torch.compile(self._later_blocks, dynamic=False)
        with torch.no_grad():
            for size in self._masked_sizes[1:]:
                conv = self._convs[f"b{size}.conv0"]
                assert conv.blur is not None
                kernels = phase_kernels(conv.weight.float(), conv.blur[0, 0].float()).to(conv.weight.dtype)
                self._phases[f"b{size}.conv0"] = [k.contiguous(memory_format=torch.channels_last) for k in kernels]

    def masks(self, labels: Tensor, known: Masks | None = None) -> Masks:
        """Label maps (N, H, W) made ready. known: earlier ones, whose borders equal maps share.

        Raises InputError for label maps that are none.
        """
        check_labels(labels, len(labels), self.regional.regions)
        labels = labels.to(self.device, torch.uint8)
        if self._is_together:
            if known is not None and torch.equal(known.labels, labels):
                return known
            return Masks(labels, (borders_of(labels, self.regional, level=0 if self._has_graphs else None),))
        seen = [] if known is None else list(zip(known.labels, known.parts, strict=True))
        parts: list[Borders] = []
        for each in labels:
            # The latest first: what repeats is mostly the frame before.
            same = next((part for old, part in reversed(seen) if torch.equal(old, each)), None)
            parts.append(borders_of(each[None], self.regional, pairs=True) if same is None else same)
            seen.append((each, parts[-1]))
        return Masks(labels, tuple(parts))

    def region_styles(self, codes: Tensor) -> dict[str, Tensor]:
        """Codes (N, regions, num_ws, D) -> by layer (N * regions, in_channels) float32; unmasked (N, in_channels)."""
        made = {}
        for layer, (weight, bias) in zip(self.config.layers, self._affines, strict=True):
            rows = (
                codes[:, :, layer.w_index].flatten(0, 1)
                if self.regional.is_masked(layer)
                else codes[:, 0, layer.w_index]
            )
            made[layer.name] = torch.addmm(bias, rows, weight)
        return made

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self, codes: Tensor, masks: Tensor | Masks, *, kept: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Codes (N, regions, num_ws, D), label maps (N, H, W) or `masks` of them -> images (N, 3, R, R) float32.

        Nominal range -1..1, not clamped. kept: takes the masked blocks' features and images by the names of their last
        layers; of a batch that goes frame by frame, those of the last frame.

        Raises InputError where codes and masks do not fit.
        """
        shape = (self.regional.regions, self.config.num_ws, self.config.w_dim)
        if tuple(codes.shape[1:]) != shape:
            raise InputError(f"codes are (N, {', '.join(map(str, shape))}), not {tuple(codes.shape)}")
        masks = masks if isinstance(masks, Masks) else self.masks(masks)
        if len(masks) != len(codes):
            raise InputError(f"{len(masks)} label maps for {len(codes)} images; one each was expected")
        codes = codes.to(self.device, torch.float32)
        if self._is_together:
            borders = masks.parts[0]
            if self._has_graphs and kept is None and borders.level is not None:
                return self._replayed(codes, borders, borders.level)
            return self._together(codes, borders, kept)
        made = torch.empty((len(codes), self.config.image_channels, self.config.resolution, self.config.resolution))
        for i, borders in enumerate(masks.parts):
            made[i] = self._together(codes[i : i + 1], borders, kept)[0]
        return made

    def _replayed(self, codes: Tensor, borders: Borders, level: int) -> Tensor:
        """The same through a CUDA graph: one for each batch size and level of borders, which have equal shapes."""
        key = len(codes), level
        if key not in self._recordings:
            if len(self._recordings) >= _GRAPHS_AT_MOST:
                return self._together(codes, borders, None)
            self._recordings[key] = self._recording(codes, borders)
        recording = self._recordings[key]
        recording.codes.copy_(codes)
        for given, each in zip(recording.borders.tensors(), borders.tensors(), strict=True):
            given.copy_(each)
        recording.graph.replay()
        return recording.made.clone()

    def _recording(self, codes: Tensor, borders: Borders) -> _Recording:
        codes, borders = codes.clone(), borders.copied()
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # compile kernels and choose algorithms before the recording
                self._together(codes, borders, None)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            made = self._together(codes, borders, None)
        return _Recording(graph, codes, borders, made)

    def _together(self, codes: Tensor, borders: Borders, kept: dict[str, Tensor] | None) -> Tensor:
        """Frames whose borders are in one object."""
        styles = self.region_styles(codes)
        return self._later(*self.masked_blocks(styles, borders, kept), styles)

    @torch.no_grad()
    def masked_blocks(
        self, styles: Mapping[str, Tensor], borders: Borders, kept: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The blocks with masked layers: `region_styles` of the frames that `borders` are of -> features and image."""
        image: Tensor | None = None
        x = self._const.permute(0, 2, 3, 1).reshape(16, -1).repeat(borders.count, 1)  # maps are flat: (N * R * R, C)
        for size in self._masked_sizes:
            if size > 4:
                below = borders.layers[f"b{size // 2}.conv1"].labels
                x = self._masked(f"b{size}.conv0", x, styles, borders, below, size // 2)
            x = self._masked(f"b{size}.conv1", x, styles, borders, borders.layers[f"b{size}.conv1"].labels, size)
            name = f"b{size}.torgb"
            if name in borders.layers:
                colours = self._masked_colours(name, x, styles[name], borders.layers[name].labels, size)
            else:
                colours = self._colours[name](_picture(x, size), styles[name])
            image = colours if image is None else colours.add_(doubled(image, self._taps[size]))
            if kept is not None:
                kept[f"b{size}.conv1"], kept[name] = _picture(x, size).clone(), image.clone()
        assert image is not None
        return _picture(x, self._masked_sizes[-1]), image

    def _later_blocks(self, x: Tensor, image: Tensor, styles: Mapping[str, Tensor]) -> Tensor:
        """The blocks that are not masked: features (N, C, R, R) and image -> image at full size."""
        size = 2 * x.shape[2]
        while size <= self.config.resolution:
            step = self._block_in_strips if size >= self._strips_from else self._block
            x, image = step(size, x, image, styles)
            size *= 2
        return image

    def _masked(
        self, name: str, x: Tensor, styles: Mapping[str, Tensor], borders: Borders, below: Tensor, side: int
    ) -> Tensor:
        """A masked layer: flat maps at `side` px, which it uses up, and the labels of their pixels -> flat maps."""
        conv, layer = self._convs[name], borders.layers[name]
        scale, out = (each[:, :, 0, 0] for each in conv.scales(styles[name]))
        x = x.to(conv.weight.dtype)
        kernels = self._phases[name] if conv.blur is not None else [conv.weight]
        apart = [
            (spots.centres, self._gathered(x, scale, spots, kernel))
            for spots, kernel in zip(layer.spots, kernels, strict=bool(layer.spots))
            if len(spots)
        ]
        amiss = [
            each
            for pairs, kernel in zip(layer.pairs, kernels, strict=bool(layer.pairs))
            for each in self._corrections(x, scale, pairs, kernel)
        ]
        if layer.is_dense:
            y = x.new_empty(len(layer.labels), len(conv.bias[0]))
        else:
            self._modulate(x, scale, below)
            if conv.blur is None:
                y = F.conv2d(_picture(x, side), conv.weight, padding=1)
            else:
                y = blurred(F.conv_transpose2d(_picture(x, side), conv.weight, stride=2), conv.blur)
            y = y.permute(0, 2, 3, 1).reshape(len(layer.labels), -1)
        for centres, values in apart:
            y.index_copy_(0, centres, values)
        for centres, values in amiss:
            y.index_add_(0, centres, values)
        return self._finished(y, conv, out, layer.labels)

    @staticmethod
    def _corrections(x: Tensor, scale: Tensor, pairs: Pairs, kernel: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Output pixels and what is to be added to them, tap after tap: the centre's style in place of the input's."""
        differences = (scale[:, None] - scale).flatten(0, 1)  # (regions * regions, I)
        begin = 0
        for tap, end in enumerate(pairs.ends):
            if end > begin:
                rows = x.index_select(0, pairs.inputs[begin:end])
                rows.mul_(differences.index_select(0, pairs.kinds[begin:end]))
                yield pairs.centres[begin:end], rows @ kernel[:, :, tap // 3, tap % 3].T
            begin = end

    def _gathered(self, x: Tensor, scale: Tensor, spots: Spots, kernel: Tensor) -> Tensor:
        """Results (n, O) at spots, before demodulation: flat maps (P, I), styles (regions, I), kernel (O, I, 3, 3)."""
        width, inward = kernel.shape[:2]
        made = x.new_empty(len(spots), width)
        bound = _GATHERED_CUDA_BYTES if self._cuda else _GATHERED_BYTES
        step = max(bound // (9 * inward * x.itemsize), 1)
        for begin in range(0, len(spots), step):
            some = spots.part(begin, min(begin + step, len(spots)))
            rows = x.index_select(0, some.taps).view(3, len(some), 3, inward)
            rows.mul_(scale.index_select(0, some.labels)[:, None])
            if some.outside is None:
                rows.view(-1, inward).mul_(some.inside[:, None])
            else:
                rows.view(-1, inward).index_fill_(0, some.outside, 0)
            target = made[begin : begin + step]
            if self._is_together:
                flat = kernel.permute(2, 3, 1, 0).reshape(3, 3 * inward, width)
                torch.sum(rows.view(3, len(some), -1) @ flat, dim=0, out=target)
            else:
                # Side by side they are a picture of three rows, for which there is a faster convolution than product.
                picture = rows.view(1, 3, 3 * len(some), inward).permute(0, 3, 1, 2)
                target.copy_(F.conv2d(picture, kernel, stride=3).permute(0, 2, 3, 1).view(-1, width))
        return made

    def _strips(self, x: Tensor) -> Iterator[slice]:
        """Rows of flat maps (P, C) in portions that stay in the cache, or all of them where a batch goes together."""
        rows = len(x)
        step = rows if self._is_together else max(_STRIP_BYTES // (x.shape[1] * x.itemsize), 1)
        return (slice(begin, begin + step) for begin in range(0, rows, step))

    def _modulate(self, x: Tensor, scale: Tensor, labels: Tensor) -> None:
        """Multiply flat maps (P, C) by the rows of `scale` (regions, C) that their labels (P,) name."""
        for at in self._strips(x):
            x[at].mul_(scale.index_select(0, labels[at]))

    def _finished(self, y: Tensor, conv: Conv, out: Tensor, labels: Tensor) -> Tensor:
        """Demodulation, bias, noise, leaky ReLU, clamp, in place."""
        bias = conv.bias.reshape(-1)
        noise = None if conv.noise is None else conv.noise.reshape(-1, 1).repeat(len(y) // conv.noise.numel(), 1)
        for at in self._strips(y):
            part = y[at]
            torch.addcmul(bias, part, out.index_select(0, labels[at]), out=part)
            if noise is not None:
                part.add_(noise[at])
            F.leaky_relu_(part, SLOPE)
            if conv.clamp is not None:
                part.clamp_(-conv.clamp, conv.clamp)
        return y

    def _masked_colours(self, name: str, x: Tensor, style: Tensor, labels: Tensor, side: int) -> Tensor:
        """Flat maps (P, C), styles (N * regions, C) -> (N, 3, side, side) float32."""
        part = self._colours[name]
        scale, weight = style.to(part.dtype), part.weight.T.to(part.dtype)
        made = torch.empty(len(x), weight.shape[1], device=x.device)
        for at in self._strips(x):
            made[at] = scale.index_select(0, labels[at]).mul_(x[at]) @ weight
        made += part.bias[:, 0]
        if part.clamp is not None:
            made.clamp_(-part.clamp, part.clamp)
        return _picture(made, side).contiguous()


def _picture(x: Tensor, side: int) -> Tensor:
    """Flat maps (N * side * side, C) as (N, C, side, side), channels last, in the same memory."""
    return x.view(-1, side, side, x.shape[1]).permute(0, 3, 1, 2)


def fastest_exact_enough(
    synthesis: RegionSynthesis,
    codes: Tensor,
    labels: Tensor,
    *,
    precision: Precision = "float16",
    bound: float = 3e-3,
    device: torch.device | str | None = None,
) -> tuple[FastRegionSynthesis, float]:
    """The generator in `precision` that agrees with float32, and its relative RMS error on these codes and label maps.

    Tried in turn: half precision from 8 px on, from 128 px on, float32, which has error 0.
    """
    exact = FastRegionSynthesis(synthesis, device=device, fuse=False, graphs=False)
    expected = exact(codes, labels)
    for half_from in (8, 128):
        if precision == "float32" or half_from > synthesis.config.resolution:
            break
        made = FastRegionSynthesis(synthesis, precision=precision, half_from=half_from, device=device)
        error = relative_rms(made(codes, labels), expected)
        if error <= bound:  # false for nan
            return made, error
    return FastRegionSynthesis(synthesis, device=device), 0.0
