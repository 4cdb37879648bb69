"""Faces to codes by encoders: e4e, pSp and ReStyle, from any weights, on a device, in a precision.

Crops are FFHQ-aligned, 256 px, RGB; they go in as (x / 255 - 0.5) / 0.5, in -1..1. What an encoder gives is an offset
to the mean code of its checkpoint (`latent_avg`), unless the checkpoint's options say otherwise.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.latents.generators import (
    Loaded,
    Painter,
    generator_of,
    generator_part,
    random_generator,
    random_weights,
    rows_of,
)
from vidswap.nets import encoders, resnet
from vidswap.nets.devices import BOUNDS, DTYPES, InBatches, Precision, full_float32, relative_rms
from vidswap.nets.layers import assembled, seeded
from vidswap.weights import Checkpoint, load

Method = Literal["e4e", "psp", "restyle"]
Kind = Literal["auto", "psp", "e4e"]

SIDE = 256
"""Pixels a side of the crops."""

_NETWORKS: dict[str, tuple[str, ...]] = {
    "e4e": ("gradual-encoder",),
    "psp": ("gradual-encoder", "pooled-encoder", "w-encoder"),
    "restyle": ("backbone-encoder", "gradual-encoder", "resnet-encoder"),
}
_NARROW = (16, 16, 16, 16, 32)


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder as a file has it, in float32 on the CPU.

    mean: (rows, D), added to what it gives; decoder: the generator beside it, for ReStyle's renders.
    """

    net: nn.Module
    mean: Tensor
    title: str
    decoder: Loaded | None = None
    warnings: tuple[str, ...] = ()


def network_input(crops: Tensor) -> Tensor:
    """Crops (N, S, S, 3) uint8 -> (N, 3, S, S) float32 in -1..1."""
    return (crops.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def load_encoder(weights: str, method: Method, kind: Kind = "auto") -> LoadedEncoder:
    """The encoder of a method in weights: a name of the store, a file, or `random`.

    kind: what ReStyle's encoder is built on; its keys do not tell, the options in the checkpoint may. Raises
    InputError, one line.
    """
    wanted = random_weights(weights)
    if wanted is not None:
        return _random(weights, method, kind)
    checkpoint = load(weights)
    prefix = _encoder_part(checkpoint, weights, method)
    state = {name: t.float() if t.is_floating_point() else t for name, t in checkpoint.part(prefix).items()}
    # Old files have no counters of batches, which nobody needs.
    for name in [n for n in state if n.endswith("running_mean")]:
        state.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.zeros((), dtype=torch.int64))
    config = encoders.config_of(state)
    wants_render = method == "restyle"
    if config.input_channels != (6 if wants_render else 3):
        other = "invert.restyle" if config.input_channels == 6 else "invert.e4e or invert.psp"
        raise InputError(
            f"{weights}: its encoder takes {config.input_channels} channels; it is one for {other}, not invert.{method}"
        )
    decoder = None
    if wants_render:
        decoder = generator_of(checkpoint, weights)
    rows = _rows(checkpoint, config, weights)
    asked = wants_render and config.family != "resnet"
    progressive = method == "e4e" or (asked and _kind(checkpoint, weights, kind) == "e4e")
    net = assembled(lambda: _class(config, progressive)(config), state)
    title = checkpoint.parts[prefix].title
    mean = _mean(checkpoint, rows, config.w_dim, weights)
    if decoder is not None and (rows, config.w_dim) != (decoder.num_ws, decoder.net.config.w_dim):
        raise InputError(f"{weights}: its encoder gives {rows} rows, its decoder takes {decoder.num_ws}")
    return LoadedEncoder(net, mean, title, decoder)


def _encoder_part(checkpoint: Checkpoint, weights: str, method: Method) -> str:
    for prefix, part in checkpoint.parts.items():
        if part.network in _NETWORKS[method]:
            return prefix
    raise InputError(f"{weights}: holds {checkpoint.title}, no encoder for invert.{method}")


def _rows(checkpoint: Checkpoint, config: encoders.Config, weights: str) -> int:
    """Rows of W+ that its codes get; an encoder into W alone knows them from its decoder or its mean code."""
    if config.family != "w":
        return config.n_styles
    if any(part.network in ("stylegan2", "stylegan3") for part in checkpoint.parts.values()):
        return rows_of(generator_part(checkpoint, weights)[1])
    mean = checkpoint.latent_avg
    return len(mean) if mean is not None and mean.ndim == 2 else 18


def _kind(checkpoint: Checkpoint, weights: str, kind: Kind) -> str:
    if kind != "auto":
        return kind
    told = str(checkpoint.options.get("encoder_type") or "")
    if told:
        return "e4e" if "progressive" in told.lower() else "psp"
    for name in ("e4e", "psp"):
        if re.search(rf"(^|[^a-z0-9]){name}([^a-z0-9]|$)", str(weights).lower()):
            return name
    raise InputError(
        f"{weights}: its keys and options do not tell what ReStyle was built on; set the option kind to psp or e4e"
    )


