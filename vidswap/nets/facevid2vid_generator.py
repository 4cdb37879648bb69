"""FaceVid2Vid's generator (Wang et al. 2021, arXiv:2011.15126): features of a portrait in a volume, moved and rendered.

The volume is moved by a blend of sixteen motions: none, and the shift of each of fifteen keypoints; the weights of the
blend and the parts that the portrait does not show (occlusion) come from an hourglass over volumes. What is moved goes
flat through a decoder whose norms are steered by it (SPADE, Park et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.nets.facevid2vid_parts import ConvNorm, Halving, Hourglass, coordinates, named, widths_of

_VARIANCE = 0.01  # of the blobs that say where keypoints are
_THIRD_SLOPE, _SPADE_SLOPE = 0.01, 0.2


@dataclass(frozen=True)
class Config:
    """Shape of the generator; the defaults are those of the released vox-256."""

    keypoints: int = 15
    volume: tuple[int, int] = (32, 16)  # channels and depth
    base: int = 64
    middle: int = 6  # residual units of the volume, and units of the decoder before it doubles
    hidden: int = 128  # of what steers the norms
    compressed: int = 4
    motion_base: int = 32
    motion_levels: int = 5
    motion_most: int = 1024


class DenseMotion(nn.Module):
    """Keypoints of portrait and driver to a flow of the volume and an occlusion map."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, depth = config.volume
        self.compress = nn.Conv3d(channels, config.compressed, 1)
        self.norm = nn.BatchNorm3d(config.compressed)
        motions = config.keypoints + 1
        widths = widths_of(config.motion_base, config.motion_levels, config.motion_most)
        self.hourglass = Hourglass(motions * (config.compressed + 1), widths)
        self.mask = nn.Conv3d(self.hourglass.width, motions, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.width * depth, 1, 7, padding=3)

    def forward(self, volume: Tensor, driving: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Volume (N, C, D, H, W), keypoints (N, K, 3): flow (N, D, H, W, 3), blend (N, K + 1, D, H, W), occlusion.

        The flow says for each voxel where in -1..1 it comes from; occlusion (N, 1, H, W) is 0 where nothing does.
        """
        n, _, depth, height, width = volume.shape
        x = F.relu(self.norm(self.compress(volume)))
        grid = coordinates(depth, height, width, volume)
        shifts = (source - driving)[:, :, None, None, None]
        motions = torch.cat((grid.expand(n, 1, -1, -1, -1, -1), grid + shifts), dim=1)  # (N, K + 1, D, H, W, 3)
        count = motions.shape[1]
        moved = F.grid_sample(x.repeat_interleave(count, dim=0), motions.flatten(0, 1), align_corners=False)
        moved = moved.unflatten(0, (n, count))  # (N, K + 1, C, D, H, W)
        blobs = _blobs(driving, grid) - _blobs(source, grid)
        blobs = torch.cat((torch.zeros_like(blobs[:, :1]), blobs), dim=1)
        told = self.hourglass(torch.cat((blobs[:, :, None], moved), dim=2).flatten(1, 2))
        blend = F.softmax(self.mask(told), dim=1)
        flow = torch.einsum("nkdhwc,nkdhw->ndhwc", motions, blend)
        return flow, blend, self.occlusion(told.flatten(1, 2)).sigmoid()


def _blobs(keypoints: Tensor, grid: Tensor) -> Tensor:
    distances = (grid - keypoints[:, :, None, None, None]).square().sum(dim=-1)
    return torch.exp(-0.5 / _VARIANCE * distances)


class _Residual(nn.Module):
    """Norm, ReLU, convolution, twice, over a volume."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class _Steered(nn.Module):
    """Instance norm whose scale and shift, per pixel, come from a map."""

    def __init__(self, channels: int, steering: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(steering, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, steering: Tensor) -> Tensor:
        hidden = self.mlp_shared(F.interpolate(steering, size=x.shape[2:]))
        return F.instance_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)


class _SpadeUnit(nn.Module):
    """Residual unit with steered norms. Spectral norms are folded into the weights (`folded`)."""

    def __init__(self, inward: int, outward: int, steering: int, hidden: int) -> None:
        super().__init__()
        middle = min(inward, outward)
        self.norm_0, self.norm_1 = _Steered(inward, steering, hidden), _Steered(middle, steering, hidden)
        self.conv_0 = nn.Conv2d(inward, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, outward, 3, padding=1)
        self.has_shortcut = inward != outward
        if self.has_shortcut:
            self.norm_s = _Steered(inward, steering, hidden)
            self.conv_s = nn.Conv2d(inward, outward, 1, bias=False)

    def forward(self, x: Tensor, steering: Tensor) -> Tensor:
        y = self.conv_0(F.leaky_relu(self.norm_0(x, steering), _SPADE_SLOPE))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, steering), _SPADE_SLOPE))
        return y + (self.conv_s(self.norm_s(x, steering)) if self.has_shortcut else x)


