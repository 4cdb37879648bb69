"""Where regions meet: what of each masked layer one convolution over the whole map cannot give.

A masked layer modulates its input by the style of the output pixel's region. One convolution over the input modulated
by each pixel's own region gives the same wherever all that an output pixel reads is of its region. The rest is worked
out apart, in one of two ways:

* pairs of an output pixel and a tap that reads another region: what the convolution took with the wrong style is put
  right by one product for each tap. The least work: of a spot's nine taps some three are pairs.
* spots, the output pixels themselves: their 3x3 neighbourhoods are gathered and modulated by the centre's style, one
  product for all. Few large steps, as CUDA wants them; and where most pixels are spots the convolution is left out.

Output pixels of each of an up layer's four phases read 3x3 pixels of its input too (`phase_kernels`).

All this depends on label maps alone. `Borders` holds it for all layers, so that equal maps (frames of a still face,
many codes for one face) share it.
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

# Costs of a pixel's tap: 1 in a convolution, of which an up layer has a quarter; measured on CPUs for the others.
_PAIR_COST, _GATHERED_COST = 2.4, 1.8
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
class Pairs:
    """Output pixels and taps that read another region: of one plain layer, or of one phase of an up layer."""

    centres: Tensor  # (m,) int64, rows of the flat output map, tap after tap
    inputs: Tensor  # (m,) int64, rows of the flat input map
    kinds: Tensor  # (m,) int64, label of the centre times the number of regions, plus label of the input
    ends: tuple[int, ...]  # where each of the nine taps' pairs end

    def __len__(self) -> int:
        return len(self.centres)


@dataclass(frozen=True)
class LayerBorders:
    """One masked layer: its labels (P,) int64 row by row; its pairs or spots, a set for each phase of an up layer.

    is_dense: the spots are all pixels, and no convolution over the map is wanted.
    """

    labels: Tensor
    spots: tuple[Spots, ...]
    is_dense: bool
    pairs: tuple[Pairs, ...] = ()

    @property
    def count(self) -> int:
        """How many pairs or spots there are."""
        return sum(map(len, self.pairs or self.spots))


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


def borders_of(
    labels: Tensor, config: Config, *, dense: bool | None = None, level: int | None = None, pairs: bool = False
) -> Borders:
    """Borders of label maps (N, H, W), integers 0..regions - 1, for one call with N codes.

    dense: gather all pixels of every layer, or never; by default what costs least. level: make room for spots by this
    level at least (see `Borders`), and fill it with pixels that need no working out. pairs: of one label map, where
    they cost least, pairs instead of spots.
    """
    labels = labels.to(torch.uint8)
    n = len(labels)
    masked = [layer for layer in config.generator.layers if config.is_masked(layer)]
    small = {layer.resolution: nearest_labels(labels, layer.resolution) for layer in masked}
    differ = {layer.name: _phases_differing(layer, small) for layer in masked if layer.kind != "rgb"}
    found = [each if pairs else each.any(dim=0) for phases in differ.values() for each in phases]
    sums = torch.stack([each.sum() for each in found]).tolist()
    sides = [each.shape[-1] for each in found]
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
        taps = sum(room) * (_PAIR_COST if pairs else 9 * _GATHERED_COST)
        is_dense = (9 / 4 if is_up else 9) * own.numel() + taps > 9 * _GATHERED_COST * own.numel()
        is_dense = bool(phases) and (is_dense if dense is None else dense)
        if pairs and not is_dense:
            below = small[layer.resolution // 2 if is_up else layer.resolution].reshape(-1)
            kinds = config.regions, rows, below
            apart = tuple(_paired(each, phase if is_up else None, *kinds) for phase, each in enumerate(phases))
            made[layer.name] = LayerBorders(rows, (), False, apart)
            continue
        spots = []
        for phase, (each, size) in enumerate(zip(phases, room, strict=True)):
            where = (torch.ones_like(each[0]) if is_dense else each.any(dim=0)).nonzero()
            if level is not None and not is_dense:
                # A pixel away from the edge may be worked out as often as one likes.
                spare = torch.tensor([[0, 1, 1]], device=where.device).expand(size - len(where), -1)
                where = torch.cat((where, spare))
            spots.append(_gathered(where, each.shape[-1], rows, phase if is_up else None, may_count=level is None))
        made[layer.name] = LayerBorders(rows, tuple(spots), is_dense)
    return Borders(n, made, level)


def _room(side: int, count: int, level: int) -> int:
    """How many spots of so many maps of `side` there is room for."""
    return min(count * side * side, math.ceil(_ROOM * _ROOM_STEP**level * side * count))


def _phases_differing(layer: Layer, small: Mapping[int, Tensor]) -> list[Tensor]:
    """Which taps of which output pixels, (9, N, S, S), read another region: of a plain layer, or of each phase."""
    own = small[layer.resolution]
    is_up = layer.kind == "up"
    around = F.pad(small[layer.resolution // 2] if is_up else own, (1, 1, 1, 1), value=_NOBODY)
    phases = [own[:, py::2, px::2] for py in (0, 1) for px in (0, 1)] if is_up else [own]
    side = phases[0].shape[1]
    near = torch.stack([around[:, dy : dy + side, dx : dx + side] for dy in range(3) for dx in range(3)])
    within = near != _NOBODY
    return [(near != phase) & within for phase in phases]


def _centres(frame: Tensor, y: Tensor, x: Tensor, side: int, phase: int | None) -> Tensor:
    """Rows of the flat output map, of pixels of a map of `side`, or of a phase of it."""
    if phase is None:
        return (frame * side + y) * side + x
    return (frame * 2 * side + 2 * y + phase // 2) * 2 * side + 2 * x + phase % 2


def _paired(differ: Tensor, phase: int | None, regions: int, rows: Tensor, below: Tensor) -> Pairs:
    """Pairs of one label map: `differ` (9, 1, S, S), labels (P,) of its output and of its input."""
    side = differ.shape[-1]
    tap, frame, y, x = differ.nonzero(as_tuple=True)
    centres = _centres(frame, y, x, side, phase)
    inputs = (y + tap // 3 - 1) * side + x + tap % 3 - 1
    ends = torch.bincount(tap, minlength=9).cumsum(0).tolist()
    return Pairs(centres, inputs, rows[centres] * regions + below[inputs], tuple(ends))


def _gathered(found: Tensor, side: int, rows: Tensor, phase: int | None, *, may_count: bool) -> Spots:
    """Spots at rows (frame, y, x) of a map, or of a phase of it."""
    frame, y, x = found.unbind(1)
    centres = _centres(frame, y, x, side, phase)
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
