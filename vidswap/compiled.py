"""Functions on arrays that are compiled for this machine, for loops over pixels that array operations would repeat.

A chain of numpy operations reads and writes every pixel once per operation; a compiled loop does so once. Arithmetic
follows IEEE 754 without contraction or reordering, so that every machine computes the same bits. The first call on a
machine compiles (about a second per function); the result is kept beside the source, or in the user's cache folder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])


class Compiled:
    """Stands for a function that is compiled when it is first called: who calls none does not load the compiler."""

    def __init__(self, function: Callable[..., object], signature: str | None) -> None:
        functools.update_wrapper(self, function)
        self._function, self.signature = function, signature
        self._made: Any = None

    def __call__(self, *given: Any) -> Any:
        """Call it."""
        return self.made()(*given)

    def made(self) -> Any:
        """The compiled function."""
        if self._made is None:
            import numba

            # Compiled code calls compiled functions, not what stands for them.
            names = self._function.__globals__
            for name in self._function.__code__.co_names:
                called = names.get(name)
                if isinstance(called, Compiled) and called is not self:
                    names[name] = called.made()
            self._made = numba.njit(cache=True, nogil=True, error_model="numpy")(self._function)
        return self._made


_all: list[Compiled] = []


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
        later = Compiled(function, signature)
        _all.append(later)
        return cast(F, later)

    return compile_later


def load_compiled() -> None:
    """Compile the functions that are imported by now, or load what an earlier process has compiled of them.

    For a process of which copies are then made: what it has, they need not do again. Raises what numba raises.
    """
    for function in _all:
        if function.signature is not None:
            function.made().compile(function.signature)
