"""Names and shapes of StyleGAN's tensors, from a configuration: what a whole checkpoint must have, no more and no less.

Each function returns `Shapes`, in the order of the official files; each `..._config` reads the configuration out of the
shapes that a file has, without trusting that they are whole. No torch here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Config = dict[str, Any]


def indices(shapes: Mapping[str, Shape], pattern: str) -> list[int]:
    """The numbers that the group of `pattern` takes in the names, sorted."""
    compiled = re.compile(pattern)
    return sorted({int(found[1]) for name in shapes if (found := compiled.fullmatch(name))})


def dim(shapes: Mapping[str, Shape], name: str, axis: int, otherwise: int = 0) -> int:
    """Length of an axis of a tensor that may be missing or have fewer axes."""
    shape = shapes.get(name, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else otherwise


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    """A fully connected layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def under(prefix: str, shapes: Mapping[str, Shape]) -> Shapes:
    """The same shapes with a prefix before their names."""
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


def mapping_network(z_dim: int, c_dim: int, w_dim: int, layers: int) -> Shapes:
    """NVlabs' mapping network."""
    made: Shapes = {"mapping.w_avg": (w_dim,)}
    if c_dim:
        made |= linear("mapping.embed", c_dim, w_dim)
    width = z_dim + (w_dim if c_dim else 0)
    for i in range(layers):
        made |= linear(f"mapping.fc{i}", width, w_dim)
        width = w_dim
    return made


def _mapping_config(shapes: Mapping[str, Shape]) -> Config:
    c_dim, w_dim = dim(shapes, "mapping.embed.weight", 1), dim(shapes, "mapping.fc0.weight", 0)
    return {
        "z_dim": dim(shapes, "mapping.fc0.weight", 1) - (w_dim if c_dim else 0),
        "c_dim": c_dim,
        "w_dim": w_dim,
        "mapping_layers": len(indices(shapes, r"mapping\.fc(\d+)\.weight")),
    }


