"""Records that checkpoints hold besides tensors, as inert data: ordered tables, options, numpy scalars and arrays.

`KNOWN` is the part of a machine's table that all pickles share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidswap.weights.pickle_machine import Builder, Record, Refused, plain_key

_NUMBERS = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
_NODES_AT_MOST, _DEPTH_AT_MOST = 20_000, 24


@dataclass
class DataType:
    """A numpy dtype of plain numbers: `code` is its kind and size, `order` its byte order."""

    code: str
    order: str = "<"

    def take_state(self, state: Any) -> None:
        """(version, byte order, then None for plain numbers)."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise Refused("the pickle has a numpy dtype that is no plain number")
        if any(part is not None for part in state[2:5]):
            raise Refused("the pickle has a numpy dtype with fields")
        self.order = state[1]

    @property
    def numpy(self) -> np.dtype[Any]:
        """The dtype itself; never one that holds objects."""
        return np.dtype((self.order if self.order in "<>" else "=") + self.code)


@dataclass
class Array:
    """A small numpy array; `value` is there once its state is."""

    value: np.ndarray | None = None

    def take_state(self, state: Any) -> None:
        """(version, shape, dtype, Fortran order, bytes)."""
        _, shape, dtype, fortran, raw = state if type(state) is tuple and len(state) == 5 else (None,) * 5
        if type(shape) is not tuple or type(dtype) is not DataType or not isinstance(raw, bytes | memoryview):
            raise Refused("the pickle has a malformed numpy array")
        if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) * dtype.numpy.itemsize != len(raw):
            raise Refused("the pickle has a numpy array whose shape does not fit its bytes")
        self.value = np.frombuffer(raw, dtype.numpy).reshape(shape, order="F" if fortran is True else "C")


def _data_type(code: Any, *_: Any) -> DataType:
    number = code.lstrip("<>|=") if type(code) is str else ""
    if number not in _NUMBERS:
        raise Refused(f"the pickle has a numpy dtype {number[:20]!r}; plain numbers are read")
    return DataType(number)


def _scalar(dtype: DataType, raw: bytes) -> int | float | bool:
    if type(dtype) is not DataType or len(raw) != dtype.numpy.itemsize:
        raise Refused("the pickle has a malformed numpy scalar")
    return np.frombuffer(raw, dtype.numpy)[0].item()


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    if type(pairs) not in (tuple, list):
        raise Refused("the pickle has a malformed ordered table")
    return {plain_key(pair[0]): pair[1] for pair in pairs}


def _set(values: Any = ()) -> set[Any]:
    if type(values) not in (tuple, list):
        raise Refused("the pickle has a malformed set")
    return set(map(plain_key, values))


def _no_bytes() -> bytes:
    return b""


def _latin(text: Any, _encoding: Any = None) -> bytes:
    if type(text) is not str:
        raise Refused("the pickle has malformed bytes")
    return text.encode("latin-1")


def _counter(table: Any = None) -> dict[Any, Any]:
    if table is not None and type(table) is not dict:
        raise Refused("the pickle has a malformed table of counts")
    return dict(table or {})


def _path(*parts: Any) -> str:
    if any(type(part) is not str for part in parts):
        raise Refused("the pickle has a malformed path")
    return "/".join(parts)


def _reconstruct(*_: Any) -> Array:
    return Array()


def record_of(kind: str) -> Builder:
    """A builder of inert records for a class of this name."""
    return Builder(lambda *_: Record(kind))


_SCALAR, _RECONSTRUCT = Builder(_scalar), Builder(_reconstruct)
KNOWN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Builder(_ordered),
    ("collections", "Counter"): Builder(_counter),
    ("builtins", "set"): Builder(_set),
    ("__builtin__", "set"): Builder(_set),
    ("_codecs", "encode"): Builder(_latin),
    # Protocol 2 has no bytes of its own: empty ones are a call without arguments.
    ("__builtin__", "bytes"): Builder(_no_bytes),
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "dtype"): Builder(_data_type),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("argparse", "Namespace"): record_of("argparse.Namespace"),
    ("pathlib", "PosixPath"): Builder(_path),
    ("pathlib", "WindowsPath"): Builder(_path),
}


def plain(value: Any) -> Any:
    """Options as JSON knows them: tables, lists, texts, numbers. What is none of these is left out.

    Raises Refused for tables of tables without end.
    """
    budget = iter(range(_NODES_AT_MOST))
    made = _plain(value, budget, 0)
    return None if made is _NOTHING else made


_NOTHING = object()


def _plain(value: Any, budget: Iterator[int], depth: int) -> Any:
    if next(budget, None) is None or depth > _DEPTH_AT_MOST:
        raise Refused("the file has options nested without end")
    if isinstance(value, Record):
        value = value.state
    if isinstance(value, Array):
        value = value.value.tolist() if value.value is not None and value.value.size <= 1024 else _NOTHING
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= 4096 else _NOTHING
    if isinstance(value, dict):
        made = {str(key): _plain(entry, budget, depth + 1) for key, entry in value.items()}
        return {key: entry for key, entry in made.items() if entry is not _NOTHING}
    if isinstance(value, list | tuple | set | frozenset):
        entries = [_plain(entry, budget, depth + 1) for entry in value]
        return [entry for entry in entries if entry is not _NOTHING]
    return _NOTHING
