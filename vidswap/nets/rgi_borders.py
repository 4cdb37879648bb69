"""Where regions meet: the pixels of each masked layer that one convolution over the whole map cannot give.

A masked layer modulates its input by the style of the output pixel's region. One convolution over the input modulated
by each pixel's own region gives the same wherever all that an output pixel reads is of its region. The other pixels,
its spots, are worked out apart: their 3x3 neighbourhoods are gathered and modulated by the centre's style. In an
up layer, output pixels of each of four phases read 3x3 pixels of the input too (`phase_kernels`).

Spots depend on label maps alone. `Borders` holds them for one label map and all layers, so that equal maps (frames of a
still face, many codes for one face) share them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
# Regions meet along lines, so room for spots grows with the side of a map: by this many times the side at level 0.
_ROOM, _ROOM_STEP = 8.0, 1.25


@dataclass(frozen=True)
class Spots:
    """Output pixels to be worked out apart: of one plain layer, or of one phase of an up layer."""

    centres: Tensor  # (n,) int64, rows of the flat output map
    labels: Tensor  # (n,) int64, rows of the table of styles
    taps: Tensor  # (9n,) int64, rows of the flat input map in the order (tap row, spot, tap column), clamped to it
    inside: Tensor  # (9n,) bool, whether they lie in the picture
    outside: Tensor | None  # (m,) int64, positions among `taps` that do not; None where shapes must not tell

    def __len__(self) -> int:
        return len(self.centres)

    def part(self, begin: int, end: int) -> Spots:
        """The spots begin..end."""
        n = len(self)
        if begin == 0 and end >= n:
            return self
        taps, inside = (each.reshape(3, n, 3)[:, begin:end].reshape(-1) for each in (self.taps, self.inside))
        outside = None if self.outside is None else (~inside).nonzero()[:, 0]
        return Spots(self.centres[begin:end], self.labels[begin:end], taps, inside, outside)


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
    """All masked layers for so many label maps. layers: by name; colours have labels but no spots.

    level: None, or how much room there is for spots: all borders of one count and level have tensors of equal shapes.
    """

    count: int
    layers: dict[str, LayerBorders]
    level: int | None = None

    def tensors(self) -> list[Tensor]:
        """All tensors that a call reads, in one order."""
        made = []
        for layer in self.layers.values():
            made.append(layer.labels)
            for spots in layer.spots:
                made += [spots.centres, spots.labels, spots.taps, spots.inside]
        return made

    def copied(self) -> Borders:
        """The same in memory of its own."""

        def of(spots: Spots) -> Spots:
            outside = None if spots.outside is None else spots.outside.clone()
            return Spots(spots.centres.clone(), spots.labels.clone(), spots.taps.clone(), spots.inside.clone(), outside)

        layers = {
            name: LayerBorders(layer.labels.clone(), tuple(map(of, layer.spots)), layer.is_dense)
            for name, layer in self.layers.items()
        }
        return Borders(self.count, layers, self.level)


def borders_of(labels: Tensor, config: Config, *, dense: bool | None = None, level: int | None = None) -> Borders:
    """Spots of label maps (N, H, W), integers 0..regions - 1, for one call with N codes.

    dense: gather all pixels of every layer, or never; by default each layer's share of spots decides. level: make room
    for spots by this level at least (see `Borders`), and fill it with pixels that need no working out.
    """
    labels = labels.to(torch.uint8)
    n = len(labels)
    masked = [layer for layer in config.generator.layers if config.is_masked(layer)]
    small = {layer.resolution: nearest_labels(labels, layer.resolution) for layer in masked}
    differ = {layer.name: _phases_differing(layer, small) for layer in masked if layer.kind != "rgb"}
    sums = torch.stack([each.sum() for phases in differ.values() for each in phases]).tolist()
    sides = [each.shape[1] for phases in differ.values() for each in phases]
    if level is not None:
        while any(many > _room(side, n, level) for many, side in zip(sums, sides, strict=True)):
            level += 1
        sums = [_room(side, n, level) for side in sides]
    rooms = iter(sums)
    offsets = torch.arange(n, device=labels.device)[:, None, None] * config.regions
    made = {}
    for layer in masked:
        own = small[layer.resolution]
        rows = (own.long() + offsets).reshape(-1)
        phases = differ.get(layer.name, [])
        room = [next(rooms) for _ in phases]
        is_up = layer.kind == "up"
        is_dense = bool(phases) and (sum(room) / own.numel() > (_DENSE_UP if is_up else _DENSE_CONV))
        is_dense = is_dense if dense is None or not phases else dense
        spots = []
        for phase, (each, size) in enumerate(zip(phases, room, strict=True)):
            found = (torch.ones_like(each) if is_dense else each).nonzero()
            if level is not None and not is_dense:
                # A pixel away from the edge may be worked out as often as one likes.
                spare = torch.tensor([[0, 1, 1]], device=found.device).expand(size - len(found), -1)
                found = torch.cat((found, spare))
            spots.append(_gathered(found, each.shape[1], rows, phase if is_up else None, may_count=level is None))
        made[layer.name] = LayerBorders(rows, tuple(spots), is_dense)
    return Borders(n, made, level)


def _room(side: int, count: int, level: int) -> int:
    """How many spots of so many maps of `side` there is room for."""
    return min(count * side * side, math.ceil(_ROOM * _ROOM_STEP**level * side * count))


def _phases_differing(layer: Layer, small: Mapping[int, Tensor]) -> list[Tensor]:
    """Which output pixels (N, S, S) are spots: of a plain layer, or of each phase of an up layer."""
    own = small[layer.resolution]
    is_up = layer.kind == "up"
    around = F.pad(small[layer.resolution // 2] if is_up else own, (1, 1, 1, 1), value=_NOBODY)
    phases = [own[:, py::2, px::2] for py in (0, 1) for px in (0, 1)] if is_up else [own]
    return [_differing(phase, around) for phase in phases]


def _differing(centres: Tensor, around: Tensor) -> Tensor:
    """Which centres (N, S, S) have another label than some pixel among the 3x3 of the padded map `around`."""
    side = centres.shape[1]
    found = torch.zeros_like(centres, dtype=torch.bool)
    for dy in range(3):
        for dx in range(3):
            near = around[:, dy : dy + side, dx : dx + side]
            found |= (near != centres) & (near != _NOBODY)
    return found


def _gathered(found: Tensor, side: int, rows: Tensor, phase: int | None, *, may_count: bool) -> Spots:
    """Spots at rows (frame, y, x) of a map, or of a phase of it."""
    frame, y, x = found.unbind(1)
    if phase is None:
        centres = (frame * side + y) * side + x
    else:
        centres = (frame * 2 * side + 2 * y + phase // 2) * 2 * side + 2 * x + phase % 2
    steps = torch.arange(-1, 2, device=y.device)
    tap_y = y[None, :, None] + steps[:, None, None]  # (3, n, 1)
    tap_x = x[None, :, None] + steps  # (1, n, 3)
    inside = (tap_y >= 0) & (tap_y < side) & (tap_x >= 0) & (tap_x < side)
    taps = (frame[None, :, None] * side + tap_y.clamp(0, side - 1)) * side + tap_x.clamp(0, side - 1)
    inside = inside.reshape(-1)
    outside = (~inside).nonzero()[:, 0] if may_count else None
    return Spots(centres, rows[centres], taps.reshape(-1), inside, outside)


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
