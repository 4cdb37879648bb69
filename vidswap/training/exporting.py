"""What has been trained, as weights like any others: safetensors with a card beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vidswap.files import written_whole
from vidswap.weights.store import Card, save


def export(tensors: Mapping[str, Tensor], target: Path, *, licence: str, beside: Tensor | None = None) -> Card:
    """Write weights and their card; `vidswap.weights.load` reads them, `vidswap weights add` takes them.

    beside: the mean code that belongs to them. Raises InputError where they are no network that is known.
    """
    from safetensors.torch import save_file

    from vidswap.weights.checkpoint import open_checkpoint

    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    if beside is not None:
        whole["latent_avg"] = beside.detach().cpu().contiguous()
    with written_whole(target) as temporary:
        save_file(whole, temporary)
    # Reading it again is the proof that it can be read.
    return save(open_checkpoint(target), target, licence=licence, origin="vidswap train")
