"""Names of StyleGAN2's tensors in the two layouts that people hold: NVlabs (ours) and rosinality.

Both hold the same numbers: names and shapes differ, nothing is flipped. rosinality keeps the mean w beside the weights
(`latent_avg`), and its filter buffers already include the gain of 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from vidswap.graph.errors import InputError

# Parts of one modulated layer: (NVlabs, rosinality 3x3 convolution, rosinality ToRGB).
_PARTS = (
    ("weight", "conv.weight", "conv.weight"),
    ("bias", "activate.bias", "bias"),
    ("affine.weight", "conv.modulation.weight", "conv.modulation.weight"),
    ("affine.bias", "conv.modulation.bias", "conv.modulation.bias"),
    ("noise_strength", "noise.weight", None),
    ("resample_filter", "conv.blur.kernel", None),
)
_CONV_TO_RO = {ours: conv for ours, conv, _ in _PARTS}
_CONV_TO_NV = {conv: ours for ours, conv, _ in _PARTS}
_RGB_TO_RO = {ours: rgb for ours, _, rgb in _PARTS if rgb}
_RGB_TO_NV = {rgb: ours for ours, _, rgb in _PARTS if rgb}


def to_rosinality(name: str) -> str | None:
    """rosinality's name of NVlabs' tensor `name`; None where that layout has none (filters it does not repeat).

    `mapping.w_avg` becomes `latent_avg`, an entry of the checkpoint beside `g_ema`.
    """
    if name == "mapping.w_avg":
        return "latent_avg"
    if name == "synthesis.b4.const":
        return "input.input"
    if found := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
        return f"style.{int(found[1]) + 1}.{found[2]}"
    if found := re.fullmatch(r"synthesis\.b(\d+)\.resample_filter", name):
        level = _level(int(found[1]))
        return f"to_rgbs.{level - 1}.upsample.kernel" if level else None
    if not (found := re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", name)):
        return None
    level, layer, part = _level(int(found[1])), found[2], found[3]
    if layer == "torgb":
        part_ro = _RGB_TO_RO.get(part)
        return part_ro and (f"to_rgbs.{level - 1}.{part_ro}" if level else f"to_rgb1.{part_ro}")
    index = 2 * level - (2 if layer == "conv0" else 1)  # among `convs`; -1 is `conv1`
    if part == "noise_const":
        return f"noises.noise_{index + 1}"
    if part == "resample_filter" and layer == "conv1":
        return None
    part_ro = _CONV_TO_RO.get(part)
    return part_ro and (f"convs.{index}.{part_ro}" if level else f"conv1.{part_ro}")


def to_nvlabs(name: str) -> str | None:
    """NVlabs' name of rosinality's tensor `name`; None where it is no tensor of that layout."""
    if name == "latent_avg":
        return "mapping.w_avg"
    if name == "input.input":
        return "synthesis.b4.const"
    if found := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}" if int(found[1]) else None
    if found := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"{_conv(int(found[1]) - 1)}.noise_const"
    if found := re.fullmatch(r"to_rgbs\.(\d+)\.upsample\.kernel", name):
        return f"synthesis.b{8 << int(found[1])}.resample_filter"
    if found := re.fullmatch(r"(to_rgb1|to_rgbs\.(\d+))\.(.+)", name):
        part = _RGB_TO_NV.get(found[3])
        return part and f"synthesis.b{8 << int(found[2]) if found[2] else 4}.torgb.{part}"
    if found := re.fullmatch(r"(conv1|convs\.(\d+))\.(.+)", name):
        index, part = int(found[2]) if found[2] else -1, _CONV_TO_NV.get(found[3])
        if part == "resample_filter" and index % 2:
            return None
        return part and f"{_conv(index)}.{part}"
    return None


def _level(resolution: int) -> int:
    """0 for 4 px, 1 for 8 px, ..."""
    return resolution.bit_length() - 3


def _conv(index: int) -> str:
    """NVlabs' layer of number `index` among rosinality's `convs`; -1 is `conv1`."""
    return f"synthesis.b{4 << ((index + 2) // 2)}.conv{index % 2}"


def from_rosinality(state: Mapping[str, Tensor], latent_avg: Tensor | None = None) -> dict[str, Tensor]:
    """A rosinality generator (`g_ema` of the checkpoint) in NVlabs' names and shapes.

    latent_avg: (D,), (1, D) or (L, D); zeros where the checkpoint has none. Raises InputError at the first unknown key.
    """
    converted: dict[str, Tensor] = {}
    for name, value in state.items():
        ours = to_nvlabs(name)
        if ours is None:
            raise InputError(f"{name} is no tensor of a rosinality StyleGAN2 generator")
        converted[ours] = _shaped_nvlabs(ours, value)
    if "synthesis.b8.resample_filter" not in converted or "mapping.fc0.weight" not in converted:
        raise InputError("not a rosinality StyleGAN2 generator: to_rgbs.0.upsample.kernel or style.1.weight is missing")
    width = converted["mapping.fc0.weight"].shape[0]
    if latent_avg is None:
        converted["mapping.w_avg"] = torch.zeros(width, dtype=converted["mapping.fc0.weight"].dtype)
    else:
        converted["mapping.w_avg"] = latent_avg.reshape(-1, width)[0]
    taps = converted["synthesis.b8.resample_filter"]
    for ours in [name for name in converted if name.endswith(".weight") and ".affine" not in name]:
        layer = ours.removesuffix(".weight")
        if layer.startswith("synthesis."):
            converted.setdefault(f"{layer.rpartition('.')[0]}.resample_filter", taps)
            if not layer.endswith(".torgb"):
                converted.setdefault(f"{layer}.resample_filter", taps)
    return converted


def into_rosinality(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """A generator of NVlabs' names as rosinality's `g_ema`, and its `latent_avg` (D,).

    Raises InputError at the first unknown key.
    """
    converted: dict[str, Tensor] = {}
    for name, value in state.items():
        theirs = to_rosinality(name)
        if theirs is not None:
            converted[theirs] = _shaped_rosinality(theirs, value)
        elif not name.endswith(".resample_filter"):
            raise InputError(f"{name} is no tensor of an NVlabs StyleGAN2 generator")
    if "latent_avg" not in converted:
        raise InputError("not an NVlabs StyleGAN2 generator: mapping.w_avg is missing")
    return converted, converted.pop("latent_avg")


def _shaped_nvlabs(ours: str, value: Tensor) -> Tensor:
    if ours.endswith("resample_filter"):
        return value / 4
    if ours.endswith("noise_strength"):
        return value.reshape(())
    if ours.endswith("noise_const"):
        return value.reshape(value.shape[-2:])
    if ours.endswith("torgb.bias"):
        return value.reshape(-1)
    if ours.endswith((".const", "conv0.weight", "conv1.weight", "torgb.weight")):
        return value[0]
    return value


def _shaped_rosinality(theirs: str, value: Tensor) -> Tensor:
    if theirs.endswith("kernel"):
        return value * 4
    if theirs.endswith("noise.weight"):
        return value.reshape(1)
    if theirs.startswith("noises."):
        return value[None, None]
    if theirs.startswith("to_rgb") and theirs.endswith(".bias") and "modulation" not in theirs:
        return value.reshape(1, -1, 1, 1)
    if theirs == "input.input" or theirs.endswith(".conv.weight"):
        return value[None]
    return value
