"""What operators that run a trained network have in common: weights, device, precision, rows at a time.

A learned operator's options extend LearnedOptions; it implements `load`, which reads and recognises the weights and
builds nothing on the device, and `start`, which does. Nothing here imports torch before one of them is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options, Resources, Setting
from vidswap.storage import place

if TYPE_CHECKING:
    import torch


class LearnedOptions(Options):
    """Which weights, and how the network runs."""

    weights: str = Field(description="a name of `vidswap weights list`, a file, or random, random:256 for trials")
    device: str = Field("auto", description="auto (as the run says: CUDA where there is one), cpu, cuda, cuda:1 ...")
    precision: Literal["fp32", "fp16", "bf16"] = Field(
        "fp32", description="of the network; half precision is held against fp32 on load"
    )
    batch: int = Field(8, ge=1, le=256, description="rows at a time on CUDA; on a CPU they go one by one")

    @field_validator("weights")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("weights is empty; give a name of `vidswap weights list` or a file")
        return value


LearnedT = TypeVar("LearnedT", bound=LearnedOptions)


class Learned(Operator[LearnedT]):
    """Base of operators with weights.

    `ready` loads them once before any work, so that whatever is wrong with them is told then; `setup` loads them again
    in the process that runs them. `self.told` collects warnings for the user.
    """

    gpu_memory_gib: float = 4.0

    def __init__(self, options: LearnedT) -> None:
        super().__init__(options)
        self.batch_size = options.batch
        self.told: list[str] = []
        if options.device.startswith("cuda"):
            self.resources = Resources(cpus=1.0, gpus=1.0, gpu_memory_gib=self.gpu_memory_gib)

    def files(self) -> Sequence[Path]:
        """The file of the weights, or the card that holds the SHA-256 of those in the store."""
        return weights_files(self.options.weights)

    def load(self) -> Any:
        """The network as its file has it, on the CPU. Raises InputError."""
        raise NotImplementedError(f"{type(self).__name__} does not implement load")

    def start(self, loaded: Any, device: torch.device) -> None:
        """Build what `__call__` runs, on a device; called with the threads that the run allows."""
        raise NotImplementedError(f"{type(self).__name__} does not implement start")

    def fits(self, loaded: Any, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold what was loaded against `sizes`, and add to them what this stage gives. Raises InputError."""

    def ready(self, device: str | None, sizes: dict[str, tuple[int, ...]]) -> None:
        """Load the weights and look for the device. Raises InputError."""
        if device is not None:
            self.device_of(device)
        self.fits(self.load(), sizes)

    def device_of(self, run: str) -> torch.device:
        """The torch device: the option's, or for `auto` the run's. Raises InputError where it is not there."""
        from vidswap.nets.devices import chosen_device

        return chosen_device(run if self.options.device == "auto" else self.options.device)

    def setup(self, setting: Setting) -> None:
        """Load the weights and bring them to the device."""
        from vidswap.nets.devices import loading, threads

        device = self.device_of(setting.device)
        self._threads = setting.threads
        with threads(self._threads), loading(self.options.weights, device):
            self.start(self.load(), device)

    def take_warnings(self) -> Sequence[str]:
        """What there was to tell since the last call."""
        told, self.told = self.told, []
        return told


def sized(batch: Batch) -> Batch:
    """The batch with `size`, pixels a side, in the place of crops, if it has any."""
    if "crop" not in batch:
        return batch
    return batch.without(["crop"]).with_columns(size=np.array([len(crop) for crop in batch["crop"]], np.int64))


def weights_files(weights: str) -> list[Path]:
    """What a job knows weights by: the card of those in the store, else the file itself; none for random ones."""
    from vidswap.weights.store import card_path, is_file_name, path_of

    if weights.split(":")[0] == "random":
        return []
    return [place(weights)] if is_file_name(weights) else [card_path(path_of(weights))]


def named_or_installed(weights: str, usual: str) -> str | None:
    """The weights that are to be used: what is named, for `auto` the usual ones where they are installed, else None.

    None for `none`, too.
    """
    from vidswap.weights.store import card_of

    if weights == "auto":
        return usual if card_of(usual) is not None else None
    return None if weights == "none" else weights
