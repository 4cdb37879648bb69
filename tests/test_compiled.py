"""Compiled loops compute what plain Python would, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from vidswap.compiled import compiled


@compiled()
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


@compiled()
def _twice(value: float) -> float:
    return 2 * value


@compiled("(float64,)")
def _four_times(value: float) -> float:
    return _twice(_twice(value))


def test_compiled_functions_call_one_another() -> None:
    assert _four_times(3.0) == 12.0


def test_what_is_not_called_does_not_load_the_compiler() -> None:
    code = "import sys, vidswap.faces.painting, vidswap.faces.transfer; assert 'numba' not in sys.modules"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_division_by_zero_is_not_an_error() -> None:
    @compiled()
    def quotient(a: float, b: float) -> float:
        return a / b

    assert quotient(1.0, 0.0) == np.inf


USED = """
import sys
from pathlib import Path
import vidswap
from vidswap import compiled
from vidswap.demo.make import make_demo
folder = Path(sys.argv[1])
demo = make_demo(folder, seconds=0.4)
vidswap.swap(demo.source, demo.target, folder / "out.mp4", workers=0)
declared = [(later.made(), later.signature) for later in compiled._all if later.signature is not None]
assert any(function.signatures for function, _ in declared)
for function, signature in declared:
    there = [str(types) for types in function.signatures]
    compiled_as = len(function.signatures)
    function.compile(signature)
    if compiled_as and len(function.signatures) != compiled_as:
        sys.exit(f"{function.__module__}.{function.__name__} is declared with {signature}, but called with {there}")
"""


def test_loops_are_called_with_the_types_that_they_are_declared_with(tmp_path) -> None:
    """Otherwise they would be compiled beforehand in vain, and then again in every worker."""
    ran = subprocess.run([sys.executable, "-c", USED, str(tmp_path)], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