class Decoder(nn.Module):
    """Flat features to an image of four times their side."""

    def __init__(self, steering: int, hidden: int, middle: int) -> None:
        super().__init__()
        self.count = middle
        self.fc = nn.Conv2d(steering, 2 * steering, 3, padding=1)
        for i in range(middle):
            self.add_module(f"G_middle_{i}", _SpadeUnit(2 * steering, 2 * steering, steering, hidden))
        self.up_0 = _SpadeUnit(2 * steering, steering, steering, hidden)
        self.up_1 = _SpadeUnit(steering, steering // 4, steering, hidden)
        self.conv_img = nn.Conv2d(steering // 4, 3, 3, padding=1)

    def forward(self, steering: Tensor) -> Tensor:
        """(N, C, H, W) -> RGB (N, 3, 4H, 4W) in 0..1."""
        x = self.fc(steering)
        for i in range(self.count):
            x = self.get_submodule(f"G_middle_{i}")(x, steering)
        x = self.up_0(F.interpolate(x, scale_factor=2), steering)
        x = self.up_1(F.interpolate(x, scale_factor=2), steering)
        return self.conv_img(F.leaky_relu(x, _SPADE_SLOPE)).sigmoid()


@dataclass(frozen=True)
class Rendered:
    """What the generator gives: images (N, 3, S, S) RGB in 0..1, and what `DenseMotion` told."""

    images: Tensor
    flow: Tensor
    blend: Tensor
    occlusion: Tensor


class Generator(nn.Module):
    """Portrait and keypoints to images."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        channels, depth = config.volume
        flat = channels * depth
        self.first = ConvNorm(3, config.base)
        self.down_blocks = nn.ModuleList((Halving(config.base, 2 * config.base), Halving(2 * config.base, flat // 2)))
        self.second = nn.Conv2d(flat // 2, flat, 1)
        self.resblocks_3d = named("3dr", [_Residual(channels) for _ in range(config.middle)])
        self.dense_motion_network = DenseMotion(config)
        self.third = ConvNorm(flat, flat // 2, slope=_THIRD_SLOPE)
        self.fourth = nn.Conv2d(flat // 2, flat // 2, 1)
        self.decoder = Decoder(flat // 2, config.hidden, config.middle)

    def volume(self, images: Tensor) -> Tensor:
        """Portraits (N, 3, S, S) RGB in 0..1 -> features (N, C, D, S / 4, S / 4), which hold for all frames."""
        x = self.first(images)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(self.second(x).unflatten(1, self.config.volume))

    def forward(self, volume: Tensor, driving: Tensor, source: Tensor) -> Rendered:
        """Features of `volume` and keypoints (N, K, 3) of driver and portrait -> images."""
        flow, blend, occlusion = self.dense_motion_network(volume, driving, source)
        moved = F.grid_sample(volume, flow, align_corners=False)
        flat = self.fourth(self.third(moved.flatten(1, 2))) * occlusion
        return Rendered(self.decoder(flat), flow, blend, occlusion)


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released tensors with spectral norms folded in: weight = weight_orig / (u^T W v), with W flattened."""
    made = {}
    for name, value in state.items():
        if name.endswith("weight_orig"):
            stem = name.removesuffix("_orig")
            sigma = state[f"{stem}_u"].double() @ value.double().flatten(1) @ state[f"{stem}_v"].double()
            made[stem] = (value / sigma.to(value.dtype)).contiguous()
        elif not name.endswith(("weight_u", "weight_v")):
            made[name] = value
    return made


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the generator whose folded tensors these are."""
    volume = state["resblocks_3d.3dr0.conv1.weight"].shape[0]
    told = "dense_motion_network"
    encoder = [
        name for name in state if f"{told}.hourglass.encoder.down_blocks" in name and name.endswith("conv.weight")
    ]
    widths = [state[name].shape[0] for name in encoder]
    return Config(
        keypoints=state[f"{told}.mask.weight"].shape[0] - 1,
        volume=(volume, state["second.weight"].shape[0] // volume),
        base=state["first.conv.weight"].shape[0],
        middle=sum(name.startswith("resblocks_3d.") and name.endswith("conv1.weight") for name in state),
        hidden=state["decoder.up_0.norm_0.mlp_gamma.weight"].shape[1],
        compressed=state[f"{told}.compress.weight"].shape[0],
        motion_base=widths[0] // 2,
        motion_levels=len(widths),
        motion_most=widths[-1],
    )
