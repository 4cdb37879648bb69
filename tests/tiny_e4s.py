"""A checkpoint of E4S in its published form, with random weights and few channels, for tests of stages and commands."""

from __future__ import annotations

import torch

from vidswap.nets import rgi, rgi_keys, stylegan2
from vidswap.nets.layers import seeded

GENERATOR = stylegan2.Config((16, 16, 12, 8, 8), w_dim=16, z_dim=16, mapping_layers=2)  # 64 px


def tiny_net(*, rows=7, seed=0, generator=GENERATOR):
    """Networks of 64 px and vectors of 48 values."""
    config = rgi.Config(generator, rows=rows, encoder_widths=(16,) * 5)
    net = seeded(lambda: rgi.RGI(config), seed)
    net.latent_avg.normal_(generator=torch.Generator().manual_seed(seed))
    return net


def write_tiny(path, **options):
    """Write such networks as their authors publish them; returns the path."""
    state, mean = rgi_keys.into_published(tiny_net(**options).state_dict())
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "latent_avg": mean}, path)
    return path