def stylegan2_nvlabs(config: Config) -> Shapes:
    """StyleGAN2(-ADA) as NVlabs names it. config: channels of 4, 8, ... px, z_dim, c_dim, w_dim, mapping_layers."""
    w_dim, channels = config["w_dim"], config["channels"]
    made: Shapes = {}

    def layer(name: str, inputs: int, outputs: int, size: int) -> None:
        made.update(
            {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.noise_strength": (), f"{name}.bias": (outputs,)}
        )
        made.update({f"{name}.resample_filter": (4, 4), f"{name}.noise_const": (size, size)})
        made.update(linear(f"{name}.affine", w_dim, inputs))

    for level, width in enumerate(channels):
        size, block = 4 << level, f"synthesis.b{4 << level}"
        if not level:
            made[f"{block}.const"] = (width, 4, 4)
        made[f"{block}.resample_filter"] = (4, 4)
        if level:
            layer(f"{block}.conv0", channels[level - 1], width, size)
        layer(f"{block}.conv1", width, width, size)
        made |= {f"{block}.torgb.weight": (3, width, 1, 1), f"{block}.torgb.bias": (3,)}
        made |= linear(f"{block}.torgb.affine", w_dim, width)
    return made | mapping_network(config["z_dim"], config["c_dim"], w_dim, config["mapping_layers"])


def stylegan2_nvlabs_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a generator in NVlabs' names."""
    sizes = [size for size in indices(shapes, r"synthesis\.b(\d+)\.conv1\.weight") if size <= 1 << 14]
    channels = [dim(shapes, f"synthesis.b{size}.conv1.weight", 0) for size in sizes]
    return {"resolution": sizes[-1] if sizes else 0, "channels": channels, **_mapping_config(shapes)}


def stylegan2_rosinality(config: Config) -> Shapes:
    """StyleGAN2 as rosinality names it: `g_ema` of the checkpoint, without `latent_avg`."""
    w_dim, channels = config["w_dim"], config["channels"]
    made: Shapes = {}
    for i in range(config["mapping_layers"]):
        made |= linear(f"style.{i + 1}", config["z_dim"] if i == 0 else w_dim, w_dim)

    def layer(name: str, inputs: int, outputs: int, *, is_up: bool = False) -> None:
        made[f"{name}.conv.weight"] = (1, outputs, inputs, 3, 3)
        if is_up:
            made[f"{name}.conv.blur.kernel"] = (4, 4)
        made.update(linear(f"{name}.conv.modulation", w_dim, inputs))
        made.update({f"{name}.noise.weight": (1,), f"{name}.activate.bias": (outputs,)})

    def to_rgb(name: str, inputs: int, *, is_first: bool = False) -> None:
        made[f"{name}.bias"] = (1, 3, 1, 1)
        if not is_first:
            made[f"{name}.upsample.kernel"] = (4, 4)
        made[f"{name}.conv.weight"] = (1, 3, inputs, 1, 1)
        made.update(linear(f"{name}.conv.modulation", w_dim, inputs))

    if channels:
        made["input.input"] = (1, channels[0], 4, 4)
        layer("conv1", channels[0], channels[0])
        to_rgb("to_rgb1", channels[0], is_first=True)
    for level in range(1, len(channels)):
        layer(f"convs.{2 * level - 2}", channels[level - 1], channels[level], is_up=True)
        layer(f"convs.{2 * level - 1}", channels[level], channels[level])
    for level in range(1, len(channels)):
        to_rgb(f"to_rgbs.{level - 1}", channels[level])
    for k in range(2 * len(channels) - 1):
        size = 4 << ((k + 1) // 2)
        made[f"noises.noise_{k}"] = (1, 1, size, size)
    return made


def stylegan2_rosinality_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a generator in rosinality's names."""
    levels = [i for i in indices(shapes, r"to_rgbs\.(\d+)\.conv\.weight") if i < 12]
    channels = [dim(shapes, "input.input", 1)]
    channels += [dim(shapes, f"convs.{2 * i + 1}.conv.weight", 1) for i in levels]
    return {
        "resolution": 4 << len(levels),
        "channels": channels,
        "z_dim": dim(shapes, "style.1.weight", 1),
        "c_dim": 0,
        "w_dim": dim(shapes, "conv1.conv.modulation.weight", 1),
        "mapping_layers": len(indices(shapes, r"style\.(\d+)\.weight")),
    }


def stylegan3(config: Config) -> Shapes:
    """StyleGAN3 T or R. config: resolution, variant, kernel, input_channels, channels (per layer), mapping as above."""
    resolution, w_dim, kernel, channels = (config[k] for k in ("resolution", "w_dim", "kernel", "channels"))
    first = config["input_channels"]
    made: Shapes = {"synthesis.input.weight": (first, first), "synthesis.input.transform": (3, 3)}
    made |= {"synthesis.input.freqs": (first, 2), "synthesis.input.phases": (first,)}
    made |= linear("synthesis.input.affine", w_dim, 4)
    rates = sampling_rates(resolution, len(channels) - 1)
    for i, width in enumerate(channels):
        is_rgb, below = i == len(channels) - 1, channels[i - 1] if i else first
        size = resolution if i >= len(channels) - 2 else rates[i] + 20
        name, side = f"synthesis.L{i}_{size}_{width}", 1 if is_rgb else kernel
        made[f"{name}.weight"] = (width, below, side, side)
        made |= {f"{name}.bias": (width,), f"{name}.magnitude_ema": ()}
        if not is_rgb:
            above = rates[max(i - 1, 0)]
            middle = 2 * max(above, rates[i])
            down = (6 * middle // rates[i],)
            made[f"{name}.up_filter"] = (6 * middle // above,)
            made[f"{name}.down_filter"] = down * 2 if config["variant"] == "r" and i < len(channels) - 3 else down
        made |= linear(f"{name}.affine", w_dim, below)
    return made | mapping_network(config["z_dim"], config["c_dim"], w_dim, config["mapping_layers"])


def sampling_rates(resolution: int, layers: int) -> list[int]:
    """Rates of the layers 0..layers (the last is ToRGB): 2^ceil(log2(min(2 ft, R))), two of the layers critical."""
    low = 2**2.1
    high = resolution / 2 * 2**0.3
    stopbands = [low * (high / low) ** min(i / max(layers - 2, 1), 1) for i in range(layers + 1)]
    return [1 << math.ceil(math.log2(min(2 * stop, resolution))) for stop in stopbands]


def stylegan3_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a StyleGAN3 generator."""
    pattern = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.weight")
    layers = sorted((int(m[2]), int(m[3]), int(m[4]), m[1]) for name in shapes if (m := pattern.fullmatch(name)))
    kernel = dim(shapes, f"synthesis.{layers[0][3]}.weight", -1, 1) if layers else 1
    radial = bool(layers) and len(shapes.get(f"synthesis.{layers[0][3]}.down_filter", ())) == 2
    size = layers[-1][1] if layers else 0
    return {
        "resolution": size if 16 <= size <= 1 << 14 else 16,
        "variant": "r" if radial else "t",
        "kernel": kernel,
        "input_channels": dim(shapes, "synthesis.input.weight", 0),
        "channels": [width for _, _, width, _ in layers],
        **_mapping_config(shapes),
    }
