"""A generator small enough to be trained on."""

import pytest
from small_generator import generator

__all__ = ["generator"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread):
    pass
