"""The landmark mapper: from how two landmark pictures differ to how two codes in W+ of StyleGAN3 differ.

A convolutional network of One-Shot Landmark-Based Face Reenactment (Y. Choe): eight 3x3 convolutions (the first 5x5),
all but the last halving the picture, and two linear layers. It sees L_driver - L_source, both drawn by one renderer
(`vidswap.faces.landmark_picture`) in 0..1, and its result is added to the source's code. Names are those of its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vidswap.graph.errors import InputError

WIDTHS = (16, 32, 64, 128, 256, 512, 512, 512)
_PREFIX = "landmark_encoder.landmark_encoder."


@dataclass(frozen=True)
class Config:
    """Shape of the mapper. widths: of the convolutions; size: px a side of a picture; code: rows and width of W+."""

    widths: tuple[int, ...] = WIDTHS
    size: int = 580
    hidden: int = 768
    rows: int = 16
    w_dim: int = 512

    @property
    def flat(self) -> int:
        """Values between convolutions and linear layers: all convolutions but the last halve the side."""
        return self.widths[-1] * (self.size >> (len(self.widths) - 1)) ** 2


def config_of(state: Mapping[str, Tensor], *, w_dim: int = 512, size: int | None = None) -> Config:
    """The shape of the mapper whose state dict this is, for codes of `w_dim` values a row.

    size: px a side of its pictures; the weights tell it only roughly, so that without it the published 580 is taken
    where it fits, else the smallest that does. Raises InputError, naming what is amiss.
    """

    def tensor(name: str, ndim: int) -> Tensor:
        value = state.get(f"{_PREFIX}{name}")
        if value is None or value.ndim != ndim:
            wrong = "missing" if value is None else "misshaped"
            raise InputError(f"not a landmark mapper: {_PREFIX}{name} is {wrong}")
        return value

    widths: list[int] = []
    while f"{_PREFIX}{4 * len(widths)}.weight" in state and state[f"{_PREFIX}{4 * len(widths)}.weight"].ndim == 4:
        widths.append(tensor(f"{4 * len(widths)}.weight", 4).shape[0])
    if not widths:
        tensor("0.weight", 4)
    first = tensor(f"{4 * len(widths)}.weight", 2)
    last = tensor(f"{4 * len(widths) + 3}.weight", 2)
    if last.shape[0] % w_dim:
        raise InputError(f"a landmark mapper of {last.shape[0]} values does not give rows of {w_dim}")
    halvings = len(widths) - 1
    side = round((first.shape[1] / widths[-1]) ** 0.5)
    if size is None:
        size = 580 if 580 >> halvings == side else side << halvings
    made = Config(tuple(widths), size, first.shape[0], last.shape[0] // w_dim, w_dim)
    if made.flat != first.shape[1]:
        raise InputError(f"a landmark mapper of {first.shape[1]} features takes no pictures of {size} px")
    return made


class _Convolutions(nn.Module):
    """The layers under the name that they have in checkpoints."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inward = 3
        for i, width in enumerate(config.widths):
            kernel = 5 if i == 0 else 3
            layers += [nn.Conv2d(inward, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.LeakyReLU()]
            # In checkpoints layers are counted, and the last convolution is followed by the flattening instead.
            layers.append(nn.MaxPool2d(2) if i < len(config.widths) - 1 else nn.Flatten())
            inward = width
        code = config.rows * config.w_dim
        layers += [nn.Linear(config.flat, config.hidden), nn.BatchNorm1d(config.hidden), nn.LeakyReLU()]
        layers.append(nn.Linear(config.hidden, code))
        self.landmark_encoder = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures to flat codes."""
        return self.landmark_encoder(x)


class LandmarkMapper(nn.Module):
    """L_driver - L_source (N, 3, size, size), -1..1 -> difference of codes (N, rows, w_dim)."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.landmark_encoder = _Convolutions(self.config)

    def forward(self, difference: Tensor) -> Tensor:
        """In evaluation mode: the batch norms' stored statistics."""
        codes = self.landmark_encoder(difference)
        return codes.unflatten(1, (self.config.rows, self.config.w_dim))


Net = LandmarkMapper
