"""Where regions meet: the pixels of each masked layer that one convolution over the whole map cannot give.

A masked layer modulates its input by the style of the output pixel's region. One convolution over the input modulated
by each pixel's own region gives the same wherever all that an output pixel reads is of its region. The other pixels,
its spots, are worked out apart: their 3x3 neighbourhoods are gathered and modulated by the centre's style. In an
up layer, output pixels of each of four phases read 3x3 pixels of the input too (`phase_kernels`).

Spots depend on label maps alone. `Borders` holds them for one label map and all layers, so that equal maps (frames of a
still face, many codes for one face) share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.nets.rgi import Config
from vidswap.nets.rgi_encoder import nearest_labels
from vidswap.nets.stylegan2 import Layer

# A spot of a plain layer costs as much as a pixel of the convolution, one of an up layer four times as much, and both
# are gathered besides: from these shares on, all pixels are gathered and the convolution is left out.
_DENSE_CONV, _DENSE_UP = 0.6, 0.75
_NOBODY = 255  # label of what lies outside the picture


@dataclass(frozen=True)
class Spots:
    """Output pixels to be worked out apart: of one plain layer, or of one phase of an up layer."""

    centres: Tensor  # (n,) int64, rows of the flat output map
    labels: Tensor  # (n,) int64, rows of the table of styles
    taps: Tensor  # (9n,) int64, rows of the flat input map in the order (tap row, spot, tap column), clamped to it
    outside: Tensor  # (m,) int64, positions among `taps` that lie outside the picture

    def __len__(self) -> int:
        return len(self.centres)

    def part(self, begin: int, end: int) -> Spots:
        """The spots begin..end."""
        n = len(self)
        if begin == 0 and end >= n:
            return self
        taps = self.taps.reshape(3, n, 3)[:, begin:end].reshape(-1)
        row, rest = self.outside // (3 * n), self.outside % (3 * n)
        spot, column = rest // 3, rest % 3
        inside = (spot >= begin) & (spot < end)
        outside = (row * (end - begin) + spot - begin) * 3 + column
        return Spots(self.centres[begin:end], self.labels[begin:end], taps, outside[inside])


@dataclass(frozen=True)
class LayerBorders:
    """One masked layer: its labels (P,) int64 row by row, its spots (one set, or one for each phase of an up layer).

    is_dense: the spots are all pixels, and no convolution over the map is wanted.
    """

    labels: Tensor
    spots: tuple[Spots, ...]
    is_dense: bool

    @property
    def count(self) -> int:
        """How many spots there are."""
        return sum(map(len, self.spots))


@dataclass(frozen=True)
class Borders:
    """All masked layers for so many label maps. layers: by name; `labels` of those that are colours have no spots."""

    count: int
    layers: dict[str, LayerBorders]


def borders_of(labels: Tensor, config: Config, *, dense: bool | None = None) -> Borders:
    """Spots of label maps (N, H, W), integers 0..regions - 1, for one call with N codes.

    dense: gather all pixels of every layer, or never; by default each layer's share of spots decides.
    """
    labels = labels.to(torch.uint8)
    n = len(labels)
    resized: dict[int, Tensor] = {}

    def at(size: int) -> Tensor:
        if size not in resized:
            resized[size] = nearest_labels(labels, size)
        return resized[size]

    made = {}
    for layer in config.generator.layers:
        if not config.is_masked(layer):
            continue
        own = at(layer.resolution)
        rows = (own.long() + torch.arange(n, device=own.device)[:, None, None] * config.regions).reshape(-1)
        made[layer.name] = LayerBorders(rows, *_spots_of(layer, own, at(layer.resolution // 2), rows, dense))
    return Borders(n, made)


def _spots_of(
    layer: Layer, own: Tensor, below: Tensor, rows: Tensor, dense: bool | None
) -> tuple[tuple[Spots, ...], bool]:
    """Spots of one layer, and whether they are all pixels. own: labels of its output; below: of half the size."""
    if layer.kind == "rgb":
        return (), False
    is_up = layer.kind == "up"
    phases = [own[:, py::2, px::2] for py in (0, 1) for px in (0, 1)] if is_up else [own]
    around = F.pad(below if is_up else own, (1, 1, 1, 1), value=_NOBODY)
    side = phases[0].shape[1]
    differ = [_differing(phase, around) for phase in phases]
    share = sum(int(each.sum()) for each in differ) / own.numel()
    is_dense = dense if dense is not None else share > (_DENSE_UP if is_up else _DENSE_CONV)
    made = []
    for phase, each in enumerate(differ):
        frame, y, x = (torch.ones_like(each) if is_dense else each).nonzero(as_tuple=True)
        made.append(_gathered(frame, y, x, side, rows, phase if is_up else None))
    return tuple(made), is_dense


def _differing(centres: Tensor, around: Tensor) -> Tensor:
    """Which centres (N, S, S) have another label than some pixel among the 3x3 of the padded map `around`."""
    side = centres.shape[1]
    found = torch.zeros_like(centres, dtype=torch.bool)
    for dy in range(3):
        for dx in range(3):
            near = around[:, dy : dy + side, dx : dx + side]
            found |= (near != centres) & (near != _NOBODY)
    return found


def _gathered(frame: Tensor, y: Tensor, x: Tensor, side: int, rows: Tensor, phase: int | None) -> Spots:
    if phase is None:
        centres = (frame * side + y) * side + x
    else:
        centres = (frame * 2 * side + 2 * y + phase // 2) * 2 * side + 2 * x + phase % 2
    steps = torch.arange(-1, 2, device=y.device)
    tap_y = y[None, :, None] + steps[:, None, None]  # (3, n, 1)
    tap_x = x[None, :, None] + steps  # (1, n, 3)
    beyond = (tap_y < 0) | (tap_y >= side) | (tap_x < 0) | (tap_x >= side)
    taps = (frame[None, :, None] * side + tap_y.clamp(0, side - 1)) * side + tap_x.clamp(0, side - 1)
    return Spots(centres, rows[centres], taps.reshape(-1), beyond.reshape(-1).nonzero()[:, 0])


def phase_kernels(weight: Tensor, blur: Tensor) -> Tensor:
    """Kernels (4, O, I, 3, 3) that an up layer is for its output pixels of even and odd row and column.

    weight: (I, O, 3, 3) of the transposed convolution of stride 2; blur: (4, 4), symmetric, separable, of gain 4.
    """
    rows = blur.sum(dim=1)
    axes = (rows / 2, blur.sum(dim=0) / (rows.sum() / 2))  # of gain 2 each
    # Output 2a + p takes input a + j - 1 through tap k of the weight and tap k - (p + 1 - 2j) of the blur.
    shifts = weight.new_zeros(2, 2, 3, 3)  # axis, phase, input pixel, tap of the weight
    for axis, taps in enumerate(axes):
        for p in range(2):
            for j in range(3):
                for k in range(3):
                    if 0 <= (m := k - (p + 1 - 2 * j)) < 4:
                        shifts[axis, p, j, k] = taps[m]
    made = torch.einsum("pjk,qlm,iokm->pqoijl", shifts[0], shifts[1], weight)
    return made.flatten(0, 1)
