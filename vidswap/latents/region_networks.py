"""E4S's networks, ready to be used: loaded, on a device, a few rows at a time; from crops to vectors to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.faces.label_maps import resized
from vidswap.faces.regions import REGIONS
from vidswap.graph.errors import InputError
from vidswap.latents import differences
from vidswap.latents.generators import PRECISIONS
from vidswap.nets import rgi, rgi_fast, rgi_keys, stylegan2
from vidswap.nets.devices import BOUNDS, InBatches, Precision, full_float32
from vidswap.nets.layers import seeded
from vidswap.nets.rgi_encoder import INPUT_SIDE

LABEL_SIDE = 512
"""Pixels a side of the label maps that the networks are given."""

_NEEDS = {"": {"network": "e4s"}}


def load_networks(weights: str) -> rgi.RGI:
    """E4S's networks, on the CPU, from a name of the store, a file, or `random`, `random:256` (px) for trials.

    A file of differences (`vidswap tune`) is its base, tuned.
    Raises InputError, one line: not installed (with the remedy), damaged, another network, other regions than twelve.
    """
    from vidswap.weights.store import is_file_name, load

    if is_file_name(weights) and differences.is_difference(Path(weights)):
        base = load_networks(differences.read(Path(weights))[0].base)
        differences.applied(base, Path(weights))
        return base
    kind, _, size = weights.partition(":")
    if kind == "random":
        return seeded(lambda: rgi.RGI(_random_config(size or "256")), 0)
    checkpoint = load(weights, needs=_NEEDS)
    net = rgi_keys.network_of(checkpoint.part(""), checkpoint.latent_avg)
    if net.config.regions != len(REGIONS):
        raise InputError(f"{weights}: has {net.config.regions} regions; vidswap parses {len(REGIONS)}")
    return net


def _random_config(size: str) -> rgi.Config:
    if size not in ("64", "128", "256", "512", "1024"):
        raise InputError(f"weights random:{size}: write random:64, 128, 256, 512 or 1024, the side of the pictures")
    generator = stylegan2.Config.of_size(int(size))
    return rgi.Config(generator, rows=min(13, generator.num_ws - 1))


def vector_shape(net: rgi.RGI) -> tuple[int, ...]:
    """Shape of a face's vectors: (12, 1280) at full size."""
    return net.config.regions, net.encoder.vector_width


class VectorReader:
    """Crops and their label maps to style vectors, in batches."""

    def __init__(self, net: rgi.RGI, device: torch.device, batch: int) -> None:
        self._net = net.to(device)
        self._run = InBatches(device, batch, what="invert.e4s")

    def __call__(self, crops: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> np.ndarray:
        """(N, 12, D) float32 of crops (S, S, 3) uint8 and label maps (L, L) uint8, of any sizes."""
        images = torch.cat([encoder_input(crop) for crop in crops])
        return np.asarray(self._run(self._net.vectors, images, stacked(labels)).numpy())

    def take_warnings(self) -> list[str]:
        """What there was to tell since the last call."""
        told, self._run.told = self._run.told, []
        return told


class RegionPainter:
    """Style vectors and label maps to pictures, in batches; noise is the checkpoint's own, the same in every frame.

    Label maps equal to those of the rows before cost nothing to prepare. `title` names the weights in warnings.
    """

    def __init__(
        self, net: rgi.RGI, device: torch.device, batch: int, precision: Precision = "fp32", title: str = "E4S"
    ) -> None:
        self._net = net.to(device)
        self._run = InBatches(device, batch, what="generate.e4s")
        if device.type == "cuda":
            full_float32()
        self._fast = self._prepared(precision, device, title)
        self._known: rgi_fast.Masks | None = None

    def _prepared(self, precision: Precision, device: torch.device, title: str) -> rgi_fast.FastRegionSynthesis:
        synthesis = self._net.G.synthesis
        if precision == "fp32":
            return rgi_fast.FastRegionSynthesis(synthesis, device=device)
        draw = torch.Generator().manual_seed(0)
        vectors = torch.randn(1, *vector_shape(self._net), generator=draw).to(device)
        corners = torch.arange(16, device=device).repeat_interleave(LABEL_SIDE // 16) % len(REGIONS)
        labels = torch.minimum(corners[:, None], corners[None])[None].to(torch.uint8)
        with torch.no_grad():
            codes = self._net.codes(vectors)
        made, _ = rgi_fast.fastest_exact_enough(
            synthesis, codes, labels, precision=PRECISIONS[precision], bound=BOUNDS[precision], device=device
        )
        if made.precision == "float32":
            self._run.told.append(f"{title}: {precision} differs from fp32 by more than {BOUNDS[precision]:g}; in fp32")
        return made

    def __call__(self, vectors: np.ndarray, labels: Sequence[np.ndarray]) -> np.ndarray:
        """(N, R, R, 3) uint8 of vectors (N, 12, D) float32 and label maps (L, L) uint8."""
        given = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
        return np.asarray(self._run(self._painted, given, stacked(labels)).numpy())

    def _painted(self, vectors: Tensor, labels: Tensor) -> Tensor:
        self._known = self._fast.masks(labels, self._known)
        return to_bytes(self._fast(self._net.codes(vectors), self._known))

    def take_warnings(self) -> list[str]:
        """What there was to tell since the last call."""
        told, self._run.told = self._run.told, []
        return told


def encoder_input(crop: np.ndarray) -> Tensor:
    """(1, 3, 256, 256) float32 in -1..1 of a crop (S, S, 3) uint8, without antialiasing, as the weights were trained.

    What the encoder itself would do with the crop, done for each by itself, so that sizes may differ in a batch.
    """
    step, rest = divmod(len(crop), INPUT_SIDE)
    if rest or not step:
        image = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None] / 127.5 - 1
        return F.interpolate(image, size=(INPUT_SIDE, INPUT_SIDE), mode="bilinear", align_corners=False)
    # Bilinear without antialiasing reads the middle of each step x step pixels: one pixel, or two per axis.
    first, last = (step - 1) // 2, step // 2
    rows = crop[first::step].astype(np.uint16) + crop[last::step]
    total = rows[:, first::step] + rows[:, last::step]
    return torch.from_numpy(total).permute(2, 0, 1)[None].float() / (4 * 127.5) - 1


def stacked(labels: Sequence[np.ndarray]) -> Tensor:
    """(N, 512, 512) uint8 of label maps (L, L) uint8."""
    return torch.from_numpy(np.stack([resized(one, LABEL_SIDE) for one in labels]))


def to_bytes(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 of images (N, 3, H, W) in -1..1: cut off, not rounded, as released."""
    return ((images.float() + 1) * 127.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
