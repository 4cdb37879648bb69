"""Pivotal tuning (Roich et al. 2022): a generator brought to certain pictures of certain codes, and else left alone.

Codes (the pivots) stay; the synthesis network moves until its pictures of them are the given ones, by squared error
and LPIPS at full size. The locality term holds the pictures of codes nearby to what they were: a drawn code, truncated
to one half, is brought to 30 units from the pivot, and both generators shall agree there, without noise.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidswap.inversion.codes import Generator
from vidswap.inversion.losses import ImageLoss, LossNetworks, weighted
from vidswap.latents import spaces
from vidswap.nets import stylegan2
from vidswap.training.loop import Losses, Turn, drawn

_NEARBY_PSI = 0.5


@dataclass(frozen=True)
class Options:
    """Weights of squared error and LPIPS, of both again in the locality term (0 leaves it out), and when it is enough.

    stop_lpips: LPIPS of a single picture at which tuning ends. distance: of the nearby codes, over all of W+.
    """

    mse: float = 1.0
    lpips: float = 1.0
    locality: float = 0.1
    distance: float = 30.0
    stop_lpips: float = 0.06


class TuningTask:
    """Tunes a copy of the generator's synthesis network around pivots (N, L, D) to pictures (N, 3, R, R) in -1..1.

    A `loop.Task`: pictures come in turn, one in a step; noise is the generator's own. Raises InputError where pictures
    are not of the generator's size.
    """

    averaged = "synthesis"

    def __init__(
        self,
        generator: Generator,
        pivots: Tensor,
        images: Tensor,
        networks: LossNetworks,
        options: Options,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._base = generator.to(device).requires_grad_(False).eval()
        self._tuned = copy.deepcopy(generator.synthesis).requires_grad_(True)
        self.players: dict[str, nn.Module] = {"synthesis": self._tuned}
        self._pivots, self._images = pivots.to(device), images.to(device)
        self._options, self._seed, self._device = options, seed, device
        self._mean = spaces.mean_latent(generator)
        self._loss = ImageLoss(weighted({"mse": options.mse, "lpips": options.lpips}, networks), networks)
        self._near: ImageLoss | None = None
        if options.locality:
            both = weighted({"mse": options.locality, "lpips": options.locality}, networks)
            self._near = ImageLoss(both, networks)

    def batch(self, step: int) -> tuple[int, Tensor]:
        """Which picture, and the z of the nearby code."""
        return step % len(self._pivots), drawn(self._seed, step, 1, self._base.config.z_dim)

    def turns(self, step: int, batch: tuple[int, Tensor]) -> Iterable[Turn]:
        """One player, one move."""
        yield Turn("synthesis", lambda: self._losses(*batch))

    def is_enough(self, losses: Mapping[str, float]) -> bool:
        """Whether tuning may end early: for a single picture that is near enough."""
        return len(self._pivots) == 1 and losses.get("lpips", float("inf")) <= self._options.stop_lpips

    def _losses(self, number: int, z: Tensor) -> Losses:
        pivot = self._pivots[number : number + 1]
        target = self._loss.target(self._images[number : number + 1])
        terms = {name: value.mean() for name, value in self._loss(self._tuned(pivot), target).items()}
        if self._near is not None:
            near = self._nearby(pivot, z.to(self._device))
            with torch.no_grad():
                before = self._near.target(_without_noise(self._base.synthesis, near))
            terms["locality"] = self._near(_without_noise(self._tuned, near), before)["total"].mean()
            terms["total"] = terms["total"] + terms["locality"]
        return terms

    @torch.no_grad()
    def _nearby(self, pivot: Tensor, z: Tensor) -> Tensor:
        w = spaces.truncated(spaces.to_w(self._base, z), self._mean, _NEARBY_PSI)
        return spaces.towards(pivot, spaces.broadcast(self._base, w), self._options.distance)


def _without_noise(synthesis: nn.Module, wplus: Tensor) -> Tensor:
    return synthesis(wplus, noise="none") if isinstance(synthesis, stylegan2.Synthesis) else synthesis(wplus)
