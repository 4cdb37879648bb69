"""Invert for E4S by optimisation: style vectors that the encoder begins and gradient descent ends (RGI-Optim)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from .e4s import InvertE4S, InvertE4SOptions, brought
from .invert_optimize import KEPT_EVERY, digests, loss_files
from .learned import weights_files

if TYPE_CHECKING:
    import torch

    from vidswap.inversion.losses import ImageLoss
    from vidswap.inversion.optimiser import Rows
    from vidswap.nets.rgi import RGI

_VERSION = 1  # of what is worked out: results of others are not taken from the cache
_LPIPS_SIZES = (0, 512, 256)


class InvertE4SOptimizeOptions(InvertE4SOptions):
    """Schedule, losses and cache; the numbers are the paper's."""

    steps: int = Field(200, ge=1, le=100_000, description="of Adam, for each face")
    lr: float = Field(0.01, gt=0, le=10, description="learning rate")
    mse: float = Field(1.0, ge=0, description="weight of the mean squared difference, of pictures in -1..1")
    lpips: float = Field(0.8, ge=0, description="weight of LPIPS over AlexNet at three sizes, where it is installed")
    identity: float = Field(0.1, ge=0, description="weight of ArcFace at five depths, where it is installed")
    cache: str = Field("auto", description="folder of finished and half-done faces; auto: the user's; off: none")


class InvertE4SOptimize(InvertE4S):
    """What `invert.e4s` does, and then gradient descent on the vectors of each face; minutes a face at 1024 px.

    A face that has been inverted is taken from the cache, by the content of crop, label map and weights and by the
    settings; an interrupted one goes on. The release's fourth loss, of a parser's features, is not among the networks
    here.
    """

    kind = "invert"
    Options = InvertE4SOptimizeOptions
    gpu_memory_gib = 24.0
    options: InvertE4SOptimizeOptions

    def files(self) -> Sequence[Path]:
        """E4S's, and those of the losses' networks that are installed."""
        return [*weights_files(self.options.weights), *loss_files(None)]

    def start(self, loaded: RGI, device: torch.device) -> None:
        """Bring networks and losses to the device."""
        from vidswap.inversion import keeping
        from vidswap.inversion.losses import ImageLoss, installed_networks, weighted
        from vidswap.nets.devices import full_float32

        super().start(loaded, device)
        if device.type == "cuda":
            full_float32()
        options = self.options
        networks = installed_networks(None, device)
        self.told += networks.missing
        wanted = {"mse": options.mse, "lpips": options.lpips, "identity": options.identity}
        sizes = [size for size in _LPIPS_SIZES if size < loaded.config.generator.resolution]
        self._loss: ImageLoss = ImageLoss(weighted(wanted, networks), networks, lpips_sizes=sizes, identity_depths=True)
        self._net, self._device = loaded, device
        folder = keeping.default_folder() if options.cache == "auto" else Path(options.cache)
        self._keeper = None if options.cache == "off" else keeping.Keeper(folder)
        self._known = digests(self.files())

    def vectors(self, crops: list[np.ndarray], labels: list[np.ndarray]) -> np.ndarray:
        """(N, 12, D) float32 of crops (S, S, 3) uint8 and label maps (L, L) uint8."""
        import torch

        from vidswap.inversion import keeping, vectors
        from vidswap.inversion.optimiser import Schedule
        from vidswap.latents.inversion import network_input
        from vidswap.latents.region_networks import stacked

        begins = torch.from_numpy(super().vectors(crops, labels))
        side = self._net.config.generator.resolution
        images = network_input(torch.from_numpy(np.stack([brought(crop, side) for crop in crops])))
        maps = stacked(labels)
        schedule = Schedule(self.options.steps, self.options.lr)

        def begin(group: list[int]) -> Rows:
            return vectors.starting(begins[group].to(self._device))

        def run(group: list[int], state: Rows, keep: Any) -> list[dict[str, torch.Tensor]]:
            given = images[group].to(self._device), maps[group].to(self._device)
            found = vectors.optimised(self._net, self._loss, *given, state, schedule, keep=keep, keep_every=KEPT_EVERY)
            return [{"vectors": one} for one in found]

        keys = [self._key(*row) for row in zip(crops, labels, strict=True)]
        at_once = self.options.batch if self._device.type == "cuda" else 1
        made = keeping.results(keys, self._keeper, begin, run, at_once=at_once)
        return np.stack([one["vectors"].cpu().numpy() for one in made])

    def _key(self, crop: np.ndarray, labels: np.ndarray) -> str:
        from vidswap.inversion.keeping import key_of

        free = ("cache", "batch", "device")
        settings = {name: value for name, value in self.options.model_dump().items() if name not in free}
        told = {"what": "vectors", "version": _VERSION, "options": settings, "losses": self._loss.weights}
        return key_of(told, [crop, labels, *self._known])
