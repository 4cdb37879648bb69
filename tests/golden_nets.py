"""Golden values and full-size synthetic weights of shared/fixtures, as torch tensors."""

from __future__ import annotations

import json
import zlib

import numpy as np
import torch
from safetensors_file import arrays_of


def tensors_of(path, prefix=""):
    """Name, less `prefix`, -> tensor, of the entries whose names begin with `prefix`."""
    return {name[len(prefix) :]: torch.from_numpy(a.copy()) for name, a in arrays_of(path, prefix).items()}


def metadata_of(path):
    """The text that a safetensors file holds about itself."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length))["__metadata__"]


def manifest_of(path):
    """The key list of a full-size checkpoint: name -> {shape, dtype, fill}."""
    return json.loads(path.read_text())["keys"]


def shapes_of(manifest):
    """Name -> tensor without storage, of the shape that the manifest tells."""
    return {name: torch.empty(told["shape"], device="meta") for name, told in manifest.items()}


def filled(manifest, kept, known=None):
    """Synthetic weights by the fixtures' recipe; `kept(name)` gives tensors that their constructors compute.

    known: a dict that lives as long as its caller likes, for networks that have tensors in common: their numbers
    depend on name, shape and rule alone, and are drawn once.
    """
    state = {}
    for name, told in manifest.items():
        key = name, str(told)
        if told["fill"]["kind"] not in ("normal", "uniform", "const"):
            state[name] = kept(name)
        elif known is None:
            state[name] = _drawn(name, told)
        else:
            if key not in known:
                known[key] = _drawn(name, told)
            state[name] = known[key]
    return state


def _drawn(name, told):
    fill = told["fill"]
    random = np.random.RandomState(zlib.crc32(name.encode()))
    draw = {
        "const": np.zeros,
        "normal": random.standard_normal,
        "uniform": random.random_sample,
    }[fill["kind"]]
    made = np.empty(told["shape"], np.float32)
    flat = made.reshape(-1)
    # Piece by piece, the doubles stay in the cache.
    for start in range(0, len(flat), 1 << 14):
        piece = flat[start : start + (1 << 14)]
        value = draw(len(piece))
        value *= fill.get("scale", 1.0)
        value += fill.get("shift", 0.0)
        piece[:] = value
    return torch.from_numpy(made)


def largest_gap(ours, theirs):
    """Largest absolute difference; shapes must agree."""
    assert ours.shape == theirs.shape
    return float((ours.double() - theirs.double()).abs().max())


def keys_and_shapes(state):
    """What a state dict must agree in."""
    return {name: tuple(value.shape) for name, value in state.items()}
