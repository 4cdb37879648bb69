"""A generator small enough to be optimised through, and pictures that it can make."""

import pytest
import torch
from small_generator import generator

__all__ = ["generator", "pictures"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture(scope="session")
def pictures(generator):
    """(3, 3, 32, 32), made of codes that no inversion knows."""
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        w = generator.mapping(z)
        return generator.synthesis(w[:, None].expand(-1, generator.config.num_ws, -1))
