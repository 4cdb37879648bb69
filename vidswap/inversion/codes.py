"""Pictures to codes by optimisation, in W and W+ of StyleGAN2 and StyleGAN3.

Image2StyleGAN (Abdal et al. 2019) and StyleGAN2's projector (Karras et al. 2020, appendix D), with the weights of
one-shot landmark reenactment: 0.1 squared error, 1.5 LPIPS, 0.05 identity, 0.002 distance of rows from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vidswap.graph.errors import InputError
from vidswap.inversion.losses import ImageLoss, Render, Target, delta_regularisation, noise_regularisation
from vidswap.inversion.optimiser import Rows, Schedule, Values, minimise
from vidswap.latents import spaces
from vidswap.nets import stylegan2, stylegan3

Space = Literal["w", "wplus"]
Generator = stylegan2.Generator | stylegan3.Generator
_NOISE_ENDS = 0.75
_NOISE_SHARE = 0.05


@dataclass(frozen=True)
class Settings:
    """What is looked for, and how.

    delta: weight of the squared distances of all rows of W+ from the first. noise: weight of the regularisation of
    noise maps, which are then optimised along with the code (StyleGAN2 only; the projector's is 1e5); 0 leaves the
    stored maps. latent_noise: codes are shaken by so many times 0.05 standard deviations of w, falling to nothing after
    three quarters of the steps (the projector's is 1).
    """

    space: Space = "wplus"
    delta: float = 0.002
    noise: float = 0.0
    latent_noise: float = 0.0
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class Found:
    """One picture's result: wplus (rows, D), its loss, that of the start, and how many steps it took."""

    wplus: Tensor
    loss: float
    first_loss: float
    steps: int
    noise: Mapping[str, Tensor]


@dataclass(frozen=True)
class Spread:
    """Where codes lie: mean (D,) and the root of the mean squared distance from it."""

    mean: Tensor
    deviation: float


@torch.no_grad()
def spread_of(generator: Generator, *, samples: int = 10_000, seed: int = 123) -> Spread:
    """Mean of mapped codes, the checkpoint's own where it has one, and how far 1000 draws of `seed` are from it."""
    mean = spaces.mean_latent(generator, samples=samples, seed=seed)
    weight = generator.mapping.get_parameter("fc0.weight")
    z = torch.from_numpy(np.random.RandomState(seed).randn(min(samples, 1000), weight.shape[1])).float()
    drawn = generator.mapping(z.to(weight.device))
    return Spread(mean, float((drawn - mean).square().sum(dim=1).mean().sqrt()))


def renderer(generator: Generator) -> Render:
    """Codes (N, 1 or rows, D) and noise maps to pictures, with gradients."""
    synthesis, count = generator.synthesis, generator.config.num_ws
    if isinstance(synthesis, stylegan2.Synthesis):
        return lambda code, noise: synthesis(code.expand(-1, count, -1), noise=noise or "const")
    return lambda code, noise: synthesis(code.expand(-1, count, -1))


def starting(generator: Generator, settings: Settings, count: int, spread: Spread, start: Tensor | None = None) -> Rows:
    """The state before the first step. start: codes (count, D) or (count, rows, D) to begin with; None: the mean.

    Raises InputError for codes that do not fit the generator, and for noise maps that it does not take.
    """
    rows = generator.config.num_ws
    wanted = 1 if settings.space == "w" else rows
    if start is None:
        codes = spread.mean.expand(count, wanted, -1)
    else:
        start = start[:, None] if start.ndim == 2 else start
        if start.shape[1] not in (1, rows) or start.shape[2] != len(spread.mean):
            raise InputError(
                f"codes of shape {tuple(start.shape[1:])} do not fit a generator of {rows} rows of {len(spread.mean)}"
            )
        codes = start.mean(dim=1, keepdim=True) if wanted == 1 else start.expand(-1, rows, -1)
    values: Values = {"code": codes.clone()}
    check_noise(generator, settings.noise)
    if settings.noise:
        assert isinstance(generator, stylegan2.Generator)
        for layer in generator.config.layers:
            if layer.kind != "rgb":
                drawn = torch.randn(1, layer.resolution, layer.resolution, generator=_seeded(settings.seed, 0))
                values[f"noise {layer.name}"] = drawn.to(codes).expand(count, -1, -1, -1).clone()
    return Rows.starting(values)


def check_noise(generator: Generator, noise: float) -> None:
    """Raises InputError where noise maps are to be optimised of a generator that has none."""
    if noise and not isinstance(generator, stylegan2.Generator):
        raise InputError("noise maps are a matter of StyleGAN2; leave the noise out for StyleGAN3")


def invert(
    generator: Generator,
    loss: ImageLoss,
    images: Tensor,
    settings: Settings,
    rows: Rows,
    spread: Spread,
    *,
    keep: Callable[[Rows], None] | None = None,
    keep_every: int = 100,
) -> list[Found]:
    """Take codes to pictures (N, 3, S, S), all at once; `rows` is `starting`'s, or what `keep` was given.

    The pictures must be of the generator's size. Of equal rounding, a picture's result does not depend on the others.
    """
    target, render = loss.target(images), renderer(generator)

    def losses(values: Values, index: Tensor, steps: Sequence[int]) -> Tensor:
        return _losses(values, target.rows(index), steps, settings, spread, render, loss)

    def settle(values: Values) -> None:
        for name, value in values.items():
            if name.startswith("noise "):
                centred = value - value.mean(dim=(1, 2, 3), keepdim=True)
                value.copy_(centred * centred.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt())

    minimise(rows, losses, settings.schedule, settle=settle, keep=keep, keep_every=keep_every)
    return [found(rows, row, generator.config.num_ws) for row in range(len(rows))]


def found(rows: Rows, row: int, num_ws: int) -> Found:
    """The result of one row: the variables of its lowest loss."""
    code = rows.best["code"][row]
    noise = {n.removeprefix("noise "): v[row] for n, v in rows.best.items() if n.startswith("noise ")}
    return Found(code.expand(num_ws, -1).clone(), rows.best_loss[row], rows.first_loss[row], rows.steps[row], noise)


def _losses(
    values: Values,
    target: Target,
    steps: Sequence[int],
    settings: Settings,
    spread: Spread,
    render: Render,
    loss: ImageLoss,
) -> Tensor:
    code = values["code"]
    shaken = code
    if settings.latent_noise:
        draws = []
        for step in steps:
            left = noise_left(step, settings.schedule.steps)
            strength = spread.deviation * _NOISE_SHARE * settings.latent_noise * left
            draws.append(torch.randn(1, code.shape[2], generator=_seeded(settings.seed, step + 1)) * strength)
        shaken = code + torch.stack(draws).to(code)
    noise = {n.removeprefix("noise "): v for n, v in values.items() if n.startswith("noise ")}
    total = loss(render(shaken, noise or None), target)["total"]
    if settings.delta and code.shape[1] > 1:
        total = total + settings.delta * delta_regularisation(code)
    if noise:
        total = total + settings.noise * noise_regularisation(list(noise.values()))
    return total


def noise_left(step: int, steps: int) -> float:
    """Share of the noise on codes that is left after `step` of `steps` steps: 1 falling to 0 at three quarters."""
    return max(0.0, 1.0 - step / steps / _NOISE_ENDS) ** 2


def _seeded(seed: int, step: int) -> torch.Generator:
    """Draws that depend on seed and step alone: a run that goes on draws what it would have drawn."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
