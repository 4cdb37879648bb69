"""Losses for TensorBoard, where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ABSENT = "no logs for TensorBoard are written: pip install 'vidswap[train]' brings what writes them"


def is_installed() -> bool:
    """Whether logs can be written."""
    return importlib.util.find_spec("tensorboard") is not None


class Logs:
    """Scalars by step in a folder; does nothing where TensorBoard is not installed.

    begins_at: steps from there on that a run which was interrupted has logged already are dropped by the reader.
    """

    def __init__(self, folder: Path, begins_at: int) -> None:
        self._folder, self._begins_at = folder, begins_at
        self._writer: Any = None

    def __enter__(self) -> Logs:
        if is_installed():
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._begins_at or None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"loss/{name}", value, step)
