"""Restorers, ready to be used: GPEN, which sharpens an aligned face, and RealESRNet, which enlarges pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from vidswap.graph.errors import InputError
from vidswap.nets import gpen, rrdbnet
from vidswap.nets.devices import InBatches, full_float32
from vidswap.nets.layers import assembled

LARGEST = 256
"""Pixels a side that RealESRNet is given at most: it makes four times as many of them."""


def load_restorer(weights: str) -> gpen.GPEN | rrdbnet.RRDBNet:
    """The network, on the CPU, from a name of the store or a file. Raises InputError, one line, where it is neither."""
    from vidswap.weights.store import load

    checkpoint = load(weights)
    part = checkpoint.parts.get("")
    if part is not None and part.network == "gpen":
        state = checkpoint.part("")
        shape = gpen.config_of(state)
        return assembled(lambda: gpen.GPEN(shape), state)
    if part is not None and part.network == "rrdbnet":
        state = checkpoint.part("")
        config = rrdbnet.config_of(state)
        return assembled(lambda: rrdbnet.RRDBNet(config), state)
    raise InputError(f"{weights}: holds {checkpoint.title}, neither a GPEN nor an RRDBNet (gpen-512, realesrnet-x4)")


class Restorer:
    """Aligned faces to better ones, in batches; no face's result depends on its company.

    GPEN sees and gives the size that it was trained at; RealESRNet gives four times the size of what it sees, which is
    the face itself or its reduction to 256 px.
    """

    def __init__(self, net: gpen.GPEN | rrdbnet.RRDBNet, device: torch.device, batch: int) -> None:
        self._net = net.to(device)
        if device.type == "cuda":
            full_float32()
        self._side = net.config.resolution if isinstance(net, gpen.GPEN) else None
        self._run = InBatches(device, batch, what="the restorer")

    def __call__(self, faces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(T, T, 3) uint8 of each face (S, S, 3) uint8."""
        made: dict[int, np.ndarray] = {}
        for side in sorted({self._seen(face) for face in faces}):
            rows = [row for row, face in enumerate(faces) if self._seen(face) == side]
            given = torch.from_numpy(np.stack([_sized(faces[row], side) for row in rows]))
            made.update(zip(rows, self._run(self._restored, given).numpy(), strict=True))
        return [np.ascontiguousarray(made[row]) for row in range(len(faces))]

    def _restored(self, pictures: Tensor) -> Tensor:
        images = pictures.permute(0, 3, 1, 2) / 255.0
        images = self._net(images) if self._side is None else (self._net(images * 2 - 1) + 1) / 2
        return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    def _seen(self, face: np.ndarray) -> int:
        """Pixels a side at which the network is given a face."""
        return min(len(face), LARGEST) if self._side is None else self._side

    def take_warnings(self) -> list[str]:
        """What there was to tell since the last call."""
        told, self._run.told = self._run.told, []
        return told


def _sized(face: np.ndarray, side: int) -> np.ndarray:
    if len(face) == side:
        return face
    how = cv2.INTER_AREA if len(face) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(face, (side, side), interpolation=how))
