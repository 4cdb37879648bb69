"""BiSeNet (Yu et al. 2018, arXiv:1808.00897), the face parser that the field shares: 19 classes at 512 px.

Names are those of the released `79999_iter.pth`. The spatial path of the paper is absent: a ResNet-18's 1/8 map takes
its place. Order of the classes: background, skin, brows (2), eyes (2), glasses, ears (2), earring, nose, mouth, lips
(2), neck, necklace, cloth, hair, hat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets.resnet import Residual


@dataclass(frozen=True)
class Config:
    """Shape of the parser."""

    classes: int = 19


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the parser whose state dict this is. Raises InputError where it is none."""
    for name in ("cp.resnet.conv1.weight", "ffm.convblk.conv.weight", "conv_out.conv_out.weight"):
        if name not in state:
            raise InputError(f"not a BiSeNet face parser: {name} is missing")
    return Config(state["conv_out.conv_out.weight"].shape[0])


class ResNet18(nn.Module):
    """Maps at 1/8 (128 channels), 1/16 (256) and 1/32 (512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for i, (inward, outward) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512))):
            units = Residual(inward, outward, 2 if i else 1), Residual(outward, outward, 1)
            self.add_module(f"layer{i + 1}", nn.Sequential(*units))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> maps of 128, 256 and 512 channels."""
        x = F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        maps = []
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps.append(x)
        return maps[1], maps[2], maps[3]


class _ConvBNReLU(nn.Module):
    def __init__(self, inward: int, outward: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, kernel, 1, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outward)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class _Attention(nn.Module):
    """Attention refinement: channels weighted by their means."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inward, outward)
        self.conv_atten = nn.Conv2d(outward, outward, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outward)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(x.mean(dim=(2, 3), keepdim=True))).sigmoid()


class _ContextPath(nn.Module):
    """Context from the coarse maps brought to the finer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16, self.arm32 = _Attention(256, 128), _Attention(512, 128)
        self.conv_head32, self.conv_head16 = _ConvBNReLU(128, 128), _ConvBNReLU(128, 128)
        self.conv_avg = _ConvBNReLU(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image -> the trunk's 1/8 map, and context maps at 1/8 and 1/16 (128 channels each)."""
        fine, middle, coarse = self.resnet(x)
        whole = self.conv_avg(coarse.mean(dim=(2, 3), keepdim=True))
        above = self.arm32(coarse) + whole
        above = self.conv_head32(F.interpolate(above, size=middle.shape[2:]))
        below = self.arm16(middle) + above
        return fine, self.conv_head16(F.interpolate(below, size=fine.shape[2:])), above


class _Fusion(nn.Module):
    """Trunk and context, one map, its channels weighted."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = _ConvBNReLU(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat((fine, context), dim=1))
        weights = self.conv2(self.conv1(x.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()
        return x * weights + x


class _Head(nn.Module):
    def __init__(self, inward: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inward, middle)
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Logits of 19 classes per pixel."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.cp = _ContextPath()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256, self.config.classes)
        self.conv_out16 = _Head(128, 64, self.config.classes)
        self.conv_out32 = _Head(128, 64, self.config.classes)

    def logits(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised (`normalised_faces`) -> (N, classes, H/8, W/8), before the final enlargement."""
        fine, context, _ = self.cp(x)
        return self.conv_out(self.ffm(fine, context))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised (`normalised_faces`) -> logits (N, classes, H, W); H and W multiples of 32."""
        return _enlarged(self.logits(x), x)

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits, and those of the two heads that help in training, all at the size of `x`."""
        fine, context, coarse = self.cp(x)
        main = self.conv_out(self.ffm(fine, context))
        return _enlarged(main, x), _enlarged(self.conv_out16(context), x), _enlarged(self.conv_out32(coarse), x)


Net = BiSeNet


def _enlarged(logits: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=True)


def normalised_faces(images: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in 0..1 -> by the mean and deviation of ImageNet."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=images.device)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=images.device)
    return (images - mean[:, None, None]) / deviation[:, None, None]


def bicubic_taps(factor: int) -> Tensor:
    """(4 factor,) float32: the cubic (a = -0.5) stretched by `factor`, which sums to 1."""
    x = ((torch.arange(4 * factor, dtype=torch.float64) + 0.5) / factor - 2).abs()
    a = -0.5
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    taps = torch.where(x <= 1, near, far)
    return (taps / taps.sum()).float()


def reduced(images: Tensor, factor: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, H / factor, W / factor), bicubic with antialiasing and reflected borders, as E4S does.

    E4S halves its 1024 px crops so before parsing (and clamps to 0..1 after).
    """
    taps = bicubic_taps(factor).to(images)
    channels, pad = images.shape[1], (4 * factor - factor) // 2
    images = F.pad(images, (pad, pad, pad, pad), mode="reflect")
    images = F.conv2d(images, taps[:, None].expand(channels, 1, -1, 1), stride=(factor, 1), groups=channels)
    return F.conv2d(images, taps.expand(channels, 1, 1, -1), stride=(1, factor), groups=channels)
