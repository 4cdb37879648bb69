"""What the generators share: equalised linear layers, the mapping network, filters, seeded and loaded construction.

Images and feature maps are (N, C, H, W); latent codes are (N, D). Sources: Karras et al. 2019 (StyleGAN), 2020
(StyleGAN2), 2021 (StyleGAN3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2.0)
SLOPE = 0.2

Net = TypeVar("Net", bound=nn.Module)


def seeded(make: Callable[[], Net], seed: int) -> Net:
    """The net that `make` builds, with random weights that depend on `seed` alone, for inference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval().requires_grad_(False)


def assembled(make: Callable[[], Net], state: Mapping[str, Tensor]) -> Net:
    """The net that `make` builds, holding the tensors of `state` themselves (no copies), for inference.

    Raises RuntimeError, as `load_state_dict` does, where keys or shapes differ.
    """
    with torch.device("meta"):
        net = make()
    net.load_state_dict(dict(state), strict=True, assign=True)
    return net.eval().requires_grad_(False)


def normal(*shape: int) -> Tensor:
    """Normal numbers; of a net that is only assembled, the shape alone, for which torch.randn would load sympy."""
    made = torch.empty(shape)
    return made if made.is_meta else torch.randn(shape)


def leaky(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2 with gain sqrt(2), then held within +-clamp."""
    x = F.leaky_relu(x, SLOPE) * SQRT2
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalised(z: Tensor) -> Tensor:
    """z (N, D) scaled to a mean square of one per row."""
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate: y = x W^T lr / sqrt(in) + b lr, W stored divided by lr."""

    def __init__(
        self, in_features: int, out_features: int, *, lr: float = 1.0, bias: float = 0.0, activate: bool = False
    ) -> None:
        super().__init__()
        weight = normal(out_features, in_features)
        # Arithmetic without storage makes torch load its compiler, which takes seconds.
        self.weight = nn.Parameter(weight if weight.is_meta else weight / lr)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias)))
        self.lr, self.activate = lr, activate

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) -> (N, out)."""
        weight = self.weight * (self.lr / math.sqrt(self.weight.shape[1]))
        bias = self.bias if self.lr == 1.0 else self.bias * self.lr
        x = F.linear(x, weight, bias)
        return leaky(x) if self.activate else x


class MappingNetwork(nn.Module):
    """z -> w: normalise, then `layers` equalised linear layers with leaky ReLU. `w_avg` (D,) is the mean w."""

    def __init__(self, z_dim: int, w_dim: int, layers: int, *, lr: float = 0.01) -> None:
        super().__init__()
        self.layers = layers
        for i in range(layers):
            self.add_module(f"fc{i}", FullyConnected(z_dim if i == 0 else w_dim, w_dim, lr=lr, activate=True))
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.w_avg: Tensor

    def forward(self, z: Tensor) -> Tensor:
        """(N, z_dim) -> (N, w_dim), untruncated."""
        x = normalised(z.to(self.w_avg.dtype))
        for i in range(self.layers):
            x = self.get_submodule(f"fc{i}")(x)
        return x


def upfirdn(
    x: Tensor,
    taps: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad (left, right, top, bottom; negative crops), convolve, keep every `down`-th sample.

    taps: (K,) applied along both axes, or (Kh, Kw); a true convolution, flipped against cross-correlation. This is the
    plain definition; the generators take faster paths of the same arithmetic.
    """
    n, c, h, w = x.shape
    x = x.reshape(n, c, h, 1, w, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, padding)
    taps = (taps * gain ** (taps.ndim / 2)).flip(list(range(taps.ndim))).to(x.dtype)
    if taps.ndim == 2:
        return F.conv2d(x, taps.expand(c, 1, *taps.shape), stride=down, groups=c)
    x = F.conv2d(x, taps.expand(c, 1, 1, -1), stride=(1, down), groups=c)
    return F.conv2d(x, taps[:, None].expand(c, 1, -1, 1), stride=(down, 1), groups=c)


def doubled(image: Tensor, taps: Tensor) -> Tensor:
    """Image (N, C, H, W) at twice the size, through four taps per axis (those of (4, 4) `taps`, which sums to 1).

    Equals `upfirdn(image, taps, up=2, padding=(2, 1, 2, 1), gain=4)` for separable taps, without the zeros.
    """
    a, b, c, d = (taps.sum(dim=0) * 2).flip(0).to(image.dtype)
    for axis in (2, 3):
        edge = (0, 0, 1, 1) if axis == 2 else (1, 1)
        padded, size = F.pad(image, edge), image.shape[axis]
        before, here, after = (padded.narrow(axis, i, size) for i in range(3))
        image = torch.stack((before * a + here * c, here * b + after * d), dim=axis + 1).flatten(axis, axis + 1)
    return image
