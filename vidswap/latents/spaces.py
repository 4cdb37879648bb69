"""Z, W, W+ and S of a generator: what leads from one to the next, and from codes to images.

Shapes: z (N, z_dim); w (N, w_dim); W+ (N, num_ws, w_dim), one row per place where the synthesis reads a w; S a mapping
from layer names to (N, width), or all of them side by side (N, sum of widths). Z+ is one z per row: (N, num_ws, z_dim).
Works for StyleGAN2 and StyleGAN3 alike. Everything random takes a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2, stylegan3
from vidswap.nets.layers import MappingNetwork


class LatentConfig(Protocol):
    """What this module asks of a generator's configuration."""

    @property
    def num_ws(self) -> int:
        """Rows of W+."""


class Generator(Protocol):
    """A generator: `stylegan2.Generator` or `stylegan3.Generator`."""

    mapping: MappingNetwork

    @property
    def config(self) -> LatentConfig:
        """Its shape."""


def seeded_z(seeds: Sequence[int], z_dim: int) -> Tensor:
    """(len(seeds), z_dim) float32: one normal draw per seed, as NVlabs' tools draw them (`RandomState(seed).randn`)."""
    return torch.from_numpy(np.stack([np.random.RandomState(seed).randn(z_dim) for seed in seeds])).float()


def to_w(generator: Generator, z: Tensor) -> Tensor:
    """z (N, z_dim) -> w (N, w_dim), untruncated."""
    return generator.mapping(z)


def zplus_to_wplus(generator: Generator, zplus: Tensor) -> Tensor:
    """Z+ (N, num_ws, z_dim) -> W+ (N, num_ws, w_dim): every row goes through the mapping by itself.

    Raises InputError for another number of rows.
    """
    count, rows = zplus.shape[:2]
    if rows != generator.config.num_ws:
        raise InputError(f"codes of {rows} rows do not fit a generator of {generator.config.num_ws}")
    return generator.mapping(zplus.flatten(0, 1)).unflatten(0, (count, rows))


def broadcast(generator: Generator, w: Tensor) -> Tensor:
    """w (N, w_dim) -> W+ (N, num_ws, w_dim), all rows equal."""
    return w[:, None].repeat(1, generator.config.num_ws, 1)


def truncated(w: Tensor, mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Codes moved towards the mean: mean + psi (w - mean); of W+ only the first `cutoff` rows, where given.

    w: (N, w_dim) or (N, num_ws, w_dim); mean: (w_dim,). psi 1 changes nothing, 0 gives the mean.
    """
    if psi == 1:
        return w
    moved = mean.lerp(w, psi)
    if cutoff is None or w.ndim == 2:
        return moved
    return torch.cat((moved[:, :cutoff], w[:, cutoff:]), dim=1)


def mean_latent(generator: Generator, *, samples: int = 10_000, seed: int = 0) -> Tensor:
    """The mean w (w_dim,): the checkpoint's own where it has one, else of `samples` codes drawn from `seed`.

    A checkpoint without one holds zeros there.
    """
    stored = generator.mapping.w_avg
    return stored if bool(stored.any()) else measured_mean(generator, samples=samples, seed=seed)


@torch.no_grad()
def measured_mean(generator: Generator, *, samples: int = 10_000, seed: int = 0) -> Tensor:
    """The mean (w_dim,) of `samples` mapped codes drawn from `seed`."""
    random = np.random.RandomState(seed)
    weight = generator.mapping.get_parameter("fc0.weight")
    total = torch.zeros(generator.mapping.w_avg.shape, dtype=torch.float64, device=weight.device)
    for begin in range(0, samples, 1000):
        z = random.randn(min(1000, samples - begin), weight.shape[1])
        total += generator.mapping(torch.from_numpy(z).float().to(weight.device)).double().sum(dim=0)
    return (total / samples).float()


def mixed(first: Tensor, second: Tensor, rows: Sequence[int] | slice) -> Tensor:
    """W+ `first` with `rows` taken from W+ `second` (style mixing by layer). Both (N, num_ws, w_dim); N may be 1."""
    first, second = torch.broadcast_tensors(first, second)
    made = first.clone()
    index = rows if isinstance(rows, slice) else list(rows)
    made[:, index] = second[:, index]
    return made


def towards(code: Tensor, other: Tensor, distance: float) -> Tensor:
    """W+ `code` (N, L, D) moved by `distance` towards `other`; distances are those of all rows together."""
    direction = other - code
    return code + distance * direction / direction.norm(dim=(1, 2), keepdim=True)


@dataclass(frozen=True)
class StyleSpace:
    """S: the names of the modulated layers in order, and the width of each one's style."""

    names: tuple[str, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, config: stylegan2.Config | stylegan3.Config, *, colours: bool = True) -> StyleSpace:
        """The style space of a generator; without `colours`, less what makes colours of the last features.

        config-f of StyleGAN2 has 9088 values at 1024 px, 6048 without colours. StyleGAN3 begins with the four of its
        Fourier features (cosine and sine of a turn, shift).
        """
        if isinstance(config, stylegan3.Config):
            thirds = [layer for layer in config.layers if colours or not layer.to_rgb]
            return cls(("input", *(t.name for t in thirds)), (4, *(t.in_channels for t in thirds)))
        layers = [layer for layer in config.layers if colours or layer.kind != "rgb"]
        return cls(tuple(layer.name for layer in layers), tuple(layer.in_channels for layer in layers))

    @property
    def width(self) -> int:
        """Of all styles side by side: 9088 for config-f at 1024 px."""
        return sum(self.widths)

    def joined(self, styles: Mapping[str, Tensor]) -> Tensor:
        """Named styles -> (N, width), in order. Styles of other layers are left out.

        Raises InputError for one that is missing.
        """
        missing = [name for name in self.names if name not in styles]
        if missing:
            raise InputError(f"no style for layer {missing[0]}")
        return torch.cat([styles[name] for name in self.names], dim=1)

    def split(self, styles: Tensor) -> dict[str, Tensor]:
        """(N, width) -> named styles (views). Raises InputError for another width."""
        if styles.ndim != 2 or styles.shape[1] != self.width:
            raise InputError(f"styles of shape {tuple(styles.shape)} do not fit (N, {self.width})")
        return dict(zip(self.names, styles.split(self.widths, dim=1), strict=True))


def to_uint8(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) of nominal range -1..1 -> (N, H, W, 3) uint8: x 127.5 + 128, clamped, cut off."""
    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