def _mean(checkpoint: Checkpoint, rows: int, width: int, weights: str) -> Tensor:
    mean = checkpoint.latent_avg
    starts = checkpoint.options.get("start_from_latent_avg", mean is not None)
    if not starts:
        return torch.zeros(rows, width)
    if mean is None:
        raise InputError(f"{weights}: its codes start from the mean code, but it holds none (latent_avg)")
    mean = mean.float().reshape(-1, mean.shape[-1])
    if mean.shape not in ((1, width), (rows, width)):
        raise InputError(f"{weights}: its mean code has {tuple(mean.shape)} values, not {(rows, width)}")
    return mean.expand(rows, width).clone()


def _class(config: encoders.Config, progressive: bool) -> Any:
    if config.family == "pyramid":
        return encoders.Encoder4Editing if progressive else encoders.GradualStyleEncoder
    if config.family == "backbone":
        return encoders.ProgressiveEncoder if progressive else encoders.BackboneEncoder
    if config.family == "resnet":
        return resnet.ResNetEncoder
    return encoders.WEncoder if config.family == "w" else encoders.WPlusEncoder


def _random(weights: str, method: Method, kind: Kind) -> LoadedEncoder:
    wanted = random_weights(weights)
    assert wanted is not None
    decoder = random_generator(wanted, "stylegan2")
    config = encoders.Config(
        "backbone" if method == "restyle" else "pyramid",
        decoder.num_ws,
        6 if method == "restyle" else 3,
        encoders.WIDTHS if wanted.resolution >= 256 else _NARROW,
    )
    progressive = method == "e4e" or kind == "e4e"
    net = seeded(lambda: _class(config, progressive)(config), wanted.seed)
    mean = decoder.net.mapping.w_avg[None].expand(decoder.num_ws, -1).clone()
    title = f"{method} encoder to {decoder.num_ws} rows with random weights"
    return LoadedEncoder(net, mean, title, decoder if method == "restyle" else None, (wanted.warning,))


class Inverter:
    """Crops to W+, some at a time; see `InBatches`. `warnings` are for the user.

    steps: of ReStyle; the first one compares the crop with the picture of the mean code, each further one with the
    picture of the code so far. rows: only so many of the first rows of codes are made (e4e).
    """

    def __init__(
        self,
        loaded: LoadedEncoder,
        *,
        device: torch.device,
        precision: Precision = "fp32",
        batch: int = 8,
        steps: int = 5,
        rows: int | None = None,
    ) -> None:
        self.device, self.steps = device, steps
        self.warnings = list(loaded.warnings)
        self._batches = InBatches(device, batch, what=loaded.title)
        if device.type == "cuda":
            full_float32()
        self._rows = min(rows or len(loaded.mean), len(loaded.mean))
        self._only = {} if rows is None else {"rows": self._rows}
        self._mean = loaded.mean[: self._rows].to(device)
        self._painter: Painter | None = None
        self._net = loaded.net.to(device)
        # On a CPU it would copy weights that are mapped from their file, and processes share.
        if device.type == "cuda":
            self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision: Precision = "fp32"
        self._average: Tensor | None = None
        if loaded.decoder is not None:
            self._painter = Painter(loaded.decoder, device=device, precision=precision, batch=batch)
            self.warnings += [w for w in self._painter.warnings if w not in self.warnings]
            with torch.no_grad():
                self._average = self._painter.reduced(self._mean[None], SIDE)
        if precision != "fp32":
            self._lower(precision, loaded.title)

    @property
    def rows(self) -> int:
        """Rows of W+ that it gives."""
        return len(self._mean)

    def _lower(self, precision: Precision, title: str) -> None:
        """Go to half precision where it agrees with float32 on a made-up image."""
        random = torch.Generator().manual_seed(0)
        channels = 6 if self._painter is not None else 3
        image = torch.rand((1, channels, 8, 8), generator=random).to(self.device) * 2 - 1
        image = F.interpolate(image, size=SIDE, mode="bicubic", align_corners=False).clamp(-1, 1)
        with torch.no_grad():
            exact = self._net(image)
            low = copy.deepcopy(self._net).to(DTYPES[precision])
            low.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            error = relative_rms(low(image.to(DTYPES[precision])), exact)
        if error <= BOUNDS[precision]:  # false for nan
            self._net, self.precision = low, precision
            return
        told = f"{title}: {precision} differs from fp32 by {error:.2g}, more than {BOUNDS[precision]:g}"
        self.warnings.append(f"{told}; running in fp32")

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """(N, 256, 256, 3) uint8 RGB -> W+ (N, rows, D) float32."""
        made = self._batches(self._codes, torch.from_numpy(np.ascontiguousarray(crops)))
        self.warnings += self._batches.told
        self._batches.told = []
        return made.numpy()

    def _codes(self, crops: Tensor) -> Tensor:
        target = network_input(crops)
        codes = self._mean.expand(len(target), -1, -1)
        if self._painter is None:
            return codes + self._offsets(target)
        assert self._average is not None
        render = self._average.expand(len(target), -1, -1, -1)
        for step in range(self.steps):
            if step:
                render = self._painter.reduced(codes, SIDE)
            codes = codes + self._offsets(torch.cat((target, render), dim=1))
        return codes

    def _offsets(self, images: Tensor) -> Tensor:
        made = self._net(images.to(DTYPES[self.precision]), **self._only).float()
        return made[:, None] if made.ndim == 2 else made
