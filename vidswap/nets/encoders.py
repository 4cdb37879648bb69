"""Encoders from faces to W+: pSp (Richardson et al. 2021), e4e (Tov et al. 2021), ReStyle (Alaluf et al. 2021).

All stand on IR-SE50 and take FFHQ-aligned RGB crops of 256 px, nominal range -1..1; ReStyle takes the target and the
present render side by side (6 channels). They give offsets: callers add the checkpoint's mean (`latent_avg`) where it
says `start_from_latent_avg`. Names are those of the released state dicts without their prefix `encoder.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.ir_se50 import FIRSTS, WIDTHS, Trunk
from vidswap.nets.layers import FullyConnected
from vidswap.nets.resnet import is_resnet_encoder

Family = Literal["pyramid", "backbone", "w", "wplus", "resnet"]

_WIDTH = 512
# First rows of W+ that are read off the finer maps; the coarse rows before them are read off the 16 px map.
_MIDDLE, _FINE = 3, 7


@dataclass(frozen=True)
class Config:
    """Shape of an encoder. pyramid: pSp and e4e; backbone: both kinds of ReStyle; w, wplus: pSp's plain heads;
    resnet: ReStyle on ResNet-34 (`vidswap.nets.resnet`).

    Encoders of one family have equal keys: what is to be done with the heads' results is not in the weights.
    `widths` are those of the trunk, the last one also that of the heads' convolutions; codes have `w_dim` values.
    """

    family: Family = "pyramid"
    n_styles: int = 18
    input_channels: int = 3
    widths: tuple[int, ...] = WIDTHS
    w_dim: int = _WIDTH


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the encoder whose state dict this is. Raises InputError where it is none."""
    heads = sum(bool(re.match(r"styles\.\d+\.linear\.weight$", name)) for name in state)
    if is_resnet_encoder(state):
        return Config("resnet", heads, state["conv1.weight"].shape[1])
    stem = state.get("input_layer.0.weight")
    if stem is None or stem.ndim != 4 or "body.23.res_layer.5.fc2.weight" not in state:
        raise InputError("not an IR-SE50 encoder: input_layer.0.weight or body.23.res_layer.5.fc2.weight is missing")
    widths = (stem.shape[0], *(_width_of(state, f"body.{unit}.res_layer.1.weight") for unit in FIRSTS))
    if heads:
        family: Family = "pyramid" if "latlayer1.weight" in state else "backbone"
        return Config(family, heads, stem.shape[1], widths, _width_of(state, "styles.0.linear.weight"))
    if "output_layer_2.3.weight" in state and "linear.weight" in state:
        return Config("wplus", state["linear.weight"].shape[0] // _WIDTH, stem.shape[1], widths)
    if "linear.weight" in state:
        return Config("w", 1, stem.shape[1], widths, _width_of(state, "linear.weight"))
    raise InputError("not an encoder to W+: styles.0.linear.weight and linear.weight are missing")


def _width_of(state: Mapping[str, Tensor], name: str) -> int:
    if name not in state or not state[name].ndim:
        raise InputError(f"not an IR-SE50 encoder: {name} is missing or misshaped")
    return state[name].shape[0]


class StyleHead(nn.Module):
    """A map of `size` px to one code: convolutions of stride 2 down to 1 px, then an equalised linear layer."""

    def __init__(self, size: int, inward: int = _WIDTH, outward: int = _WIDTH, w_dim: int | None = None) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for i in range(size.bit_length() - 1):
            parts += [nn.Conv2d(outward if i else inward, outward, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*parts)
        self.linear = FullyConnected(outward, w_dim or outward)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, size, size) -> (N, O)."""
        return self.linear(self.convs(x).flatten(1))


def upsampled_sum(coarse: Tensor, fine: Tensor) -> Tensor:
    """`coarse` brought bilinearly (corners aligned) to the size of `fine`, plus `fine`."""
    return F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=True) + fine


class _Heads(Trunk):
    """A trunk with one head per row of W+; which map each row reads is the subclass's."""

    family: Family

    def __init__(self, config: Config, sizes: list[int]) -> None:
        super().__init__(config.input_channels, config.widths)
        if config.family != self.family:
            raise InputError(
                f"{type(self).__name__} takes a configuration of family {self.family}, not {config.family}"
            )
        self.config = config
        width = config.widths[-1]
        self.styles = nn.ModuleList(StyleHead(size, width, width, config.w_dim) for size in sizes)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse, middle and fine maps of an image."""
        raise NotImplementedError

    def rows(self, x: Tensor, count: int) -> list[Tensor]:
        """Results of the first `count` heads, (N, w_dim) each."""
        maps = self.maps(x)
        return [self.styles[i](maps[(i >= _MIDDLE) + (i >= _FINE)]) for i in range(count)]

    def offsets(self, x: Tensor, rows: int | None) -> Tensor:
        """(N, n_styles or `rows`, 512): every row is its head's."""
        return torch.stack(self.rows(x, self.config.n_styles if rows is None else rows), dim=1)

    def progressive(self, x: Tensor, rows: int | None, stage: int | None) -> Tensor:
        """(N, n_styles or `rows`, 512): row 0 is w0, row i is w0 plus head i's result; from row `stage` + 1 on w0."""
        total = self.config.n_styles if rows is None else rows
        heads = self.rows(x, total if stage is None else min(stage + 1, total))
        first = heads[0]
        codes = [first, *(first + delta for delta in heads[1:])]
        return torch.stack(codes + [first] * (total - len(codes)), dim=1)


class _Pyramid(_Heads):
    family = "pyramid"

    def __init__(self, config: Config) -> None:
        super().__init__(config, [16 << ((i >= _MIDDLE) + (i >= _FINE)) for i in range(config.n_styles)])
        fine, middle, coarse = config.widths[-3:]
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of equal width at 16, 32 and 64 px."""
        fine, middle, coarse = self.features(x)
        middle = upsampled_sum(coarse, self.latlayer1(middle))
        return coarse, middle, upsampled_sum(middle, self.latlayer2(fine))


class GradualStyleEncoder(_Pyramid):
    """pSp: (N, 3, 256, 256) -> offsets (N, n_styles, 512)."""

    def forward(self, x: Tensor, *, rows: int | None = None) -> Tensor:
        """rows: only so many of the first rows, which saves the other heads."""
        return self.offsets(x, rows)


class Encoder4Editing(_Pyramid):
    """e4e: (N, 3, 256, 256) -> (N, n_styles, 512), all rows near the first."""

    def forward(self, x: Tensor, *, rows: int | None = None, stage: int | None = None) -> Tensor:
        """rows: only so many of the first rows, which saves the others. stage: heads 1..stage alone add offsets."""
        return self.progressive(x, rows, stage)


class _Backbone(_Heads):
    family = "backbone"

    def __init__(self, config: Config) -> None:
        super().__init__(config, [16] * config.n_styles)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The 16 px map, for all rows."""
        coarse = self.features(x)[2]
        return coarse, coarse, coarse


class BackboneEncoder(_Backbone):
    """ReStyle over pSp: (N, 6, 256, 256), target and render -> residual (N, n_styles, 512)."""

    def forward(self, x: Tensor, *, rows: int | None = None) -> Tensor:
        """rows: only so many of the first rows."""
        return self.offsets(x, rows)


class ProgressiveEncoder(_Backbone):
    """ReStyle over e4e: (N, 6, 256, 256), target and render -> residual (N, n_styles, 512), all rows near the first."""

    def forward(self, x: Tensor, *, rows: int | None = None, stage: int | None = None) -> Tensor:
        """rows: only so many of the first rows. stage: heads 1..stage alone add offsets."""
        return self.progressive(x, rows, stage)


class WEncoder(Trunk):
    """pSp's head to a single code: (N, 3, 256, 256) -> (N, 512)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.input_channels, config.widths)
        self.config = config
        self.linear = FullyConnected(config.widths[-1], config.w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Images to offsets in W."""
        return self.linear(self.features(x)[2].mean(dim=(2, 3)))


class WPlusEncoder(Trunk):
    """pSp's pooled head: (N, 3, 256, 256) -> (N, n_styles, 512)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.input_channels, config.widths)
        self.config = config
        width = config.widths[-1]
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(width * 7 * 7, _WIDTH)
        )
        self.linear = FullyConnected(_WIDTH, _WIDTH * config.n_styles)

    def forward(self, x: Tensor) -> Tensor:
        """Images to offsets in W+."""
        codes = self.linear(self.output_layer_2(self.features(x)[2]))
        return codes.reshape(len(x), self.config.n_styles, _WIDTH)
