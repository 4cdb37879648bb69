"""Names and shapes of FaceVid2Vid's three networks: keypoint detector, pose estimator, generator.

As in `vidswap.weights.shapes`: a function from a configuration to all shapes, and one that reads the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from vidswap.weights.encoder_shapes import batch_norm, convolution
from vidswap.weights.shapes import Config, Shape, Shapes, dim, indices, linear, under

_SHRINK_SIDE = 13
_ANGLES = ("roll", "pitch", "yaw")


def _volume(name: str, inputs: int, outputs: int, side: int = 3) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, side, side, side), f"{name}.bias": (outputs,)}


def _normed(name: str, inputs: int, outputs: int, *, is_flat: bool = True) -> Shapes:
    made = (convolution if is_flat else _volume)(f"{name}.conv", inputs, outputs)
    return made | batch_norm(f"{name}.norm", outputs)


def keypoint_detector(config: Config) -> Shapes:
    """config: widths after the base, base, depth, keypoints."""
    widths, base, depth = config["widths"], config["base"], config["depth"]
    made: Shapes = {}
    for i, (inputs, outputs) in enumerate(pairwise([3, *widths])):
        made |= _normed(f"predictor.down_blocks.down{i}", inputs, outputs)
    last = widths[-1] if widths else 0
    made |= convolution("predictor.conv", last, last * depth, 1)
    for i, (inputs, outputs) in enumerate(pairwise([*widths[::-1], base])):
        made |= _normed(f"predictor.up_blocks.up{i}", inputs, outputs, is_flat=False)
    made |= _volume("kp", base, config["keypoints"])
    return made | {"down.weight": (3, 1, _SHRINK_SIDE, _SHRINK_SIDE)}


def keypoint_detector_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a keypoint detector."""
    levels = indices(shapes, r"predictor\.down_blocks\.down(\d+)\.conv\.weight")
    widths = [dim(shapes, f"predictor.down_blocks.down{i}.conv.weight", 0) for i in levels]
    return {
        "widths": widths,
        "base": dim(shapes, "kp.weight", 1),
        "depth": dim(shapes, "predictor.conv.weight", 0) // max(widths[-1] if widths else 1, 1),
        "keypoints": dim(shapes, "kp.weight", 0),
    }


def pose_estimator(config: Config) -> Shapes:
    """config: base, units of the four groups, bins, keypoints."""
    base = config["base"]
    made = convolution("conv1", 3, base, 7) | batch_norm("norm1", base)
    widths = [base, *(base * 4 << i for i in range(4))]
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        made |= convolution(f"conv{i + 2}", inputs, outputs, 1) | batch_norm(f"norm{i + 2}", outputs)
        if i:
            made |= _bottleneck(f"block{2 * i}", outputs) | convolution(f"block{2 * i}.skip", outputs, outputs, 1)
            made |= batch_norm(f"block{2 * i}.norm4", outputs)
        for unit in range(config["units"][i]):
            made |= _bottleneck(f"block{2 * i + 1}.b{2 * i + 1}_{unit}", outputs)
    for angle in _ANGLES:
        made |= linear(f"fc_{angle}", widths[-1], config["bins"])
    return made | linear("fc_t", widths[-1], 3) | linear("fc_exp", widths[-1], 3 * config["keypoints"])


def _bottleneck(name: str, width: int) -> Shapes:
    middle = width // 4
    made = convolution(f"{name}.conv1", width, middle, 1) | batch_norm(f"{name}.norm1", middle)
    made |= convolution(f"{name}.conv2", middle, middle) | batch_norm(f"{name}.norm2", middle)
    return made | convolution(f"{name}.conv3", middle, width, 1) | batch_norm(f"{name}.norm3", width)


