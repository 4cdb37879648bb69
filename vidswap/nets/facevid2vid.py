"""FaceVid2Vid (Wang et al. 2021, arXiv:2011.15126): a portrait moved by the pose and expression of another face.

    source = net.source(portraits)      once: keypoints and features in a volume
    motion = net.motion(frames)         pose and expression of the driving faces, as a batch
    images = net.animate(source, motion)

Images are RGB, 256 px, 0..1, the face cropped with some room around it. Keypoints are x, y, z in -1..1, the driver's
made from the portrait's canonical ones by the driver's pose, shift and expression (absolute motion, as E4S drives).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets import facevid2vid_generator as rendering
from vidswap.nets.facevid2vid_parts import Doubling, Halving, coordinates, named, widths_of
from vidswap.nets.layers import assembled

_TEMPERATURE = 0.1
_SHRINK, _BLUR_SIDE, _BLUR_SIGMA = 4, 13, 1.5
_BIN_DEGREES, _FIRST_DEGREES = 3, 99
_PI = 3.14  # as the networks were trained


@dataclass(frozen=True)
class Config:
    """Shape of the networks; the defaults are those of the released vox-256."""

    generator: rendering.Config = field(default_factory=rendering.Config)
    base: int = 32  # of the keypoint detector
    levels: int = 5
    most: int = 1024
    pose_base: int = 64
    pose_units: tuple[int, int, int, int] = (3, 3, 5, 2)
    bins: int = 66


@dataclass(frozen=True)
class Motion:
    """Pose and expression of faces: angles in degrees (N,), translation (N, 3), expression (N, K, 3) in -1..1."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    expression: Tensor

    def __len__(self) -> int:
        return len(self.yaw)

    def __getitem__(self, rows: slice | Tensor) -> Motion:
        return Motion(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})


@dataclass(frozen=True)
class Source:
    """What of portraits holds for all frames: volume (N, C, D, H, W), keypoints (N, K, 3), canonical and as shown."""

    volume: Tensor
    canonical: Tensor
    keypoints: Tensor


def rotation(motion: Motion) -> Tensor:
    """(N, 3, 3): about x by pitch, after about y by yaw, after about z by roll."""
    pitch, yaw, roll = (angle / 180 * _PI for angle in (motion.pitch, motion.yaw, motion.roll))
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*values: Tensor) -> Tensor:
        return torch.stack(values, dim=-1).unflatten(-1, (3, 3))

    about_x = matrix(one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos())
    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return about_x @ about_y @ about_z


def moved_keypoints(canonical: Tensor, motion: Motion) -> Tensor:
    """Canonical keypoints (N, K, 3) turned, shifted and bent by a motion."""
    turned = canonical @ rotation(motion).transpose(1, 2)
    return turned + motion.translation[:, None] + motion.expression


