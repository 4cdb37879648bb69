"""A stage with a network, for the toy pipeline: rows of several segments may be called together.

Of NumPy alone: each process that has the model would take seconds to load torch.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from toy import toy_pipeline

from vidswap.graph import Operator, Options


class NetOptions(Options):
    """`notes` is a folder where each call notes its process and rows; `crash_once` names a file that a crash makes."""

    notes: str = ""
    crash_once: str = ""
    fail_at: int = -1
    pause_s: float = 0.0


class Net(Operator[NetOptions]):
    """Replaces a face's weight by what a small network makes of it and of the picture's value."""

    kind, served = "generate", True
    needs, gives = ("picture", "weight"), ("weight",)
    batch_size = 8
    Options = NetOptions

    def setup(self, setting):
        chance = np.random.default_rng(7)
        self.first, self.second = (chance.normal(size=size).astype(np.float32) for size in ((2, 16), (16, 1)))
        self._note("setup")

    def prepare(self, batch):
        value = np.array([picture.value for picture in batch["picture"]], np.float32)
        return super().prepare(batch).with_columns(value=value)

    def __call__(self, batch):
        assert "picture" not in batch, "frames do not travel"
        self._note(f"call {len(batch)}")
        time.sleep(self.options.pause_s)
        if (batch["frame"] == self.options.fail_at).any():
            raise ValueError("the network does not like that face")
        if self.options.crash_once and not Path(self.options.crash_once).exists():
            Path(self.options.crash_once).write_text("")
            os.abort()
        given = np.stack([batch["weight"].astype(np.float32), batch["value"]], axis=1)
        made = [float((np.tanh(row[None] @ self.first) @ self.second)[0, 0]) for row in given]
        return batch.with_columns(weight=np.array(made))

    def _note(self, what):
        if self.options.notes:
            with (Path(self.options.notes) / f"{os.getpid()}").open("a") as file:
                file.write(f"{what}\n")


def net_pipeline(blend=None, **net):
    """The toy pipeline with a network before the blend."""
    pipeline = toy_pipeline(blend=blend or {})
    pipeline["stages"].insert(-2, {"use": "toy_net:Net", "name": "net", "options": net})
    return pipeline
