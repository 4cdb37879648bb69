"""A StyleGAN2 small enough to be optimised and trained through: the loops, not the networks, are what is tested."""

import pytest

from vidswap.nets import stylegan2
from vidswap.nets.layers import seeded


@pytest.fixture(scope="session")
def generator():
    config = stylegan2.Config((16, 16, 12, 8), z_dim=16, w_dim=16, mapping_layers=2)
    return seeded(lambda: stylegan2.Generator(config), 5)
