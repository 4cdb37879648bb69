"""How far generated pictures are from given ones, picture by picture: squared error, LPIPS, identity.

Pictures are (N, 3, S, S), RGB, nominal range -1..1, for all terms. What the networks see of the targets is worked out
once. Sources: LPIPS as Zhang et al. 2018; identity as pSp's criterion (Richardson et al. 2021), and over five depths
of the embedder as E4S does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets import ir_se50, lpips
from vidswap.nets.layers import assembled
from vidswap.weights import store

NETWORK_TERMS = {"lpips": ("lpips-alex", "alexnet"), "identity": ("ir-se50",)}
"""The terms that need trained networks, and the weights that those are made of."""

_IDENTITY_DEPTHS = (2, 6, 20, 23)


@dataclass
class LossNetworks:
    """The networks of the losses; None where there is none. missing: one line for each term that has to do without."""

    lpips: lpips.LPIPS | None = None
    arcface: nn.Module | None = None
    missing: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms that can be had."""
        return ("mse", *(["lpips"] if self.lpips else []), *(["identity"] if self.arcface else []))


def installed_networks(terms: Sequence[str] | None, device: torch.device | str = "cpu") -> LossNetworks:
    """Load the networks of `terms` from the store of weights; None: of all terms, leaving out what is not installed.

    Raises InputError for a term that is not known, and for one asked for by name whose weights are not installed.
    """
    known = ("mse", *NETWORK_TERMS)
    for term in terms or ():
        if term not in known:
            raise InputError(f"no loss {term!r}; there are {', '.join(known)}")
    made = LossNetworks()
    lines = []
    for term, names in NETWORK_TERMS.items():
        if terms is not None and term not in terms:
            continue
        absent = [name for name in names if store.card_of(name) is None]
        if absent and terms is not None:
            raise InputError(f"loss {term}: {store.missing(absent[0])}")
        if absent:
            lines.append(f"without the loss {term}: {store.missing(absent[0])}")
        elif term == "lpips":
            linear, trunk = (store.load(name).part("") for name in names)
            made.lpips = assembled(
                lambda: lpips.LPIPS(lpips.Config("alex")), lpips.from_torchvision(trunk, linear, "alex")
            )
            made.lpips.to(device)
        else:
            made.arcface = assembled(ir_se50.ArcFace, store.load(names[0]).part("")).to(device)
    made.missing = tuple(lines)
    return made


@dataclass
class Target:
    """Pictures to come to, and what the networks see of them."""

    images: Tensor
    features: list[list[Tensor]] = field(default_factory=list)
    """LPIPS' maps: for each size, for each layer."""
    embeddings: list[Tensor] = field(default_factory=list)

    def rows(self, rows: Tensor) -> Target:
        """Those of some pictures."""
        if len(rows) == len(self.images):
            return self
        return Target(
            self.images[rows],
            [[layer[rows] for layer in layers] for layers in self.features],
            [embedding[rows] for embedding in self.embeddings],
        )


class ImageLoss:
    """A weighted sum of distances.

    weights: by term, of mse (the mean over all values), lpips and identity; those of 0 are not worked out.
    lpips_sizes: LPIPS is summed over the pictures averaged down to these sizes; 0 is their own. depths: whether
    identity is summed over four maps of the embedder and its result, or taken of the result alone.
    Raises InputError where a weight is given to a term without its network.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        networks: LossNetworks,
        *,
        lpips_sizes: Sequence[int] = (0,),
        identity_depths: bool = False,
    ) -> None:
        self.weights = {term: weight for term, weight in weights.items() if weight}
        for term in self.weights:
            if term not in networks.terms:
                raise InputError(f"the loss {term} has a weight but no network")
        if not self.weights:
            raise InputError("no loss is left: give one of mse, lpips and identity a weight")
        self._lpips = networks.lpips if "lpips" in self.weights else None
        self._arcface = networks.arcface if "identity" in self.weights else None
        self._sizes, self._depths = tuple(lpips_sizes), identity_depths

    def to(self, device: torch.device | str) -> None:
        """Move its networks."""
        for net in (self._lpips, self._arcface):
            if net is not None:
                net.to(device)

    @torch.no_grad()
    def target(self, images: Tensor) -> Target:
        """What `__call__` compares with."""
        return Target(images, self._features(images), self._embeddings(images))

    def __call__(self, images: Tensor, target: Target) -> dict[str, Tensor]:
        """Each term's distance, unweighted, and their weighted sum `total`: (N,) each."""
        if images.shape != target.images.shape:
            raise InputError(
                f"pictures of {images.shape[2]}x{images.shape[3]} cannot be held against targets of "
                f"{target.images.shape[2]}x{target.images.shape[3]}"
            )
        found: dict[str, Tensor] = {}
        if "mse" in self.weights:
            found["mse"] = (images - target.images).square().mean(dim=(1, 2, 3))
        if self._lpips is not None:
            pairs = zip(self._features(images), target.features, strict=True)
            found["lpips"] = torch.stack([self._lpips.distance(ours, theirs) for ours, theirs in pairs]).sum(dim=0)
        if self._arcface is not None:
            both = zip(self._embeddings(images), target.embeddings, strict=True)
            found["identity"] = torch.stack([1 - (ours * theirs).sum(dim=1) for ours, theirs in both]).sum(dim=0)
        total = torch.stack([weight * found[term] for term, weight in self.weights.items()]).sum(dim=0)
        return {**found, "total": total}

    def _features(self, images: Tensor) -> list[list[Tensor]]:
        if self._lpips is None:
            return []
        return [self._lpips.features(F.adaptive_avg_pool2d(images, s) if s else images) for s in self._sizes]

    def _embeddings(self, images: Tensor) -> list[Tensor]:
        if self._arcface is None:
            return []
        faces = ir_se50.identity_crop(images)
        if not self._depths:
            return [F.normalize(self._arcface(faces), dim=1)]
        assert isinstance(self._arcface, ir_se50.ArcFace)
        found, x = [], self._arcface.input_layer(faces)
        for depth, unit in enumerate(self._arcface.body):
            x = unit(x)
            if depth in _IDENTITY_DEPTHS:
                found.append(F.normalize(x.flatten(1), dim=1))
        return [*found, F.normalize(self._arcface.output_layer(x), dim=1)]


def delta_regularisation(wplus: Tensor) -> Tensor:
    """(N, rows, D) -> (N,): the sum of squared distances of all rows from the first."""
    return (wplus[:, :1] - wplus[:, 1:]).square().sum(dim=(1, 2))


def noise_regularisation(maps: Sequence[Tensor]) -> Tensor:
    """Noise maps (N, 1, R, R) -> (N,): squared correlation with themselves shifted by a pixel, at every scale.

    Karras et al. 2020 (StyleGAN2), appendix D: it keeps maps from holding the picture. Scales are plain averages of
    the one before, as all official projectors have them; the paper brings each back to unit variance.
    """
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square()
            if noise.shape[2] <= 8:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


def weighted(weights: Mapping[str, float], networks: LossNetworks) -> dict[str, float]:
    """Of these weights, those of the terms that can be had."""
    return {term: weight for term, weight in weights.items() if term in networks.terms}


Render = Callable[[Tensor, Mapping[str, Tensor] | None], Tensor]
"""Codes (N, 1 or rows, D) and, where the generator takes them, noise maps by layer -> pictures."""
