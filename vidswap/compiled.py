"""Functions on arrays that are compiled for this machine, for loops over pixels that array operations would repeat.

A chain of numpy operations reads and writes every pixel once per operation; a compiled loop does so once. Arithmetic
follows IEEE 754 without contraction or reordering, so that every machine computes the same bits. The first call on a
machine compiles (about a second per function); the result is kept beside the source, or in the user's cache folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers at its first call with such types.

    The function is written in the part of Python that numba knows: loops, numbers, indexing, and calls of other
    compiled functions. Indices are not checked: callers pass arrays of the right shapes. The interpreter's lock is
    let go of while it runs. Division by zero gives inf or nan, as in numpy.
    """
    made: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    _made.append(made)
    return made


_made: list[Any] = []


def load_cached() -> None:
    """Load what an earlier process has compiled of the functions that are imported by now, instead of at first calls.

    For a process of which copies are then made. Compiles nothing, and never raises.
    """
    for function in _made:
        with contextlib.suppress(Exception):
            # The index of the cache is no public interface: without it, functions are loaded at their first call.
            index = function._cache._cache_file._load_index()
            for signature in {key[0] for key in index}:
                function.compile(signature)
