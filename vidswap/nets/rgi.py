"""E4S, regional GAN inversion (Liu et al. 2023, arXiv:2211.14068): a code per region, a generator guided by a mask.

    net.vectors(images, labels) -> (N, 12, 1280)       what each region looks like; absent regions are exactly zero
    net.codes(vectors)          -> (N, 12, 18, 512)    rows of W+ per region
    net(codes, labels)          -> (N, 3, 1024, 1024)  RGB, nominal range -1..1, not clamped

Images are RGB, -1..1, aligned as FFHQ; labels are integer maps (N, H, W) of any size, one of 0..11 per pixel. In the
first layers (thirteen 3x3 convolutions by default) every pixel is modulated by the code of its own region, so that
texture is exchanged by exchanging codes, and shape by painting labels. Where all pixels of a map have one code, this is
StyleGAN2.

This file is the plain form, one complete layer per region and a sum over masks: the definition, with gradients, slow.
`rgi_fast.FastRegionSynthesis` gives the same numbers for a tenth of the work. Names of tensors: `rgi_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2
from vidswap.nets.layers import MappingNetwork
from vidswap.nets.rgi_encoder import RegionEncoder, RegionMLP, nearest_labels
from vidswap.nets.stylegan2 import Layer, Noise, SynthesisLayer, ToRGB


@dataclass(frozen=True)
class Config:
    """Shape of the networks.

    rows: of W+ that the MLPs give (13, odd), the others are the mean code's; or all (`generator.num_ws`).
    encoder_widths: channels of the stem and of the four groups of units.
    """

    generator: stylegan2.Config = field(default_factory=lambda: stylegan2.Config.of_size(1024))
    rows: int = 13
    regions: int = 12
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512, 512)

    def __post_init__(self) -> None:
        most = self.generator.num_ws
        if self.rows != most and not (self.rows % 2 and 1 <= self.rows < most):
            raise InputError(f"E4S with {self.rows} rows: an odd number below {most}, or {most}, was expected")

    @property
    def masked_convs(self) -> int:
        """The paper's K: how many 3x3 convolutions are masked."""
        return min(self.rows, self.generator.num_ws - 1)

    def is_masked(self, layer: Layer) -> bool:
        """Whether a layer reads every pixel's own code; the others read the code of region 0.

        The last masked size has masked convolutions and, as released, colours that are not.
        """
        level, last = layer.resolution.bit_length() - 3, self.masked_convs // 2
        if layer.kind != "rgb" or level == 0 or self.rows == self.generator.num_ws:
            return level <= last
        return level < last


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the networks whose tensors (in our names) these are. Raises InputError, naming the first amiss."""
    generator = stylegan2.config_of({name.removeprefix("G."): t for name, t in state.items() if name.startswith("G.")})
    stems = ["encoder.input_layer.0.weight", *(f"encoder.body.{i}.res_layer.1.weight" for i in (0, 3, 7, 21))]
    for name in (*stems, "MLPs.0.mlp.2.weight"):
        if name not in state:
            raise InputError(f"not an E4S network: {name} is missing")
    return Config(
        generator,
        rows=state["MLPs.0.mlp.2.weight"].shape[0] // generator.w_dim,
        regions=sum(bool(re.match(r"MLPs\.\d+\.mlp\.0\.weight$", name)) for name in state),
        encoder_widths=tuple(state[name].shape[0] for name in stems),
    )


def check_labels(labels: Tensor, count: int, regions: int) -> None:
    """Hold label maps against a batch. Raises InputError: their number, shape, type or values."""
    if labels.ndim != 3 or labels.is_floating_point() or labels.is_complex():
        raise InputError(f"label maps are integers (N, H, W), not {labels.dtype} of shape {tuple(labels.shape)}")
    if len(labels) != count:
        raise InputError(f"{len(labels)} label maps for {count} images; one each was expected")
    low, high = int(labels.amin()), int(labels.amax())
    if low < 0 or high >= regions:
        raise InputError(f"a label map has the value {low if low < 0 else high}; regions are 0..{regions - 1}")


def convolved(part: SynthesisLayer | ToRGB, x: Tensor, styles: Tensor, labels: Tensor) -> Tensor:
    """A layer's convolution where every pixel is made with its own region's style: all in turn, summed over masks.

    x (N, I, r, r), styles (N, regions, I), or (N, 1, I) for one style everywhere; labels (N, H, W) -> (N, O, R, R).
    """
    if styles.shape[1] == 1:
        return part.convolved(x, styles[:, 0])
    made: Tensor | None = None
    for region in range(styles.shape[1]):
        whole = part.convolved(x, styles[:, region])
        own = whole * (nearest_labels(labels, whole.shape[2]) == region)[:, None]
        made = own if made is None else made + own
    assert made is not None
    return made


class RegionSynthesis(stylegan2.Synthesis):
    """Codes and label maps to images: StyleGAN2's synthesis with masked layers."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.generator)
        self.regional = config

    def styles(self, codes: Tensor) -> dict[str, Tensor]:
        """Codes (N, regions, num_ws, D) -> by layer, (N, regions, in_channels); unmasked (N, 1, in_channels)."""
        made = {}
        for layer, affine in zip(self.config.layers, self.affines(), strict=True):
            rows = codes[:, :, layer.w_index]
            made[layer.name] = affine(rows if self.regional.is_masked(layer) else rows[:, :1])
        return made

    def forward(  # type: ignore[override]
        self,
        codes: Tensor,
        labels: Tensor,
        *,
        noise: Noise = "const",
        generator: torch.Generator | None = None,
        kept: dict[str, Tensor] | None = None,
        below: int | None = None,
    ) -> Tensor:
        """Codes (N, regions, num_ws, D), labels (N, H, W) -> images (N, 3, R, R), nominal range -1..1, not clamped.

        kept: takes every layer's result by its name. below: end with the blocks under this size.

        Raises InputError for label maps that do not fit.
        """
        check_labels(labels, len(codes), codes.shape[1])
        styles = self.styles(codes)
        x = self.get_parameter("b4.const")[None].expand(len(codes), -1, -1, -1)
        image: Tensor | None = None
        for layer in self.config.layers:
            if below is not None and layer.resolution >= below:
                break
            part = self.get_submodule(layer.name)
            if isinstance(part, ToRGB):
                block = self.get_submodule(f"b{layer.resolution}")
                assert isinstance(block, stylegan2.Block)
                colours = part.finished(convolved(part, x, styles[layer.name], labels))
                made = image = block.skipped(image, colours)
            else:
                assert isinstance(part, SynthesisLayer)
                drawn = noise if isinstance(noise, str) else noise[layer.name]
                made = x = part.finished(convolved(part, x, styles[layer.name], labels), drawn, generator)
            if kept is not None:
                kept[layer.name] = made
        assert image is not None
        return image