class _Predictor(nn.Module):
    """Flat maps down, made a volume, up again."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = widths_of(config.base, config.levels, config.most)
        self.depth = config.generator.volume[1]
        self.down_blocks = named("down", [Halving(a, b) for a, b in pairwise([3, *widths])])
        self.conv = nn.Conv2d(widths[-1], widths[-1] * self.depth, 1)
        above = [*widths[::-1], config.base]
        self.up_blocks = named("up", [Doubling(a, b, dims=3) for a, b in pairwise(above)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.down_blocks(x))
        return self.up_blocks(x.unflatten(1, (-1, self.depth)))


class _Shrink(nn.Module):
    """A Gaussian, then every fourth pixel."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.exp(-0.5 * ((torch.arange(_BLUR_SIDE, device="cpu") - _BLUR_SIDE // 2) / _BLUR_SIGMA).square())
        taps = taps / taps.sum()
        self.register_buffer("weight", torch.outer(taps, taps).expand(3, 1, -1, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=_SHRINK, padding=_BLUR_SIDE // 2, groups=3)


class KeypointDetector(nn.Module):
    """Canonical keypoints of a face: where it would have them at rest, seen from the front."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.down = _Shrink()
        self.predictor = _Predictor(config)
        self.kp = nn.Conv3d(config.base, config.generator.keypoints, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """RGB (N, 3, S, S) in 0..1 -> (N, K, 3) in -1..1, means under heat maps."""
        heat = self.kp(self.predictor(self.down(images)))
        weights = F.softmax(heat.flatten(2) / _TEMPERATURE, dim=2)
        _, _, depth, height, width = heat.shape
        return weights @ coordinates(depth, height, width, heat).reshape(-1, 3)


class _Bottleneck(nn.Module):
    """ResNet's bottleneck; with a stride, its shortcut is a convolution of that stride."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        middle = width // 4
        self.conv1, self.norm1 = nn.Conv2d(width, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.norm2 = nn.Conv2d(middle, middle, 3, stride, 1), nn.BatchNorm2d(middle)
        self.conv3, self.norm3 = nn.Conv2d(middle, width, 1), nn.BatchNorm2d(width)
        self.stride = stride
        if stride > 1:
            self.skip, self.norm4 = nn.Conv2d(width, width, 1, stride), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + (self.norm4(self.skip(x)) if self.stride > 1 else x))


class PoseEstimator(nn.Module):
    """Head pose, shift and expression of a face, by a ResNet."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        base = config.pose_base
        widths = [base, *(base * 4 << i for i in range(4))]
        self.conv1, self.norm1 = nn.Conv2d(3, base, 7, 2, 3), nn.BatchNorm2d(base)
        for i, (inward, outward) in enumerate(pairwise(widths)):
            self.add_module(f"conv{i + 2}", nn.Conv2d(inward, outward, 1))
            self.add_module(f"norm{i + 2}", nn.BatchNorm2d(outward))
            if i:
                self.add_module(f"block{2 * i}", _Bottleneck(outward, 2))
            units = [_Bottleneck(outward) for _ in range(config.pose_units[i])]
            self.add_module(f"block{2 * i + 1}", named(f"b{2 * i + 1}_", units))
        width = widths[-1]
        self.fc_roll, self.fc_pitch, self.fc_yaw = (nn.Linear(width, config.bins) for _ in range(3))
        self.fc_t = nn.Linear(width, 3)
        self.fc_exp = nn.Linear(width, 3 * config.generator.keypoints)

    def features(self, images: Tensor) -> Tensor:
        """RGB (N, 3, S, S) in 0..1 -> (N, width)."""
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(images))), 3, 2, 1)
        for i in range(4):
            x = F.relu(self.get_submodule(f"norm{i + 2}")(self.get_submodule(f"conv{i + 2}")(x)))
            if i:
                x = self.get_submodule(f"block{2 * i}")(x)
            x = self.get_submodule(f"block{2 * i + 1}")(x)
        return x.mean(dim=(2, 3))

    def bins(self, features: Tensor) -> dict[str, Tensor]:
        """Yaw, pitch, roll as scores of bins of three degrees, (N, bins) each."""
        # The layers of yaw and roll have each other's names in the released weights.
        return {"yaw": self.fc_roll(features), "pitch": self.fc_pitch(features), "roll": self.fc_yaw(features)}

    def forward(self, images: Tensor) -> Motion:
        """RGB (N, 3, S, S) in 0..1 -> motion."""
        features = self.features(images)
        angles = {name: degrees(scores) for name, scores in self.bins(features).items()}
        return Motion(**angles, translation=self.fc_t(features), expression=self.fc_exp(features).unflatten(1, (-1, 3)))


def degrees(scores: Tensor) -> Tensor:
    """Scores of bins (N, bins) -> the expected angle (N,)."""
    steps = torch.arange(scores.shape[1], device=scores.device, dtype=scores.dtype)
    return F.softmax(scores, dim=1) @ steps * _BIN_DEGREES - _FIRST_DEGREES


class FaceVid2Vid(nn.Module):
    """Keypoint detector, pose estimator and generator; how to use them, in the module's docstring."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        self.kp_detector = KeypointDetector(config)
        self.he_estimator = PoseEstimator(config)
        self.generator = rendering.Generator(config.generator)

    def source(self, portraits: Tensor) -> Source:
        """Portraits (N, 3, 256, 256) in 0..1 -> what holds for all frames."""
        canonical = self.kp_detector(portraits)
        shown = moved_keypoints(canonical, self.he_estimator(portraits))
        return Source(self.generator.volume(portraits), canonical, shown)

    def motion(self, frames: Tensor) -> Motion:
        """Driving faces (N, 3, 256, 256) in 0..1 -> their pose and expression."""
        return self.he_estimator(frames)

    def render(self, source: Source, motion: Motion) -> rendering.Rendered:
        """A source of one portrait, or one for each row of the motion -> images with flow, blend and occlusion."""
        n = len(motion)
        driving = moved_keypoints(source.canonical.expand(n, -1, -1), motion)
        return self.generator(source.volume.expand(n, -1, -1, -1, -1), driving, source.keypoints.expand(n, -1, -1))

    def animate(self, source: Source, motion: Motion) -> Tensor:
        """A source of one portrait, or one for each row of the motion -> RGB (N, 3, 256, 256) in 0..1."""
        return self.render(source, motion).images


PARTS = ("kp_detector", "he_estimator", "generator")
"""The entries of the released file, `vidswap.weights.load("facevid2vid").part(...)` of each."""


def network_of(parts: Mapping[str, Mapping[str, Tensor]]) -> FaceVid2Vid:
    """The networks from the tensors of the released file's entries, for inference. Raises InputError."""
    for part in PARTS:
        if part not in parts:
            raise InputError(f"not FaceVid2Vid: {part} is missing")
    state = {f"{part}.{name}": value for part in PARTS for name, value in rendering.folded(parts[part]).items()}
    config = config_of(state)
    return assembled(lambda: FaceVid2Vid(config), state)


def config_of(state: Mapping[str, Tensor]) -> Config:
    """The shape of the networks whose (folded) tensors these are. Raises InputError, naming the first key amiss."""
    inner = {name.removeprefix("generator."): t for name, t in state.items() if name.startswith("generator.")}
    downs = [n for n in state if n.startswith("kp_detector.predictor.down_blocks.") and n.endswith("conv.weight")]
    units = tuple(
        sum(n.startswith(f"he_estimator.block{i}.") and n.endswith(".conv1.weight") for n in state)
        for i in (1, 3, 5, 7)
    )
    try:
        return Config(
            generator=rendering.config_of(inner),
            base=state["kp_detector.kp.weight"].shape[1],
            levels=len(downs),
            most=state["kp_detector.predictor.conv.weight"].shape[1],
            pose_base=state["he_estimator.conv1.weight"].shape[0],
            pose_units=(units[0], units[1], units[2], units[3]),
            bins=state["he_estimator.fc_yaw.weight"].shape[0],
        )
    except KeyError as missing:
        raise InputError(f"not FaceVid2Vid: {missing.args[0]} is missing") from None
