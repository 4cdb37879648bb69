"""Names of E4S's tensors: those of the released file, whose generator is in rosinality's layout, and ours (NVlabs').

Encoder and MLPs are named alike. The mean code (rows, D), which the released file keeps beside the weights, is the
buffer `latent_avg`; without it faces come out grey.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vidswap.graph.errors import InputError
from vidswap.nets import rgi, stylegan2_keys
from vidswap.nets.layers import assembled


def from_published(state: Mapping[str, Tensor], latent_avg: Tensor | None) -> dict[str, Tensor]:
    """The released names and shapes to ours. latent_avg: (D,) or (num_ws, D).

    Raises InputError: without the mean code, or for the first key that is none of E4S.
    """
    if latent_avg is None:
        raise InputError("E4S without its mean code: latent_avg is missing beside the weights")
    theirs = {name.removeprefix("G."): value for name, value in state.items() if name.startswith("G.")}
    kept = {name: value for name, value in state.items() if not name.startswith("G.")}
    for name in kept:
        if not name.startswith(("encoder.", "MLPs.")):
            raise InputError(f"{name} is no tensor of E4S")
    ours = stylegan2_keys.from_rosinality(theirs, latent_avg)
    rows = 2 * sum(name.endswith(".torgb.weight") for name in ours)
    mean = latent_avg.reshape(-1, latent_avg.shape[-1]).expand(rows, -1).contiguous()
    return {**kept, **{f"G.{name}": value for name, value in ours.items()}, "latent_avg": mean}


def into_published(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Our names and shapes to the released ones, and `latent_avg` (num_ws, D).

    Raises InputError where that is missing.
    """
    if "latent_avg" not in state:
        raise InputError("not an E4S network: latent_avg is missing")
    ours = {name.removeprefix("G."): value for name, value in state.items() if name.startswith("G.")}
    theirs, _ = stylegan2_keys.into_rosinality(ours)
    kept = {name: value for name, value in state.items() if name.startswith(("encoder.", "MLPs."))}
    return {**kept, **{f"G.{name}": value for name, value in theirs.items()}}, state["latent_avg"]


def network_of(state: Mapping[str, Tensor], latent_avg: Tensor | None) -> rgi.RGI:
    """The networks of a released file, for inference, as `vidswap.weights.load("e4s")` gives it:

    `network_of(checkpoint.part(""), checkpoint.latent_avg)`. Raises InputError for what is not E4S.
    """
    ours = from_published(state, latent_avg)
    config = rgi.config_of(ours)
    return assembled(lambda: rgi.RGI(config), ours)