def pose_estimator_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a pose estimator."""
    return {
        "base": dim(shapes, "conv1.weight", 0),
        "units": [len(indices(shapes, rf"block{i}\.b{i}_(\d+)\.conv1\.weight")) for i in (1, 3, 5, 7)],
        "bins": dim(shapes, "fc_yaw.weight", 0),
        "keypoints": dim(shapes, "fc_exp.weight", 0) // 3,
    }


def generator(config: Config) -> Shapes:
    """config: keypoints, channels and depth of the volume, base, middle, hidden, compressed, motion (widths)."""
    channels, base, middle = config["channels"], config["base"], config["middle"]
    flat = channels * config["depth"]
    steering = flat // 2
    made = under("dense_motion_network.", _dense_motion(config))
    made |= _normed("first", 3, base)
    made |= _normed("down_blocks.0", base, 2 * base) | _normed("down_blocks.1", 2 * base, steering)
    made |= convolution("second", steering, flat, 1)
    for i in range(middle):
        for k in (1, 2):
            made |= _volume(f"resblocks_3d.3dr{i}.conv{k}", channels, channels)
            made |= batch_norm(f"resblocks_3d.3dr{i}.norm{k}", channels)
    made |= _normed("third", flat, steering) | convolution("fourth", steering, steering, 1)
    made |= convolution("decoder.fc", steering, 2 * steering)
    units = [(f"G_middle_{i}", 2 * steering, 2 * steering) for i in range(middle)]
    units += [("up_0", 2 * steering, steering), ("up_1", steering, steering // 4)]
    for name, inputs, outputs in units:
        made |= under(f"decoder.{name}.", _steered_unit(inputs, outputs, steering, config["hidden"]))
    return made | convolution("decoder.conv_img", steering // 4, 3)


def _dense_motion(config: Config) -> Shapes:
    motions, compressed, widths = config["keypoints"] + 1, config["compressed"], config["motion"]
    inputs = motions * (compressed + 1)
    made: Shapes = {}
    for i, (below, above) in enumerate(pairwise([inputs, *widths])):
        made |= _normed(f"hourglass.encoder.down_blocks.{i}", below, above, is_flat=False)
    half = widths[0] // 2 if widths else 0
    for i, level in enumerate(reversed(range(len(widths)))):
        joined = widths[level] * (1 if i == 0 else 2)
        above = widths[level - 1] if level else half
        made |= _normed(f"hourglass.decoder.up_blocks.{i}", joined, above, is_flat=False)
    width = half + inputs
    made |= _normed("hourglass.decoder", width, width, is_flat=False)
    made |= _volume("mask", width, motions, 7) | _volume("compress", config["channels"], compressed, 1)
    return made | batch_norm("norm", compressed) | convolution("occlusion", width * config["depth"], 1, 7)


def _steered_unit(inputs: int, outputs: int, steering: int, hidden: int) -> Shapes:
    """Spectral norms as they are in files: the raw weight and the two vectors of its largest singular value."""
    middle = min(inputs, outputs)
    made: Shapes = {}
    convs = [("conv_0", inputs, middle, 3), ("conv_1", middle, outputs, 3)]
    norms = [("norm_0", inputs), ("norm_1", middle)]
    if inputs != outputs:
        convs.append(("conv_s", inputs, outputs, 1))
        norms.append(("norm_s", inputs))
    for name, below, above, side in convs:
        if name != "conv_s":
            made[f"{name}.bias"] = (above,)
        made[f"{name}.weight_orig"] = (above, below, side, side)
        made |= {f"{name}.weight_u": (above,), f"{name}.weight_v": (below * side * side,)}
    for name, width in norms:
        made |= convolution(f"{name}.mlp_shared.0", steering, hidden)
        made |= convolution(f"{name}.mlp_gamma", hidden, width) | convolution(f"{name}.mlp_beta", hidden, width)
    return made


def generator_config(shapes: Mapping[str, Shape]) -> Config:
    """The configuration of a generator."""
    at = "dense_motion_network.hourglass.encoder.down_blocks"
    levels = indices(shapes, r"dense_motion_network\.hourglass\.encoder\.down_blocks\.(\d+)\.conv\.weight")
    channels = dim(shapes, "resblocks_3d.3dr0.conv1.weight", 0)
    return {
        "keypoints": dim(shapes, "dense_motion_network.mask.weight", 0) - 1,
        "channels": channels,
        "depth": dim(shapes, "second.weight", 0) // max(channels, 1),
        "base": dim(shapes, "first.conv.weight", 0),
        "middle": len(indices(shapes, r"resblocks_3d\.3dr(\d+)\.conv1\.weight")),
        "hidden": dim(shapes, "decoder.up_0.norm_0.mlp_gamma.weight", 1),
        "compressed": dim(shapes, "dense_motion_network.compress.weight", 0),
        "motion": [dim(shapes, f"{at}.{i}.conv.weight", 0) for i in levels],
    }
