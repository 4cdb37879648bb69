"""Networks are small here: one thread computes them sooner than several."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread):
    pass
