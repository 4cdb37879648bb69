"""Where networks run, in which precision, and how many rows at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from vidswap.graph.errors import InputError, VidswapError, first_line

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

BOUNDS = {"fp16": 3e-3, "bf16": 3e-2}
"""Relative RMS against fp32 up to which half precision is believed: it has 11 and 8 bits of mantissa."""


def chosen_device(wanted: str) -> torch.device:
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:1`. Raises InputError for what is not."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device {wanted!r} is none of auto, cpu, cuda, cuda:0, cuda:1 ...")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                f"device {wanted!r} was asked for, but torch {torch.__version__} sees no CUDA device here; "
                "give device auto or cpu, or install a driver and a CUDA build of torch"
            )
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise InputError(f"device {wanted!r} was asked for, but there are {torch.cuda.device_count()} CUDA devices")
    return device


def relative_rms(made: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of `expected`; nan where `made` is not finite."""
    made, expected = made.float(), expected.float()
    return float((made - expected).square().mean().sqrt() / expected.square().mean().sqrt())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """torch computes with so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def loading(what: str, device: torch.device) -> Iterator[None]:
    """Inside, a network is brought to a device. Raises VidswapError, one line, where its memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise VidswapError(
            f"{what}: {device} has not the memory to load it; close what else uses it, or take device cpu"
        ) from error


class InBatches:
    """Calls a function of rows with some of them at a time, so that no row's result depends on its company.

    On a CPU rows go one by one, so that bits do not depend on the batch; the weights that a batch would share cost a
    few hundredths of the time there at most. On CUDA every batch has `size` rows, the last one filled up
    with copies of its last row: kernels are chosen, compiled and recorded per size.

    Where memory does not suffice, the batch is halved, `told` says so, and the work goes on from where it was.
    """

    def __init__(self, device: torch.device, size: int, *, what: str = "the batch") -> None:
        self.device, self.size, self.what = device, (size if device.type == "cuda" else 1), what
        self.told: list[str] = []

    def __call__(self, run: Callable[..., Tensor], *columns: Tensor) -> Tensor:
        """`run(*rows)` of all rows of the columns (N, ...), on the CPU. Raises VidswapError where one row is too much.

        Columns are handed to `run` on the device. Without rows there is nothing that could tell a shape: N > 0.
        """
        made: list[Tensor] = []
        done, count = 0, len(columns[0])
        while done < count:
            rows = min(self.size, count - done)
            try:
                made.append(self._run(run, columns, done, rows))
            except torch.OutOfMemoryError as error:
                self._halve(error)
                continue
            except RuntimeError as error:
                # torch tells of the CPU's memory in words alone.
                if "can't allocate memory" in str(error):
                    raise MemoryError(first_line(error)) from error
                raise
            done += rows
        return torch.cat(made)

    def _run(self, run: Callable[..., Tensor], columns: tuple[Tensor, ...], begin: int, rows: int) -> Tensor:
        given = [column[begin : begin + rows].to(self.device) for column in columns]
        short = self.size - rows
        if short:
            given = [torch.cat((column, column[-1:].expand(short, *column.shape[1:]))) for column in given]
        with torch.no_grad():
            return run(*given)[:rows].cpu()

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.size == 1:
            raise VidswapError(
                f"{self.what}: {self.device} has not the memory for a single one; close what else uses it, "
                "take a smaller network, precision fp16, or device cpu"
            ) from error
        before, self.size = self.size, self.size // 2
        self.told.append(f"{self.what}: out of memory on {self.device} with batch {before}; going on with {self.size}")


@functools.cache
def full_float32() -> None:
    """Convolutions and products of float32 on CUDA in full: the default of torch rounds to ten bits of mantissa."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
