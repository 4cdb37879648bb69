"""StyleMask (Bounareli et al. 2023, arXiv:2209.13375): which values of a style a portrait takes over from a driver.

For every controlled layer one small network sees how far the two styles are apart and gives a mask between 0 and 1:

    m = M(s_source - s_driver),    s = m s_driver + (1 - m) s_source,

over the first values of S, those of the first twelve 3x3 convolutions; the rest of S, ToRGB and noise are the source's.
Names are those of the released checkpoint. What the controlled values are is the caller's: S of the convolutions, one
network over all of them together (`Config((5632,))`), or rows of W+ (`Config((512,) * 12)`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidswap.graph.errors import InputError
from vidswap.nets.stylegan2 import Config as GeneratorConfig

CONTROLLED = 12
"""3x3 convolutions whose styles are mixed at 1024 px."""


@dataclass(frozen=True)
class Config:
    """Widths of the mask networks, in the order of the codes that they control."""

    widths: tuple[int, ...] = (512,) * 10 + (256,) * 2

    @classmethod
    def of(cls, generator: GeneratorConfig, *, layers: int | None = None, single: bool = False) -> Config:
        """Masks for the first `layers` 3x3 convolutions of a generator; `single`: one network for all together.

        Without `layers`, all convolutions but the last five, as at 1024 px. Raises InputError for more than there are.
        """
        widths = tuple(layer.in_channels for layer in generator.layers if layer.kind != "rgb")
        count = max(1, len(widths) - 5) if layers is None else layers
        if not 1 <= count <= len(widths):
            raise InputError(f"a generator of {generator.resolution} px has {len(widths)} convolutions, not {count}")
        return cls((sum(widths[:count]),) if single else widths[:count])

    @property
    def width(self) -> int:
        """Values that are controlled: 5632 for the released networks."""
        return sum(self.widths)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the mask networks whose state dict this is. Raises InputError, naming what is amiss."""
    found = sorted(int(m[1]) for name in state if (m := re.match(r"network_(\d\d)\.masknet\.0\.weight$", name)))
    if not found or found != list(range(len(found))):
        raise InputError(f"not StyleMask's networks: there are {found or 'none'}, not network_00, network_01, ...")
    return Config(tuple(state[f"network_{i:02d}.masknet.0.weight"].shape[0] for i in found))


class Mask(nn.Module):
    """Difference of two styles (N, width) -> mask (N, width), 0..1; around one half before training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, outer = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (inner, outer):
            # Arithmetic without storage, and so nn.init's, makes torch load its compiler, which takes seconds.
            if not layer.weight.is_meta:
                nn.init.normal_(layer.weight, std=0.01)
        self.masknet = nn.Sequential(inner, nn.ReLU(), outer, nn.Sigmoid())

    def forward(self, difference: Tensor) -> Tensor:
        """Layer by layer, each by itself."""
        return self.masknet(difference)


class MaskNetworks(nn.Module):
    """One mask network for each controlled layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for i, width in enumerate(config.widths):
            self.add_module(f"network_{i:02d}", Mask(width))

    def forward(self, source: Tensor, driver: Tensor) -> Tensor:
        """Codes (N, >= width), of which either may be one row -> mask (N, width), 1 being the driver's."""
        width = self.config.width
        parts = (source[:, :width] - driver[:, :width]).split(self.config.widths, dim=1)
        return torch.cat([net(part) for net, part in zip(self.children(), parts, strict=True)], dim=1)


def mixed(mask: Tensor, source: Tensor, driver: Tensor) -> Tensor:
    """Codes (N, width of source): the driver's where the mask (N, W) is 1, the source's where it is 0 and from W on.

    source: (N or 1, >= W); driver: (N or 1, >= W).
    """
    width = mask.shape[1]
    made = mask * driver[:, :width] + (1 - mask) * source[:, :width]
    return torch.cat((made, source[:, width:].expand(len(made), -1)), dim=1)


Net = MaskNetworks
