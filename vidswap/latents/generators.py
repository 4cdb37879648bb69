"""Generators ready to run: StyleGAN2 or 3 from any weights, on a device, in a precision, from codes to pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.latents import differences, spaces
from vidswap.nets import stylegan2, stylegan2_fast, stylegan3, stylegan3_fast
from vidswap.nets.devices import BOUNDS, InBatches, Precision, full_float32, loading, relative_rms
from vidswap.nets.layers import assembled, seeded
from vidswap.weights import Checkpoint, in_layout, load
from vidswap.weights.recognition import Part
from vidswap.weights.store import is_file_name

Family = Literal["stylegan2", "stylegan3"]
Net = stylegan2.Generator | stylegan3.Generator
_FAMILIES: dict[str, Any] = {"stylegan2": stylegan2, "stylegan3": stylegan3}
_TITLES = {"stylegan2": "StyleGAN2", "stylegan3": "StyleGAN3"}
PRECISIONS: dict[str, stylegan2_fast.Precision] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_RANDOM_PIXELS = 64
_FULL_FROM = 256
"""Random networks for pictures of fewer pixels a side are narrow: they are for tests and trials of a pipeline."""


@dataclass(frozen=True)
class RandomWeights:
    """What `random`, `random:256` or `random:256:7` ask for: pixels of the pictures, and the seed."""

    resolution: int = _RANDOM_PIXELS
    seed: int = 0

    @property
    def warning(self) -> str:
        """What is said wherever they are used."""
        return "the weights are random: what comes out shows that the pipeline runs, and no face"


def random_weights(weights: str) -> RandomWeights | None:
    """The request for random weights that this is; None for the name or file of real ones. Raises InputError."""
    if weights.split(":")[0] != "random":
        return None
    match = re.fullmatch(r"random(?::(\d+)(?::(\d+))?)?", weights)
    size = int(match[1] or _RANDOM_PIXELS) if match else 0
    if match is None or size not in (16, 32, 64, 128, 256, 512, 1024, 2048):
        raise InputError(f"weights {weights!r}: write random, random:256 or random:256:SEED, of 16, 32, ... 2048 px")
    return RandomWeights(size, int(match[2] or 0))


@dataclass(frozen=True)
class Loaded:
    """A generator as a file has it, in float32 on the CPU; warnings are for the user."""

    net: Net
    family: Family
    title: str
    warnings: tuple[str, ...] = ()

    @property
    def resolution(self) -> int:
        """Pixels a side of its pictures."""
        return self.net.config.resolution

    @property
    def num_ws(self) -> int:
        """Rows of its W+."""
        return self.net.config.num_ws


def load_generator(weights: str, family: Family | None = None, *, variant: str = "T") -> Loaded:
    """The generator in weights: a name of the store, a file, or `random`, where `family` and `variant` choose.

    Of files with several networks (e4e and its like) it is the decoder. A file of differences (`vidswap tune`) is its
    base, tuned. Raises InputError, one line.
    """
    wanted = random_weights(weights)
    if wanted is not None:
        return random_generator(wanted, family or "stylegan2", variant)
    if is_file_name(weights) and differences.is_difference(Path(weights)):
        return tuned(load_generator(differences.read(Path(weights))[0].base, family), Path(weights))
    return generator_of(load(weights), weights, family)


def tuned(base: Loaded, file: Path) -> Loaded:
    """A generator with a file of differences; `base` is used up. Raises InputError where it was tuned on another."""
    differences.applied(base.net, file)
    return replace(base, title=f"{base.title}, tuned ({file.name})")


def generator_part(checkpoint: Checkpoint, weights: str, family: Family | None = None) -> tuple[str, Part]:
    """Prefix and description of the generator in a checkpoint. Raises InputError where it has none, or of another
    family."""
    found = {prefix: part for prefix, part in checkpoint.parts.items() if part.network in _FAMILIES}
    if not found:
        told = f"{_TITLES[family]} generator" if family else "StyleGAN2 or StyleGAN3 generator"
        raise InputError(f"{weights}: holds {checkpoint.title}, no {told}")
    prefix, part = next(iter(found.items()))
    if family is not None and part.network != family:
        raise InputError(f"{weights}: holds {part.title}, no {_TITLES[family]}; use generate.{part.network} for it")
    if part.config.get("c_dim"):
        raise InputError(f"{weights}: a generator with classes (mapping.embed), which is not supported")
    return prefix, part


def rows_of(part: Part) -> int:
    """Rows of W+ of a generator, from the description of a checkpoint's part."""
    return 2 * len(part.config["channels"]) if part.network == "stylegan2" else len(part.config["channels"]) + 1


