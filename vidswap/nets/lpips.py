"""LPIPS v0.1 (Zhang et al. 2018, arXiv:1801.03924): perceptual distance over features of AlexNet, VGG16 or SqueezeNet.

Names are those of the official module: `net.sliceI.J.*` for the trunk (torchvision's weights, J its index among
`features`) and `linI.model.1.weight` for the trained linear layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError

Trunk = Literal["alex", "vgg", "squeeze"]

# Per slice: torchvision's indices and what stands there: (in, out, kernel, stride, padding), "relu", "pool", or a
# SqueezeNet's module of (in, squeezed, expanded by each of two) channels.
_ALEX: tuple[tuple[object, ...], ...] = (
    ((3, 64, 11, 4, 2), "relu"),
    ("pool", (64, 192, 5, 1, 2), "relu"),
    ("pool", (192, 384, 3, 1, 1), "relu"),
    ((384, 256, 3, 1, 1), "relu"),
    ((256, 256, 3, 1, 1), "relu"),
)


def _vgg() -> tuple[tuple[object, ...], ...]:
    slices: list[tuple[object, ...]] = []
    inward = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        parts: list[object] = ["pool"] if slices else []
        for _ in range(count):
            parts += [(inward, width, 3, 1, 1), "relu"]
            inward = width
        slices.append(tuple(parts))
    return tuple(slices)


_SQUEEZE: tuple[tuple[object, ...], ...] = (
    ((3, 64, 3, 2, 0), "relu"),
    ("pool", (64, 16, 64), (128, 16, 64)),
    ("pool", (128, 32, 128), (256, 32, 128)),
    ("pool", (256, 48, 192)),
    ((384, 48, 192),),
    ((384, 64, 256),),
    ((512, 64, 256),),
)
_SLICES: dict[str, tuple[tuple[object, ...], ...]] = {"alex": _ALEX, "vgg": _vgg(), "squeeze": _SQUEEZE}
_WIDTHS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}


@dataclass(frozen=True)
class Config:
    """Shape of the metric: which trunk."""

    trunk: Trunk = "alex"


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the metric whose state dict this is. Raises InputError where it is none."""
    first = state.get("net.slice1.0.weight")
    if first is None or "lin0.model.1.weight" not in state:
        raise InputError("not an LPIPS metric: net.slice1.0.weight or lin0.model.1.weight is missing")
    if tuple(first.shape) == (64, 3, 11, 11):
        return Config("alex")
    if tuple(first.shape) == (64, 3, 3, 3) and "net.slice5.28.weight" in state:
        return Config("vgg")
    if tuple(first.shape) == (64, 3, 3, 3) and "net.slice7.12.squeeze.weight" in state:
        return Config("squeeze")
    raise InputError("an LPIPS metric over AlexNet, VGG16 or SqueezeNet is needed; this is over another trunk")


def from_torchvision(features: Mapping[str, Tensor], linear: Mapping[str, Tensor], trunk: Trunk) -> dict[str, Tensor]:
    """The metric's state dict from a torchvision classifier's (`features.J.*`) and the linear layers.

    linear: `linI.model.1.weight`, or pSp's `I.1.weight`. Other entries of both are left out. Raises InputError, naming
    the first key that is missing.
    """
    state: dict[str, Tensor] = {}
    index = 0
    for number, parts in enumerate(_SLICES[trunk]):
        for part in parts:
            for inner in _tensors_of(part):
                name = f"{index}.{inner}"
                state[f"net.slice{number + 1}.{name}"] = _entry(features, f"features.{name}")
            index += 1
        theirs = f"{number}.1.weight" if f"{number}.1.weight" in linear else f"lin{number}.model.1.weight"
        state[f"lin{number}.model.1.weight"] = _entry(linear, theirs)
    return state


def _tensors_of(part: object) -> list[str]:
    if not isinstance(part, tuple):
        return []
    modules = [""] if len(part) == 5 else ["squeeze.", "expand1x1.", "expand3x3."]
    return [f"{module}{kind}" for module in modules for kind in ("weight", "bias")]


def _entry(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise InputError(f"LPIPS: {name} is missing")
    return state[name]


class _Linear(nn.Module):
    """One layer's weights, (1, C, 1, 1) under its official name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        return self.model(x)


class _Fire(nn.Module):
    """SqueezeNet's module (Iandola et al. 2016): a narrow 1x1 convolution, then 1x1 and 3x3 ones side by side."""

    def __init__(self, inward: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inward, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, 2 E, H, W)."""
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1))


class LPIPS(nn.Module):
    """Distance of two images, RGB in -1..1: 0 for equal ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Module()
        index = 0
        for number, parts in enumerate(_SLICES[config.trunk]):
            made = nn.Sequential()
            for part in parts:
                made.add_module(str(index), _part(part, config.trunk))
                index += 1
            self.net.add_module(f"slice{number + 1}", made)
        for number, width in enumerate(_WIDTHS[config.trunk]):
            self.add_module(f"lin{number}", _Linear(width))

    def features(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in -1..1 -> the tapped maps: five, of SqueezeNet seven."""
        shift = torch.tensor([-0.030, -0.088, -0.188], device=x.device, dtype=x.dtype)
        scale = torch.tensor([0.458, 0.448, 0.450], device=x.device, dtype=x.dtype)
        x = (x - shift[:, None, None]) / scale[:, None, None]
        found = []
        for part in self.net.children():
            x = part(x)
            found.append(x)
        return found

    def layers(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Maps (N, 1, h, w) of the weighted squared differences, one per layer."""
        return self._compared(self.features(first), self.features(second))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches (N, 3, H, W), at least 31 px for alex, 16 for vgg, 17 for squeeze -> distances (N,)."""
        return self.distance(self.features(first), self.features(second))

    def distance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """What `features` gave for two batches -> distances (N,)."""
        return torch.stack([layer.mean(dim=(1, 2, 3)) for layer in self._compared(first, second)]).sum(dim=0)

    def _compared(self, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        made = []
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            linear = self.get_submodule(f"lin{number}")
            made.append(linear((_unit(a) - _unit(b)).square()))
        return made

    def spatial(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches (N, 3, H, W) -> where they differ, (N, 1, H, W)."""
        size = first.shape[2:]
        maps = [F.interpolate(layer, size=size, mode="bilinear") for layer in self.layers(first, second)]
        return torch.stack(maps).sum(dim=0)


Net = LPIPS


def _part(part: object, trunk: str) -> nn.Module:
    if part == "relu":
        return nn.ReLU()
    if part == "pool":
        return nn.MaxPool2d(2 if trunk == "vgg" else 3, 2, ceil_mode=trunk == "squeeze")
    assert isinstance(part, tuple)
    if len(part) == 3:
        return _Fire(*part)
    inward, outward, kernel, stride, padding = part
    return nn.Conv2d(inward, outward, kernel, stride, padding)


def _unit(x: Tensor) -> Tensor:
    """Every pixel's channels at length one."""
    return x / (x.norm(dim=1, keepdim=True) + 1e-10)