class RegionGenerator(nn.Module):
    """Mapping, which nothing but training uses, and synthesis."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        shape = config.generator
        self.mapping = MappingNetwork(shape.z_dim, shape.w_dim, shape.mapping_layers)
        self.synthesis = RegionSynthesis(config)


class RGI(nn.Module):
    """Encoder, region MLPs and generator; shapes in the module's docstring."""

    latent_avg: Tensor

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        shape = config.generator
        self.encoder = RegionEncoder(config.encoder_widths, config.regions)
        self.MLPs = nn.ModuleList(
            RegionMLP(self.encoder.vector_width, shape.w_dim, config.rows) for _ in range(config.regions)
        )
        self.G = RegionGenerator(config)
        self.register_buffer("latent_avg", torch.zeros(shape.num_ws, shape.w_dim))

    def vectors(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images (N, 3, S, S) in -1..1, labels (N, H, W) -> (N, regions, 1280), zeros for absent regions."""
        check_labels(labels, len(images), self.config.regions)
        return self.encoder(images, labels)

    def codes(self, vectors: Tensor) -> Tensor:
        """Vectors (N, regions, 1280) -> codes (N, regions, num_ws, D); those of zero vectors are valid codes too."""
        made = torch.stack([mlp(vectors[:, region]) for region, mlp in enumerate(self.MLPs)], dim=1)
        rest = self.latent_avg[self.config.rows :].expand(*made.shape[:2], -1, -1)
        return torch.cat((made + self.latent_avg[: self.config.rows], rest), dim=2)

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images (N, 3, S, S) in -1..1, labels (N, H, W) -> codes (N, regions, num_ws, D)."""
        return self.codes(self.vectors(images, labels))

    def forward(
        self, codes: Tensor, labels: Tensor, *, noise: Noise = "const", generator: torch.Generator | None = None
    ) -> Tensor:
        """Codes (N, regions, num_ws, D), labels (N, H, W) -> images (N, 3, R, R), nominal range -1..1, not clamped."""
        return self.G.synthesis(codes, labels, noise=noise, generator=generator)


Net = RGI
