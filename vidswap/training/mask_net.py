"""StyleMask's networks, trained on what a StyleGAN2 generates (Bounareli et al. 2023, sec. 3).

Per step three people are drawn: a source s and two drivers t, t'. With the recurrent cycle, s driven by t' and
s driven by t and then by t' must both be the source's person in the pose and expression of t'. The identity term needs
ArcFace; without it the supervisor's own terms have to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.inversion.losses import LossNetworks
from vidswap.latents import spaces
from vidswap.latents.masking import Codes, Space, StyleMixer
from vidswap.nets import ir_se50, losses, stylegan2, stylemask
from vidswap.training.loop import Losses, Turn, drawn, total
from vidswap.training.supervision import Supervisor

_SIZE = 256


@dataclass(frozen=True)
class Options:
    """psi: truncation of what is drawn; identity: weight of the cosine; cycle: the recurrent cycle of the paper."""

    psi: float = 0.7
    identity: float = 10.0
    cycle: bool = True


class MaskNetTask:
    """Trains `masks` on a generator whose weights stay; a `loop.Task`.

    networks: ArcFace is taken from there. batch_size, seed: of the plan.
    """

    averaged = "masks"

    def __init__(
        self,
        generator: stylegan2.Generator,
        masks: stylemask.MaskNetworks,
        supervisor: Supervisor,
        networks: LossNetworks,
        options: Options,
        *,
        batch_size: int,
        seed: int,
        space: Space = "style",
        device: torch.device | str = "cpu",
    ) -> None:
        self._generator = generator.to(device).requires_grad_(False).eval()
        self._masks = masks.to(device).requires_grad_(True).train()
        self._mixer = StyleMixer(self._generator.synthesis, self._masks, space)
        self._supervisor, self._arcface, self._options = supervisor, networks.arcface, options
        self._batch, self._seed, self._device = batch_size, seed, device
        self._mean = spaces.mean_latent(generator)
        self.players: dict[str, nn.Module] = {"masks": self._masks}
        self.weights = {**supervisor.weights, **({"identity": options.identity} if self._arcface else {})}

    def batch(self, step: int) -> Tensor:
        """z of the source and of both drivers: (3, N, z_dim)."""
        return drawn(self._seed, step, 3, self._batch, self._generator.config.z_dim)

    def turns(self, step: int, batch: Tensor) -> Iterable[Turn]:
        """One player, one move."""
        yield Turn("masks", lambda: self._losses(batch.to(self._device)))

    def _losses(self, z: Tensor) -> Losses:
        with torch.no_grad():
            source, first, second = (self._codes(one) for one in z)
            portrait = self._mixer.portrait(source)
            wanted = second if self._options.cycle else first
            seen_source, seen_driver = self._seen(portrait), self._seen(self._mixer.portrait(wanted))
        made = [self._mixer.driven(portrait, wanted)]
        if self._options.cycle:
            made.append(self._mixer.driven(self._mixer.driven(portrait, first), second))
        terms: dict[str, Tensor] = {}
        for codes in made:
            driven = self._seen(codes)
            found = self._supervisor(driven, seen_source, seen_driver)
            if self._arcface is not None:
                ours, theirs = (
                    F.normalize(self._arcface(ir_se50.identity_crop(p)), dim=1) for p in (driven, seen_source)
                )
                found["identity"] = losses.identity_distance(ours, theirs)
            terms = {name: value + terms[name] if terms else value for name, value in found.items()}
        return total(terms, self.weights)

    def _codes(self, z: Tensor) -> Tensor:
        w = spaces.truncated(spaces.to_w(self._generator, z), self._mean, self._options.psi)
        return spaces.broadcast(self._generator, w)

    def _seen(self, codes: Codes) -> Tensor:
        """Pictures of codes, averaged down to 256 px."""
        images = self._generator.synthesis.from_styles(codes.styles)
        return F.adaptive_avg_pool2d(images, _SIZE) if images.shape[2] > _SIZE else images
