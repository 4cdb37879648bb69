"""A generator small enough to be trained on: the loops, not the networks, are what is tested."""

import pytest
import torch

from vidswap.nets import stylegan2
from vidswap.nets.layers import seeded


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def generator():
    config = stylegan2.Config((16, 16, 12, 8), z_dim=16, w_dim=16, mapping_layers=2)
    return seeded(lambda: stylegan2.Generator(config), 5)
