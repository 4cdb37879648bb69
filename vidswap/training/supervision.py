"""What tells a mask network how the driven portrait should look.

The paper's supervisor is a model of the face's shape in three dimensions (DECA, for research only), which vidswap
neither ships nor loads; whoever has one gives it as `package.module:callable` (`ShapeModel`). Where there is none,
`Structure` takes its place, which needs no weights: where the driver's picture is lighter and darker than its
neighbourhood, at three scales, stands for pose and expression, and the source's mean colours for its looks. It knows
nothing of faces, so that what is learned is as much the driver's shape of face as its pose.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets import losses

_SCALES = (64, 32, 16)
_NEIGHBOURHOOD = 5
_LUMA = (0.299, 0.587, 0.114)


class ShapeModel(Protocol):
    """A differentiable model of the face: pictures (N, 3, 256, 256) in -1..1 to coefficients, and those to points."""

    def coefficients(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Of the person (N, A), and of pose and expression (N, B)."""

    def geometry(self, person: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices (N, V, 3) and the 68 landmarks (N, 68, 2) in pixels, under one camera."""


class Supervisor(Protocol):
    """Terms of the loss of driven pictures, and their weights."""

    weights: Mapping[str, float]

    def __call__(self, driven: Tensor, source: Tensor, driver: Tensor) -> dict[str, Tensor]:
        """Pictures (N, 3, S, S): made, of the person, and of pose and expression -> one number per term."""


class ModelSupervisor:
    """The paper's terms: the source's shape in the driver's pose and expression; eyes and mouth as open as there."""

    weights: Mapping[str, float] = {"shape": 1.0, "eyes": 1.0, "mouth": 1.0}

    def __init__(self, model: ShapeModel) -> None:
        self._model = model

    def __call__(self, driven: Tensor, source: Tensor, driver: Tensor) -> dict[str, Tensor]:
        """StyleMask, eq. 5 to 8."""
        with torch.no_grad():
            person, _ = self._model.coefficients(source)
            _, motion = self._model.coefficients(driver)
            vertices, landmarks = self._model.geometry(person, motion)
        made, points = self._model.geometry(*self._model.coefficients(driven))
        return {
            "shape": losses.shape_distance(made, vertices),
            "eyes": losses.eye_distance(points, landmarks),
            "mouth": losses.mouth_distance(points, landmarks),
        }


class Structure:
    """The replacement without weights. See the module."""

    weights: Mapping[str, float] = {"structure": 1.0, "colours": 1.0}

    def __call__(self, driven: Tensor, source: Tensor, driver: Tensor) -> dict[str, Tensor]:
        """Mean absolute differences."""
        with torch.no_grad():
            wanted, looks = structure(driver), colours(source)
        pairs = zip(structure(driven), wanted, strict=True)
        return {
            "structure": torch.stack([(made - want).abs().mean() for made, want in pairs]).mean(),
            "colours": (colours(driven) - looks).abs().mean(),
        }


def structure(images: Tensor) -> list[Tensor]:
    """Luma (N, 1, s, s) at several scales, less its neighbourhood's mean and over its deviation: free of exposure."""
    weights = images.new_tensor(_LUMA)[:, None, None]
    luma = (images * weights).sum(dim=1, keepdim=True)
    found = []
    for scale in _SCALES:
        small = F.adaptive_avg_pool2d(luma, min(scale, luma.shape[2]))
        mean = F.avg_pool2d(small, _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2, count_include_pad=False)
        rest = small - mean
        spread = F.avg_pool2d(rest.square(), _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2, count_include_pad=False)
        found.append(rest * torch.rsqrt(spread + 1e-3))
    return found


def colours(images: Tensor) -> Tensor:
    """(N, 6): mean and standard deviation of every colour over the picture."""
    return torch.cat((images.mean(dim=(2, 3)), images.std(dim=(2, 3))), dim=1)


def shape_model(named: str) -> ShapeModel:
    """The model that `package.module:callable` makes. Raises InputError where it cannot be had."""
    module, _, name = named.partition(":")
    try:
        return getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--shape-model {named!r}: write package.module:callable ({error})") from None
