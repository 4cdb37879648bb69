"""Driving a portrait in style space: StyleMask's mix of two codes, and what must be computed of them for it.

Of the portrait all styles are made, once. Of a driver's frame only the codes that the masks control are: the first rows
of its W+, and the affine maps of as many 3x3 convolutions. ToRGB and the finer convolutions are the portrait's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2, stylemask

Space = Literal["style", "wplus"]


@dataclass(frozen=True)
class Codes:
    """controlled: (N, W), what masks see and mix; styles: per layer (N, width), what the synthesis takes."""

    controlled: Tensor
    styles: dict[str, Tensor]


class StyleMixer:
    """Portraits and drivers of one generator, mixed by one set of mask networks.

    Args:
        synthesis: of the generator; only its affine maps are used.
        masks: the networks. One per convolution, or a single one for several together.
        space: what they mix: "style", S of the first convolutions (the paper's); "wplus", the rows of W+ that those
            convolutions read.

    Raises InputError where the networks do not fit the generator.
    """

    def __init__(self, synthesis: stylegan2.Synthesis, masks: stylemask.MaskNetworks, space: Space = "style") -> None:
        if space not in get_args(Space):
            raise InputError(f"masks mix in style or wplus, not in {space!r}")
        self.synthesis, self.masks, self.space = synthesis, masks, space
        self.layers = controlled_layers(synthesis.config, masks.config, space)
        self.rows = max(layer.w_index for layer in self.layers) + 1
        """How many first rows of a driver's W+ are read."""

    def portrait(self, wplus: Tensor) -> Codes:
        """All codes of portraits (N, num_ws, D)."""
        return Codes(self._controlled(wplus), self.synthesis.styles(wplus))

    def driven(self, portrait: Codes, driver: Tensor) -> Codes:
        """The portrait (one, or N) as the drivers' W+ (N, `rows` or more, D) have it; may be driven again."""
        seen = self._controlled(driver)
        mask = self.masks(portrait.controlled, seen)
        mixed = stylemask.mixed(mask, portrait.controlled, seen)
        styles = {name: style.expand(len(mixed), -1) for name, style in portrait.styles.items()}
        return Codes(mixed, {**styles, **self._styles(mixed)})

    def mask(self, portrait: Codes, driver: Tensor) -> Tensor:
        """The masks themselves (N, W), 1 being the driver's."""
        return self.masks(portrait.controlled, self._controlled(driver))

    def _controlled(self, wplus: Tensor) -> Tensor:
        rows = [wplus[:, layer.w_index] for layer in self.layers]
        if self.space == "wplus":
            return torch.cat(rows, dim=1)
        return torch.cat([self._affine(layer)(row) for layer, row in zip(self.layers, rows, strict=True)], dim=1)

    def _styles(self, controlled: Tensor) -> dict[str, Tensor]:
        if self.space == "style":
            parts = controlled.split([layer.in_channels for layer in self.layers], dim=1)
            return {layer.name: part for layer, part in zip(self.layers, parts, strict=True)}
        parts = controlled.split(self.synthesis.config.w_dim, dim=1)
        return {layer.name: self._affine(layer)(part) for layer, part in zip(self.layers, parts, strict=True)}

    def _affine(self, layer: stylegan2.Layer) -> torch.nn.Module:
        return self.synthesis.get_submodule(f"{layer.name}.affine")


def controlled_layers(
    generator: stylegan2.Config, masks: stylemask.Config, space: Space = "style"
) -> tuple[stylegan2.Layer, ...]:
    """The first 3x3 convolutions whose codes are together as wide as the masks. Raises InputError where none are."""
    convolutions = [layer for layer in generator.layers if layer.kind != "rgb"]
    width = 0
    for count, layer in enumerate(convolutions, start=1):
        width += layer.in_channels if space == "style" else generator.w_dim
        if width == masks.width:
            return tuple(convolutions[:count])
    raise InputError(
        f"masks of {masks.width} values do not fit this generator of {generator.resolution} px, whose codes in {space} "
        f"are {width} wide; give networks that were trained on it"
    )
