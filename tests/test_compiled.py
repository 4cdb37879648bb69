"""Compiled loops compute what plain Python would, bit for bit."""

from __future__ import annotations

import numpy as np

from vidswap.compiled import compiled


@compiled
def _mixed(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    result = np.empty_like(a)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            result[i, j] = a[i, j] * share[i, j] + b[i, j] * (np.float32(1) - share[i, j])
    return result


def test_a_compiled_loop_gives_the_bits_of_array_arithmetic() -> None:
    random = np.random.default_rng(0)
    a, b, share = (random.random((61, 47), dtype=np.float32) for _ in range(3))
    assert np.array_equal(_mixed(a, b, share), a * share + b * (np.float32(1) - share))


def test_division_by_zero_is_not_an_error() -> None:
    @compiled
    def quotient(a: float, b: float) -> float:
        return a / b

    assert quotient(1.0, 0.0) == np.inf