def generator_of(checkpoint: Checkpoint, weights: str, family: Family | None = None) -> Loaded:
    """The generator in an opened checkpoint. Raises InputError, one line."""
    prefix, part = generator_part(checkpoint, weights, family)
    if part.network == "stylegan2" and part.layout != "nvlabs":
        checkpoint = in_layout(checkpoint, "nvlabs")
    module = _FAMILIES[part.network]
    state = {name: t.float() if t.is_floating_point() else t for name, t in checkpoint.part(prefix).items()}
    config = module.config_of(state)
    inner = checkpoint.options.get("synthesis_kwargs")
    clamp = (inner if isinstance(inner, dict) else checkpoint.options).get("conv_clamp")
    # A generator that was trained with a clamp is another function without it.
    if isinstance(clamp, (int, float)) and clamp > 0:
        config = replace(config, clamp=float(clamp))
    found: Family = "stylegan2" if part.network == "stylegan2" else "stylegan3"
    return Loaded(assembled(lambda: module.Generator(config), state), found, part.title)


def random_generator(wanted: RandomWeights, family: Family, variant: str = "T") -> Loaded:
    """A generator of random weights that depend on the seed alone, with a mean code."""
    size = wanted.resolution
    config: Any
    if family == "stylegan2":
        narrow: dict[str, int] = {"channel_base": 2048, "channel_max": 32} if size < _FULL_FROM else {}
        config = stylegan2.Config.of_size(size, **narrow)
        title = f"StyleGAN2 of {size} px with random weights"
    else:
        config = stylegan3.Config.of_size(size, variant)
        if size < _FULL_FROM:
            config = replace(config, channels=tuple(min(width, 32) for width in config.channels))
        title = f"StyleGAN3-{variant} of {size} px with random weights"
    net = seeded(lambda: _FAMILIES[family].Generator(config), wanted.seed)
    net.mapping.w_avg.copy_(spaces.measured_mean(net, samples=1000, seed=wanted.seed))
    return Loaded(net, family, title, (wanted.warning,))


def with_noise(net: Net, noise: str) -> None:
    """Set the noise of a StyleGAN2: `const` (its own), `none`, or `random:SEED` (other maps, equal for all images).

    In place. Raises InputError for other words and for StyleGAN3, which has none.
    """
    match = re.fullmatch(r"const|none|random(?::(\d+))?", noise)
    if match is None:
        raise InputError(f"noise {noise!r} is none of const, none, random, random:SEED")
    if noise == "const":
        return
    if isinstance(net, stylegan3.Generator):
        raise InputError(f"noise {noise!r} was asked for, but StyleGAN3 has no noise; leave it out")
    draw = torch.Generator().manual_seed(int(match[1] or 0))
    for layer in net.synthesis.config.layers:
        if layer.kind != "rgb":
            maps = net.synthesis.get_buffer(f"{layer.name}.noise_const")
            drawn = torch.randn(maps.shape, generator=draw) if noise != "none" else torch.zeros(maps.shape)
            # The file's own tensor may be mapped from it.
            net.synthesis.get_submodule(layer.name).register_buffer("noise_const", drawn)


