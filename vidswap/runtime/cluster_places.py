"""Places on a Ray cluster: where an actor is, how its process is set up, and arrays that came through the store."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from vidswap.graph import Batch, object_column

from .child import worker_environment

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def nodes() -> list[dict[str, Any]]:
    """The nodes that are alive, as Ray describes them."""
    return [n for n in ray.nodes() if n["Alive"]]


@dataclass(frozen=True)
class Place:
    """Where an actor lives."""

    node: str
    host: str
    process: int

    @classmethod
    def here(cls) -> Place:
        """That of this process, an actor."""
        return cls(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())


@dataclass(frozen=True)
class Home:
    """Where the driver runs: a node that has these folders too finds there the modules and files that it names."""

    working_folder: str
    path: tuple[str, ...]

    @classmethod
    def of_driver(cls) -> Home:
        """That of this process."""
        return cls(str(Path.cwd()), tuple(str(Path(p).absolute()) for p in sys.path))

    def settle(self) -> None:
        """Work in the driver's folder where there is one, and look for modules where it does, after the node's own.

        Variables of the environment are set here, before libraries read them: processes that Ray has at hand will do.
        """
        environment = worker_environment()
        os.environ.update(environment)
        _keep_memory(environment)
        with contextlib.suppress(OSError):
            os.chdir(self.working_folder)
        sys.path += [p for p in self.path if p not in sys.path]


def _keep_memory(environment: Mapping[str, str]) -> None:
    """Have glibc of this process, which has read its environment, do what the variables would have it do."""
    with contextlib.suppress(Exception):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, int(environment["MALLOC_MMAP_THRESHOLD_"]))
        libc.mallopt(_M_TRIM_THRESHOLD, int(environment["MALLOC_TRIM_THRESHOLD_"]))


def writable(batch: Batch) -> Batch:
    """A batch whose arrays may be written to: those of the store are read-only, and operators may rely on it."""
    made = {}
    for name, values in batch.to_dict().items():
        if values.dtype == object:
            made[name] = object_column(np.array(v) if isinstance(v, np.ndarray) else v for v in values)
        else:
            made[name] = values if values.flags.writeable else np.array(values)
    return Batch(made)
