"""A generator small enough to be optimised through, and pictures that it can make."""

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


@pytest.fixture(scope="session")
def pictures(generator):
    """(3, 3, 32, 32), made of codes that no inversion knows."""
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        w = generator.mapping(z)
        return generator.synthesis(w[:, None].expand(-1, generator.config.num_ws, -1))