def with_view(net: Net, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> None:
    """Move what a StyleGAN3 shows: to the right and down, in widths of the picture, and turned counter-clockwise by
    degrees about its middle. The codes stay, and what comes in at the border is generated too.

    In place, as NVlabs' tools do it. Raises InputError for StyleGAN2, which cannot.
    """
    if (*translate, rotate) == (0, 0, 0):
        return
    if not isinstance(net, stylegan3.Generator):
        raise InputError("pictures can be moved and turned by StyleGAN3 alone; leave --translate and --rotate out")
    c, s = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
    forward = torch.tensor([[c, s, translate[0]], [-s, c, translate[1]], [0, 0, 1]], dtype=torch.float64)
    # The file's own tensor may be mapped from it.
    net.synthesis.input.register_buffer("transform", torch.linalg.inv(forward).float())


class Painter:
    """Codes to pictures, some at a time; see `InBatches` for what a batch means on which device.

    `warnings` are for the user: random weights, half precision that was not exact enough, memory that was short.
    """

    def __init__(self, loaded: Loaded, *, device: torch.device, precision: Precision = "fp32", batch: int = 8) -> None:
        self.loaded, self.device = loaded, device
        self.warnings = list(loaded.warnings)
        self._batches = InBatches(device, batch, what=f"pictures of {loaded.resolution} px")
        if device.type == "cuda":
            full_float32()
        with loading(loaded.title, device):
            self.synthesis, self.precision = self._prepared(precision)

    def _prepared(self, precision: Precision) -> tuple[Callable[[Tensor], Tensor], Precision]:
        net = self.loaded.net.to(self.device)
        if precision == "fp32":
            return self._exact(net), "fp32"
        codes = net.mapping(spaces.seeded_z([0, 1], net.config.z_dim).to(self.device))
        codes = spaces.broadcast(net, spaces.truncated(codes, net.mapping.w_avg, 0.7))
        synthesis: stylegan2_fast.FastSynthesis | stylegan3_fast.FastSynthesis
        if isinstance(net, stylegan2.Generator):
            synthesis, error = stylegan2_fast.fastest_exact_enough(
                net.synthesis,
                codes,
                precision=PRECISIONS[precision],
                bound=BOUNDS[precision],
                device=self.device,
                calling=self._batches,
            )
            if synthesis.precision != "float32":
                return synthesis, precision
            told = ""
        else:
            synthesis = stylegan3_fast.FastSynthesis(net.synthesis, precision=PRECISIONS[precision])
            exact = stylegan3_fast.FastSynthesis(net.synthesis)
            error = relative_rms(self._batches(synthesis, codes), self._batches(exact, codes))
            if error <= BOUNDS[precision]:
                return synthesis, precision
            told = f" by {error:.2g}"
        told = f"{precision} differs from fp32{told}, more than {BOUNDS[precision]:g}"
        self.warnings.append(f"{self.loaded.title}: {told}; running in fp32")
        return self._exact(net), "fp32"

    def _exact(self, net: Net) -> Callable[[Tensor], Tensor]:
        if isinstance(net, stylegan2.Generator):
            return stylegan2_fast.FastSynthesis(net.synthesis, device=self.device)
        return stylegan3_fast.FastSynthesis(net.synthesis, device=self.device)

    def check_codes(self, shape: tuple[int, ...]) -> None:
        """Raises InputError where codes with rows of this shape (L, D) do not fit the generator."""
        own = (self.loaded.num_ws, self.loaded.net.config.w_dim)
        if tuple(shape) != own:
            raise InputError(misfit(tuple(shape), own, self.loaded.title))

    def pictures(self, wplus: Tensor) -> np.ndarray:
        """W+ (N, L, D) -> (N, R, R, 3) uint8 RGB. Raises InputError for codes that do not fit."""
        self.check_codes(tuple(wplus.shape[1:]))
        return self._made(lambda codes: spaces.to_uint8(self.synthesis(codes)), wplus)

    def of_styles(self, styles: Tensor) -> np.ndarray:
        """S of a StyleGAN2, all layers side by side (N, width) -> (N, R, R, 3) uint8 RGB.

        Raises InputError for a StyleGAN3, and for codes of another width.
        """
        net, synthesis = self.loaded.net, self.synthesis
        if not isinstance(net, stylegan2.Generator) or not isinstance(synthesis, stylegan2_fast.FastSynthesis):
            raise InputError(f"{self.loaded.title}: codes in S are for StyleGAN2")
        space = spaces.StyleSpace.of(net.config)
        return self._made(lambda codes: spaces.to_uint8(synthesis.from_styles(space.split(codes))), styles)

    def _made(self, run: Callable[[Tensor], Tensor], codes: Tensor) -> np.ndarray:
        made = self._batches(run, codes)
        self.warnings += self._batches.told
        self._batches.told = []
        return made.numpy()

    def reduced(self, wplus: Tensor, size: int) -> Tensor:
        """W+ (N, L, D) on the device -> (N, 3, size, size) float32, nominal range -1..1, averaged; one batch as is."""
        images = self.synthesis(wplus)
        return F.adaptive_avg_pool2d(images, size) if images.shape[2] != size else images


def misfit(codes: tuple[int, ...], own: tuple[int, ...], title: str) -> str:
    """One line for codes of (L, D) that do not fit a generator of (L, D)."""
    told = f"codes of {codes[0]} rows of {codes[1]} do not fit {title}, which takes {own[0]} of {own[1]}"
    return f"{told}; take the generator that the codes were made for, or another encoder"
