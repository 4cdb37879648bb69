"""Checkpoints of learned methods as their authors publish them, but tiny: what operators with weights are tested on."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import torch

from vidswap.latents.generators import RandomWeights, random_generator
from vidswap.nets import encoders, gpen, landmark_mapper, rrdbnet, stylegan2_keys, stylemask
from vidswap.nets.layers import seeded

WIDTHS = (16, 16, 16, 16, 32)
FRAME = SimpleNamespace(width=4096, height=4096)
"""Of a frame all that a crop of the right size needs, and WITHIN, the crop's matrix, is not near its edges."""
WITHIN = np.array([[1.0, 0.0, -900.0], [0.0, 1.0, -900.0]])


@functools.cache
def generator(size=32, family="stylegan2", seed=3):
    """A narrow generator with codes of 512 values; its noise has some strength. Not to be changed."""
    net = random_generator(RandomWeights(size, seed), family).net
    if family == "stylegan2":
        for name, value in net.synthesis.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.1)
    return net


def encoder(kind, rows=8, inputs=3, seed=4):
    """A narrow encoder: e4e, psp, restyle-e4e, restyle-psp or w. Norms have seen some data."""
    family = {"e4e": "pyramid", "psp": "pyramid", "w": "w"}.get(kind, "backbone")
    config = encoders.Config(family, rows, inputs, WIDTHS if kind != "w" else encoders.WIDTHS)
    classes = {
        "e4e": encoders.Encoder4Editing,
        "psp": encoders.GradualStyleEncoder,
        "restyle-e4e": encoders.ProgressiveEncoder,
        "restyle-psp": encoders.BackboneEncoder,
        "w": encoders.WEncoder,
    }
    return seeded(lambda: classes[kind](config), seed)


def checkpoint(path, kind, *, rows=8, size=32, seed=4, options=None, **changed):
    """A `.pt` as the pSp family publishes it: encoder and rosinality decoder, mean code of all rows, options."""
    net = generator(size)
    decoder, mean = stylegan2_keys.into_rosinality(net.state_dict())
    inputs = 6 if kind.startswith("restyle") else 3
    state = {f"encoder.{k}": v for k, v in encoder(kind, rows, inputs, seed).state_dict().items()}
    state |= {f"decoder.{k}": v for k, v in decoder.items()}
    types = {"e4e": "Encoder4Editing", "psp": "GradualStyleEncoder", "restyle-e4e": "ProgressiveBackboneEncoder"}
    told = {"encoder_type": types.get(kind, "BackboneEncoder"), "start_from_latent_avg": True, **(options or {})}
    held = {"state_dict": state, "latent_avg": mean.expand(rows, 512).clone(), "opts": told, **changed}
    torch.save({name: value for name, value in held.items() if value is not None}, path)
    return path


def generator_file(path, size=32, family="stylegan2"):
    """A bare generator in NVlabs' layout as safetensors."""
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in generator(size, family).state_dict().items()}, path)
    return path


def encoder_file(path, rows=16):
    """An e4e-like encoder alone, with a mean code of its own: of a StyleGAN3, with 16 rows."""
    state = {f"encoder.{k}": v for k, v in encoder("e4e", rows).state_dict().items()}
    mean = 0.1 * torch.randn(rows, 512, generator=torch.Generator().manual_seed(6))
    torch.save({"state_dict": state, "latent_avg": mean, "opts": {"start_from_latent_avg": True}}, path)
    return path


def masks_file(path, size=64, seed=5, widths=None):
    """StyleMask's networks for a generator of `size` px, or of these widths, as they are released."""
    config = stylemask.Config(widths) if widths else stylemask.Config.of(generator(size).config)
    net = seeded(lambda: stylemask.MaskNetworks(config), seed)
    torch.save({"step": 1, "mask_net": net.state_dict(), "num_layers_control": len(config.widths)}, path)
    return path


def mapper_file(path, rows=16, seed=6):
    """A narrow landmark mapper."""
    config = landmark_mapper.Config((4, 8, 8, 16), 145, 32, rows)
    torch.save(seeded(lambda: landmark_mapper.LandmarkMapper(config), seed).state_dict(), path)
    return path


def write_gpen(path, seed=7):
    """A narrow GPEN of 32 px, as it is released."""
    config = gpen.Config((8, 8, 6, 4), style=8, mapping_layers=2)
    torch.save(seeded(lambda: gpen.GPEN(config), seed).state_dict(), path)
    return path


def write_realesrnet(path, seed=8):
    """A narrow RealESRNet, as it is released."""
    net = seeded(lambda: rrdbnet.RRDBNet(rrdbnet.Config(6, 1, 4)), seed)
    torch.save({"params_ema": net.state_dict()}, path)
    return path
