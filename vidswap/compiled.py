"""Functions on arrays that are compiled for this machine, for loops over pixels that array operations would repeat.

A chain of numpy operations reads and writes every pixel once per operation; a compiled loop does so once. Arithmetic
follows IEEE 754 without contraction or reordering, so that every machine computes the same bits. The first call on a
machine compiles (about a second per function); the result is kept beside the source, or in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(signature: str | None = None) -> Callable[[F], F]:
    """Compile a function of arrays and numbers at its first call, or when `load_compiled` is called.

    Args:
        signature: types that it is called with, as numba writes them: `"(float32[:,::1], int64)"`. Calls with others
            work too; those given are compiled beforehand by `load_compiled`. None for what compiled functions call.

    The function is written in the part of Python that numba knows: loops, numbers, indexing, and calls of other
    compiled functions. Indices are not checked: callers pass arrays of the right shapes. The interpreter's lock is
    let go of while it runs. Division by zero gives inf or nan, as in numpy.
    """

    def compile_later(function: F) -> F:
        made: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        if signature is not None:
            _made.append((made, signature))
        return made

    return compile_later


_made: list[tuple[Any, str]] = []


def load_compiled() -> None:
    """Compile the functions that are imported by now, or load what an earlier process has compiled of them.

    For a process of which copies are then made: what it has, they need not do again. Raises what numba raises.
    """
    for function, signature in _made:
        function.compile(signature)
