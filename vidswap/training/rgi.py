"""E4S (regional GAN inversion, Liu et al. 2023), trained to reconstruct pictures from their own region codes.

Trained are the encoder, the region MLPs and the masked layers of the generator; its mapping and the layers that are
not masked stay. Terms and weights of the release: squared error 1, LPIPS 0.8 over three sizes, identity 0.1 over five
depths of ArcFace, 0.01 adversarial against a discriminator that moves every 15 steps. The release's features of a
parsing U-Net (0.1) are not among the networks here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidswap.graph.errors import InputError
from vidswap.inversion.losses import ImageLoss, LossNetworks, weighted
from vidswap.latents import spaces
from vidswap.nets import discriminator, rgi, stylegan2
from vidswap.nets.layers import seeded
from vidswap.training.loop import Losses, Turn

Batch = tuple[Tensor, Tensor]
_LPIPS_SIZES = (1024, 512, 256)
EMA = 0.5 ** (32 / 100_000)
"""Decay of the release's moving average."""

WITHOUT_PARSING = "without the loss parsing: the U-Net that the release takes it from is not among the networks here"


@dataclass(frozen=True)
class Options:
    """Weights of the terms, and every how many steps the discriminator moves."""

    mse: float = 1.0
    lpips: float = 0.8
    identity: float = 0.1
    adversarial: float = 0.01
    discriminator_every: int = 15


def built(
    generator: stylegan2.Generator,
    *,
    rows: int | None = None,
    regions: int = 12,
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    seed: int = 0,
) -> rgi.RGI:
    """E4S around a StyleGAN2: its weights and mean code, encoder and MLPs drawn from `seed`.

    rows: of W+ that the MLPs give; None: 13, or for small generators the largest odd number that there is.
    """
    shape = generator.config
    config = rgi.Config(shape, rows or min(13, shape.num_ws - 1), regions, encoder_widths)
    net = seeded(lambda: rgi.RGI(config), seed)
    net.G.mapping.load_state_dict(generator.mapping.state_dict())
    net.G.synthesis.load_state_dict(generator.synthesis.state_dict())
    net.latent_avg.copy_(spaces.mean_latent(generator).expand_as(net.latent_avg))
    return net


class RGITask:
    """Trains `net` on pictures with label maps; a `loop.Task`.

    batches: step -> pictures (N, 3, R, R) in -1..1 and labels (N, H, W). critic: the discriminator; None makes one from
    `seed`, and none is needed where `adversarial` is 0. Raises InputError where picture and discriminator differ in
    size.
    """

    averaged = "net"

    def __init__(
        self,
        net: rgi.RGI,
        batches: Callable[[int], Batch],
        networks: LossNetworks,
        options: Options,
        *,
        critic: discriminator.Discriminator | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._options, self._device, self.batch = options, device, batches
        self._net = net.to(device).requires_grad_(True).train()
        for frozen in frozen_modules(self._net):
            frozen.requires_grad_(False)
        size = net.config.generator.resolution
        terms = {"mse": options.mse, "lpips": options.lpips, "identity": options.identity}
        self._loss = ImageLoss(
            weighted(terms, networks),
            networks,
            lpips_sizes=[s for s in _LPIPS_SIZES if s <= size] or (0,),
            identity_depths=hasattr(networks.arcface, "body"),
        )
        self.players: dict[str, nn.Module] = {"net": self._net}
        self._critic: discriminator.Discriminator | None = None
        if options.adversarial:
            config = discriminator.Config(net.config.generator.channels)
            self._critic = critic or seeded(lambda: discriminator.Discriminator(config), seed)
            if self._critic.config.resolution != size:
                raise InputError(f"a discriminator of {self._critic.config.resolution} px for a generator of {size} px")
            self._critic.to(device).requires_grad_(True).train()
            self.players["critic"] = self._critic

    def turns(self, step: int, batch: Batch) -> Iterable[Turn]:
        """The networks' move; every so often the discriminator's."""
        images, labels = (part.to(self._device) for part in batch)
        yield Turn("net", lambda: self._reconstruction(images, labels))
        if self._critic is not None and step % self._options.discriminator_every == 0:
            yield Turn("critic", lambda: self._judgement(images, labels))

    def _made(self, images: Tensor, labels: Tensor) -> Tensor:
        return self._net(self._net.encode(images, labels), labels, noise="random")

    def _reconstruction(self, images: Tensor, labels: Tensor) -> Losses:
        made = self._made(images, labels)
        terms = {name: value.mean() for name, value in self._loss(made, self._loss.target(images)).items()}
        if self._critic is not None:
            self._critic.requires_grad_(False)
            terms["adversarial"] = discriminator.judged_real(self._critic(made))
            terms["total"] = terms["total"] + self._options.adversarial * terms["adversarial"]
            self._critic.requires_grad_(True)
        return terms

    def _judgement(self, images: Tensor, labels: Tensor) -> Losses:
        assert self._critic is not None
        with torch.no_grad():
            made = self._made(images, labels)
        return {"total": discriminator.told_apart(self._critic(images), self._critic(made))}


def frozen_modules(net: rgi.RGI) -> list[nn.Module]:
    """What is not trained: the mapping, and the layers that no mask guides (convolutions at 512 and 1024 px, colours
    from 256 px on, at full size)."""
    layers = [layer for layer in net.config.generator.layers if not net.config.is_masked(layer)]
    return [net.G.mapping, *(net.G.synthesis.get_submodule(layer.name) for layer in layers)]
